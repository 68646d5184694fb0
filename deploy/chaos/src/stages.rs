//! The synthetic stages of a fault run: failures, a fan-out, real objects, a fan-in, and a desk with inbox and outbox.

use std::sync::Arc;
use std::time::Duration;

use mcsp_catalog::Receipt;
use mcsp_domain::{EventId, limits};
use mcsp_events::{
    ChunkTranscoded, GroupName, Inputs, Lane, Message, Outgoing, Published, Seal, Topic, TranscodeRequested,
    TranscodingCompleted, UploadCompleted, UploadInitiated,
};
use mcsp_runtime::stage::{Context, Stage};
use mcsp_runtime::{Completion, ObjectStore, PutIf, StageError, SubscribeOptions};
use tokio_util::sync::CancellationToken;

use crate::load::{CHUNKS, Fate, Load, chunk_key, number, plan};
use crate::world::World;

fn refuse(error: impl std::fmt::Display) -> StageError {
    StageError::refuse(error.to_string())
}

/// Takes uploads in: bad ones are rejected, flaky ones fail twice.
pub(crate) struct Ingest(pub(crate) Load);

impl Stage for Ingest {
    const NAME: &'static str = "ingest";
    const GROUP: &'static str = "upload-ingestor";
    type Input = UploadInitiated;
    const OUTPUTS: &'static [Topic] = &[Topic::UploadCompleted];

    async fn handle(&self, input: UploadInitiated, cx: &Context) -> Result<Vec<Outgoing>, StageError> {
        match self.0.fate(number(input.asset.content)) {
            Fate::Bad => Err(StageError::refuse("seeded as bad")),
            Fate::Flaky if cx.attempt() < 3 => Err(StageError::retry("seeded as flaky", "not yet")),
            Fate::Flaky | Fate::Good => {
                let (asset, owner, source) = (input.asset, input.owner, input.source);
                let completed = UploadCompleted {
                    asset,
                    owner,
                    source,
                    container: "none".to_owned(),
                    duration_ms: None,
                    file_name: input.file_name,
                    title: input.title,
                };
                Ok(vec![Outgoing::of(0, &completed)])
            }
        }
    }
}

/// Asks for the chunks of a content.
pub(crate) struct Split;

impl Stage for Split {
    const NAME: &'static str = "split";
    const GROUP: &'static str = "copyright-scanner";
    type Input = UploadCompleted;
    const OUTPUTS: &'static [Topic] = &[Topic::TranscodeRequestedInteractive];

    async fn handle(&self, input: UploadCompleted, _: &Context) -> Result<Vec<Outgoing>, StageError> {
        let request = |chunk: u32| TranscodeRequested {
            asset: input.asset.clone(),
            plan: plan(number(input.asset.content)),
            chunk,
            chunk_count: CHUNKS,
            source: input.source.clone(),
            source_digest: mcsp_domain::Digest::from_bytes([0; 32]),
            lane: Lane::Interactive,
            jobs: Vec::new(),
        };
        Ok((0..CHUNKS).map(|chunk| Outgoing::of(chunk, &request(chunk))).collect())
    }
}

/// Stores a chunk's object.
pub(crate) struct Work(pub(crate) Load, pub(crate) Arc<dyn ObjectStore>);

impl Stage for Work {
    const NAME: &'static str = "work";
    const GROUP: &'static str = "transcoder";
    type Input = TranscodeRequested;
    const OUTPUTS: &'static [Topic] = &[Topic::ChunkTranscoded];

    async fn handle(&self, input: TranscodeRequested, _: &Context) -> Result<Vec<Outgoing>, StageError> {
        let number = number(input.asset.content);
        tokio::time::sleep(Duration::from_millis(self.0.work_ms(number, input.chunk))).await;
        let key = chunk_key(number, input.chunk).map_err(refuse)?;
        self.1.put(&key, self.0.chunk(number, input.chunk).into(), PutIf::Absent).await?;
        let (asset, chunk) = (input.asset, input.chunk);
        let done = ChunkTranscoded { asset, plan: input.plan, chunk, chunk_count: input.chunk_count };
        Ok(vec![Outgoing::of(0, &done)])
    }
}

/// Tells that a content's chunks are all there.
pub(crate) struct Join(pub(crate) Arc<dyn ObjectStore>);

