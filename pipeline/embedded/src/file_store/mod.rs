//! `ObjectStore` as files: an object is written beside, synced, and renamed into place, so that it appears whole
//! or not at all, whatever kills the process. Beside the objects stand folders of the store's own, whose names begin with a
//! dot: `.unfinished`, and where clients upload through the S3 endpoint, `.uploads`, `.about` and `.events`.
//!
//! Several processes may share one store on a local file system. A key cannot be the folder of another key.

pub(crate) mod about;
pub(crate) mod multipart;
mod prune;
pub(crate) mod spool;
pub(crate) mod unfinished;
mod upload;
pub(crate) mod walk;

use std::collections::HashSet;
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mcsp_domain::ObjectKey;
use mcsp_domain::limits::OBJECTS_LISTED_MAX;
use mcsp_runtime::{
    Etag, ObjectMeta, ObjectStore, Part, PartTag, PresignRequest, Presigned, Put, PutIf, StoreError, Upload, UploadId,
};
use s3s::crypto::{Checksum as _, Md5};

use crate::s3::Presigner;
use about::{Details, Identity};
use multipart::{AboutPart, Completed, Completion};
use spool::Spool;
use unfinished::{Target, UNFINISHED};
use upload::FileUpload;
use walk::Walk;

/// When bytes reach the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Each object is synced before its put returns.
    Object,
    /// Objects survive the death of the process; the caller syncs the whole store before it announces anything.
    Process,
}

/// Objects under one folder of a local file system.
#[derive(Clone)]
pub struct FileStore {
    pub(crate) inner: Arc<Inner>,
    presigner: Option<Arc<Presigner>>,
}

pub(crate) struct Inner {
    pub(crate) root: PathBuf,
    durability: Durability,
    /// Names unfinished files within this store; the random part keeps stores and processes apart, whose ids may repeat.
    next: AtomicU64,
    random: u64,
    synced_folders: Mutex<HashSet<PathBuf>>,
    pub(crate) spool: Spool,
}

/// What a sweep removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Uploads in parts that nobody went on with.
    pub uploads: usize,
    /// Notes on objects that are gone.
    pub notes: usize,
    /// Folders that had been empty.
    pub folders: usize,
}

impl FileStore {
    /// Opens a store, making its folder where it is missing. Unfinished objects of dead processes are removed.
    ///
    /// # Errors
    /// When the folder cannot be made or swept.
    pub fn open(root: &Path, durability: Durability) -> std::io::Result<Self> {
        let unfinished = root.join(UNFINISHED);
        let opened = fs::create_dir_all(&unfinished).and_then(|()| unfinished::sweep(root));
        opened.map_err(|error| {
            std::io::Error::new(error.kind(), format!("object store {} cannot be opened: {error}", root.display()))
        })?;
        let inner = Inner {
            root: root.to_owned(),
            durability,
            next: AtomicU64::new(0),
            random: RandomState::new().build_hasher().finish(),
            synced_folders: Mutex::new(HashSet::new()),
            spool: Spool::of(root),
        };
        Ok(Self { inner: Arc::new(inner), presigner: None })
    }

    /// Returns the store with a way to make addresses for the endpoint that serves it.
    #[must_use]
    pub fn with_presigner(self, presigner: Presigner) -> Self {
        Self { presigner: Some(Arc::new(presigner)), ..self }
    }

