//! The open catalog: who it is, where transactions begin, and what is swept.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mcsp_domain::limits;

#[cfg(feature = "postgres")]
use crate::PostgresOptions;
use crate::dialect::{Database, Engine, Pool, sql};
use crate::wake::Wakes;
use crate::{CatalogError, Tx};

/// How long a write waits for another process's transaction, where nothing else is said.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// All relational state of the desk. Clones share the connections; several processes may open one file or database.
///
/// Transactions that write come one after another, over all processes. A task that holds a `Tx` must not begin another: it would wait for
/// itself until the time-out.
#[derive(Clone)]
pub struct Catalog {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) database: Database,
    pub(crate) wakes: Arc<Wakes>,
}

impl Catalog {
    /// Opens the catalog that a URL names, and migrates it: `sqlite:<path>`, a file that is made where there is none, or
    /// `postgres://<user>@<host>:<port>/<database>`, a database that is there and wants no password (`open_postgres` takes
    /// one, and TLS).
    ///
    /// # Errors
    /// When the URL names no engine of ours; when the catalog is foreign or of a newer program, which leaves it as it was;
    /// when it is held, full, closed to us or not reached.
    pub async fn open(url: &str) -> Result<Self, CatalogError> {
        Self::open_within(url, BUSY_TIMEOUT).await
    }

    /// As `open`, with the time that every write waits for other processes.
    ///
    /// # Errors
    /// As `open`.
    pub async fn open_within(url: &str, busy_timeout: Duration) -> Result<Self, CatalogError> {
        match Address::parse(url)? {
            Address::Sqlite(path) => {
                let database = Database::open(Path::new(path), busy_timeout, &new_id()).await?;
                Ok(Self::of(database, Arc::new(Wakes::new(new_id()))))
            }
            #[cfg(feature = "postgres")]
            Address::Postgres(options) => Self::open_postgres(PostgresOptions { busy_timeout, ..options }).await,
        }
    }

    /// Opens a catalog in a database of a Postgres server, and migrates it. Waits a while for a server that is starting.
    ///
    /// # Errors
    /// When the server is not reached or refuses us, when the database is missing, foreign or of a newer program.
    #[cfg(feature = "postgres")]
    pub async fn open_postgres(options: PostgresOptions) -> Result<Self, CatalogError> {
        let wakes = Arc::new(Wakes::new(new_id()));
        let database = Database::open_postgres(&options, &new_id(), &wakes).await?;
        Ok(Self::of(database, wakes))
    }

    fn of(database: Database, wakes: Arc<Wakes>) -> Self {
        Self { inner: Arc::new(Inner { database, wakes }) }
    }

    /// Begins a transaction. Dropping it undoes everything.
    ///
    /// # Errors
    /// `Busy` when other transactions held the catalog for too long.
    pub async fn begin(&self) -> Result<Tx, CatalogError> {
        Ok(Tx::new(self.clone(), self.inner.database.begin().await?))
    }

    /// Returns the name by which the log knows this catalog's outbox: random, made once.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn id(&self) -> Result<String, CatalogError> {
        sql::query_scalar("SELECT id FROM catalog")
            .fetch_one(self.readers())
            .await
            .map_err(|source| self.fault("read its id", source))
    }

    /// Gives the catalog a new id and returns it. Needed after an older copy of the file was put back: its positions
    /// begin below those that the log has noted under the old id, and what it sends would be taken for sent.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn renew_id(&self) -> Result<String, CatalogError> {
        sql::query_scalar("UPDATE catalog SET id = $1 RETURNING id")
            .bind(new_id())
            .fetch_one(self.writer())
            .await
            .map_err(|source| self.fault("renew its id", source))
    }

    /// Forgets events that were handled before a time, in steps, so that writers come in between. Returns how many.
    /// Events younger than the log's retention can still come again: keep their rows.
    ///
    /// # Errors
    /// When the engine fails; a further sweep goes on.
    pub async fn sweep_inbox(&self, before_us: i64) -> Result<u64, CatalogError> {
        let sql = "DELETE FROM inbox WHERE (namespace, event_id) IN
            (SELECT namespace, event_id FROM inbox WHERE handled_us < $1 ORDER BY handled_us LIMIT $2)";
        let mut swept = 0;
        loop {
            let step = sql::query(sql).bind(before_us).bind(limits::INBOX_SWEEP_MAX).execute(self.writer()).await;
            let rows = step.map_err(|source| self.fault("sweep the inbox", source))?.rows_affected();
            swept += rows;
            if rows < limits::INBOX_SWEEP_MAX.into() {
                return Ok(swept);
            }
        }
    }

    /// Closes every connection once its transaction has ended.
    pub async fn close(&self) {
        self.inner.database.close().await;
    }

    pub(crate) fn engine(&self) -> Engine {
        self.inner.database.engine()
    }

    pub(crate) fn readers(&self) -> Pool<'_> {
        self.inner.database.readers()
    }

    pub(crate) fn writer(&self) -> Pool<'_> {
        self.inner.database.writer()
    }

    pub(crate) fn fault(&self, action: &'static str, source: sqlx::Error) -> CatalogError {
        self.inner.database.fault(action, source)
    }

    pub(crate) fn damaged(&self, what: String) -> CatalogError {
        self.inner.database.damaged(what)
    }
}

