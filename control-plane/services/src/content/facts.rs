//! Facts of the stages: each moves the content, its steps and its renditions in one transaction, and is then told to the
//! publish saga.
//!
//! The engine is told after the commit, since what the saga does reads the rows. A death between the two loses nothing: the
//! log gives the record again, the inbox says that its rows are written, and the engine is told all the same. Facts of another
//! revision than the current one are dropped, but for those that take down what viewers see.

use mcsp_catalog::{PackageRow, Receipt};
use mcsp_domain::{ContentId, ObjectKey, Plan, RenditionKind, RenditionName, Revision, StepName, StepState};
use mcsp_events::{
    Asset, ChunkTranscoded, ClearedBy, CopyrightCleared, DrmPackaged, ModerationDecided, ModerationFlagged, Outgoing,
    StageFailed, ThumbnailsGenerated, Topic, TranscodingCompleted, UploadBlocked, UploadCompleted, inputs,
};
use mcsp_runtime::stage::{Context, Stage};
use mcsp_runtime::{StageError, StoreError, now_us};
use mcsp_sagas::publish::{Fact, is_awaited};

use super::error::ContentError;
use super::life::{Life, Work, is_in_work};
use super::service::ContentService;
use super::state::{AssetFact, RenditionFact};

inputs! {
    /// What the content service hears.
    pub enum ContentFact {
        Checked(UploadCompleted),
        Blocked(UploadBlocked),
        Cleared(CopyrightCleared),
        Chunk(ChunkTranscoded),
        Completed(TranscodingCompleted),
        Packaged(DrmPackaged),
        Thumbnails(ThumbnailsGenerated),
        Failed(StageFailed),
        Flagged(ModerationFlagged),
        Decided(ModerationDecided),
    }
}

/// The stage that hears facts.
pub struct ContentFacts {
    service: ContentService,
}

/// The renditions of a plan, in the ladder's order.
type Ladder = Vec<(RenditionName, RenditionKind)>;

impl ContentFacts {
    /// Makes the stage.
    pub fn new(service: ContentService) -> Self {
        Self { service }
    }

    async fn hear(&self, fact: &ContentFact, cx: &Context) -> Result<(), ContentError> {
        let Some((content, revision)) = subject(fact) else { return Ok(()) };
        let ladder = match fact {
            ContentFact::Chunk(event) => self.ladder(event).await?,
            _ => Ladder::new(),
        };
        let mut tx = self.service.catalog().begin().await?;
        let now_us = now_us();
        if tx.receive(cx.namespace(), cx.headers().id, now_us).await? == Receipt::Fresh
            && let Some(life) = Life::open(&mut tx, content, Some(revision), now_us).await?
        {
            write(life, fact, Work::of(cx.headers()), &cx.headers().source, &ladder).await?;
        }
        let current = tx.content(content).await?.map(|row| row.revision);
        tx.commit().await?;
        match current {
            Some(current) if current == revision => self.tell(fact, content, revision).await,
            _ => Ok(()),
        }
    }

    /// Tells the engine. A revision whose source was approved before begins with that approval: nobody looks at the same
    /// bytes twice.
    async fn tell(&self, fact: &ContentFact, content: ContentId, revision: Revision) -> Result<(), ContentError> {
        let Some(told) = fact_of(fact) else { return Ok(()) };
        self.service.tell(&told, content, revision).await?;
        let ContentFact::Cleared(event) = fact else { return Ok(()) };
        let steps = self.service.catalog().steps(content, revision).await?;
        let moderate = steps.iter().find(|step| step.name == StepName::Moderate);
        let approved = moderate.is_some_and(|step| step.state == StepState::Done);
        if approved {
            let (asset, decided_by, reason) = (event.asset.clone(), "content".to_owned(), String::new());
            let decided = ModerationDecided { asset, approved, decided_by, reason };
            self.service.tell(&Fact::Decided(&decided), content, revision).await?;
        }
        Ok(())
    }

