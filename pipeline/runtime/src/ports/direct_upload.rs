//! The words of uploads that go past us: parts, and addresses that clients may use without credentials.

use mcsp_domain::{Digest, ObjectKey};
use serde::{Deserialize, Serialize};

use super::object_store::Etag;

/// An upload in parts. The engine gives the id; it is no secret, since every call is signed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UploadId(String);

/// The longest upload id, in characters; S3's have some 130.
const UPLOAD_ID_CHARS_MAX: usize = 1024;

/// Why text is no upload id.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("upload id {text:?} is not 1 to 1024 of a-z, A-Z, 0-9, '.', '_', '~' and '-'")]
pub struct UploadIdError {
    text: String,
}

impl UploadId {
    /// Checks and wraps an id.
    ///
    /// # Errors
    /// When it is empty, too long, or holds a character that an address would have to escape.
    pub fn parse(text: &str) -> Result<Self, UploadIdError> {
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte));
        if (1..=UPLOAD_ID_CHARS_MAX).contains(&text.len()) && plain {
            return Ok(Self(text.to_owned()));
        }
        Err(UploadIdError { text: text.chars().take(100).collect() })
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for UploadId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<UploadId> for String {
    fn from(id: UploadId) -> Self {
        id.0
    }
}

impl TryFrom<String> for UploadId {
    type Error = UploadIdError;

    fn try_from(text: String) -> Result<Self, UploadIdError> {
        Self::parse(&text)
    }
}

/// A part as its uploader knows it; a list of them, in order, completes an upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartTag {
    /// From 1 to `limits::UPLOAD_PARTS_MAX`.
    pub number: u32,
    /// The tag that the store answered.
    pub etag: Etag,
}

/// A part as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// From 1 to `limits::UPLOAD_PARTS_MAX`.
    pub number: u32,
    /// Its tag.
    pub etag: Etag,
    /// Its bytes.
    pub len_bytes: u64,
    /// When it was stored, in microseconds since 1970.
    pub modified_us: i64,
}

/// What is wrong with a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartFault {
    /// No part has that number, or the one that has it carries another tag.
    #[error("is missing or has another etag")]
    Missing,
    /// The numbers of a list do not rise.
    #[error("does not stand after the parts before it")]
    Order,
    /// Only the last part may be small.
    #[error("is below 5 MiB and not the last")]
    Small,
    /// The number or the length is beyond what the store takes.
    #[error("is outside the limits on part numbers and lengths")]
    Limit,
}

/// What an address shall allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresignRequest {
    /// The call.
    pub call: PresignCall,
    /// The object.
    pub key: ObjectKey,
    /// How long the address works; at most `limits::PRESIGN_S_MAX`.
    pub expires_s: u32,
    /// What the call must carry.
    pub bound: BoundHeaders,
}

/// A call that can be presigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PresignCall {
    /// Reads the object, or ranges of it.
    Get,
    /// Stores the object.
    Put,
    /// Stores one part.
    UploadPart {
        /// The upload.
        upload: UploadId,
        /// The part's number.
        number: u32,
    },
}

/// Headers that the signature covers: the store refuses the call where one is missing or differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BoundHeaders {
    /// `If-None-Match: *`, so that the address cannot replace an object.
    pub absent: bool,
    /// `Content-Length`, so that the client cannot send more than it announced.
    pub content_length_bytes: Option<u64>,
    /// `x-amz-checksum-sha256`, so that the client cannot send other bytes than it announced.
    pub checksum_sha256: Option<Digest>,
}

/// An address that works without credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presigned {
    /// The HTTP method.
    pub method: &'static str,
    /// The address.
    pub url: String,
    /// The headers that the client must send as they stand; a browser sends `content-length` by itself.
    pub headers: Vec<(String, String)>,
    /// When it stops working, in microseconds since 1970.
    pub expires_us: i64,
}