    /// Gives up uploads in parts that nobody touched for `older_than`, forgets what was noted on objects that are gone, and
    /// removes folders that have been empty for a day.
    ///
    /// # Errors
    /// When the folder cannot be read or written to.
    pub async fn sweep(&self, older_than: Duration) -> std::io::Result<Swept> {
        let inner = Arc::clone(&self.inner);
        let swept = tokio::task::spawn_blocking(move || {
            let uploads = inner.sweep_uploads(older_than)?;
            let notes = about::sweep(&inner.root)?;
            Ok(Swept { uploads, notes, folders: prune::prune(&inner.root, prune::FOLDER_AGE_MIN)? })
        });
        swept.await.unwrap_or_else(|join| Err(std::io::Error::other(join)))
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
    pub(crate) fn path(&self, key: &ObjectKey) -> PathBuf {
        self.root.join(key.as_str())
    }

    fn put(&self, key: &ObjectKey, bytes: &[u8], condition: &PutIf) -> std::io::Result<Put> {
        let mut unfinished = self.create_unfinished()?;
        unfinished.file.write_all(bytes)?;
        self.install(unfinished, &Target { key, condition, about: None, announce: None })
    }

    fn put_part(&self, key: &ObjectKey, upload: &UploadId, number: u32, bytes: &[u8]) -> Result<PartTag, StoreError> {
        multipart::check_part(key, number, bytes.len() as u64)?;
        let failed = io_error("store a part of", key);
        let mut unfinished = self.create_unfinished().map_err(&failed)?;
        unfinished.file.write_all(bytes).map_err(&failed)?;
        let etag = md5_etag(&Md5::checksum(bytes));
        let known = AboutPart { etag: etag.clone(), checksum: None };
        self.finish_part(key, upload, number, unfinished, &known)?;
        Ok(PartTag { number, etag })
    }

    fn get_range(&self, key: &ObjectKey, range: &Range<u64>, pin: Option<&Etag>) -> Result<Bytes, StoreError> {
        let failed = io_error("get a range of", key);
        let mut file = self.open_object(key)?;
        let meta = file.metadata().map_err(&failed)?;
        if meta.is_dir() {
            return Err(StoreError::NotFound { key: key.clone() });
        }
        let identity = Identity::of(&meta);
        if let Some(pin) = pin
            && self.etag_of(key, identity).map_err(&failed)? != *pin
        {
            return Err(StoreError::Replaced { key: key.clone(), pin: pin.clone() });
        }
        let len_bytes = range.end.min(identity.len_bytes).saturating_sub(range.start);
        let mut bytes = Vec::with_capacity(usize::try_from(len_bytes).unwrap_or_default());
        if len_bytes > 0 {
            file.seek(SeekFrom::Start(range.start)).map_err(&failed)?;
            file.take(len_bytes).read_to_end(&mut bytes).map_err(&failed)?;
        }
        Ok(Bytes::from(bytes))
    }

    pub(crate) fn open_object(&self, key: &ObjectKey) -> Result<File, StoreError> {
        match File::open(self.path(key)) {
            Ok(file) => Ok(file),
            Err(error) if is_absence(&error) => Err(StoreError::NotFound { key: key.clone() }),
            Err(error) => Err(io_error("open", key)(error)),
        }
    }

    pub(crate) fn head(&self, key: &ObjectKey) -> std::io::Result<Option<ObjectMeta>> {
        match fs::metadata(self.path(key)) {
            Ok(meta) if meta.is_file() => {
                let identity = Identity::of(&meta);
                let etag = self.etag_of(key, identity)?;
                Ok(Some(ObjectMeta { len_bytes: identity.len_bytes, etag, modified_us: identity.modified_us() }))
            }
            Ok(_) => Ok(None),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn list(&self, prefix: &ObjectKey, after: Option<&ObjectKey>) -> std::io::Result<Vec<ObjectKey>> {
        let mut walk = Walk::new(&self.root, &format!("{prefix}/"), after.map_or("", ObjectKey::as_str))?;
        let mut keys = Vec::new();
        while keys.len() < OBJECTS_LISTED_MAX
            && let Some(key) = walk.next_key()?
        {
            keys.push(key);
        }
        Ok(keys)
    }
}

/// The tag that S3 gives to bytes that came in one call.
pub(crate) fn md5_etag(digest: &[u8; 16]) -> Etag {
    let Ok(etag) = Etag::parse(&hex::encode(digest)) else { unreachable!("hexadecimal digits make a tag") };
    etag
}

pub(crate) fn is_absence(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Names what failed on which key.
pub(crate) fn io_error(action: &'static str, key: &ObjectKey) -> impl Fn(std::io::Error) -> StoreError + use<> {
    let key = key.to_string();
    move |source| StoreError::Io { action, key: key.clone(), source }
}

/// Runs file work where blocking is allowed.
pub(crate) async fn blocking<T: Send + 'static>(
    action: &'static str,
    key: &ObjectKey,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|join| Err(io_error(action, key)(std::io::Error::other(join))))
}

/// Runs file work where blocking is allowed, and names what failed.
async fn blocking_io<T: Send + 'static>(
    action: &'static str,
    key: &ObjectKey,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    let failed = io_error(action, key);
    blocking(action, key, move || work().map_err(failed)).await
}

#[async_trait]
impl ObjectStore for FileStore {
    async fn put(&self, key: &ObjectKey, bytes: Bytes, condition: PutIf) -> Result<Put, StoreError> {
        let (inner, target) = (Arc::clone(&self.inner), key.clone());
        blocking_io("put", key, move || inner.put(&target, &bytes, &condition)).await
    }

