//! Why an SQLite file could not answer, in words. In: result codes (<https://sqlite.org/rescode.html>). Out: errors that
//! name the file and the value.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Why a database file could not answer.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// Something else wrote the file.
    #[error("{path} is no file of this kind: application id {found}, expected {expected}", path = path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it says it is.
        found: i64,
        /// What it should say.
        expected: i64,
    },
    /// Another release wrote it.
    #[error("{path} has schema version {found}, this build knows version {known}", path = path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The version that is known.
        known: i64,
    },
    /// It is no SQLite file at all, or a damaged one.
    #[error("{path} is no sound SQLite database", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: sqlx::Error,
    },
    /// Its folder cannot be made, read or synced.
    #[error("{path} cannot be used", path = path.display())]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// It cannot be opened, or not to write.
    #[error("{path} cannot be opened for writing: is its folder there and writable", path = path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: sqlx::Error,
    },
    /// The disk is full; nothing of the transaction is visible.
    #[error("the disk of {path} is full", path = path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: sqlx::Error,
    },
    /// Another process held it for longer than the busy time.
    #[error("{path} is held by another process for more than {waited_ms} ms", path = path.display())]
    Busy {
        /// The file.
        path: PathBuf,
        /// The busy time.
        waited_ms: u128,
        /// What SQLite says.
        #[source]
        source: sqlx::Error,
    },
    /// The disk failed to sync it, now or before. What it lost it will not tell again, so that nothing more is written.
    #[error("the disk failed to sync {path}; open it again", path = path.display())]
    Unsynced {
        /// The file.
        path: PathBuf,
        /// What the system said the first time.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// Anything else.
    #[error("{path} failed", path = path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: sqlx::Error,
    },
}

/// Primary result codes; an extended code carries one in its lowest byte.
const BUSY: i32 = 5;
const READONLY: i32 = 8;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const NOTADB: i32 = 26;

impl DatabaseError {
    /// Puts a failure of a file into words; `busy` is how long it was waited for.
    pub(super) fn of(path: &Path, busy: Duration, source: sqlx::Error) -> Self {
        let path = path.to_owned();
        match primary_code(&source) {
            Some(BUSY) => Self::Busy { path, waited_ms: busy.as_millis(), source },
            Some(READONLY | CANTOPEN) => Self::ReadOnly { path, source },
            Some(FULL) => Self::Full { path, source },
            Some(CORRUPT | NOTADB) => Self::Damaged { path, source },
            _ => Self::Other { path, source },
        }
    }
}

/// Returns whether another connection was in the way.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    primary_code(error) == Some(BUSY)
}

fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?;
    code.parse::<i32>().ok().map(|code| code & 0xff)
}
