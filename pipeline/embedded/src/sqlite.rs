//! One SQLite file: how it is opened and checked, written by one transaction at a time, and read beside that. In: a path and
//! a schema. Out: write transactions of a stated durability, read connections, errors that name the file.
//!
//! A process has one writer behind a lock: two would only make each other wait in SQLite's own polling. It commits with
//! `synchronous=NORMAL` (<https://sqlite.org/pragma.html#pragma_synchronous>), that is to the system's cache; a commit that
//! is to be durable then has the write-ahead log synced, outside of all locks and together with those that wait for the
//! same. Others may see it before that, which is harmless: the log is read up to its first gap, so that what follows from
//! a commit is never on the disk without it. What asks for no sync is synced by the owner each second.

mod fault;
mod syncs;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Executor, Row, Sqlite, SqliteConnection, SqlitePool};
use tokio::sync::{Mutex, OwnedMutexGuard};

pub use fault::DatabaseError;
pub(crate) use mcsp_events::Durability;
use syncs::Syncs;

/// Connections that only read: more than this many queries at once wait for each other.
const READERS_MAX: u32 = 4;
/// How long SQLite itself waits for a writer of another process before it is asked again. Left alone it polls ever more
/// seldom, up to each 100 ms (`sqliteDefaultBusyCallback`), and comes too late between the short transactions of others.
const BUSY_STEP: Duration = Duration::from_millis(2);
/// Prepared statements that a connection keeps.
const STATEMENTS_MAX: usize = 200;
/// Rows that a query may be ahead of its reader.
const ROWS_AHEAD_MAX: usize = 512;
/// Pages of 4 KiB after which a commit moves the write-ahead log into the file.
const CHECKPOINT_PAGES: &str = "4000";
/// Bytes that the write-ahead log keeps on the disk when it starts again.
const JOURNAL_KEEP_BYTES: &str = "67108864";

/// What a file must hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schema {
    /// SQLite's `application_id`: which kind of file this is.
    pub(crate) application_id: i64,
    /// SQLite's `user_version`: which shape its tables have.
    pub(crate) version: i64,
    /// What makes the tables of a new file.
    pub(crate) sql: &'static [&'static str],
}

/// How long a call waits for other processes, where nothing else is said.
pub(crate) const BUSY_DEFAULT: Duration = Duration::from_secs(10);

/// An open file; clones share its connections.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    busy: Duration,
    writer: Arc<Mutex<Writer>>,
    readers: SqlitePool,
    syncs: Syncs,
}

#[derive(Debug)]
struct Writer {
    connection: SqliteConnection,
    /// Whether a transaction may be open: set before it begins, cleared after it ended.
    open: bool,
}

