//! Where a revision's bytes lie: the source, the plan's clear chunks, its package. In: an event's asset. Out: stores that
//! see only their own folder, and the source as the child reads it.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use mcsp_domain::{Digest, ObjectKey, Plan, PlanId};
use mcsp_events::{Asset, SourceObject};
use mcsp_runtime::{Buckets, ObjectStore, ScopedStore, StageError};
use mcsp_sandbox::Source;

/// Bytes that one read of a source takes into memory while it is hashed.
const HASH_READ_BYTES: u32 = 4 << 20;

/// The stores of a worker.
#[derive(Clone)]
pub struct Stores {
    buckets: Buckets,
}

impl Stores {
    /// Takes the buckets that a worker reaches.
    pub fn new(buckets: Buckets) -> Self {
        Self { buckets }
    }

    /// Returns the folder of a plan's clear chunks and of `plan.json`.
    ///
    /// # Errors
    /// `Reject` when the asset's bucket is not configured here.
    pub fn work(&self, asset: &Asset, plan: PlanId) -> Result<Arc<dyn ObjectStore>, StageError> {
        let folder = ObjectKey::work(asset.content, asset.revision, plan);
        Ok(Arc::new(ScopedStore::new(self.bucket(asset)?, folder)))
    }

    /// Returns the folder of a plan's segments and manifests.
    ///
    /// # Errors
    /// As `work`.
    pub fn package(&self, asset: &Asset, plan: PlanId) -> Result<Arc<dyn ObjectStore>, StageError> {
        let folder = ObjectKey::package(asset.content, asset.revision, plan);
        Ok(Arc::new(ScopedStore::new(self.bucket(asset)?, folder)))
    }

    /// Returns whether a revision's work is to stop.
    pub async fn is_cancelled(&self, asset: &Asset) -> bool {
        let Ok(bucket) = self.bucket(asset) else { return false };
        let mark = ObjectKey::cancel_mark(asset.content, asset.revision);
        // A store that does not answer is no cancel; the work itself will fail on it.
        bucket.head(&mark).await.is_ok_and(|mark| mark.is_some())
    }

    /// Opens an uploaded source: the very bytes that were checked, or none.
    ///
    /// # Errors
    /// `Reject` when the object is gone or was replaced, `Retry` when the store failed.
    pub async fn source(&self, asset: &Asset, source: &SourceObject) -> Result<Source, StageError> {
        let bucket = self.bucket(asset)?;
        let key = &source.key;
        if let Some(path) = bucket.as_file(key) {
            // The open file keeps its bytes, whatever takes its name afterwards. It is asked for before and after: the file
            // that has the name still is the one that was open while the tag was looked at.
            check(bucket.as_ref(), source).await?;
            let unread = |error| StageError::retry(format!("could not open {key}"), error);
            let file = File::open(&path).map_err(unread)?;
            check(bucket.as_ref(), source).await?;
            let (open, named) = (file.metadata().map_err(unread)?, std::fs::metadata(&path).map_err(unread)?);
            if (open.dev(), open.ino()) != (named.dev(), named.ino()) {
                return Err(StageError::refuse(format!("source {key} was replaced while it was opened")));
            }
            return Source::file(Arc::new(file)).map_err(|error| StageError::reject(key.to_string(), error));
        }
        check(bucket.as_ref(), source).await?;
        let etag = Some(etag(source)?);
        Ok(Source::Object { store: bucket, key: key.clone(), len_bytes: source.len_bytes, etag })
    }

    /// Reads a plan that was stored.
    ///
    /// # Errors
    /// `Retry` when the store failed or the plan is not there yet, `Reject` when it is damaged.
    pub async fn plan(&self, asset: &Asset, plan: PlanId) -> Result<Plan, StageError> {
        let text = self.work(asset, plan)?.get(&ObjectKey::plan()).await?;
        serde_json::from_slice(&text).map_err(|error| StageError::reject(format!("plan {plan} is damaged"), error))
    }

    /// Returns the bucket of an asset.
    ///
    /// # Errors
    /// As `work`.
    pub(crate) fn bucket(&self, asset: &Asset) -> Result<Arc<dyn ObjectStore>, StageError> {
        self.buckets.of(&asset.placement).map_err(|error| StageError::reject("the asset lies elsewhere", error))
    }
}

/// Returns the SHA-256 of a source. It is read in pieces, so that no film is ever in memory as a whole.
///
/// # Errors
/// `Retry` when the source cannot be read.
pub(crate) async fn digest(source: &Source) -> Result<Digest, StageError> {
    use sha2::Digest as _;
    let mut hasher = sha2::Sha256::new();
    let mut offset_bytes = 0;
    while offset_bytes < source.len_bytes() {
        let piece = source.read(offset_bytes, HASH_READ_BYTES).await;
        let piece = piece.map_err(|error| StageError::retry("the source could not be read", error))?;
        offset_bytes += piece.len() as u64;
        hasher.update(&piece);
        // A gigabyte takes seconds: others on this thread get their turn.
        tokio::task::yield_now().await;
    }
    Ok(Digest::from_bytes(hasher.finalize().into()))
}

fn etag(source: &SourceObject) -> Result<mcsp_runtime::Etag, StageError> {
    mcsp_runtime::Etag::parse(&source.etag).map_err(|error| StageError::reject(source.key.to_string(), error))
}

async fn check(bucket: &dyn ObjectStore, source: &SourceObject) -> Result<(), StageError> {
    let (key, pinned) = (&source.key, etag(source)?);
    let Some(meta) = bucket.head(key).await? else {
        return Err(StageError::refuse(format!("source {key} is gone")));
    };
    if meta.etag != pinned || meta.len_bytes != source.len_bytes {
        let (is, was) = (meta.etag, &source.etag);
        return Err(StageError::refuse(format!("source {key} was replaced: its etag is {is}, {was} was checked")));
    }
    Ok(())
}
