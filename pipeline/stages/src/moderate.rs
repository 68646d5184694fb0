//! The moderation stage: rules over a few measurements, by no model and no person. In: an upload that is sound. Out: an
//! approval, or a flag for a person. It never rejects: that is for people.
//!
//! What is looked at: words of title and file name; some hundred small pictures of the whole film, for film that shows
//! nothing; every frame of its first seconds and of short stretches further on, a minute in all, for flashing. What is not
//! looked at is not claimed: the reason says how much was watched.

mod flashes;
mod judge;
mod measure;
mod words;

use mcsp_events::{ModerationDecided, ModerationFlagged, Outgoing, Topic, UploadCompleted};
use mcsp_runtime::StageError;
use mcsp_runtime::stage::{Context, Stage};
use mcsp_sandbox::Sandbox;

pub use judge::{Judgement, judge};
pub use measure::{Measured, Picture, measure};
pub use words::{Rules, RulesError};

use crate::stores::Stores;

/// Who decides: the rules and their version, raised with each change of either.
const DECIDED_BY: &str = "rules-1";

/// The stage.
pub struct Moderator {
    stores: Stores,
    sandbox: Sandbox,
    rules: Rules,
}

impl Moderator {
    /// Makes the stage.
    pub fn new(stores: Stores, sandbox: Sandbox, rules: Rules) -> Self {
        Self { stores, sandbox, rules }
    }

    async fn completed(&self, event: UploadCompleted, cx: &Context) -> Result<Vec<Outgoing>, StageError> {
        let source = self.stores.source(&event.asset, &event.source).await?;
        let on = |permille: u16| cx.progress(permille, "looking");
        let measured = measure(&source, &self.sandbox, cx.attempt(), &on).await?;
        let judgement = judge(&[&event.title, &event.file_name], &measured, &self.rules);
        let content = event.asset.content;
        let outgoing = match judgement {
            Judgement::Approved { reason } => {
                tracing::info!(%content, %reason, "approved by rules");
                let approved = true;
                let decided_by = DECIDED_BY.to_owned();
                Outgoing::of(0, &ModerationDecided { asset: event.asset, approved, decided_by, reason })
            }
            Judgement::Flagged { labels, confidence_permille, ranges, reason } => {
                tracing::info!(%content, %reason, "flagged by rules");
                let flagged_by = DECIDED_BY.to_owned();
                let flag = ModerationFlagged { asset: event.asset, flagged_by, labels, confidence_permille, ranges };
                Outgoing::of(0, &flag)
            }
        };
        Ok(vec![outgoing])
    }
}

impl Stage for Moderator {
    const NAME: &'static str = "ai-moderation";
    const GROUP: &'static str = "ai-moderation";
    type Input = UploadCompleted;
    const OUTPUTS: &'static [Topic] = &[Topic::ModerationDecided, Topic::ModerationFlagged];

    async fn handle(&self, input: UploadCompleted, cx: &Context) -> Result<Vec<Outgoing>, StageError> {
        self.completed(input, cx).await
    }
}
