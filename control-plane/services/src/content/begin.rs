//! New revisions of a source that is stored already: retries and reprocessing.
//!
//! A new attempt is a revision of its own, and not the old one's saga going on: that one was cancelled and undone by then, and
//! whatever is still said of the old revision is dropped, so that no late failure ends the new attempt. What it need not do
//! again is carried over: checks and approvals, since the bytes are the same, and complete chunks, which are copied into the
//! new plan's folder before `media.copyright.cleared` is said. The plan's name follows from that event
//! (`PlanId::of_event`), the orchestrator finds the plan there, and transcoders answer at once for every chunk that is whole.

use mcsp_catalog::{PublicationRow, ReuseRow, StepRow, Tx};
use mcsp_domain::{ContentId, PlanId, Revision, SessionId, StepName, StepState};
use mcsp_events::{ClearedBy, CopyrightCleared, Lane, Message, Outgoing, Seal, SourceObject, UploadInitiated};
use mcsp_runtime::telemetry;

use super::error::ContentError;
use super::life::{Life, SERVICE, Work};
use super::objects::{WorkFolder, copy_work};
use super::service::ContentService;
use super::state::AssetFact;

/// Where a new revision's work begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// With the checks: nobody has cleared these bytes.
    Ingest,
    /// With the plan.
    Plan,
    /// With the chunks that the base has.
    Chunks(PlanId),
}

/// How a new revision begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beginning {
    pub(super) content: ContentId,
    /// The revision that it is made after.
    pub(super) base: Revision,
    pub(super) start: Start,
    pub(super) lane: Lane,
    pub(super) cleared_by: ClearedBy,
    pub(super) now_us: i64,
}

/// Steps that a source passes once.
const OF_SOURCE: [StepName; 4] = [StepName::Upload, StepName::Ingest, StepName::Copyright, StepName::Moderate];

/// Returns how a failed revision is tried again: with its chunks where its source was let through, from the checks where not.
pub(super) fn retry_start(steps: &[StepRow], plan: Option<PlanId>) -> Start {
    let is_done = |name| steps.iter().any(|step| step.name == name && step.state == StepState::Done);
    if !OF_SOURCE.into_iter().all(is_done) {
        return Start::Ingest;
    }
    plan.map_or(Start::Plan, Start::Chunks)
}

/// Begins a new revision in a transaction, and says what starts its work. One that begins with chunks waits for them to be
/// copied in the background.
///
/// # Errors
/// `WrongState` when the base has no source any more, `Illegal` when the content's state admits no new revision, or when the
/// catalog fails.
pub(super) async fn begin(tx: &mut Tx, how: Beginning) -> Result<Revision, ContentError> {
    let Beginning { content, base, now_us, .. } = how;
    let missing = ContentError::NotFound { content };
    let Some(row) = tx.content(content).await? else { return Err(missing) };
    let Some(publication) = tx.publication(content, base).await? else { return Err(missing) };
    let Some(source) = publication.source.clone() else {
        let needed = "its source is not stored any more: upload it again";
        return Err(ContentError::WrongState { content, state: row.state, needed });
    };
    let newest = tx.newest_revision(content).await?.unwrap_or(row.revision);
    let revision = newest.next();
    let session = publication.session;
    let fresh =
        PublicationRow { revision, plan: None, package: None, created_us: now_us, published_us: None, ..publication };
    tx.insert_publication(&fresh).await?;
    let Some(mut life) = Life::open(tx, content, Some(revision), now_us).await? else { return Err(missing) };
    let begun = if how.start == Start::Ingest { AssetFact::BegunFromIngest } else { AssetFact::BegunCleared };
    life.move_by(begun, None)?;
    life.content.revision = revision;
    life.content.reason = None;
    say(&mut life, how, source, session).await?;
    life.save().await?;
    Ok(revision)
}

