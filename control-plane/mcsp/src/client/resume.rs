//! What is known of unfinished uploads, so that a second run of the same command goes on: one small file an upload, named
//! by the film's path, size and time of change.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use mcsp_domain::Digest;
use serde::{Deserialize, Serialize};

use super::account;

/// An upload that was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Begun {
    /// The platform.
    pub(super) server: String,
    /// The upload's session.
    pub(super) session: String,
    /// The content that it makes.
    pub(super) content: String,
    /// The film, for people.
    file: PathBuf,
}

/// The note of one film's upload, held by one process at a time.
pub(super) struct Note {
    path: PathBuf,
    file: PathBuf,
    _lock: File,
}

impl Note {
    /// Finds the place of a film's note: another film, or the same one changed, has another.
    ///
    /// # Errors
    /// When the film or the client's folder cannot be read, or another process uploads the film right now.
    pub(super) fn of(server: &str, file: &Path) -> anyhow::Result<Self> {
        let name = || file.display().to_string();
        let file = fs::canonicalize(file).with_context(name)?;
        let meta = fs::metadata(&file).with_context(name)?;
        let digest = Digest::of(&[
            server.as_bytes(),
            file.as_os_str().as_encoded_bytes(),
            &meta.len().to_be_bytes(),
            &meta.mtime().to_be_bytes(),
            &meta.mtime_nsec().to_be_bytes(),
        ]);
        let folder = account::folder()?.join("uploads");
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let path = folder.join(format!("{digest}.json"));
        let beside = path.with_extension("lock");
        let lock = File::options().create(true).append(true).open(&beside);
        let lock = lock.with_context(|| beside.display().to_string())?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, file, _lock: lock }),
            Err(TryLockError::WouldBlock) => bail!("another mcsp upload is sending this file right now"),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| beside.display().to_string()),
        }
    }

    /// Returns what was begun, where anything was.
    pub(super) fn read(&self) -> Option<Begun> {
        // A note that cannot be read costs a new upload, nothing else.
        serde_json::from_slice(&fs::read(&self.path).ok()?).ok()
    }

    /// Notes an upload.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub(super) fn write(&self, server: &str, session: &str, content: &str) -> anyhow::Result<()> {
        let (server, session, content) = (server.to_owned(), session.to_owned(), content.to_owned());
        let begun = Begun { server, session, content, file: self.file.clone() };
        let beside = self.path.with_extension("new");
        fs::write(&beside, serde_json::to_vec_pretty(&begun)?).with_context(|| beside.display().to_string())?;
        fs::rename(&beside, &self.path).with_context(|| self.path.display().to_string())
    }

    /// Forgets the upload: it is complete, or the platform knows it no longer.
    pub(super) fn remove(&self) {
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(self.path.with_extension("lock"));
    }
}
