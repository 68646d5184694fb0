//! Bringing commits to the disk: one sync serves all that wait for it, and a sync that failed is never taken for done.
//!
//! Linux tells of pages that it could not write once, and takes them for clean from then on
//! (<https://www.kernel.org/doc/html/latest/filesystems/vfs.html#handling-errors-during-writeback>): the next sync would
//! succeed without them. So the first failure stays. The write-ahead log is held open for the same reason: a failure that
//! SQLite's own sync was told of is told again to whoever had the file open by then, and to nobody who opens it later.

use std::fs::File;
use std::io::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::Mutex;

use super::DatabaseError;

/// Which commits are on the disk.
#[derive(Debug)]
pub(super) struct Syncs {
    /// The database.
    path: PathBuf,
    /// Commits of this process.
    commits: AtomicU64,
    /// So many of them are known to be on the disk.
    synced: AtomicU64,
    /// The first sync that failed.
    failed: OnceLock<Arc<Error>>,
    /// The write-ahead log, for one sync at a time; who waits here may find its commit synced by the one before. While the
    /// database is open SQLite never replaces the file.
    file: Mutex<Option<Arc<File>>>,
}

impl Syncs {
    pub(super) fn new(path: &Path) -> Self {
        let (commits, synced) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { path: path.to_owned(), commits, synced, failed: OnceLock::new(), file: Mutex::new(None) }
    }

    /// Notes a commit of this process.
    pub(super) fn committed(&self) {
        self.commits.fetch_add(1, Ordering::AcqRel);
    }

    /// Refuses where the disk failed to sync before.
    pub(super) fn check(&self) -> Result<(), DatabaseError> {
        self.failed.get().map_or(Ok(()), |source| Err(self.unsynced(source.clone())))
    }

    /// Brings the commits of this process to the disk.
    pub(super) async fn sync(&self) -> Result<(), DatabaseError> {
        self.check()?;
        let commit = self.commits.load(Ordering::Acquire);
        if self.synced.load(Ordering::Acquire) >= commit {
            return Ok(());
        }
        let mut file = self.file.lock().await;
        self.check()?;
        if self.synced.load(Ordering::Acquire) >= commit {
            return Ok(());
        }
        self.sync_file(&mut file).await
    }

    /// Brings what any process has committed by now to the disk.
    pub(super) async fn sync_all(&self) -> Result<(), DatabaseError> {
        let mut file = self.file.lock().await;
        self.check()?;
        self.sync_file(&mut file).await
    }

    async fn sync_file(&self, file: &mut Option<Arc<File>>) -> Result<(), DatabaseError> {
        // All that is committed by now is in the file by now.
        let until = self.commits.load(Ordering::Acquire);
        let known = file.clone();
        let path = wal_path(&self.path);
        // SQLite holds no locks on this file, so that closing it here drops none. A checkpoint may have emptied it: it has
        // synced the log before, and the database itself before it emptied it.
        let synced = tokio::task::spawn_blocking(move || {
            let file = match known {
                Some(file) => file,
                None => {
                    Arc::new(File::open(&path).map_err(|source| DatabaseError::Folder { path: path.clone(), source })?)
                }
            };
            Ok((file.clone(), file.sync_data()))
        });
        let (opened, synced) = synced.await.unwrap_or_else(|join| {
            Err(DatabaseError::Folder { path: self.path.clone(), source: Error::other(join) })
        })?;
        *file = Some(opened);
        if let Err(error) = synced {
            return Err(self.unsynced(self.failed.get_or_init(|| Arc::new(error)).clone()));
        }
        self.synced.fetch_max(until, Ordering::AcqRel);
        Ok(())
    }

    fn unsynced(&self, source: Arc<Error>) -> DatabaseError {
        DatabaseError::Unsynced { path: self.path.clone(), source }
    }

    /// Lets every sync from here on fail: the system refuses to sync a device that keeps nothing.
    #[cfg(test)]
    pub(super) async fn fail(&self) {
        *self.file.lock().await = Some(Arc::new(File::open("/dev/null").unwrap()));
    }
}

/// Returns the path of a file's write-ahead log.
fn wal_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use sqlx::Row;

    use super::super::{BUSY_DEFAULT, Database, Durability, Schema};
    use super::*;

    const SCHEMA: Schema =
        Schema { application_id: 7, version: 1, sql: &["CREATE TABLE film (title TEXT NOT NULL) STRICT"] };

    async fn open(folder: &tempfile::TempDir) -> Database {
        Database::open(&folder.path().join("films.db"), SCHEMA, BUSY_DEFAULT).await.unwrap()
    }

    async fn add(database: &Database, durability: Durability) -> Result<(), DatabaseError> {
        let mut tx = database.write(durability).await?;
        sqlx::query("INSERT INTO film VALUES ('Solaris')").execute(tx.connection()).await.unwrap();
        tx.commit().await
    }

    async fn count(database: &Database) -> i64 {
        let mut reader = database.read().await.unwrap();
        sqlx::query("SELECT count(*) FROM film").fetch_one(&mut *reader).await.unwrap().get(0)
    }

    #[tokio::test]
    async fn a_failed_sync_ends_all_writing() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder).await;
        add(&database, Durability::Synced).await.unwrap();
        let begun_before = database.clone();
        database.fail_syncs().await;
        let error = add(&database, Durability::Synced).await.unwrap_err();
        let expected = format!("the disk failed to sync {}; open it again", database.path().display());
        assert_eq!(error.to_string(), expected);
        assert_eq!(count(&database).await, 2, "the commit itself is visible");
        for durability in [Durability::Process, Durability::Synced] {
            assert_eq!(add(&begun_before, durability).await.unwrap_err().to_string(), expected);
        }
        assert_eq!(database.sync().await.unwrap_err().to_string(), expected);
        assert_eq!(count(&database).await, 2, "nothing was written after it");
        drop((database, begun_before));
        let again = open(&folder).await;
        add(&again, Durability::Synced).await.unwrap();
        assert_eq!(count(&again).await, 3);
    }

    #[tokio::test]
    async fn a_transaction_that_was_open_when_a_sync_failed_does_not_commit() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder).await;
        let mut tx = database.write(Durability::Process).await.unwrap();
        sqlx::query("INSERT INTO film VALUES ('Solaris')").execute(tx.connection()).await.unwrap();
        database.fail_syncs().await;
        assert!(matches!(database.sync_all().await, Err(DatabaseError::Unsynced { .. })));
        assert!(matches!(tx.commit().await, Err(DatabaseError::Unsynced { .. })));
        assert_eq!(count(&database).await, 0);
    }

    #[tokio::test]
    async fn what_another_handle_committed_is_synced_too() {
        let folder = tempfile::tempdir().unwrap();
        let (database, other) = (open(&folder).await, open(&folder).await);
        add(&other, Durability::Process).await.unwrap();
        database.fail_syncs().await;
        database.sync().await.unwrap();
        assert!(database.sync_all().await.is_err(), "nothing of its own, and yet it asked the disk");
    }

    #[tokio::test]
    async fn a_reader_sees_nothing_of_an_open_transaction() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder).await;
        let mut tx = database.write(Durability::Process).await.unwrap();
        sqlx::query("INSERT INTO film VALUES ('Solaris')").execute(tx.connection()).await.unwrap();
        assert_eq!(count(&database).await, 0);
        tx.commit().await.unwrap();
        assert_eq!(count(&database).await, 1);
    }
}
