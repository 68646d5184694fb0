//! Why the content service could not do what was asked.

use mcsp_catalog::CatalogError;
use mcsp_domain::{ContentId, ContentState, RenditionName, Revision, RunId};
use mcsp_events::EventError;
use mcsp_runtime::{SagaError, StageError, StoreError, UnknownBucket};

use super::state::IllegalTransition;

/// Why the content service could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// There is no such content, or none that the asker may know of.
    #[error("content {content} does not exist")]
    NotFound {
        /// Its id.
        content: ContentId,
    },
    /// There is no such rendition.
    #[error("content {content} has no rendition {name}")]
    NoRendition {
        /// The content.
        content: ContentId,
        /// The rendition.
        name: RenditionName,
    },
    /// There is no such run, or none that the asker may know of.
    #[error("run {run} does not exist")]
    NoRun {
        /// Its id.
        run: RunId,
    },
    /// The asker may see it, and no more.
    #[error("content {content} belongs to somebody else")]
    NotOwner {
        /// Its id.
        content: ContentId,
    },
    /// The content is in another state than the wish needs.
    #[error("content {content} is {state}: {needed}")]
    WrongState {
        /// Its id.
        content: ContentId,
        /// Its state.
        state: ContentState,
        /// What the wish needs.
        needed: &'static str,
    },
    /// Somebody else changed it meanwhile.
    #[error("content {content} is at version {version} by now")]
    OtherVersion {
        /// Its id.
        content: ContentId,
        /// Its version.
        version: u64,
    },
    /// An upload that another source has taken the place of.
    #[error("revision {revision} of content {content} waits for another upload, or for none")]
    OtherUpload {
        /// The content.
        content: ContentId,
        /// The revision.
        revision: Revision,
    },
    /// Text that is too long, or holds what no text should.
    #[error("{what} has {chars} characters, {max} without control characters are allowed")]
    Text {
        /// Title, description or file name.
        what: &'static str,
        /// Its length.
        chars: usize,
        /// The limit.
        max: usize,
    },
    /// A run over more contents than one may have.
    #[error("the query finds more than {max} contents: narrow it")]
    TooMany {
        /// The limit.
        max: usize,
    },
    /// Work that may not be begun like this.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// The placement's bucket is not on this node.
    #[error(transparent)]
    Bucket(#[from] UnknownBucket),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// An event that no log would take.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The object store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The saga engine failed.
    #[error(transparent)]
    Saga(#[from] SagaError),
    /// The licence service failed.
    #[error("licence service could not revoke keys")]
    Licence(#[from] Box<tonic::Status>),
}

impl ContentError {
    /// Returns whether time may help.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Catalog(error) => error.may_pass(),
            Self::Store(error) => !matches!(error, StoreError::Unsupported { .. } | StoreError::Replaced { .. }),
            Self::Saga(error) => matches!(error, SagaError::Engine { .. }),
            Self::Licence(_) | Self::OtherVersion { .. } => true,
            _ => false,
        }
    }
}

impl From<ContentError> for StageError {
    fn from(error: ContentError) -> Self {
        match error {
            ContentError::Catalog(error) => crate::desk_fault(error),
            error if error.may_pass() => Self::retry("content service failed", error),
            error => Self::reject("content service refused", error),
        }
    }
}
