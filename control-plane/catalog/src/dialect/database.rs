//! The open database, whichever engine it is on: its pools, its transactions, and what its errors mean.

use std::path::Path;
use std::time::Duration;

#[cfg(feature = "postgres")]
use sqlx::PgPool;
use sqlx::SqlitePool;

use super::sql::Place;
use super::sqlite::{self, Sqlite};
#[cfg(feature = "postgres")]
use super::{
    listen,
    postgres::{self, Postgres},
};
use crate::CatalogError;
#[cfg(feature = "postgres")]
use crate::PostgresOptions;
use crate::wake::{Told, Wakes};

/// Which engine holds a catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    #[cfg(feature = "postgres")]
    Postgres,
}

/// An open database.
pub(crate) enum Database {
    Sqlite(Sqlite),
    #[cfg(feature = "postgres")]
    Postgres(Postgres),
}

/// Connections that statements run on.
pub(crate) enum Pool<'c> {
    Sqlite(&'c SqlitePool),
    #[cfg(feature = "postgres")]
    Postgres(&'c PgPool),
}

/// A transaction that writes.
pub(crate) enum Transaction {
    Sqlite(sqlite::Transaction),
    #[cfg(feature = "postgres")]
    Postgres(postgres::Transaction),
}

impl Engine {
    /// Writes the definition of tables as the engine takes it.
    pub(crate) fn definition(self, sql: &'static str) -> sqlx::AssertSqlSafe<String> {
        sqlx::AssertSqlSafe(match self {
            Self::Sqlite => sql.to_owned(),
            #[cfg(feature = "postgres")]
            Self::Postgres => postgres::definition(sql),
        })
    }
}

impl Database {
    /// Opens a file, makes it where there is none, and brings its schema up to date.
    pub(crate) async fn open(path: &Path, busy_timeout: Duration, new_id: &str) -> Result<Self, CatalogError> {
        Ok(Self::Sqlite(Sqlite::open(path, busy_timeout, new_id).await?))
    }

    /// Opens a database of a server, and brings its schema up to date. Commits of other processes wake those who wait.
    #[cfg(feature = "postgres")]
    pub(crate) async fn open_postgres(
        options: &PostgresOptions,
        new_id: &str,
        wakes: &std::sync::Arc<Wakes>,
    ) -> Result<Self, CatalogError> {
        Ok(Self::Postgres(Postgres::open(options, new_id, wakes).await?))
    }

    pub(crate) fn engine(&self) -> Engine {
        match self {
            Self::Sqlite(_) => Engine::Sqlite,
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => Engine::Postgres,
        }
    }

    /// Begins a transaction that will write, once no other one does.
    pub(crate) async fn begin(&self) -> Result<Transaction, CatalogError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.begin().await.map(Transaction::Sqlite),
            #[cfg(feature = "postgres")]
            Self::Postgres(postgres) => postgres.begin().await.map(Transaction::Postgres),
        }
    }

    /// Returns the connections that read beside the writer.
    pub(crate) fn readers(&self) -> Pool<'_> {
        match self {
            Self::Sqlite(sqlite) => Pool::Sqlite(&sqlite.readers),
            #[cfg(feature = "postgres")]
            Self::Postgres(postgres) => Pool::Postgres(&postgres.readers),
        }
    }

    /// Returns the connections for single statements that write.
    pub(crate) fn writer(&self) -> Pool<'_> {
        match self {
            Self::Sqlite(sqlite) => Pool::Sqlite(&sqlite.writer),
            #[cfg(feature = "postgres")]
            Self::Postgres(postgres) => Pool::Postgres(&postgres.writers),
        }
    }

    /// Gives an engine's error its meaning.
    pub(crate) fn fault(&self, action: &'static str, source: sqlx::Error) -> CatalogError {
        match self {
            Self::Sqlite(sqlite) => sqlite.fault(action, source),
            #[cfg(feature = "postgres")]
            Self::Postgres(postgres) => postgres.fault(action, source),
        }
    }

    /// Tells of a row that we could not have written.
    pub(crate) fn damaged(&self, what: String) -> CatalogError {
        let at = match self {
            Self::Sqlite(sqlite) => sqlite.at(),
            #[cfg(feature = "postgres")]
            Self::Postgres(postgres) => postgres.at(),
        };
        CatalogError::Damaged { at: at.to_owned(), what }
    }

    /// Closes every connection once its transaction has ended.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(sqlite) => sqlite.close().await,
            #[cfg(feature = "postgres")]
            Self::Postgres(postgres) => postgres.close().await,
        }
    }
}

impl Transaction {
    /// Commits: when it returns, everything is on the disk.
    pub(crate) async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await,
            #[cfg(feature = "postgres")]
            Self::Postgres(transaction) => transaction.commit().await,
        }
    }

    /// Has the commit tell other processes, where the engine can: SQLite's look for themselves.
    #[cfg_attr(not(feature = "postgres"), expect(unused_variables, reason = "SQLite cannot"))]
    pub(crate) async fn tell(&mut self, wakes: &Wakes, told: &Told) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(_) => Ok(()),
            #[cfg(feature = "postgres")]
            Self::Postgres(transaction) => listen::tell(transaction, &wakes.text(told)).await,
        }
    }
}

impl<'c> From<Pool<'c>> for Place<'c> {
    fn from(pool: Pool<'c>) -> Self {
        match pool {
            Pool::Sqlite(pool) => Self::SqlitePool(pool),
            #[cfg(feature = "postgres")]
            Pool::Postgres(pool) => Self::PostgresPool(pool),
        }
    }
}

impl<'c> From<&'c mut Transaction> for Place<'c> {
    fn from(transaction: &'c mut Transaction) -> Self {
        match transaction {
            Transaction::Sqlite(transaction) => Self::Sqlite(transaction),
            #[cfg(feature = "postgres")]
            Transaction::Postgres(transaction) => Self::Postgres(transaction),
        }
    }
}