impl Database {
    /// Opens a file, or makes it where there is none. `busy` is how long a call waits for other processes.
    ///
    /// # Errors
    /// When the file is of another kind or version, or cannot be opened, written or locked.
    pub(crate) async fn open(path: &Path, schema: Schema, busy: Duration) -> Result<Self, DatabaseError> {
        let fail = |error| DatabaseError::of(path, busy, error);
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)
                .map_err(|source| DatabaseError::Folder { path: folder.to_owned(), source })?;
        }
        check_kind(path, schema, busy).await?;
        let options = options(path, busy);
        let writer = options.clone().busy_timeout(BUSY_STEP).journal_mode(SqliteJournalMode::Wal);
        let writer = connect(&writer.synchronous(SqliteSynchronous::Normal), busy).await.map_err(fail)?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(options.pragma("query_only", "ON"));
        let writer = Arc::new(Mutex::new(Writer { connection: writer, open: false }));
        let inner = Inner { path: path.to_owned(), busy, writer, readers, syncs: Syncs::new(path) };
        let database = Self { inner: Arc::new(inner) };
        database.make_tables(schema).await?;
        // The names of the files, which no later sync of their bytes brings to the disk.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let synced = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|source| DatabaseError::Folder { path: folder.to_owned(), source })?;
        Ok(database)
    }

    /// Makes the tables where the file is new; another process may have been faster.
    async fn make_tables(&self, schema: Schema) -> Result<(), DatabaseError> {
        let mut tx = self.write(Durability::Synced).await?;
        let found = read_kind(tx.connection()).await.map_err(|error| self.explain(error))?;
        if found.is_empty() {
            for sql in schema.sql {
                tx.connection().execute(*sql).await.map_err(|error| self.explain(error))?;
            }
            let (id, version) = (schema.application_id, schema.version);
            let mark = format!("PRAGMA application_id = {id}; PRAGMA user_version = {version}");
            sqlx::raw_sql(sqlx::AssertSqlSafe(mark))
                .execute(tx.connection())
                .await
                .map_err(|error| self.explain(error))?;
        } else {
            found.check(self.path(), schema)?;
        }
        tx.commit().await
    }

    /// Begins a transaction that writes. It waits for the one of this process that came before it, then for other
    /// processes, at most the busy time. Dropping it rolls back.
    ///
    /// # Errors
    /// When the file is held too long or fails, or the disk failed to sync before.
    pub(crate) async fn write(&self, durability: Durability) -> Result<WriteTx, DatabaseError> {
        let writer = self.writer().await?;
        let mut tx = WriteTx { database: self.clone(), durability, writer: Some(writer) };
        let writer = tx.writer();
        let deadline = Instant::now() + self.inner.busy;
        loop {
            writer.open = true;
            let begun = sqlx::query("BEGIN IMMEDIATE").execute(&mut writer.connection).await;
            writer.open = begun.is_ok();
            match begun {
                Ok(_) => return Ok(tx),
                Err(error) if fault::is_busy(&error) && Instant::now() < deadline => {}
                Err(error) => return Err(self.explain(error)),
            }
        }
    }

    /// Runs statements that are a whole transaction, `BEGIN IMMEDIATE` to `COMMIT`, in one trip to the connection's thread,
    /// and returns their rows. Numbered parameters name the same argument in every statement.
    ///
    /// # Errors
    /// As `write` and `WriteTx::commit`.
    pub(crate) async fn write_at_once(
        &self,
        durability: Durability,
        sql: &'static str,
        arguments: SqliteArguments,
    ) -> Result<Vec<SqliteRow>, DatabaseError> {
        let mut writer = self.writer().await?;
        let deadline = Instant::now() + self.inner.busy;
        let rows = loop {
            writer.open = true;
            let ran = sqlx::query_with(sql, arguments.clone()).fetch_all(&mut writer.connection).await;
            if ran.is_err() {
                // Where the beginning failed there is nothing to roll back, which is no news.
                let _ = sqlx::query("ROLLBACK").execute(&mut writer.connection).await;
            }
            writer.open = false;
            match ran {
                Ok(rows) => break rows,
                Err(error) if fault::is_busy(&error) && Instant::now() < deadline => {}
                Err(error) => return Err(self.explain(error)),
            }
        };
        self.inner.syncs.committed();
        drop(writer);
        match durability {
            Durability::Process => {}
            Durability::Synced => self.sync().await?,
        }
        Ok(rows)
    }

    /// Waits for this process's writer, with no transaction open on it.
    async fn writer(&self) -> Result<OwnedMutexGuard<Writer>, DatabaseError> {
        let mut writer = self.inner.writer.clone().lock_owned().await;
        self.inner.syncs.check()?;
        if writer.open {
            // A transaction was dropped where no runtime could roll it back.
            let _ = sqlx::query("ROLLBACK").execute(&mut writer.connection).await;
            writer.open = false;
        }
        Ok(writer)
    }

    /// Returns a connection to read with.
    ///
    /// # Errors
    /// When the file fails.
    pub(crate) async fn read(&self) -> Result<PoolConnection<Sqlite>, DatabaseError> {
        self.inner.readers.acquire().await.map_err(|error| self.explain(error))
    }

    /// Returns the file's path.
    pub(crate) fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Returns a failure with the file's name and in words.
    pub(crate) fn explain(&self, error: sqlx::Error) -> DatabaseError {
        DatabaseError::of(&self.inner.path, self.inner.busy, error)
    }

    /// Brings every commit of this process to the disk; called each second, it bounds what a loss of power takes.
    ///
    /// # Errors
    /// When the disk fails; it is refused from then on, with every write, until the file is opened again.
    pub(crate) async fn sync(&self) -> Result<(), DatabaseError> {
        self.inner.syncs.sync().await
    }

    /// Brings to the disk whatever any process has made visible by now.
    ///
    /// # Errors
    /// As `sync`.
    pub(crate) async fn sync_all(&self) -> Result<(), DatabaseError> {
        self.inner.syncs.sync_all().await
    }
}