    /// Reads the renditions of a plan, at its first chunk. One whose plan cannot be found has none to show yet.
    async fn ladder(&self, event: &ChunkTranscoded) -> Result<Ladder, ContentError> {
        let Asset { content, revision, placement } = &event.asset;
        let publication = self.service.catalog().publication(*content, *revision).await?;
        if publication.is_none_or(|row| row.plan.is_some()) {
            return Ok(Ladder::new());
        }
        let store = self.service.inner.effects.buckets.of(placement)?;
        let Ok(key) = ObjectKey::work(*content, *revision, event.plan).join(&ObjectKey::plan()) else {
            return Ok(Ladder::new());
        };
        let text = match store.get(&key).await {
            Err(StoreError::NotFound { .. }) => return Ok(Ladder::new()),
            text => text?,
        };
        let variants = serde_json::from_slice::<Plan>(&text).map(|plan| plan.ladder.variants().to_vec());
        let named = |variant: &mcsp_domain::Variant| (variant.name().clone(), variant.kind());
        Ok(variants.unwrap_or_default().iter().map(named).collect())
    }
}

impl Stage for ContentFacts {
    const NAME: &'static str = "content";
    const GROUP: &'static str = "content";
    type Input = ContentFact;
    const OUTPUTS: &'static [Topic] = &[];

    async fn handle(&self, input: ContentFact, cx: &Context) -> Result<Vec<Outgoing>, StageError> {
        self.hear(&input, cx).await?;
        Ok(Vec::new())
    }
}

/// Returns the revision that a fact is about, where it is about one.
fn subject(fact: &ContentFact) -> Option<(ContentId, Revision)> {
    let asset = match fact {
        ContentFact::Checked(event) => &event.asset,
        ContentFact::Blocked(event) => &event.asset,
        ContentFact::Cleared(event) => &event.asset,
        ContentFact::Chunk(event) => &event.asset,
        ContentFact::Completed(event) => &event.asset,
        ContentFact::Packaged(event) => &event.asset,
        ContentFact::Thumbnails(event) => &event.asset,
        ContentFact::Flagged(event) => &event.asset,
        ContentFact::Decided(event) => &event.asset,
        ContentFact::Failed(event) => return Some((ContentId::parse(&event.content).ok()?, event.revision?)),
    };
    Some((asset.content, asset.revision))
}

/// Returns what the saga makes of a fact; some it does not look at.
fn fact_of(fact: &ContentFact) -> Option<Fact<'_>> {
    match fact {
        ContentFact::Cleared(event) => Some(Fact::Cleared(event)),
        ContentFact::Completed(event) => Some(Fact::Completed(event)),
        ContentFact::Packaged(event) => Some(Fact::Packaged(event)),
        ContentFact::Decided(event) => Some(Fact::Decided(event)),
        ContentFact::Failed(event) => Some(Fact::Failed(event)),
        ContentFact::Blocked(event) => Some(Fact::Blocked(event)),
        ContentFact::Checked(_) | ContentFact::Chunk(_) | ContentFact::Thumbnails(_) | ContentFact::Flagged(_) => None,
    }
}

/// Writes a fact down.
async fn write(
    mut life: Life<'_>,
    fact: &ContentFact,
    work: Work,
    source: &str,
    ladder: &Ladder,
) -> Result<(), ContentError> {
    if !life.is_current() {
        return match fact {
            ContentFact::Blocked(event) => take_down(life, &event.detail).await,
            ContentFact::Decided(event) if !event.approved => take_down(life, &event.reason).await,
            _ => Ok(()),
        };
    }
    match fact {
        ContentFact::Checked(event) => checked(&mut life, event, work).await?,
        ContentFact::Blocked(event) => {
            let step = if source == "copyright-scanner" { StepName::Copyright } else { StepName::Ingest };
            life.failed(step, work, &event.detail).await?;
            block(&mut life, &event.detail).await?;
        }
        ContentFact::Cleared(event) => cleared(&mut life, event, work).await?,
        ContentFact::Chunk(event) => chunk_stored(&mut life, event, work, ladder).await?,
        ContentFact::Completed(event) => completed(&mut life, event, work).await?,
        ContentFact::Packaged(event) => packaged(&mut life, event, work).await?,
        ContentFact::Thumbnails(_) => life.done(StepName::Thumbnails, work).await?,
        ContentFact::Failed(event) => failed(&mut life, event, work).await?,
        ContentFact::Flagged(event) => flagged(&mut life, event).await?,
        ContentFact::Decided(event) => decided(&mut life, event, work).await?,
    }
    life.save().await
}

