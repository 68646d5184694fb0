//! A database of a test's own, on the server that `MCSP_POSTGRES` names: `postgres://<user>@<host>:<port>/<database>`, a
//! database beside which the user may make others. `MCSP_POSTGRES_PASSWORD` is its password, where it wants one.

use sqlx::ConnectOptions;
use zeroize::Zeroizing;

use crate::dialect::connect_options;
use crate::{CatalogError, PostgresOptions};

/// An empty database, removed when this is dropped, whoever is still connected to it.
pub struct ScratchDatabase {
    server: Box<PostgresOptions>,
    options: Box<PostgresOptions>,
}

impl ScratchDatabase {
    /// Makes one; none where no server is named, which fails where `MCSP_ENGINES_MUST` names `postgres`.
    ///
    /// # Errors
    /// When the server is not reached, or makes no database.
    pub async fn make() -> Result<Option<Self>, CatalogError> {
        let Some(url) = std::env::var("MCSP_POSTGRES").ok().filter(|url| !url.is_empty()) else {
            let wanted = std::env::var("MCSP_ENGINES_MUST").unwrap_or_default();
            assert!(!wanted.split(',').any(|name| name == "postgres"), "MCSP_POSTGRES names no postgres");
            eprintln!("skipped: MCSP_POSTGRES names no postgres");
            return Ok(None);
        };
        let password = std::env::var("MCSP_POSTGRES_PASSWORD").ok().map(Zeroizing::new);
        let server = PostgresOptions { password, ..PostgresOptions::of_url(&url)? };
        let database = format!("mcsp_test_{}", uuid::Uuid::now_v7().simple());
        execute(&server, format!("CREATE DATABASE {database}")).await.map_err(|source| fault(&server, source))?;
        let options = PostgresOptions { database, connections_max: 5, ..server.clone() };
        Ok(Some(Self { server: Box::new(server), options: Box::new(options) }))
    }

    /// Returns how the database is opened.
    pub fn options(&self) -> PostgresOptions {
        PostgresOptions::clone(&self.options)
    }

    /// Runs statements in the database, past the catalog.
    ///
    /// # Errors
    /// When the server refuses them.
    pub async fn run(&self, sql: &str) -> Result<(), CatalogError> {
        execute(&self.options, sql.to_owned()).await.map_err(|source| fault(&self.options, source))
    }
}

impl Drop for ScratchDatabase {
    fn drop(&mut self) {
        let (server, sql) = (self.server.clone(), format!("DROP DATABASE {} WITH (FORCE)", self.options.database));
        // The test's own runtime may be the one that this thread ends.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(execute(&server, sql)).map_err(std::io::Error::other)
        });
        if let Ok(Err(error)) = dropped.join() {
            eprintln!("database {} stays: {error}", self.options.database);
        }
    }
}

async fn execute(options: &PostgresOptions, sql: String) -> Result<(), sqlx::Error> {
    let mut connection = connect_options(options).connect().await?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.map(drop)
}

fn fault(options: &PostgresOptions, source: sqlx::Error) -> CatalogError {
    CatalogError::Engine { at: options.at(), action: "run a test's statement", source }
}
