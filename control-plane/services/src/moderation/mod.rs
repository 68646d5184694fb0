//! Moderation by people: what was flagged waits in a queue, and a moderator decides each case once. In: `moderation.flagged`.
//! Out: `moderation.decided` for what may be shown; `media.copyright.cleared` or `media.upload.blocked` for rights.

mod decide;
mod review_queue;

use mcsp_catalog::{Catalog, CatalogError};
use mcsp_domain::{ContentId, Revision};
use mcsp_events::EventError;

pub use decide::Decision;
pub use mcsp_catalog::{CaseDecision, CaseFlag, CaseKind, CasePlace, CaseRow, ListedCase};
pub use review_queue::ReviewQueue;

/// Characters of a decision's reason.
pub const REASON_CHARS_MAX: usize = 1000;

/// The review queue as moderators see it.
#[derive(Clone)]
pub struct ModerationService {
    catalog: Catalog,
    /// The process, as the timeline names it.
    worker: String,
}

/// Why a case was not decided, or the queue not shown.
#[derive(Debug, thiserror::Error)]
pub enum ModerationError {
    /// Nothing of the content waits for a decision, or ever did.
    #[error("content {content} has no such case")]
    NoCase {
        /// The content.
        content: ContentId,
    },
    /// Somebody decided before.
    #[error("the case of content {content}, revision {revision}, is decided")]
    Decided {
        /// The content.
        content: ContentId,
        /// The publication of it.
        revision: Revision,
    },
    /// The content has ended, or has another revision by now.
    #[error("revision {revision} of content {content} waits for nobody any more")]
    Over {
        /// The content.
        content: ContentId,
        /// The publication of it.
        revision: Revision,
    },
    /// A case of content and one of rights are open, and the decision names neither.
    #[error("content {content} has an open case of content and one of rights: name the kind")]
    Ambiguous {
        /// The content.
        content: ContentId,
    },
    /// Nobody decides on what is his own.
    #[error("content {content} is the moderator's own")]
    OwnContent {
        /// The content.
        content: ContentId,
    },
    /// A case of rights whose source was never stored.
    #[error("revision {revision} of content {content} has no stored source")]
    NoSource {
        /// The content.
        content: ContentId,
        /// The publication of it.
        revision: Revision,
    },
    /// An event that no log would take.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl ModerationError {
    /// Returns whether time may help.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Catalog(error) if error.may_pass())
    }
}

impl ModerationService {
    /// Makes the service; `worker` is the process's name in timelines.
    pub fn new(catalog: Catalog, worker: impl Into<String>) -> Self {
        Self { catalog, worker: worker.into() }
    }

    /// Returns cases, open ones first, then the longest waiting first, at most `limit` after a place in that order.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn cases(
        &self,
        is_decided: Option<bool>,
        after: Option<CasePlace>,
        limit: u32,
    ) -> Result<Vec<ListedCase>, ModerationError> {
        Ok(self.catalog.cases(is_decided, after, limit).await?)
    }
}

/// Returns what labels make a case: those of rights say so.
fn kind_of(labels: &[String]) -> CaseKind {
    let is_rights = labels.iter().any(|label| label.to_ascii_lowercase().contains("copyright"));
    if is_rights { CaseKind::Rights } else { CaseKind::Content }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_rights_make_a_case_of_rights() {
        let kind = |labels: &[&str]| kind_of(&labels.iter().map(|label| (*label).to_owned()).collect::<Vec<_>>());
        assert_eq!(kind(&["violence", "nudity"]), CaseKind::Content);
        assert_eq!(kind(&["violence", "copyright.video"]), CaseKind::Rights);
        assert_eq!(kind(&["COPYRIGHT"]), CaseKind::Rights);
        assert_eq!(kind(&[]), CaseKind::Content);
    }
}