async fn checked(life: &mut Life<'_>, event: &UploadCompleted, work: Work) -> Result<(), ContentError> {
    life.move_by(AssetFact::Checked, None)?;
    life.publication.duration_ms = event.duration_ms.or(life.publication.duration_ms);
    let follows = work.follows();
    life.done(StepName::Ingest, work).await?;
    if is_in_work(life.content.state) {
        life.running(StepName::Copyright, follows.clone(), "").await?;
        life.running(StepName::Moderate, follows, "").await?;
    }
    Ok(())
}

async fn cleared(life: &mut Life<'_>, event: &CopyrightCleared, work: Work) -> Result<(), ContentError> {
    let by_people = event.cleared_by == ClearedBy::Review;
    life.move_by(AssetFact::Cleared { by_people }, None)?;
    let follows = work.follows();
    life.done(StepName::Copyright, work).await?;
    if is_in_work(life.content.state) {
        life.running(StepName::Plan, follows, "").await?;
    }
    Ok(())
}

async fn chunk_stored(
    life: &mut Life<'_>,
    event: &ChunkTranscoded,
    work: Work,
    ladder: &Ladder,
) -> Result<(), ContentError> {
    life.publication.plan = life.publication.plan.or(Some(event.plan));
    // Nobody says when the plan was made: the first chunk's work began when it was.
    life.done(StepName::Plan, Work { attempt: 1, ended_us: work.started_us, ..Work::default() }).await?;
    let (content, revision) = (life.content.id, life.publication.revision);
    let stored = life.tx.count_chunk(content, revision).await?;
    for (name, kind) in ladder {
        life.rendition(name, *kind, RenditionFact::ChunkStored, "").await?;
    }
    if !is_in_work(life.content.state) {
        return Ok(());
    }
    let began_us = life.began_us(StepName::Transcode).or(work.started_us);
    let work = Work { started_us: began_us, ..work };
    life.running(StepName::Transcode, work, &format!("{stored} of {} chunks", event.chunk_count)).await
}

async fn completed(life: &mut Life<'_>, event: &TranscodingCompleted, work: Work) -> Result<(), ContentError> {
    life.publication.plan = life.publication.plan.or(Some(event.plan));
    life.rendition(&event.rendition, event.kind, RenditionFact::Completed, "").await?;
    let whole = |row: &mcsp_catalog::RenditionRow| {
        matches!(row.state, mcsp_domain::RenditionState::Transcoded | mcsp_domain::RenditionState::Packaged)
    };
    let complete = life.renditions().await?.iter().filter(|row| whole(row)).count();
    if complete < usize::from(event.variant_count) {
        return Ok(());
    }
    // The last chunk's worker, not who counted, did the work.
    let (worker, attempt) = life.worker_of(StepName::Transcode).unwrap_or((work.worker, work.attempt));
    let ended = Work { worker, attempt, started_us: None, ended_us: work.ended_us };
    let follows = ended.follows();
    life.done(StepName::Transcode, ended).await?;
    if is_in_work(life.content.state) {
        life.running(StepName::Package, follows.clone(), "").await?;
        if event.kind == RenditionKind::Video
            || life.renditions().await?.iter().any(|row| row.kind == RenditionKind::Video)
        {
            life.running(StepName::Thumbnails, follows, "").await?;
        }
    }
    Ok(())
}

async fn packaged(life: &mut Life<'_>, event: &DrmPackaged, work: Work) -> Result<(), ContentError> {
    life.publication.plan = Some(event.plan);
    life.publication.duration_ms = Some(event.duration_ms);
    life.publication.package = Some(PackageRow {
        plan: event.plan,
        folder: event.folder.clone(),
        hls: event.hls.clone(),
        dash: event.dash.clone(),
        scheme: event.scheme.clone(),
        kids: event.kids.clone(),
        bytes: event.bytes,
        duration_ms: event.duration_ms,
    });
    for row in life.renditions().await? {
        life.rendition(&row.name, row.kind, RenditionFact::Packaged, "").await?;
    }
    life.done(StepName::Package, work).await
}