impl Stage for Join {
    const NAME: &'static str = "join";
    const GROUP: &'static str = "transcoding-orchestrator";
    type Input = ChunkTranscoded;
    const OUTPUTS: &'static [Topic] = &[Topic::TranscodingCompleted];

    async fn handle(&self, input: ChunkTranscoded, _: &Context) -> Result<Vec<Outgoing>, StageError> {
        for chunk in 0..input.chunk_count {
            let key = chunk_key(number(input.asset.content), chunk).map_err(refuse)?;
            if self.0.head(&key).await?.is_none() {
                return Ok(Vec::new());
            }
        }
        let rendition = mcsp_domain::RenditionName::unique("video", |_| false);
        let completed = TranscodingCompleted {
            asset: input.asset,
            plan: input.plan,
            variant: 0,
            variant_count: 1,
            rendition,
            kind: mcsp_domain::RenditionKind::Video,
            chunks: input.chunk_count,
        };
        Ok(vec![Outgoing::once(input.plan.as_bytes(), "completed", &completed)])
    }
}

/// The desk: inbox and outbox in one database transaction. Its event has a new id each time, so that an effect that was
/// doubled is seen.
pub(crate) struct Desk(pub(crate) mcsp_catalog::Catalog);

impl Stage for Desk {
    const NAME: &'static str = "desk";
    const GROUP: &'static str = "content";
    type Input = TranscodingCompleted;
    const OUTPUTS: &'static [Topic] = &[];

    async fn handle(&self, input: TranscodingCompleted, cx: &Context) -> Result<Vec<Outgoing>, StageError> {
        let database = |error| StageError::retry("the catalog failed", error);
        let mut tx = self.0.begin().await.map_err(database)?;
        if tx.receive(cx.namespace(), cx.headers().id, mcsp_runtime::now_us()).await.map_err(database)?
            == Receipt::Fresh
        {
            let event = Published {
                asset: input.asset,
                owner: mcsp_domain::UserId::new(1, &[0; 10]),
                plan: input.plan,
                published_us: 0,
            };
            tx.send(fresh(&event, Self::NAME).map_err(refuse)?).map_err(database)?;
        }
        tx.commit().await.map_err(database)?;
        Ok(Vec::new())
    }
}

/// A consumer without ledger and repeating ids: whether log alone commits outputs with offsets.
pub(crate) async fn bare_consumer(world: &World, shutdown: CancellationToken) -> anyhow::Result<()> {
    let group = GroupName::parse("virus-scanner")?;
    let options = SubscribeOptions { member: world.worker.clone(), lease: world.lease };
    let subscription = world.log.subscribe(&group, &UploadCompleted::topics(), options).await?;
    while !shutdown.is_cancelled() {
        let records = subscription.next(8, 4, Duration::from_millis(500)).await?;
        let mut at = 0;
        // One completion a partition's run, as the port asks.
        while let Some(first) = records.get(at) {
            let same = records[at..].iter().take_while(|record| record.partition == first.partition).count();
            let run = records[at..at + same].to_vec();
            at += same;
            let mut outputs = Vec::new();
            for record in &run {
                let input = UploadCompleted::read(&record.topic, &record.headers, &record.payload)?;
                let flagged = mcsp_events::ModerationFlagged {
                    asset: input.asset,
                    flagged_by: "bare consumer".to_owned(),
                    labels: Vec::new(),
                    confidence_permille: 0,
                    ranges: Vec::new(),
                };
                outputs.push(fresh(&flagged, "bare")?);
            }
            match subscription.complete(Completion { records: run, outputs }).await {
                Ok(_) | Err(mcsp_runtime::LogError::Fenced { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    subscription.close().await?;
    Ok(())
}

/// Seals an event under an id that nobody else has.
fn fresh(event: &impl mcsp_events::Event, source: &str) -> anyhow::Result<Message> {
    let seal = Seal { source, now_us: mcsp_runtime::now_us(), ..Seal::default() };
    let mut message = Outgoing::once(&[], source, event).seal(&seal)?;
    let mut random = [0; 16];
    fastrand::fill(&mut random);
    message.headers.id = EventId::from_bytes(random);
    debug_assert!(message.payload.len() <= limits::EVENT_BYTES_MAX, "small");
    Ok(message)
}
