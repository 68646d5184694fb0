//! Why an upload cannot go on.

use mcsp_catalog::CatalogError;
use mcsp_domain::{ContentId, SessionId};
use mcsp_runtime::{StoreError, TtlError, UnknownBucket};

use super::ResidencyError;
use crate::content::ContentError;

/// Why an upload cannot go on. Another user's session is `NoSession`, so that nobody learns that it is there.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// There is no such session of this user.
    #[error("there is no upload session {session}")]
    NoSession {
        /// The id that was asked for.
        session: SessionId,
    },
    /// There is no such content of this user.
    #[error("there is no content {content}")]
    NoContent {
        /// The id that was asked for.
        content: ContentId,
    },
    /// A field says what cannot be.
    #[error("{field} {problem}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The file has no such part.
    #[error("the file has parts 1 to {count}, and none of number {number}")]
    NoPart {
        /// The number that was asked for.
        number: u32,
        /// How many parts it has.
        count: u32,
    },
    /// The file is larger than the policy allows.
    #[error("the file has {size_bytes} bytes, {max_bytes} allowed (limit size_bytes_max)")]
    TooLarge {
        /// What was announced.
        size_bytes: u64,
        /// The limit.
        max_bytes: u64,
    },
    /// The user has as many open sessions as one may have.
    #[error("{open} uploads are open, {max} allowed (limit open_sessions_max): complete or abort one")]
    TooManyOpen {
        /// How many are open.
        open: usize,
        /// The limit.
        max: usize,
    },
    /// The bytes may not live there.
    #[error(transparent)]
    Residency(#[from] ResidencyError),
    /// Parts are not in the store yet.
    #[error("{count} of the parts are not stored, the first is part {first}")]
    Missing {
        /// The lowest number.
        first: u32,
        /// How many.
        count: usize,
    },
    /// The store has another part than the client names.
    #[error("part {number} is stored with another etag than the one given")]
    OtherPart {
        /// Its number.
        number: u32,
    },
    /// What is stored is not what was announced. It was removed, so that it can be put again.
    #[error("{found_bytes} bytes are stored, {size_bytes} were announced; put the file again")]
    OtherSize {
        /// What was announced.
        size_bytes: u64,
        /// What is stored.
        found_bytes: u64,
    },
    /// The session has ended.
    #[error("upload session {session} is {state}")]
    Ended {
        /// The session.
        session: SessionId,
        /// `complete`, `aborted` or `expired`.
        state: &'static str,
    },
    /// The content no longer waits for this upload: it was deleted, failed, or waits for another.
    #[error("content {content} no longer waits for upload session {session}")]
    Superseded {
        /// The content.
        content: ContentId,
        /// The session.
        session: SessionId,
    },
    /// The content service refused: a text over its limit, or a content that takes no source now.
    #[error(transparent)]
    Content(ContentError),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store of sessions failed.
    #[error(transparent)]
    Sessions(#[from] TtlError),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The placement's bucket is not on this node.
    #[error(transparent)]
    Bucket(#[from] UnknownBucket),
    /// A record of ours does not read.
    #[error("upload session {session} is damaged: {detail}")]
    Damaged {
        /// The session.
        session: String,
        /// What does not read.
        detail: String,
    },
    /// The system gave no randomness.
    #[error("no randomness for an id: {0}")]
    Randomness(getrandom::Error),
    /// The service is ending.
    #[error("the upload service is ending")]
    Closing,
}

impl UploadError {
    /// Returns whether time may help.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Store(error) => matches!(error, StoreError::Busy { .. } | StoreError::Io { .. }),
            Self::Sessions(error) => matches!(error, TtlError::Engine { .. }),
            Self::Catalog(error) => error.may_pass(),
            Self::Content(error) => error.may_pass(),
            Self::Closing | Self::Randomness(_) => true,
            _ => false,
        }
    }
}

impl From<ContentError> for UploadError {
    fn from(error: ContentError) -> Self {
        match error {
            ContentError::NotFound { content } => Self::NoContent { content },
            ContentError::Catalog(error) => Self::Catalog(error),
            error => Self::Content(error),
        }
    }
}