async fn failed(life: &mut Life<'_>, event: &StageFailed, work: Work) -> Result<(), ContentError> {
    let Some(step) = step_of(event) else { return Ok(()) };
    let work = Work { attempt: event.attempts, ..work };
    life.failed(step, work, &event.error).await?;
    if !is_awaited(event) {
        return Ok(());
    }
    let reason = format!("{step} gave up: {}", event.error);
    if step == StepName::Transcode {
        for row in life.renditions().await? {
            life.rendition(&row.name, row.kind, RenditionFact::GivenUp, &event.error).await?;
        }
    }
    let was_in_work = is_in_work(life.content.state);
    life.move_by(AssetFact::GivenUp, Some(&reason))?;
    if was_in_work { life.stop_steps("work on it was given up").await } else { Ok(()) }
}

async fn flagged(life: &mut Life<'_>, event: &ModerationFlagged) -> Result<(), ContentError> {
    let step = if event.flagged_by == "copyright-scanner" { StepName::Copyright } else { StepName::Moderate };
    // The verdict may have overtaken its flag.
    if life.is_done(step) || !is_in_work(life.content.state) {
        return Ok(());
    }
    let reason = format!("people look at it: {}", event.labels.join(", "));
    life.move_by(AssetFact::Flagged, Some(&reason))?;
    let began_us = life.began_us(step).or(Some(life.now_us));
    life.running(step, Work { started_us: began_us, ..Work::default() }, &reason).await
}

async fn decided(life: &mut Life<'_>, event: &ModerationDecided, work: Work) -> Result<(), ContentError> {
    if event.approved {
        let rights_clear = life.is_done(StepName::Copyright);
        life.done(StepName::Moderate, work).await?;
        return Ok(life.move_by(AssetFact::Approved { rights_clear }, None)?);
    }
    life.failed(StepName::Moderate, work, &event.reason).await?;
    block(life, &event.reason).await
}

/// Ends a revision, and takes it down where viewers see it.
async fn block(life: &mut Life<'_>, reason: &str) -> Result<(), ContentError> {
    life.move_by(AssetFact::Blocked, Some(reason))?;
    life.stop_steps("ended by a scan or a moderator").await?;
    hide(life).await
}

/// Takes an older revision down where viewers see it.
async fn take_down(mut life: Life<'_>, reason: &str) -> Result<(), ContentError> {
    if life.content.published_revision == Some(life.publication.revision) {
        life.content.reason = Some(format!("the published revision was taken down: {reason}"));
        hide(&mut life).await?;
    }
    life.save().await
}

async fn hide(life: &mut Life<'_>) -> Result<(), ContentError> {
    let (content, revision) = (life.content.id, life.publication.revision);
    if life.content.published_revision == Some(revision) {
        life.content.published_revision = None;
        life.tx.drop_document_of(content, revision).await?;
    }
    Ok(())
}

/// Returns the step that a given-up record belongs to.
fn step_of(event: &StageFailed) -> Option<StepName> {
    let step = match event.group.as_str() {
        "upload-ingestor" | "virus-scanner" => StepName::Ingest,
        "copyright-scanner" if event.topic == Topic::UploadCompleted.name() => StepName::Copyright,
        "ai-moderation" => StepName::Moderate,
        "transcoding-orchestrator" if event.topic == Topic::CopyrightCleared.name() => StepName::Plan,
        "transcoding-orchestrator" | "transcoder" | "transcoder-bulk" => StepName::Transcode,
        "drm-packager" if event.topic == Topic::TranscodingCompleted.name() => StepName::Package,
        "thumbnail-generator" => StepName::Thumbnails,
        "indexer" => StepName::Index,
        _ => return None,
    };
    Some(step)
}
