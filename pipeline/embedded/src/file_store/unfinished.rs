//! Objects on their way: written beside under a lock, then stamped, synced, and moved to their key under the condition.
//!
//! The lock of the key's folder keeps "look at the tag, then replace" together against every other writer and remover, in
//! this process and in others; it is held for the look and the rename alone. First-wins needs no lock: a hard link fails
//! where the name exists.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mcsp_domain::ObjectKey;
use mcsp_runtime::{Etag, Put, PutIf};

use super::about::{self, About, Identity};
use super::spool::CreatedBy;
use super::{Durability, Inner, is_absence};

/// The folder of unfinished objects; no object key may begin with a dot.
pub(super) const UNFINISHED: &str = ".unfinished";

/// The age from which an unfinished file without a lock is swept.
pub(super) const UNFINISHED_AGE_MIN: Duration = Duration::from_secs(10);

/// Folders whose way down from the store's own is known to be synced; forgetting them costs a sync.
const FOLDERS_KNOWN_MAX: usize = 10_000;

/// A file that is no object yet. Dropping it removes it.
pub(crate) struct Unfinished {
    path: PathBuf,
    pub(crate) file: File,
    moved: bool,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.moved {
            // Nothing was announced; a file that stays behind is swept when the store opens again.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Unfinished {
    /// Moves the file to a path of the store's own.
    pub(super) fn move_to(mut self, path: &Path) -> std::io::Result<()> {
        fs::rename(&self.path, path)?;
        self.moved = true;
        Ok(())
    }
}

/// Where a finished file goes, and on which terms.
pub(crate) struct Target<'a> {
    pub(crate) key: &'a ObjectKey,
    pub(crate) condition: &'a PutIf,
    pub(crate) about: Option<&'a About>,
    /// Set where the endpoint's consumer is to hear of the object.
    pub(crate) announce: Option<CreatedBy>,
}

impl Inner {
    pub(crate) fn create_unfinished(&self) -> std::io::Result<Unfinished> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.root.join(UNFINISHED).join(format!("{:016x}-{number}", self.random));
        let file = File::options().write(true).create_new(true).open(&path)?;
        // Held until the file is closed, however its process ends: who can take it may sweep the file.
        file.try_lock()?;
        Ok(Unfinished { path, file, moved: false })
    }

    /// Makes a finished file the object of its key.
    pub(crate) fn install(&self, unfinished: Unfinished, target: &Target) -> std::io::Result<Put> {
        let sync = self.durability == Durability::Object;
        let identity = about::stamp(&unfinished.file)?;
        if sync {
            unfinished.file.sync_all()?;
        }
        let path = self.path(target.key);
        let folder = self.open_folder(path.parent().unwrap_or(&self.root)).map_err(explain)?;
        let etag = target.about.map_or_else(|| identity.etag(), |about| about.etag.clone());
        let noted = target.about.map(|about| about::write(&self.root, identity, about, sync)).transpose()?;
        let waiting = match target.announce {
            Some(by) => self.spool.announce(by, target.key, &etag, identity)?,
            None => None,
        };
        let stored = self.move_in(unfinished, &path, &folder, target).map_err(explain)?;
        if !stored {
            noted.map(fs::remove_file).transpose()?;
        }
        // Also for the object of another: who hears that it is there must find it after a loss of power, and its writer may
        // have died before it synced the name.
        if sync {
            folder.sync_all()?;
        }
        if !stored {
            return Ok(Put::Kept);
        }
        waiting.map(|event| self.spool.release(event)).transpose()?;
        Ok(Put::Stored { etag })
    }

    /// Answers whether the condition held and the file is now visible.
    fn move_in(&self, unfinished: Unfinished, path: &Path, folder: &File, target: &Target) -> std::io::Result<bool> {
        if *target.condition == PutIf::Absent {
            return match fs::hard_link(&unfinished.path, path) {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == ErrorKind::AlreadyExists && !path.is_dir() => Ok(false),
                Err(error) => Err(error),
            };
        }
        // Given back when the folder is closed.
        folder.lock()?;
        if let PutIf::Matches(wanted) = target.condition
            && self.current_etag(target.key)?.as_ref() != Some(wanted)
        {
            return Ok(false);
        }
        unfinished.move_to(path).map(|()| true)
    }

    /// Removes an object, and lets no conditional put bring it back. One that is not there is removed already.
    pub(crate) fn remove(&self, key: &ObjectKey) -> std::io::Result<()> {
        let path = self.path(key);
        let removed = File::open(path.parent().unwrap_or(&self.root)).and_then(|folder| {
            folder.lock()?;
            fs::remove_file(&path)?;
            if self.durability == Durability::Object {
                folder.sync_all()?;
            }
            Ok(())
        });
        match removed {
            Err(error) if is_absence(&error) || path.is_dir() => Ok(()),
            removed => removed,
        }
    }

    pub(super) fn current_etag(&self, key: &ObjectKey) -> std::io::Result<Option<Etag>> {
        match fs::metadata(self.path(key)) {
            Ok(meta) if meta.is_file() => self.etag_of(key, Identity::of(&meta)).map(Some),
            Ok(_) => Ok(None),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn etag_of(&self, key: &ObjectKey, identity: Identity) -> std::io::Result<Etag> {
        about::etag_of(&self.root, key, identity)
    }

    /// Opens the folder of an object, making it where it is missing. The names of new folders are synced as far up as the
    /// store's own, since an object is lost with any folder on its way.
    fn open_folder(&self, folder: &Path) -> std::io::Result<File> {
        let opened = match File::open(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // One that was there before may have been removed since, with those above it.
                self.known_folders().retain(|known| !folder.starts_with(known));
                fs::create_dir_all(folder)?;
                File::open(folder)?
            }
            opened => opened?,
        };
        if self.durability == Durability::Object && !self.known_folders().contains(folder) {
            let above = folder.ancestors().skip(1).take_while(|above| above.starts_with(&self.root));
            for above in above {
                File::open(above)?.sync_all()?;
            }
            let mut known = self.known_folders();
            if known.len() >= FOLDERS_KNOWN_MAX {
                known.clear();
            }
            known.insert(folder.to_owned());
        }
        Ok(opened)
    }

    fn known_folders(&self) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
        self.synced_folders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says what a file system's refusal means for keys.
fn explain(error: std::io::Error) -> std::io::Error {
    let meaning = match error.kind() {
        ErrorKind::IsADirectory | ErrorKind::DirectoryNotEmpty => "the key is the folder of other keys",
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => "a folder of the key is the key of an object",
        _ => return error,
    };
    std::io::Error::new(error.kind(), meaning)
}

/// Removes what dead processes left in the folder of unfinished objects.
pub(super) fn sweep(root: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(root.join(UNFINISHED))? {
        let path = entry?.path();
        if is_abandoned(&path, UNFINISHED_AGE_MIN) {
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            match removed {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Returns whether a file's writer is gone. A young file is never locked, not even for a look: its writer may be about to
/// take the lock, and does not wait for it.
pub(super) fn is_abandoned(path: &Path, age_min: Duration) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let age = file.metadata().and_then(|meta| meta.modified()).map(|modified| modified.elapsed().unwrap_or_default());
    age.is_ok_and(|age| age > age_min) && file.try_lock().is_ok()
}