    async fn begin(&self, key: &ObjectKey) -> Result<Box<dyn Upload>, StoreError> {
        let inner = Arc::clone(&self.inner);
        let unfinished = blocking_io("begin", key, move || inner.create_unfinished()).await?;
        Ok(Box::new(FileUpload::new(Arc::clone(&self.inner), key.clone(), unfinished)))
    }

    async fn get(&self, key: &ObjectKey) -> Result<Bytes, StoreError> {
        self.get_range(key, 0..u64::MAX, None).await
    }

    async fn get_range(&self, key: &ObjectKey, range: Range<u64>, pin: Option<&Etag>) -> Result<Bytes, StoreError> {
        let (inner, source, pin) = (Arc::clone(&self.inner), key.clone(), pin.cloned());
        blocking("get a range of", key, move || inner.get_range(&source, &range, pin.as_ref())).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectMeta>, StoreError> {
        let (inner, source) = (Arc::clone(&self.inner), key.clone());
        blocking_io("look at", key, move || inner.head(&source)).await
    }

    async fn list(&self, prefix: &ObjectKey, after: Option<&ObjectKey>) -> Result<Vec<ObjectKey>, StoreError> {
        let (inner, folder, after) = (Arc::clone(&self.inner), prefix.clone(), after.cloned());
        blocking_io("list", prefix, move || inner.list(&folder, after.as_ref())).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        let (inner, target) = (Arc::clone(&self.inner), key.clone());
        blocking_io("delete", key, move || inner.remove(&target)).await
    }

    fn as_file(&self, key: &ObjectKey) -> Option<PathBuf> {
        Some(self.inner.path(key))
    }

    async fn create_multipart(&self, key: &ObjectKey) -> Result<UploadId, StoreError> {
        let (inner, target) = (Arc::clone(&self.inner), key.clone());
        blocking("begin an upload of", key, move || inner.create_multipart(&target, Details::default(), None)).await
    }

    async fn put_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        bytes: Bytes,
    ) -> Result<PartTag, StoreError> {
        let (inner, target, upload) = (Arc::clone(&self.inner), key.clone(), upload.clone());
        blocking("store a part of", key, move || inner.put_part(&target, &upload, number, &bytes)).await
    }

    async fn list_parts(&self, key: &ObjectKey, upload: &UploadId) -> Result<Vec<Part>, StoreError> {
        let (inner, target, upload) = (Arc::clone(&self.inner), key.clone(), upload.clone());
        let parts = blocking("list the parts of", key, move || inner.parts(&target, &upload)).await?;
        Ok(parts.into_iter().map(|stored| stored.part).collect())
    }

    async fn complete_multipart(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[PartTag],
        condition: PutIf,
    ) -> Result<Put, StoreError> {
        let (inner, target, upload, parts) = (Arc::clone(&self.inner), key.clone(), upload.clone(), parts.to_vec());
        blocking("complete an upload of", key, move || {
            let what =
                Completion { key: &target, upload: &upload, parts: &parts, condition: &condition, claimed: None };
            match inner.complete_multipart(&what)? {
                Completed::Stored { etag, .. } => Ok(Put::Stored { etag }),
                Completed::Kept => Ok(Put::Kept),
                Completed::Differs { .. } => unreachable!("no checksum was claimed"),
            }
        })
        .await
    }

    async fn abort_multipart(&self, key: &ObjectKey, upload: &UploadId) -> Result<(), StoreError> {
        let (inner, target, upload) = (Arc::clone(&self.inner), key.clone(), upload.clone());
        match blocking("give up an upload of", key, move || inner.abort_multipart(&target, &upload)).await {
            Err(StoreError::NoUpload { .. }) => Ok(()),
            done => done,
        }
    }

    async fn presign(&self, request: PresignRequest) -> Result<Presigned, StoreError> {
        match &self.presigner {
            Some(presigner) => presigner.presign(&request, mcsp_runtime::now_us()),
            None => Err(StoreError::Unsupported {
                action: "presign",
                key: request.key.to_string(),
                reason: "its folder is served by no S3 endpoint".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
