//! `ObjectStore` as files: an object is written beside, synced, and renamed into place, so that it appears whole
//! or not at all, whatever kills the process.

use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mcsp_domain::ObjectKey;
use mcsp_runtime::{ObjectMeta, ObjectStore, Put, PutIf, StoreError, Upload};

/// The folder of unfinished objects; no object key may begin with a dot.
const UNFINISHED: &str = ".unfinished";

/// The age from which an unfinished file without a lock is swept.
const UNFINISHED_AGE_MIN: Duration = Duration::from_secs(10);

/// When bytes reach the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Each object is synced before its put returns.
    Object,
    /// Objects survive the death of the process; the caller syncs the whole store before it announces anything.
    Process,
}

/// Objects under one folder of a local file system.
pub struct FileStore {
    inner: Arc<Inner>,
}

struct Inner {
    root: PathBuf,
    durability: Durability,
    /// Names unfinished files within this store; the random part keeps stores and processes apart, whose ids may repeat.
    next: AtomicU64,
    random: u64,
}

impl FileStore {
    /// Opens a store, making its folder where it is missing. Unfinished objects of dead processes are removed.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(root: &Path, durability: Durability) -> std::io::Result<Self> {
        let unfinished = root.join(UNFINISHED);
        fs::create_dir_all(&unfinished)?;
        for entry in fs::read_dir(&unfinished)? {
            let entry = entry?;
            if is_abandoned(&entry.path()) {
                fs::remove_file(entry.path())?;
            }
        }
        let random = RandomState::new().build_hasher().finish();
        let inner = Inner { root: root.to_owned(), durability, next: AtomicU64::new(0), random };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Removes the store's own folder of unfinished objects, so that only objects are left.
    ///
    /// # Errors
    /// When it holds something or cannot be removed.
    pub fn close(self) -> std::io::Result<()> {
        fs::remove_dir(self.inner.root.join(UNFINISHED))
    }
}

impl Inner {
    fn path(&self, key: &ObjectKey) -> PathBuf {
        self.root.join(key.as_str())
    }

    fn create_unfinished(&self) -> std::io::Result<(PathBuf, File)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.root.join(UNFINISHED).join(format!("{:016x}-{number}", self.random));
        let file = File::options().write(true).create_new(true).open(&path)?;
        // Held until the file is closed, however its process ends: who can take it may sweep the file.
        file.try_lock()?;
        Ok((path, file))
    }

    /// Moves a finished file to its key.
    fn install(&self, unfinished: &Path, file: &File, key: &ObjectKey, condition: PutIf) -> std::io::Result<Put> {
        let path = self.path(key);
        let folder = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder)?;
        if self.durability == Durability::Object {
            file.sync_all()?;
        }
        let put = match condition {
            PutIf::Always => fs::rename(unfinished, &path).map(|()| Put::Stored)?,
            // A hard link fails where the name exists, which a rename does not: the first writer wins atomically.
            PutIf::Absent => match fs::hard_link(unfinished, &path) {
                Ok(()) => fs::remove_file(unfinished).map(|()| Put::Stored)?,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    fs::remove_file(unfinished).map(|()| Put::Kept)?
                }
                Err(error) => return Err(error),
            },
        };
        if self.durability == Durability::Object {
            File::open(folder)?.sync_all()?;
        }
        Ok(put)
    }

    fn put(&self, key: &ObjectKey, bytes: &[u8], condition: PutIf) -> std::io::Result<Put> {
        let (unfinished, mut file) = self.create_unfinished()?;
        let put = file.write_all(bytes).and_then(|()| self.install(&unfinished, &file, key, condition));
        if put.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        put
    }

    fn list(&self, prefix: &ObjectKey) -> std::io::Result<Vec<ObjectKey>> {
        let mut keys = Vec::new();
        let mut folders = vec![prefix.as_str().to_owned()];
        while let Some(folder) = folders.pop() {
            let entries = match fs::read_dir(self.root.join(&folder)) {
                Ok(entries) => entries,
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
                Err(error) => return Err(error),
            };
            for entry in entries {
                let entry = entry?;
                let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
                if entry.file_type()?.is_dir() {
                    folders.push(name);
                } else if let Ok(key) = ObjectKey::parse(&name) {
                    keys.push(key);
                }
            }
        }
        keys.sort();
        Ok(keys)
    }
}

/// Returns whether an unfinished file's writer is gone. A file that is a moment old may not be locked yet.
fn is_abandoned(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let age = file.metadata().and_then(|meta| meta.modified()).map(|modified| modified.elapsed().unwrap_or_default());
    file.try_lock().is_ok() && age.is_ok_and(|age| age > UNFINISHED_AGE_MIN)
}

