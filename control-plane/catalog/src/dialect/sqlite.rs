//! SQLite: one writer connection and a few readers on one file, in WAL mode with `synchronous=FULL`: a commit that has
//! returned survives the loss of power.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection as _, SqliteConnection, SqlitePool};
use tokio::time::Instant;

use super::Engine;
use crate::{CatalogError, schema};

/// A transaction of SQLite.
pub(crate) type Transaction = sqlx::Transaction<'static, sqlx::Sqlite>;

/// `application_id` in the file's header (sqlite.org/fileformat2.html §1.3.9): "MCSC".
const APPLICATION_ID: i64 = 0x4d43_5343;
/// Connections that read beside the writer.
const READERS_MAX: u32 = 4;
/// How long a task waits for this process's writer connection: many times what a transaction takes.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);
/// Time between two tries to open a file that another process is opening.
const OPEN_RETRY: Duration = Duration::from_millis(20);

/// An open file.
pub(crate) struct Sqlite {
    at: String,
    pub(super) writer: SqlitePool,
    pub(super) readers: SqlitePool,
}

impl Sqlite {
    /// Opens the file, makes it where there is none, and brings its schema up to date.
    pub(super) async fn open(path: &Path, busy_timeout: Duration, new_id: &str) -> Result<Self, CatalogError> {
        let deadline = Instant::now() + busy_timeout;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(busy_timeout)
            .synchronous(SqliteSynchronous::Full)
            .disable_statement_logging();
        // SQLite does not wait for a lock in every case: the switch to WAL by two processes at once fails at once.
        while let Err(error) = prepare(path, &options, new_id).await {
            let may_wait = matches!(error, CatalogError::Busy { .. }) && Instant::now() < deadline;
            if !may_wait {
                return Err(error);
            }
            tokio::time::sleep(OPEN_RETRY).await;
        }
        let pool = || {
            SqlitePoolOptions::new()
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
        };
        let options = options.create_if_missing(false);
        Ok(Self {
            at: path.display().to_string(),
            readers: pool().max_connections(READERS_MAX).connect_lazy_with(options.clone().pragma("query_only", "ON")),
            writer: pool()
                .max_connections(1)
                .after_release(|connection, _| Box::pin(is_usable(connection)))
                .connect_lazy_with(options),
        })
    }

    /// Begins a transaction that will write. It takes the write lock now: one that read first and asked later could find
    /// the file changed, and would fail without waiting.
    pub(super) async fn begin(&self) -> Result<Transaction, CatalogError> {
        let action = "begin a transaction";
        self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(|source| self.fault(action, source))
    }

    /// Gives an engine's error its meaning.
    pub(super) fn fault(&self, action: &'static str, source: sqlx::Error) -> CatalogError {
        fault(&self.at, action, source)
    }

    /// Returns the file's name, as errors give it.
    pub(super) fn at(&self) -> &str {
        &self.at
    }

    /// Closes every connection; the last one out folds the write-ahead log into the file.
    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Tells whether a connection may be used again. A full disk or a failing one makes SQLite end the transaction by itself;
/// sqlx's own ROLLBACK then fails, and it would count that transaction as open for ever.
async fn is_usable(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // The rollback of a dropped transaction is queued before this ping.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

/// Checks whose file it is before anything is written to it, then migrates it.
async fn prepare(path: &Path, options: &SqliteConnectOptions, new_id: &str) -> Result<(), CatalogError> {
    let shown = &path.display().to_string();
    let at = |action: &'static str| move |source| fault(shown, action, source);
    let options = options.clone().create_if_missing(true);
    let mut connection = options.connect().await.map_err(at("open the file"))?;
    let is_ours = check_owner(shown, &mut connection).await?;
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode = WAL")
        .fetch_one(&mut connection)
        .await
        .map_err(at("switch to write-ahead logging"))?;
    if mode != "wal" {
        let found = format!("write-ahead logging is not possible there (journal mode {mode}): use a local file system");
        return Err(CatalogError::Foreign { at: shown.to_owned(), found });
    }
    // A file that is up to date is opened without the write lock, so that a long transaction elsewhere delays nobody.
    if is_ours
        && schema::is_current(shown, Engine::Sqlite, (&mut connection).into(), at("read the table of migrations"))
            .await?
    {
        return connection.close().await.map_err(at("close the file"));
    }
    let begun = connection.begin_with("BEGIN IMMEDIATE").await;
    let mut transaction = begun.map_err(at("begin the migrations"))?;
    check_owner(shown, &mut transaction).await?;
    // A pragma takes no parameters.
    let mark = sqlx::AssertSqlSafe(format!("PRAGMA application_id = {APPLICATION_ID}"));
    sqlx::query(mark).execute(&mut *transaction).await.map_err(at("mark the file as a catalog"))?;
    schema::migrate(shown, Engine::Sqlite, (&mut *transaction).into(), new_id, at("apply the migrations")).await?;
    transaction.commit().await.map_err(at("commit the migrations"))?;
    connection.close().await.map_err(at("close the file"))
}

/// Refuses a file that another program made; tells whether it is ours or still empty.
async fn check_owner(shown: &str, connection: &mut SqliteConnection) -> Result<bool, CatalogError> {
    let at = |source| fault(shown, "read whose file it is", source);
    let mark: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await.map_err(at)?;
    let tables: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM sqlite_schema").fetch_one(connection).await.map_err(at)?;
    if mark == APPLICATION_ID || (mark == 0 && tables == 0) {
        return Ok(mark == APPLICATION_ID);
    }
    let found =
        format!("an SQLite database of another program (application_id {mark:#x}, {tables} tables and indexes)");
    Err(CatalogError::Foreign { at: shown.to_owned(), found })
}

/// Gives an engine's error its meaning by its primary result code (sqlite.org/rescode.html).
fn fault(at: &str, action: &'static str, source: sqlx::Error) -> CatalogError {
    let at = at.to_owned();
    let code = source.as_database_error().and_then(|error| error.code()).and_then(|code| code.parse::<u32>().ok());
    /// The shared-memory index of the log could not grow: the disk is full under another name.
    const IOERR_SHMSIZE: u32 = 10 | (19 << 8);
    match code.map(|code| (code, code & 0xff)) {
        Some((_, 5 | 6)) => CatalogError::Busy { at, action, source },
        Some((_, 13) | (IOERR_SHMSIZE, _)) => CatalogError::Full { at, action, source },
        Some((_, 8)) => CatalogError::ReadOnly { at, action, source },
        Some((_, 14)) => CatalogError::CannotOpen { at, source },
        Some((_, 26)) => CatalogError::Foreign { at, found: "no SQLite database".to_owned() },
        Some((_, 11)) => CatalogError::Damaged { at, what: format!("could not {action}: {source}") },
        _ if matches!(source, sqlx::Error::PoolTimedOut) => CatalogError::Busy { at, action, source },
        _ => CatalogError::Engine { at, action, source },
    }
}
