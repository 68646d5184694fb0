//! Objects: whole, immutable byte strings under validated keys. Embedded: files. Distributed: S3.

use std::ops::Range;
use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;
use mcsp_domain::ObjectKey;

/// A store of objects. An object appears whole or not at all, and is durable when the call returns
/// (as far as the engine was told to be).
#[async_trait]
pub trait ObjectStore: Send + Sync {
    /// Stores an object.
    ///
    /// # Errors
    /// When the engine fails; nothing is visible then.
    async fn put(&self, key: &ObjectKey, bytes: Bytes, condition: PutIf) -> Result<Put, StoreError>;

    /// Begins an object whose bytes come piece by piece. Dropping the upload leaves nothing behind.
    ///
    /// # Errors
    /// When the engine fails.
    async fn begin(&self, key: &ObjectKey) -> Result<Box<dyn Upload>, StoreError>;

    /// Returns an object's bytes.
    ///
    /// # Errors
    /// `NotFound`, or when the engine fails.
    async fn get(&self, key: &ObjectKey) -> Result<Bytes, StoreError>;

    /// Returns a range of an object's bytes, cut at the object's end.
    ///
    /// # Errors
    /// `NotFound`, or when the engine fails.
    async fn get_range(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, StoreError>;

    /// Returns what is known of an object, or nothing where there is none.
    ///
    /// # Errors
    /// When the engine fails.
    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectMeta>, StoreError>;

    /// Returns the keys under a prefix in rising order; the prefix is a whole key part.
    ///
    /// # Errors
    /// When the engine fails.
    async fn list(&self, prefix: &ObjectKey) -> Result<Vec<ObjectKey>, StoreError>;

    /// Removes an object; one that is not there is no error.
    ///
    /// # Errors
    /// When the engine fails.
    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError>;

    /// Returns the file that holds an object, where the store is local: the packager maps it instead of copying.
    fn as_file(&self, key: &ObjectKey) -> Option<PathBuf>;
}

/// An object that is being written.
#[async_trait]
pub trait Upload: Send {
    /// Adds bytes.
    ///
    /// # Errors
    /// When the engine fails.
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError>;

    /// Makes the object visible.
    ///
    /// # Errors
    /// When the engine fails; nothing is visible then.
    async fn finish(self: Box<Self>, condition: PutIf) -> Result<Put, StoreError>;
}

/// When a put takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutIf {
    /// Always; an object that is there is replaced.
    Always,
    /// Only where there is none: the first writer wins.
    Absent,
}

/// What a put did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The object is stored.
    Stored,
    /// An object was there already, and stays.
    Kept,
}

/// What is known of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Its bytes.
    pub len_bytes: u64,
}

/// Why a store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such object.
    #[error("object {key} does not exist")]
    NotFound {
        /// Its key.
        key: ObjectKey,
    },
    /// The engine failed; time may help.
    #[error("store failed to {action} {key}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which object.
        key: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}