/// Writes the first steps, and says what starts the work.
async fn say(
    life: &mut Life<'_>,
    how: Beginning,
    source: SourceObject,
    session: Option<SessionId>,
) -> Result<(), ContentError> {
    let (content, revision, now_us) = (how.content, life.publication.revision, how.now_us);
    if how.start == Start::Ingest {
        life.carried(StepName::Upload, how.base).await?;
        life.running(StepName::Ingest, Work::begun(now_us), "").await?;
        let event = UploadInitiated {
            asset: life.asset(),
            owner: life.content.owner,
            // A source always came by an upload; one of an operator's has none to name.
            session: session.unwrap_or_else(|| SessionId::from_bytes(*content.as_bytes())),
            source,
            file_name: life.publication.file_name.clone(),
            title: life.content.title.clone(),
        };
        return life.send(Outgoing::once(content.as_bytes(), &format!("initiated/{revision}"), &event));
    }
    for step in OF_SOURCE {
        life.carried(step, how.base).await?;
    }
    life.running(StepName::Plan, Work::begun(now_us), "").await?;
    match how.start {
        Start::Chunks(from_plan) => {
            let row = ReuseRow {
                content,
                revision,
                from_revision: how.base,
                from_plan,
                lane: written(&how.lane),
                cleared_by: written(&how.cleared_by),
                said_us: now_us,
            };
            Ok(life.tx.insert_reuse(&row).await?)
        }
        Start::Plan | Start::Ingest => {
            let message = cleared(life, &how, source)?;
            Ok(life.tx.send(message)?)
        }
    }
}

/// Returns the event that starts the work of a cleared source. Its id and time follow from the revision's row, so that
/// whoever says it says the same, and its plan has one name.
fn cleared(life: &Life<'_>, how: &Beginning, source: SourceObject) -> Result<Message, ContentError> {
    let revision = life.publication.revision;
    let event = CopyrightCleared {
        asset: life.asset(),
        owner: life.content.owner,
        source,
        cleared_by: how.cleared_by,
        lane: how.lane,
    };
    let seal = Seal {
        source: SERVICE,
        now_us: how.now_us,
        traceparent: telemetry::current_traceparent(),
        worker: Some(SERVICE),
        attempt: Some(1),
        started_us: Some(how.now_us),
        ..Seal::default()
    };
    Ok(Outgoing::once(how.content.as_bytes(), &format!("cleared/{revision}"), &event).seal(&seal)?)
}

impl ContentService {
    /// Copies the chunks that a revision waits for, and lets it begin. One that is no longer wanted waits no longer.
    ///
    /// # Errors
    /// When a store or the catalog fails; doing it again goes on.
    pub(super) async fn reuse(&self, row: &ReuseRow) -> Result<(), ContentError> {
        let Some(content) = self.catalog().content(row.content).await? else { return Ok(()) };
        let is_wanted = content.revision == row.revision && super::life::is_in_work(content.state);
        if is_wanted {
            let store = self.inner.effects.buckets.of(&content.placement)?;
            let mut tx = self.catalog().begin().await?;
            let message = self.reuse_message(&mut tx, row).await?;
            // The copy takes its time: the catalog's writer is not held meanwhile.
            drop(tx);
            let plan = PlanId::of_event(message.headers.id, message.headers.time_us);
            let from = WorkFolder { content: row.content, revision: row.from_revision, plan: row.from_plan };
            let to = WorkFolder { content: row.content, revision: row.revision, plan };
            let copied = copy_work(store.as_ref(), from, to).await?;
            tracing::info!(content = %row.content, revision = %row.revision, ?copied, "chunks are taken over");
        }
        let mut tx = self.catalog().begin().await?;
        if tx.take_reuse(row.content, row.revision).await? && is_wanted {
            let message = self.reuse_message(&mut tx, row).await?;
            tx.send(message)?;
        }
        Ok(tx.commit().await?)
    }

    async fn reuse_message(&self, tx: &mut Tx, row: &ReuseRow) -> Result<Message, ContentError> {
        let missing = ContentError::NotFound { content: row.content };
        let life = Life::open(tx, row.content, Some(row.revision), row.said_us).await?;
        let Some(life) = life else { return Err(missing) };
        let Some(source) = life.publication.source.clone() else { return Err(missing) };
        let how = Beginning {
            content: row.content,
            base: row.from_revision,
            start: Start::Chunks(row.from_plan),
            lane: if row.lane == written(&Lane::Bulk) { Lane::Bulk } else { Lane::Interactive },
            cleared_by: if row.cleared_by == written(&ClearedBy::Operator) {
                ClearedBy::Operator
            } else {
                ClearedBy::Scanner
            },
            now_us: row.said_us,
        };
        cleared(&life, &how, source)
    }
}

/// Returns a word as events write it.
fn written(word: &impl serde::Serialize) -> String {
    match serde_json::to_value(word) {
        Ok(serde_json::Value::String(text)) => text,
        other => unreachable!("a word of an event is text, and not {other:?}"),
    }
}