/// Runs file work where blocking is allowed, and names what failed.
async fn blocking<T: Send + 'static>(
    action: &'static str,
    key: &ObjectKey,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await.unwrap_or_else(|join| Err(std::io::Error::other(join)));
    done.map_err(|source| match source.kind() {
        ErrorKind::NotFound => StoreError::NotFound { key: key.clone() },
        _ => StoreError::Io { action, key: key.to_string(), source },
    })
}

#[async_trait]
impl ObjectStore for FileStore {
    async fn put(&self, key: &ObjectKey, bytes: Bytes, condition: PutIf) -> Result<Put, StoreError> {
        let (inner, target) = (Arc::clone(&self.inner), key.clone());
        blocking("put", key, move || inner.put(&target, &bytes, condition)).await
    }

    async fn begin(&self, key: &ObjectKey) -> Result<Box<dyn Upload>, StoreError> {
        let inner = Arc::clone(&self.inner);
        let (path, file) = blocking("begin", key, move || inner.create_unfinished()).await?;
        let file = Some(Arc::new(file));
        Ok(Box::new(FileUpload { inner: Arc::clone(&self.inner), key: key.clone(), path, file }))
    }

    async fn get(&self, key: &ObjectKey) -> Result<Bytes, StoreError> {
        let path = self.inner.path(key);
        blocking("get", key, move || fs::read(path).map(Bytes::from)).await
    }

    async fn get_range(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, StoreError> {
        let path = self.inner.path(key);
        blocking("get a range of", key, move || {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(range.start))?;
            let mut bytes = Vec::new();
            file.take(range.end.saturating_sub(range.start)).read_to_end(&mut bytes)?;
            Ok(Bytes::from(bytes))
        })
        .await
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectMeta>, StoreError> {
        let path = self.inner.path(key);
        let meta = blocking("look at", key, move || fs::metadata(path)).await;
        match meta {
            Ok(meta) if meta.is_file() => Ok(Some(ObjectMeta { len_bytes: meta.len() })),
            Ok(_) | Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn list(&self, prefix: &ObjectKey) -> Result<Vec<ObjectKey>, StoreError> {
        let (inner, folder) = (Arc::clone(&self.inner), prefix.clone());
        blocking("list", prefix, move || inner.list(&folder)).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        let path = self.inner.path(key);
        match blocking("delete", key, move || fs::remove_file(path)).await {
            Err(StoreError::NotFound { .. }) => Ok(()),
            done => done,
        }
    }

    fn as_file(&self, key: &ObjectKey) -> Option<PathBuf> {
        Some(self.inner.path(key))
    }
}

struct FileUpload {
    inner: Arc<Inner>,
    key: ObjectKey,
    path: PathBuf,
    /// Gone once the object is installed.
    file: Option<Arc<File>>,
}

impl FileUpload {
    fn file(&self) -> Arc<File> {
        match &self.file {
            Some(file) => Arc::clone(file),
            None => unreachable!("a finished upload is consumed"),
        }
    }
}

#[async_trait]
impl Upload for FileUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        let file = self.file();
        blocking("write", &self.key, move || (&*file).write_all(&bytes)).await
    }

    async fn finish(mut self: Box<Self>, condition: PutIf) -> Result<Put, StoreError> {
        let (inner, key, path, file) = (Arc::clone(&self.inner), self.key.clone(), self.path.clone(), self.file());
        let put = blocking("finish", &self.key, move || inner.install(&path, &file, &key, condition)).await?;
        self.file = None;
        Ok(put)
    }
}

impl Drop for FileUpload {
    fn drop(&mut self) {
        if self.file.is_some() {
            // Nothing was announced; a file that stays behind is swept when the store opens again.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keeps_the_ports_promises() {
        let folder = tempfile::tempdir().unwrap();
        let count = AtomicU64::new(0);
        for durability in [Durability::Object, Durability::Process] {
            let make = || async {
                let root = folder.path().join(count.fetch_add(1, Ordering::Relaxed).to_string());
                Arc::new(FileStore::open(&root, durability).unwrap()) as Arc<dyn ObjectStore>
            };
            mcsp_runtime::conformance::object_store(make).await;
        }
    }

    #[tokio::test]
    async fn sweeps_what_dead_processes_left() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join(UNFINISHED).join("4194305-0");
        fs::create_dir_all(left.parent().unwrap()).unwrap();
        fs::write(&left, b"half").unwrap();
        let long_ago = std::time::SystemTime::now() - UNFINISHED_AGE_MIN * 2;
        File::options().write(true).open(&left).unwrap().set_modified(long_ago).unwrap();
        let store = FileStore::open(folder.path(), Durability::Object).unwrap();
        assert!(!left.exists());
        store.close().unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
