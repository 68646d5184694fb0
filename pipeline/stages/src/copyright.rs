//! The copyright stage, fast lane: a source's fingerprint is compared with the library, and the policy that is stored with
//! the library decides. In: an upload that is sound. Out: cleared, blocked, or a flag for a person; the fingerprint is kept,
//! so that later additions to the library can be compared with it.

mod library;
mod remember;

use std::sync::Arc;

use bytes::Bytes;
use mcsp_domain::ObjectKey;
use mcsp_events::{
    BlockReason, ClearedBy, CopyrightCleared, Lane, ModerationFlagged, Outgoing, TimeRange, Topic, UploadBlocked,
    UploadCompleted,
};
use mcsp_fingerprint::{Fingerprint, RightsDecision, Verdict};
use mcsp_runtime::stage::{Context, Stage};
use mcsp_runtime::{ObjectStore, PutIf, StageError, StoreError};
use mcsp_sandbox::Sandbox;

pub use library::Library;
pub use remember::{Density, remember};

use crate::stores::Stores;

/// Ranges that one event carries.
const RANGES_MAX: usize = 100;
/// References that a reason names.
const NAMED_MAX: usize = 3;
/// Characters of a title in a label.
const LABEL_CHARS_MAX: usize = 100;

/// The stage.
pub struct CopyrightScanner {
    stores: Stores,
    sandbox: Sandbox,
    library: Library,
}

impl CopyrightScanner {
    /// Makes the stage; `library` is the bucket in which the library of references lies.
    pub fn new(stores: Stores, sandbox: Sandbox, library: Arc<dyn ObjectStore>) -> Self {
        Self { stores, sandbox, library: Library::new(library) }
    }

    async fn completed(&self, event: UploadCompleted, cx: &Context) -> Result<Vec<Outgoing>, StageError> {
        let fingerprint = self.fingerprint(&event, cx).await?;
        let decision = self.library.decide(fingerprint, event.owner).await?;
        tracing::info!(
            content = %event.asset.content,
            revision = event.asset.revision.number(),
            verdict = ?decision.verdict,
            library = %decision.library,
            algorithm = decision.algorithm,
            reason = %decision.reason,
            "rights decided"
        );
        Ok(outputs(event, &decision))
    }

    /// Returns the stored fingerprint, or makes and stores it.
    async fn fingerprint(&self, event: &UploadCompleted, cx: &Context) -> Result<Fingerprint, StageError> {
        let bucket = self.stores.bucket(&event.asset)?;
        let key = ObjectKey::fingerprint(event.asset.content, event.asset.revision);
        match bucket.get(&key).await {
            Ok(bytes) => match Fingerprint::from_bytes(&bytes) {
                Ok(stored) => return Ok(stored),
                // One of another version is made anew.
                Err(error) => tracing::warn!(%key, error = %mcsp_runtime::chain(&error), "a fingerprint is not used"),
            },
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let source = self.stores.source(&event.asset, &event.source).await?;
        let on = |permille: u16| cx.progress(permille, "fingerprinting");
        let made = remember(&source, &self.sandbox, Density::Upload, cx.attempt(), &on).await?;
        bucket.put(&key, Bytes::from(made.to_bytes()), PutIf::Always).await?;
        Ok(made)
    }
}

impl Stage for CopyrightScanner {
    const NAME: &'static str = "copyright-scanner";
    const GROUP: &'static str = "copyright-scanner";
    type Input = UploadCompleted;
    const OUTPUTS: &'static [Topic] = &[Topic::CopyrightCleared, Topic::UploadBlocked, Topic::ModerationFlagged];

    async fn handle(&self, input: UploadCompleted, cx: &Context) -> Result<Vec<Outgoing>, StageError> {
        self.completed(input, cx).await
    }
}

/// Returns what follows from a decision.
fn outputs(event: UploadCompleted, decision: &RightsDecision) -> Vec<Outgoing> {
    let outgoing = match decision.verdict {
        Verdict::Cleared => Outgoing::of(
            0,
            &CopyrightCleared {
                asset: event.asset,
                owner: event.owner,
                source: event.source,
                cleared_by: ClearedBy::Scanner,
                lane: Lane::Interactive,
            },
        ),
        Verdict::Blocked => Outgoing::of(
            0,
            &UploadBlocked {
                asset: event.asset,
                owner: event.owner,
                reason: BlockReason::Copyright,
                detail: detail(decision),
                ranges: ranges(decision),
            },
        ),
        Verdict::Review => Outgoing::of(
            0,
            &ModerationFlagged {
                asset: event.asset,
                flagged_by: CopyrightScanner::NAME.to_owned(),
                labels: labels(decision),
                confidence_permille: confidence_permille(decision),
                ranges: ranges(decision),
            },
        ),
    };
    vec![outgoing]
}

/// Names the references that an upload is blocked for, and where they are in it.
fn detail(decision: &RightsDecision) -> String {
    let blocked = decision.assets.iter().filter(|asset| asset.verdict == decision.verdict);
    let named: Vec<String> = blocked.take(NAMED_MAX).map(|asset| asset.reason.clone()).collect();
    let places: Vec<String> = ranges(decision)
        .iter()
        .take(NAMED_MAX)
        .map(|range| format!("{} to {}", clock(range.start_ms), clock(range.end_ms)))
        .collect();
    format!("it holds {} (at {})", named.join("; "), places.join(", "))
}

/// Writes an instant as hours, minutes and seconds, hours only where there are any.
fn clock(time_ms: u64) -> String {
    let seconds = time_ms / 1000;
    match seconds / 3600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

fn ranges(decision: &RightsDecision) -> Vec<TimeRange> {
    let spans = decision.spans().into_iter().take(RANGES_MAX);
    spans.map(|span| TimeRange { start_ms: span.start_ms, end_ms: span.end_ms }).collect()
}

fn labels(decision: &RightsDecision) -> Vec<String> {
    let found = decision.assets.iter().filter(|asset| asset.verdict == decision.verdict).take(NAMED_MAX);
    let titles = found.map(|asset| asset.title.chars().take(LABEL_CHARS_MAX).collect());
    std::iter::once("copyright".to_owned()).chain(titles).collect()
}

/// Returns the largest share of a stretch that agrees with its reference.
fn confidence_permille(decision: &RightsDecision) -> u16 {
    let found = decision.assets.iter().filter(|asset| asset.verdict == decision.verdict);
    found.flat_map(|asset| &asset.segments).map(|segment| segment.share_permille).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_as_people_read_them() {
        assert_eq!([0, 61_900, 3_723_000].map(clock), ["0:00", "1:01", "1:02:03"]);
    }
}
