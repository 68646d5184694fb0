//! Views of stores: `ScopedStore` is one seen from inside a folder, so that a stage writes `plan.json` wherever its plan
//! lies; `Buckets` finds the store of a placement.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use mcsp_domain::{Bucket, ObjectKey, Placement};

use crate::{
    Etag, ObjectMeta, ObjectStore, Part, PartTag, PresignRequest, Presigned, Put, PutIf, StoreError, Upload, UploadId,
};

/// A store seen from inside a folder. Errors name the whole key, since that is where the bytes are.
pub struct ScopedStore {
    store: Arc<dyn ObjectStore>,
    folder: ObjectKey,
}

impl ScopedStore {
    /// Returns the view of `store` from inside `folder`.
    pub fn new(store: Arc<dyn ObjectStore>, folder: ObjectKey) -> Self {
        Self { store, folder }
    }

    fn whole(&self, key: &ObjectKey) -> Result<ObjectKey, StoreError> {
        self.folder.join(key).map_err(|error| StoreError::Unsupported {
            action: "name",
            key: format!("{}/{key}", self.folder),
            reason: error.to_string(),
        })
    }
}

#[async_trait]
impl ObjectStore for ScopedStore {
    async fn put(&self, key: &ObjectKey, bytes: Bytes, condition: PutIf) -> Result<Put, StoreError> {
        self.store.put(&self.whole(key)?, bytes, condition).await
    }

    async fn begin(&self, key: &ObjectKey) -> Result<Box<dyn Upload>, StoreError> {
        self.store.begin(&self.whole(key)?).await
    }

    async fn get(&self, key: &ObjectKey) -> Result<Bytes, StoreError> {
        self.store.get(&self.whole(key)?).await
    }

    async fn get_range(&self, key: &ObjectKey, range: Range<u64>, pin: Option<&Etag>) -> Result<Bytes, StoreError> {
        self.store.get_range(&self.whole(key)?, range, pin).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectMeta>, StoreError> {
        self.store.head(&self.whole(key)?).await
    }

    async fn list(&self, prefix: &ObjectKey, after: Option<&ObjectKey>) -> Result<Vec<ObjectKey>, StoreError> {
        let after = after.map(|key| self.whole(key)).transpose()?;
        let keys = self.store.list(&self.whole(prefix)?, after.as_ref()).await?;
        Ok(keys.iter().filter_map(|key| key.inside(&self.folder)).collect())
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.store.delete(&self.whole(key)?).await
    }

    fn as_file(&self, key: &ObjectKey) -> Option<PathBuf> {
        self.whole(key).ok().and_then(|key| self.store.as_file(&key))
    }

    async fn create_multipart(&self, key: &ObjectKey) -> Result<UploadId, StoreError> {
        self.store.create_multipart(&self.whole(key)?).await
    }

    async fn put_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        bytes: Bytes,
    ) -> Result<PartTag, StoreError> {
        self.store.put_part(&self.whole(key)?, upload, number, bytes).await
    }

    async fn list_parts(&self, key: &ObjectKey, upload: &UploadId) -> Result<Vec<Part>, StoreError> {
        self.store.list_parts(&self.whole(key)?, upload).await
    }

    async fn complete_multipart(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[PartTag],
        condition: PutIf,
    ) -> Result<Put, StoreError> {
        self.store.complete_multipart(&self.whole(key)?, upload, parts, condition).await
    }

    async fn abort_multipart(&self, key: &ObjectKey, upload: &UploadId) -> Result<(), StoreError> {
        self.store.abort_multipart(&self.whole(key)?, upload).await
    }

    async fn presign(&self, request: PresignRequest) -> Result<Presigned, StoreError> {
        let key = self.whole(&request.key)?;
        self.store.presign(PresignRequest { key, ..request }).await
    }
}

/// The stores of this node, by bucket: one bucket a region.
#[derive(Clone, Default)]
pub struct Buckets {
    stores: BTreeMap<Bucket, Arc<dyn ObjectStore>>,
}

/// Why there is no store for a placement.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("bucket {bucket} of region {region} is not configured on this node, which has {known}")]
pub struct UnknownBucket {
    bucket: Bucket,
    region: String,
    known: String,
}

impl Buckets {
    /// Gathers the stores of this node.
    pub fn new(stores: impl IntoIterator<Item = (Bucket, Arc<dyn ObjectStore>)>) -> Self {
        Self { stores: stores.into_iter().collect() }
    }

    /// Returns the store of a placement.
    ///
    /// # Errors
    /// When its bucket is not configured here.
    pub fn of(&self, placement: &Placement) -> Result<Arc<dyn ObjectStore>, UnknownBucket> {
        match self.stores.get(&placement.bucket) {
            Some(store) => Ok(Arc::clone(store)),
            None => Err(UnknownBucket {
                bucket: placement.bucket.clone(),
                region: placement.region.clone(),
                known: self.known(),
            }),
        }
    }

    /// Returns each bucket with its store, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Bucket, &Arc<dyn ObjectStore>)> {
        self.stores.iter()
    }

    fn known(&self) -> String {
        let names: Vec<&str> = self.stores.keys().map(Bucket::as_str).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcsp_domain::Tier;

    #[test]
    fn an_unknown_bucket_is_named_with_the_known_ones() {
        let placement =
            Placement { region: "eu".to_owned(), bucket: Bucket::parse("media-eu").unwrap(), tier: Tier::Hot };
        let error = Buckets::default().of(&placement).err().unwrap();
        assert_eq!(error.to_string(), "bucket media-eu of region eu is not configured on this node, which has none");
    }
}
