//! The processes that have a log open. Each holds a lock on a file of its own beside the database, which the system drops
//! when it dies: its members are then reaped at once, not when their leases run out. It touches the file after a commit
//! that others should hear of, and they watch the folder (inotify).

use std::fs::{File, TryLockError};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// This process's place among those that have the log open.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) id: String,
    folder: PathBuf,
    /// Held open, and thereby locked, for as long as the log is.
    lock: File,
}

impl Process {
    /// Takes a name that no other process has, and locks its file.
    pub(super) fn enter(database: &Path) -> Result<Self, std::io::Error> {
        let folder = folder(database);
        std::fs::create_dir_all(&folder)?;
        // The watch tells of absolute paths.
        let folder = folder.canonicalize()?;
        let id = format!("{:016x}", fastrand::u64(..));
        let lock = File::create(lock_path(&folder, &id))?;
        lock.try_lock().map_err(std::io::Error::from)?;
        Ok(Self { id, folder, lock })
    }

    /// Wakes the other processes.
    pub(super) fn announce(&self) {
        // A touch that fails costs the others a second, never an event.
        let _ = self.lock.write_all_at(&[0], 0);
    }

    /// Rings when another process touched its file, or came, or left.
    pub(super) fn watch(&self, signal: Arc<Notify>) -> Result<RecommendedWatcher, notify::Error> {
        let own = lock_path(&self.folder, &self.id);
        let mut watcher = notify::recommended_watcher(move |event: Result<notify::Event, notify::Error>| {
            let tells = |event: &notify::Event| !matches!(event.kind, EventKind::Access(_));
            // Whatever else comes is a queue that ran over: looking once too often costs little.
            if event.map_or(true, |event| tells(&event) && !event.paths.contains(&own)) {
                signal.notify_one();
            }
        })?;
        watcher.watch(&self.folder, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    }

    /// Returns which of other processes are dead, and removes their files.
    pub(super) fn dead_among(&self, others: Vec<String>) -> Vec<String> {
        others.into_iter().filter(|id| *id != self.id && is_dead(&lock_path(&self.folder, id))).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Others take a process whose file is gone for dead, which it is from here on.
        let _ = std::fs::remove_file(lock_path(&self.folder, &self.id));
        let _ = self.lock.unlock();
    }
}

/// Returns whether a process's lock can be had. A file that cannot be read proves nothing: leases decide then.
fn is_dead(path: &Path) -> bool {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return error.kind() == std::io::ErrorKind::NotFound,
    };
    match file.try_lock() {
        Ok(()) => {
            let _ = std::fs::remove_file(path);
            true
        }
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
    }
}

fn folder(database: &Path) -> PathBuf {
    database.parent().unwrap_or(Path::new("")).join("members")
}

fn lock_path(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("{id}.lock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_let_go_is_dead() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("events.db");
        let (one, two) = (Process::enter(&database).unwrap(), Process::enter(&database).unwrap());
        assert_eq!(one.dead_among(vec![one.id.clone(), two.id.clone()]), [""; 0]);
        let id = two.id.clone();
        drop(two);
        assert_eq!(one.dead_among(vec![id.clone()]), [id]);
    }
}
