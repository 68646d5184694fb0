//! `ObjectStore` on one bucket of an S3-compatible server: AWS, SeaweedFS, MinIO. Conditional puts, reads pinned to an etag,
//! uploads in parts and presigned addresses are the server's own; what servers differ in is met here:
//!
//! - A lost answer: reads and unconditional writes are repeated by the client, conditional ones here, knowing that the first
//!   try may have stored the object.
//! - Listing: SeaweedFS lists folder by folder. Whether a server does is seen when the bucket is opened, by two small objects;
//!   `walk` then puts its keys into the order of their bytes, at one call a folder.
//! - A second completing: S3 forgets an upload once it is completed, so the object carries which upload made it.
//! - Parts: SeaweedFS lists every attempt at one; `multipart` finds the latest.
//! - Ranges: one without bytes, or behind the end, is answered from a look at the object.
//!
//! An object's etag follows from its bytes, as S3 has it: two puts of the same bytes have the same. A key that is the folder
//! of another is taken by some servers and not by others; our layouts have none.

mod client;
mod error;
mod multipart;
mod notices;
mod objects;
mod presign;
mod upload;
mod walk;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use bytes::Bytes;
use mcsp_domain::{Bucket, ObjectKey};
use mcsp_runtime::{
    Etag, ObjectMeta, ObjectStore, Part, PartTag, PresignRequest, Presigned, Put, PutIf, StoreError, Upload, UploadId,
    chain,
};
use uuid::Uuid;

use crate::access::{Login, Tls};
pub use error::S3Error;
pub use notices::{NoticeError, StoredNotice, completions_of};
use upload::S3Upload;

/// How one bucket is reached.
#[derive(Clone)]
pub struct S3Options {
    /// `http://host:port` or `https://host`; none is AWS in `region`.
    pub endpoint: Option<String>,
    /// The address under which clients reach the same server, where that is another: presigned addresses begin with it.
    pub public_endpoint: Option<String>,
    /// The region that calls are signed for.
    pub region: String,
    /// The bucket; it must be there.
    pub bucket: Bucket,
    /// Access key and secret key.
    pub login: Login,
    /// What `https` believes; a client certificate is not taken.
    pub tls: Tls,
    /// Where the bucket's name stands.
    pub addressing: Addressing,
    /// How long open waits for a server that is not there yet.
    pub open_wait: Duration,
}

impl S3Options {
    /// Returns the options of a bucket on a server of one's own.
    pub fn new(endpoint: &str, bucket: Bucket, login: Login) -> Self {
        Self {
            endpoint: Some(endpoint.to_owned()),
            public_endpoint: None,
            region: "us-east-1".to_owned(),
            bucket,
            login,
            tls: Tls::default(),
            addressing: Addressing::Path,
            open_wait: Duration::from_secs(30),
        }
    }

    /// The address that errors name.
    fn address(&self) -> String {
        self.endpoint.clone().unwrap_or_else(|| format!("AWS, {}", self.region))
    }
}

/// Where a bucket's name stands in an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// `https://host/bucket/key`: SeaweedFS, MinIO.
    Path,
    /// `https://bucket.host/key`: AWS.
    Host,
}

/// The order in which a server lists keys, by which SeaweedFS is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// That of their bytes, as S3 says.
    Bytes,
    /// A folder's names in order, each folder in its place.
    Folders,
}

/// Objects in one bucket.
#[derive(Clone)]
pub struct S3Store {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    /// The client that signs addresses for others.
    outside: Client,
    bucket: Bucket,
    order: Order,
}

