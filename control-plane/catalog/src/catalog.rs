//! The open catalog: who it is, where transactions begin, and what is swept.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mcsp_domain::limits;
use tokio::sync::Notify;

use crate::dialect::Database;
use crate::{CatalogError, Tx};

/// How long a write waits for another process's transaction, where nothing else is said.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// All relational state of the desk. Clones share the connections; several processes may open one file.
///
/// Writes of one process queue for one connection. A task that holds a `Tx` must not begin another: it would wait for
/// itself until the time-out.
#[derive(Clone)]
pub struct Catalog {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) database: Database,
    pub(crate) outbox_wake: Notify,
    pub(crate) delivery_wake: Notify,
    pub(crate) notice_wake: tokio::sync::broadcast::Sender<mcsp_domain::UserId>,
}

impl Catalog {
    /// Opens the catalog that a URL names, `sqlite:<path>`; makes the file where there is none, and migrates it.
    ///
    /// # Errors
    /// When the URL names no engine of ours; when the file is foreign or of a newer program, which leaves it as it was;
    /// when it is held, full or closed to us.
    pub async fn open(url: &str) -> Result<Self, CatalogError> {
        Self::open_within(url, BUSY_TIMEOUT).await
    }

    /// As `open`, with the time that every write waits for other processes.
    ///
    /// # Errors
    /// As `open`.
    pub async fn open_within(url: &str, busy_timeout: Duration) -> Result<Self, CatalogError> {
        let path = sqlite_path(url)?;
        let database = Database::open(Path::new(path), busy_timeout, &new_id()).await?;
        let notice_wake = tokio::sync::broadcast::Sender::new(crate::notice::NOTICE_WAKES_MAX);
        Ok(Self {
            inner: Arc::new(Inner { database, outbox_wake: Notify::new(), delivery_wake: Notify::new(), notice_wake }),
        })
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
        sqlx::query_scalar("SELECT id FROM catalog")
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
        sqlx::query_scalar("UPDATE catalog SET id = $1 RETURNING id")
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
            let step = sqlx::query(sql).bind(before_us).bind(limits::INBOX_SWEEP_MAX).execute(self.writer()).await;
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

    pub(crate) fn readers(&self) -> &sqlx::SqlitePool {
        &self.inner.database.readers
    }

    pub(crate) fn writer(&self) -> &sqlx::SqlitePool {
        &self.inner.database.writer
    }

    pub(crate) fn fault(&self, action: &'static str, source: sqlx::Error) -> CatalogError {
        self.inner.database.fault(action, source)
    }

    pub(crate) fn damaged(&self, what: String) -> CatalogError {
        self.inner.database.damaged(what)
    }
}

/// Reads the file's path out of a URL.
fn sqlite_path(url: &str) -> Result<&str, CatalogError> {
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
            is_file.then_some(path).ok_or_else(fault)
        }
        "postgres" | "postgresql" => Err(CatalogError::NotBuiltIn { scheme: scheme.to_owned() }),
        _ => Err(fault()),
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
        assert_eq!(sqlite_path("sqlite:data/catalog.db").unwrap(), "data/catalog.db");
        assert_eq!(sqlite_path("sqlite:///var/catalog.db").unwrap(), "/var/catalog.db");
        let refusal = |url| sqlite_path(url).unwrap_err().to_string();
        assert_eq!(
            refusal("postgres://user:secret@host/db"),
            "catalog engine postgres is not built into this program: use sqlite:<path>"
        );
        for url in ["", "catalog.db", "sqlite:", "sqlite::memory:", "sqlite:a.db?mode=ro", "mysql://u:p@h/d"] {
            assert!(refusal(url).ends_with("is not of the form sqlite:<path>"), "{url:?}");
        }
    }

    #[test]
    fn a_url_error_repeats_no_password() {
        let message = sqlite_path("mysql://user:secret@host").unwrap_err().to_string();
        assert_eq!(message, "catalog url \"mysql\" is not of the form sqlite:<path>");
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
        sqlx::query("PRAGMA max_page_count = 20").execute(catalog.writer()).await.unwrap();
        let error = failure_of_a_write(&catalog).await;
        assert!(matches!(error, CatalogError::Full { .. }) && error.may_pass(), "{error:?}");
        assert!(error.to_string().ends_with("could not note an event as handled, nothing was changed"), "{error}");

        let rows: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM inbox").fetch_one(catalog.readers()).await.unwrap();
        assert_eq!(rows, 0);
        catalog.begin().await.unwrap().commit().await.unwrap();
    }

    #[tokio::test]
    async fn a_transaction_that_failed_does_nothing_more() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = opened(&folder).await;
        let mut tx = catalog.begin().await.unwrap();
        sqlx::query("nonsense")
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
        sqlx::query("PRAGMA query_only = ON").execute(catalog.writer()).await.unwrap();
        let error = failure_of_a_write(&catalog).await;
        assert!(matches!(error, CatalogError::ReadOnly { .. }) && !error.may_pass(), "{error:?}");
        assert!(error.to_string().contains("may not be written: could not begin a transaction"), "{error}");
    }
}
