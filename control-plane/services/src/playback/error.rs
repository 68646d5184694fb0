//! Why somebody may not watch.

use mcsp_catalog::CatalogError;
use mcsp_domain::{ContentId, ContentState, SubscriptionTier};
use mcsp_runtime::{StoreError, UnknownBucket};

/// Why somebody may not watch, or not now.
#[derive(Debug, thiserror::Error)]
pub enum PlaybackError {
    /// There is no such content, or none that this viewer may know of.
    #[error("no content has the id {content}")]
    NoContent {
        /// The id.
        content: ContentId,
    },
    /// It is there, and cannot be played.
    #[error("content {content} is {state}: {reason}")]
    NotPlayable {
        /// The content.
        content: ContentId,
        /// How far it is.
        state: ContentState,
        /// Why it cannot be played.
        reason: String,
    },
    /// The viewer's tier is below the content's.
    #[error("this needs the tier {needed}, and the account has {has}")]
    Tier {
        /// What it needs.
        needed: SubscriptionTier,
        /// What the account has.
        has: SubscriptionTier,
    },
    /// Another service did not answer in time, or failed: nobody is let in on a guess.
    #[error("{service} does not answer: {status}")]
    Unavailable {
        /// The service.
        service: &'static str,
        /// What came instead of an answer.
        status: Box<tonic::Status>,
    },
    /// The package's bucket is not one of this node's.
    #[error(transparent)]
    Bucket(#[from] UnknownBucket),
    /// The object store failed.
    #[error("package could not be looked at")]
    Store(#[from] StoreError),
    /// The operating system gave no randomness.
    #[error("no randomness for a playback: {0}")]
    Randomness(getrandom::Error),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl PlaybackError {
    /// Returns whether time may help.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Store(_) => true,
            Self::Catalog(cause) => cause.may_pass(),
            _ => false,
        }
    }
}