impl S3Store {
    /// Reaches a bucket, and sees whether the key pair reads it and in which order it lists.
    ///
    /// # Errors
    /// Each of `S3Error`; one that may pass has been waited for.
    pub async fn open(options: &S3Options) -> Result<Self, S3Error> {
        for endpoint in options.endpoint.iter().chain(&options.public_endpoint) {
            client::check_address(endpoint)?;
        }
        let client = client::client(options, options.endpoint.as_deref())?;
        let outside = match &options.public_endpoint {
            Some(endpoint) => client::client(options, Some(endpoint))?,
            None => client.clone(),
        };
        client::look(&client, options).await?;
        let mut inner = Inner { client, outside, bucket: options.bucket.clone(), order: Order::Bytes };
        inner.order = inner.find_order().await.unwrap_or_else(|error| {
            // A reader may not write. Walking folders is right on every server, and only slower.
            tracing::debug!(bucket = %inner.bucket, error = %chain(&error), "the order of lists is not known");
            Order::Folders
        });
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Gives up uploads in parts that nobody touched for `older_than`; to be called now and then. Returns how many.
    ///
    /// # Errors
    /// When the engine fails to list them.
    pub async fn sweep(&self, older_than: Duration) -> Result<usize, StoreError> {
        self.inner.sweep(older_than).await
    }
}

impl Inner {
    /// Stores two objects that servers list in different orders, and looks.
    async fn find_order(&self) -> Result<Order, StoreError> {
        let key = |name: &str| match ObjectKey::probe(name) {
            Ok(key) => key,
            Err(error) => unreachable!("a short name is a part of a key: {error}"),
        };
        let id = Uuid::now_v7().simple().to_string();
        let (sibling, inner) = (key(&format!("{id}/a-b")), key(&format!("{id}/a/b")));
        for probe in [&sibling, &inner] {
            self.put(probe, Bytes::new(), PutIf::Always).await?;
        }
        let listed = self.list(&key(&id), None).await;
        for probe in [&sibling, &inner] {
            self.delete(probe).await?;
        }
        Ok(if listed? == [sibling, inner] { Order::Bytes } else { Order::Folders })
    }
}

#[async_trait]
impl ObjectStore for S3Store {
    async fn put(&self, key: &ObjectKey, bytes: Bytes, condition: PutIf) -> Result<Put, StoreError> {
        self.inner.put(key, bytes, condition).await
    }

    async fn begin(&self, key: &ObjectKey) -> Result<Box<dyn Upload>, StoreError> {
        Ok(Box::new(S3Upload::new(Arc::clone(&self.inner), key.clone())))
    }

    async fn get(&self, key: &ObjectKey) -> Result<Bytes, StoreError> {
        self.inner.get_range(key, 0..u64::MAX, None).await
    }

    async fn get_range(&self, key: &ObjectKey, range: Range<u64>, pin: Option<&Etag>) -> Result<Bytes, StoreError> {
        self.inner.get_range(key, range, pin).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectMeta>, StoreError> {
        self.inner.head(key).await
    }

    async fn list(&self, prefix: &ObjectKey, after: Option<&ObjectKey>) -> Result<Vec<ObjectKey>, StoreError> {
        self.inner.list(prefix, after).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.inner.delete(key).await
    }

    fn as_file(&self, _: &ObjectKey) -> Option<PathBuf> {
        None
    }

    async fn create_multipart(&self, key: &ObjectKey) -> Result<UploadId, StoreError> {
        self.inner.create_multipart(key).await
    }

    async fn put_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        bytes: Bytes,
    ) -> Result<PartTag, StoreError> {
        self.inner.put_part(key, upload, number, bytes).await
    }

    async fn list_parts(&self, key: &ObjectKey, upload: &UploadId) -> Result<Vec<Part>, StoreError> {
        self.inner.list_parts(key, upload).await
    }

    async fn complete_multipart(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[PartTag],
        condition: PutIf,
    ) -> Result<Put, StoreError> {
        self.inner.complete(key, upload, parts, condition).await
    }

    async fn abort_multipart(&self, key: &ObjectKey, upload: &UploadId) -> Result<(), StoreError> {
        self.inner.abort_multipart(key, upload).await
    }

    async fn presign(&self, request: PresignRequest) -> Result<Presigned, StoreError> {
        self.inner.presign(request).await
    }
}