/// Where a catalog is.
#[derive(Debug)]
enum Address<'u> {
    Sqlite(&'u str),
    #[cfg(feature = "postgres")]
    Postgres(PostgresOptions),
}

impl<'u> Address<'u> {
    fn parse(url: &'u str) -> Result<Self, CatalogError> {
        let fault = || {
            // Credentials stand before an `@`: such a URL is told by its scheme alone.
            let shown = if url.contains('@') { url.split(':').next().unwrap_or_default() } else { url };
            CatalogError::Url { url: shown.chars().take(100).collect() }
        };
        let (scheme, rest) = url.split_once(':').ok_or_else(fault)?;
        match scheme {
            "sqlite" => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                // In memory, every connection would have a catalog of its own.
                let is_file = !path.is_empty() && path != ":memory:" && !path.contains('?');
                is_file.then_some(Self::Sqlite(path)).ok_or_else(fault)
            }
            #[cfg(feature = "postgres")]
            "postgres" | "postgresql" => PostgresOptions::of_url(url).map(Self::Postgres),
            #[cfg(not(feature = "postgres"))]
            "postgres" | "postgresql" => Err(CatalogError::NotBuiltIn { scheme: scheme.to_owned() }),
            _ => Err(fault()),
        }
    }
}

fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_picks_the_engine() {
        let path = |url| match Address::parse(url).unwrap() {
            Address::Sqlite(path) => path,
            #[cfg(feature = "postgres")]
            Address::Postgres(options) => panic!("{options:?}"),
        };
        assert_eq!(path("sqlite:data/catalog.db"), "data/catalog.db");
        assert_eq!(path("sqlite:///var/catalog.db"), "/var/catalog.db");
        for url in ["", "catalog.db", "sqlite:", "sqlite::memory:", "sqlite:a.db?mode=ro", "mysql://u:p@h/d"] {
            let refusal = Address::parse(url).unwrap_err().to_string();
            assert!(refusal.contains("is not of the form sqlite:<path> or postgres://"), "{url:?}: {refusal}");
        }
    }

    #[test]
    fn a_url_error_repeats_no_password() {
        let message = Address::parse("mysql://user:secret@host").unwrap_err().to_string();
        assert!(message.starts_with("catalog url \"mysql\" is not of the form"), "{message}");
        let message = Address::parse("postgres://user:secret@host/db").unwrap_err().to_string();
        assert!(message.contains("postgres") && !message.contains("secret"), "{message}");
    }

    #[cfg(not(feature = "postgres"))]
    #[test]
    fn an_engine_that_is_not_built_in_is_told() {
        let message = Address::parse("postgres://host/db").unwrap_err().to_string();
        assert_eq!(message, "catalog engine postgres is not built into this program: use sqlite:<path>");
    }

    async fn opened(folder: &tempfile::TempDir) -> Catalog {
        Catalog::open(&format!("sqlite:{}", folder.path().join("c.db").display())).await.unwrap()
    }

    /// Handles some events in one transaction, and gives the error that comes of it.
    async fn failure_of_a_write(catalog: &Catalog) -> CatalogError {
        let handle = async || {
            let mut tx = catalog.begin().await?;
            for number in 0..2000_u32 {
                tx.receive("test", mcsp_domain::EventId::derived(&[&number.to_be_bytes()]), 1).await?;
            }
            tx.commit().await
        };
        handle().await.unwrap_err()
    }

    #[tokio::test]
    async fn a_full_disk_is_told_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = opened(&folder).await;
        // SQLite gives the code of a full disk for a file that may not grow.
        sql::query("PRAGMA max_page_count = 20").execute(catalog.writer()).await.unwrap();
        let error = failure_of_a_write(&catalog).await;
        assert!(matches!(error, CatalogError::Full { .. }) && error.may_pass(), "{error:?}");
        assert!(error.to_string().ends_with("could not note an event as handled, nothing was changed"), "{error}");

        let rows: i64 = sql::query_scalar("SELECT COUNT(*) FROM inbox").fetch_one(catalog.readers()).await.unwrap();
        assert_eq!(rows, 0);
        catalog.begin().await.unwrap().commit().await.unwrap();
    }

    #[tokio::test]
    async fn a_transaction_that_failed_does_nothing_more() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = opened(&folder).await;
        let mut tx = catalog.begin().await.unwrap();
        sql::query("nonsense")
            .execute(tx.connection().unwrap())
            .await
            .map_err(|source| tx.end("test", source))
            .unwrap_err();
        let receipt = tx.receive("test", mcsp_domain::EventId::derived(&[b"late"]), 1).await;
        assert!(matches!(receipt, Err(CatalogError::Ended)));
        assert!(matches!(tx.commit().await, Err(CatalogError::Ended)));
        catalog.begin().await.unwrap().commit().await.unwrap();
    }

    #[tokio::test]
    async fn a_file_that_may_not_be_written_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = opened(&folder).await;
        sql::query("PRAGMA query_only = ON").execute(catalog.writer()).await.unwrap();
        let error = failure_of_a_write(&catalog).await;
        assert!(matches!(error, CatalogError::ReadOnly { .. }) && !error.may_pass(), "{error:?}");
        assert!(error.to_string().contains("may not be written: could not begin a transaction"), "{error}");
    }
}
