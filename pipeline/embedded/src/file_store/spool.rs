//! Announcements of objects that clients stored, one small file each, so that none is lost: the file is there before the
//! object is visible, is let go once it is, and stays until the consumer has said that it is done. What a dying process
//! left half way is let go when its object is there, and dropped when it is not. A consumer may hear of an object twice.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use mcsp_domain::ObjectKey;
use mcsp_domain::limits::OBJECT_EVENTS_WAITING_MAX;
use mcsp_runtime::Etag;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use uuid::Uuid;

use super::about::Identity;
use super::unfinished::{UNFINISHED_AGE_MIN, is_abandoned};

/// The folder of announcements. It is there where an endpoint with a consumer serves the store.
const EVENTS: &str = ".events";
/// Begins the name of an announcement whose object may not be visible yet.
const PENDING: &str = "pending-";
/// Begins the name of an announcement for the consumer; what follows rises with time.
const READY: &str = "ready-";

/// How an object came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CreatedBy {
    /// Bytes in one call.
    Put,
    /// A copy of another object.
    Copy,
    /// A completed upload in parts.
    CompleteMultipartUpload,
}

/// An announcement as it lies on disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Announcement {
    pub(crate) by: CreatedBy,
    pub(crate) key: ObjectKey,
    pub(crate) etag: Etag,
    pub(crate) at_us: i64,
    pub(crate) identity: Identity,
}

pub(crate) struct Spool {
    folder: PathBuf,
    /// Announcements on disk, as last counted; other processes may add some.
    waiting: AtomicUsize,
    pub(crate) added: Notify,
}

/// An announcement whose object is not visible yet. Dropping it takes it back.
pub(crate) struct Pending {
    path: PathBuf,
    /// Holds the lock that says that its process lives.
    file: File,
    released: bool,
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.released {
            // One that stays behind is dropped by `ready`, since its object never came.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Spool {
    pub(crate) fn of(root: &Path) -> Self {
        Self { folder: root.join(EVENTS), waiting: AtomicUsize::new(0), added: Notify::new() }
    }

    /// Keeps announcements from now on.
    pub(crate) fn switch_on(&self) -> std::io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        if let Some(root) = self.folder.parent() {
            File::open(root)?.sync_all()?;
        }
        self.waiting.store(fs::read_dir(&self.folder)?.count(), Ordering::Relaxed);
        Ok(())
    }

    /// Returns whether announcements are kept.
    pub(crate) fn is_on(&self) -> bool {
        self.folder.is_dir()
    }

    /// Notes an object that is about to become visible; nothing where nobody listens.
    pub(crate) fn announce(
        &self,
        by: CreatedBy,
        key: &ObjectKey,
        etag: &Etag,
        identity: Identity,
    ) -> std::io::Result<Option<Pending>> {
        if !self.is_on() {
            return Ok(None);
        }
        if self.waiting.load(Ordering::Relaxed) >= OBJECT_EVENTS_WAITING_MAX {
            let full = format!("{OBJECT_EVENTS_WAITING_MAX} announcements of objects wait for their consumer");
            return Err(std::io::Error::new(ErrorKind::QuotaExceeded, full));
        }
        let event = Announcement { by, key: key.clone(), etag: etag.clone(), at_us: mcsp_runtime::now_us(), identity };
        let path = self.folder.join(format!("{PENDING}{}", Uuid::now_v7().simple()));
        let file = File::options().write(true).create_new(true).open(&path)?;
        let mut pending = Pending { path, file, released: false };
        pending.file.try_lock()?;
        pending.file.write_all(&serde_json::to_vec(&event)?)?;
        // Synced whatever the store's durability: an announcement outlives what it announces.
        pending.file.sync_all()?;
        Ok(Some(pending))
    }

    /// Lets an announcement go: its object is visible.
    pub(crate) fn release(&self, mut pending: Pending) -> std::io::Result<()> {
        pending.released = true;
        self.make_ready(&pending.path)?;
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.added.notify_one();
        Ok(())
    }

    fn make_ready(&self, pending: &Path) -> std::io::Result<()> {
        let name = pending.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let ready = name.replacen(PENDING, READY, 1);
        fs::rename(pending, self.folder.join(ready))?;
        File::open(&self.folder)?.sync_all()
    }

    /// Returns the announcements for the consumer, oldest first, at most `count_max`.
    pub(crate) fn ready(
        &self,
        count_max: usize,
        is_current: impl Fn(&Announcement) -> bool,
    ) -> std::io::Result<Vec<(PathBuf, Announcement)>> {
        self.adopt(is_current)?;
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            names.extend(entry?.file_name().into_string().ok().filter(|name| name.starts_with(READY)));
        }
        self.waiting.store(names.len(), Ordering::Relaxed);
        names.sort_unstable();
        let mut events = Vec::new();
        for name in names.into_iter().take(count_max) {
            let path = self.folder.join(name);
            match read(&path) {
                Ok(event) => events.push((path, event)),
                // Another consumer was faster.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(events)
    }

    /// Decides about what dead processes left half way.
    fn adopt(&self, is_current: impl Fn(&Announcement) -> bool) -> std::io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let pending = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PENDING));
            if !pending || !is_abandoned(&path, UNFINISHED_AGE_MIN) {
                continue;
            }
            // A torn one was never followed by its object.
            let decided = match read(&path) {
                Ok(event) if is_current(&event) => self.make_ready(&path),
                _ => fs::remove_file(&path),
            };
            match decided {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Forgets an announcement that its consumer has dealt with.
pub(crate) fn acknowledge(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn read(path: &Path) -> std::io::Result<Announcement> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn announce(spool: &Spool, name: &str, root: &Path) -> Pending {
        let key = ObjectKey::parse(name).unwrap();
        let meta = fs::metadata(root).unwrap();
        let identity = Identity::of(&meta);
        spool.announce(CreatedBy::Put, &key, &identity.etag(), identity).unwrap().unwrap()
    }

    fn keys(spool: &Spool, current: &str) -> Vec<String> {
        let ready = spool.ready(10, |event| event.key.as_str() == current).unwrap();
        ready.iter().map(|(_, event)| event.key.to_string()).collect()
    }

    #[test]
    fn only_what_became_visible_is_ready() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::of(folder.path());
        spool.switch_on().unwrap();
        let first = announce(&spool, "first", folder.path());
        let second = announce(&spool, "second", folder.path());
        drop(announce(&spool, "taken-back", folder.path()));
        assert!(keys(&spool, "").is_empty());
        spool.release(second).unwrap();
        spool.release(first).unwrap();
        assert_eq!(keys(&spool, ""), ["first", "second"]);
        for (path, _) in spool.ready(10, |_| false).unwrap() {
            acknowledge(&path).unwrap();
            acknowledge(&path).expect("twice is no error");
        }
        assert_eq!(fs::read_dir(&spool.folder).unwrap().count(), 0);
    }

    #[test]
    fn what_a_dead_process_left_is_decided_by_its_object() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::of(folder.path());
        spool.switch_on().unwrap();
        for name in ["visible", "never-came"] {
            let mut left = announce(&spool, name, folder.path());
            // What a kill leaves: the file without its lock.
            left.released = true;
            let long_ago = SystemTime::now() - UNFINISHED_AGE_MIN * 2;
            File::options().write(true).open(&left.path).unwrap().set_modified(long_ago).unwrap();
        }
        assert_eq!(keys(&spool, "visible"), ["visible"]);
        assert_eq!(fs::read_dir(&spool.folder).unwrap().count(), 1);
    }
}