/// A transaction that writes.
pub(crate) struct WriteTx {
    database: Database,
    durability: Durability,
    /// Present until the transaction is over.
    writer: Option<OwnedMutexGuard<Writer>>,
}

impl WriteTx {
    /// Returns the connection that the transaction is open on.
    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.writer().connection
    }

    /// Makes what was written visible, and as durable as was asked for.
    ///
    /// # Errors
    /// When the file fails, or the disk failed to sync before; nothing is visible then. When the disk fails to sync this
    /// commit: what was written is visible and may be lost with the power, and the handle takes no more writes.
    pub(crate) async fn commit(mut self) -> Result<(), DatabaseError> {
        let (database, durability) = (self.database.clone(), self.durability);
        database.inner.syncs.check()?;
        let writer = self.writer();
        sqlx::query("COMMIT").execute(&mut writer.connection).await.map_err(|error| database.explain(error))?;
        writer.open = false;
        database.inner.syncs.committed();
        // The next transaction begins while this one's bytes go to the disk.
        self.writer = None;
        match durability {
            Durability::Process => Ok(()),
            Durability::Synced => database.sync().await,
        }
    }

    fn writer(&mut self) -> &mut Writer {
        match self.writer.as_mut() {
            Some(writer) => writer,
            None => unreachable!("a transaction keeps its writer until it is over"),
        }
    }
}

impl Drop for WriteTx {
    fn drop(&mut self) {
        let Some(mut writer) = self.writer.take().filter(|writer| writer.open) else { return };
        // Without a runtime the next transaction of this process rolls back.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            // SQLite has rolled back by itself after some failures: that there is nothing left to do is no news.
            let _ = sqlx::query("ROLLBACK").execute(&mut writer.connection).await;
            writer.open = false;
        });
    }
}

/// What a file says of itself.
struct Kind {
    application_id: i64,
    version: i64,
    tables: i64,
}

impl Kind {
    fn is_empty(&self) -> bool {
        self.application_id == 0 && self.version == 0 && self.tables == 0
    }

    fn check(&self, path: &Path, schema: Schema) -> Result<(), DatabaseError> {
        if self.application_id != schema.application_id {
            return Err(DatabaseError::Foreign {
                path: path.to_owned(),
                found: self.application_id,
                expected: schema.application_id,
            });
        }
        if self.version != schema.version {
            return Err(DatabaseError::Version { path: path.to_owned(), found: self.version, known: schema.version });
        }
        Ok(())
    }
}

/// Looks at a file before anything in it is changed: entering WAL mode would write to somebody else's database.
async fn check_kind(path: &Path, schema: Schema, busy: Duration) -> Result<(), DatabaseError> {
    let fail = |error| DatabaseError::of(path, busy, error);
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).busy_timeout(busy);
    let mut connection = options.connect().await.map_err(fail)?;
    let found = read_kind(&mut connection).await.map_err(fail)?;
    connection.close().await.map_err(fail)?;
    if found.is_empty() { Ok(()) } else { found.check(path, schema) }
}

async fn read_kind(connection: &mut SqliteConnection) -> Result<Kind, sqlx::Error> {
    let sql = "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)
               FROM pragma_application_id, pragma_user_version";
    let row = sqlx::query(sql).fetch_one(connection).await?;
    Ok(Kind { application_id: row.try_get(0)?, version: row.try_get(1)?, tables: row.try_get(2)? })
}

fn options(path: &Path, busy: Duration) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(busy)
        .statement_cache_capacity(STATEMENTS_MAX)
        .row_buffer_size(ROWS_AHEAD_MAX)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .pragma("journal_size_limit", JOURNAL_KEEP_BYTES)
        // Slow statements are the owner's to report: its metrics know which call was slow.
        .disable_statement_logging()
}

/// Opens a connection that writes. It enters WAL mode, which SQLite does not wait for by itself.
async fn connect(options: &SqliteConnectOptions, busy: Duration) -> Result<SqliteConnection, sqlx::Error> {
    let deadline = Instant::now() + busy;
    loop {
        match options.connect().await {
            Err(error) if fault::is_busy(&error) && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            answer => return answer,
        }
    }
}

#[cfg(test)]
impl Database {
    /// Lets every sync from here on fail.
    pub(crate) async fn fail_syncs(&self) {
        self.inner.syncs.fail().await;
    }
}
