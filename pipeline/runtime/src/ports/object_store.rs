//! Objects: whole, immutable byte strings under validated keys. Embedded: files. Distributed: S3. Parts and presigned
//! addresses, the words of uploads that go past us, stand in `direct_upload`.

use std::ops::Range;
use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;
use mcsp_domain::ObjectKey;
use serde::{Deserialize, Serialize};

use super::direct_upload::{Part, PartFault, PartTag, PresignRequest, Presigned, UploadId};

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

    /// Returns a range of an object's bytes, cut at the object's end. With a `pin`, they are bytes of the object that has
    /// that tag, so that all readers of a checked upload see what was checked.
    ///
    /// # Errors
    /// `NotFound`, `Replaced` where the object under the key has another tag than the pin, or when the engine fails.
    async fn get_range(&self, key: &ObjectKey, range: Range<u64>, pin: Option<&Etag>) -> Result<Bytes, StoreError>;

    /// Returns what is known of an object, or nothing where there is none.
    ///
    /// # Errors
    /// When the engine fails.
    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectMeta>, StoreError>;

    /// Returns the first keys under a prefix that come after `after`, in rising order of their bytes. The prefix is a whole
    /// key part. There are more where `limits::OBJECTS_LISTED_MAX` keys came.
    ///
    /// # Errors
    /// When the engine fails.
    async fn list(&self, prefix: &ObjectKey, after: Option<&ObjectKey>) -> Result<Vec<ObjectKey>, StoreError>;

    /// Removes an object; one that is not there is no error.
    ///
    /// # Errors
    /// When the engine fails.
    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError>;

    /// Returns the file that holds an object, where the store is local: the packager maps it instead of copying.
    fn as_file(&self, key: &ObjectKey) -> Option<PathBuf>;

    /// Begins an upload in parts, whose bytes may come past us by presigned addresses.
    ///
    /// # Errors
    /// `Busy` when too many uploads are open, or when the engine fails.
    async fn create_multipart(&self, key: &ObjectKey) -> Result<UploadId, StoreError>;

    /// Stores one part; the same number again replaces it, and parts may come in any order.
    ///
    /// # Errors
    /// `NoUpload`, `BadPart`, or when the engine fails.
    async fn put_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        bytes: Bytes,
    ) -> Result<PartTag, StoreError>;

    /// Returns the parts that are there, by rising number; `limits::UPLOAD_PARTS_MAX` bounds them.
    ///
    /// # Errors
    /// `NoUpload`, or when the engine fails.
    async fn list_parts(&self, key: &ObjectKey, upload: &UploadId) -> Result<Vec<Part>, StoreError>;

    /// Makes the object of the named parts visible. Completing again, with the object still there, is success. Where the
    /// condition does not hold, the upload stays open.
    ///
    /// # Errors
    /// `NoUpload`; `BadPart` where a part is missing, has another tag, stands out of order, or is smaller than
    /// `limits::UPLOAD_PART_BYTES_MIN` and not the last; or when the engine fails. Nothing is visible then.
    async fn complete_multipart(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[PartTag],
        condition: PutIf,
    ) -> Result<Put, StoreError>;

    /// Gives an upload up and removes its parts; one that is not there is no error.
    ///
    /// # Errors
    /// When the engine fails.
    async fn abort_multipart(&self, key: &ObjectKey, upload: &UploadId) -> Result<(), StoreError>;

    /// Makes an address by which one call on one object can be made without credentials, until it expires.
    ///
    /// # Errors
    /// `Unsupported` where the store has no endpoint, or when the engine fails.
    async fn presign(&self, request: PresignRequest) -> Result<Presigned, StoreError>;
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutIf {
    /// Always; an object that is there is replaced.
    Always,
    /// Only where there is none: the first writer wins.
    Absent,
    /// Only where the object has this tag: the writer replaces exactly what it read.
    Matches(Etag),
}

/// What a put did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// The object is stored.
    Stored {
        /// Its tag.
        etag: Etag,
    },
    /// The condition did not hold, and nothing changed: an object was there already, or not the one with the wanted tag.
    Kept,
}

/// What is known of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Its bytes.
    pub len_bytes: u64,
    /// Its tag.
    pub etag: Etag,
    /// When it was stored, in microseconds since 1970.
    pub modified_us: i64,
}

/// What tells one object under a key from the next: opaque and strong (RFC 9110 §8.8.3), written without its quotes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Etag(String);

/// The longest tag, in characters; S3's have 32 to 40.
const ETAG_CHARS_MAX: usize = 128;

/// Why text is no tag.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("etag {text:?} is not 1 to 128 visible characters without quotes")]
pub struct EtagError {
    text: String,
}

impl Etag {
    /// Checks and wraps a tag, given without its quotes.
    ///
    /// # Errors
    /// When it is empty, too long, or holds a quote or an invisible character.
    pub fn parse(text: &str) -> Result<Self, EtagError> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
        if (1..=ETAG_CHARS_MAX).contains(&text.len()) && visible {
            return Ok(Self(text.to_owned()));
        }
        Err(EtagError { text: text.chars().take(ETAG_CHARS_MAX).collect() })
    }

    /// Returns the tag, without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Etag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Etag> for String {
    fn from(etag: Etag) -> Self {
        etag.0
    }
}

impl TryFrom<String> for Etag {
    type Error = EtagError;

    fn try_from(text: String) -> Result<Self, EtagError> {
        Self::parse(&text)
    }
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
    /// Another object stands under the key than the reader was told to read.
    #[error("object {key} is no longer the one with etag {pin}")]
    Replaced {
        /// Its key.
        key: ObjectKey,
        /// The tag that was asked for.
        pin: Etag,
    },
    /// There is no such upload.
    #[error("upload {upload} of {key} does not exist")]
    NoUpload {
        /// The key that it was to fill.
        key: ObjectKey,
        /// Its id.
        upload: String,
    },
    /// A part is not what it is said to be.
    #[error("part {number} of {key} {fault}")]
    BadPart {
        /// The key that the upload is to fill.
        key: ObjectKey,
        /// The part's number.
        number: u32,
        /// What is wrong with it.
        fault: PartFault,
    },
    /// The store is full of open work; time may help.
    #[error("store cannot {action} {key} now: {reason}")]
    Busy {
        /// What was tried.
        action: &'static str,
        /// On which object.
        key: ObjectKey,
        /// What it waits for.
        reason: String,
    },
    /// This store cannot do that, however often it is asked.
    #[error("store cannot {action} {key}: {reason}")]
    Unsupported {
        /// What was tried.
        action: &'static str,
        /// On which object.
        key: String,
        /// What is missing.
        reason: String,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_visible_text_without_quotes() {
        for text in ["", "a b", "\"a\"", "a\n", "é", &"x".repeat(129)] {
            assert!(Etag::parse(text).is_err(), "{text:?} was taken");
        }
        assert_eq!(Etag::parse("d41d8cd9-2").unwrap().as_str(), "d41d8cd9-2");
    }
}
