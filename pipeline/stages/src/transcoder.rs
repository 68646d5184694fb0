//! The transcode workers as stages: a request for one chunk in, its stored objects and one event out. The two lanes are two
//! groups over one piece of code, so that reprocessing never takes a slot from people who wait.

use std::sync::{Arc, Mutex};

use mcsp_domain::{Plan, PlanId};
use mcsp_events::{Asset, ChunkTranscoded, Inputs, Outgoing, Topic, TopicName, TranscodeRequested};
use mcsp_runtime::StageError;
use mcsp_runtime::stage::{Context, Stage};
use mcsp_sandbox::Sandbox;

use crate::progress::Progress;
use crate::stores::Stores;
use crate::transcode::{stored_report, transcode};

/// A worker of one lane.
pub struct ChunkWorker<const BULK: bool> {
    stores: Stores,
    sandbox: Sandbox,
    /// The plan of the last chunk: its neighbours follow.
    last: Mutex<Option<(PlanId, Arc<Plan>)>>,
}

/// The worker for requests that somebody waits for.
pub type Transcoder = ChunkWorker<false>;
/// The worker for reprocessing.
pub type BulkTranscoder = ChunkWorker<true>;

/// A request of one lane.
pub struct Request<const BULK: bool>(TranscodeRequested);

impl<const BULK: bool> Inputs for Request<BULK> {
    fn topics() -> Vec<TopicName> {
        let topic = if BULK { Topic::TranscodeRequestedBulk } else { Topic::TranscodeRequestedInteractive };
        vec![topic.into()]
    }

    fn read(
        topic: &TopicName,
        headers: &mcsp_events::Headers,
        payload: &[u8],
    ) -> Result<Self, mcsp_events::EventError> {
        TranscodeRequested::read(topic, headers, payload).map(Self)
    }
}

impl<const BULK: bool> ChunkWorker<BULK> {
    /// Makes the stage.
    pub fn new(stores: Stores, sandbox: Sandbox) -> Self {
        Self { stores, sandbox, last: Mutex::new(None) }
    }

    async fn plan(&self, asset: &Asset, id: PlanId) -> Result<Arc<Plan>, StageError> {
        let lock = || self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((last, plan)) = lock().as_ref()
            && *last == id
        {
            return Ok(Arc::clone(plan));
        }
        let plan = Arc::new(self.stores.plan(asset, id).await?);
        *lock() = Some((id, Arc::clone(&plan)));
        Ok(plan)
    }

    async fn work(&self, event: TranscodeRequested, cx: &Context) -> Result<Vec<Outgoing>, StageError> {
        let plan = self.plan(&event.asset, event.plan).await?;
        let index = usize::try_from(event.chunk).unwrap_or(usize::MAX);
        let chunk = plan.chunks.get(index).filter(|chunk| chunk.index == event.chunk);
        let Some(chunk) = chunk else {
            return Err(StageError::refuse(format!("plan {} has no chunk {}", plan.id, event.chunk)));
        };
        let work = self.stores.work(&event.asset, event.plan)?;
        if stored_report(chunk, work.as_ref()).await?.is_none() {
            let source = self.stores.source(&event.asset, &event.source).await?;
            let length_s = chunk_length_s(&plan, chunk).max(0.001);
            let on = |progress: Progress<'_>| {
                if let Progress::Encoded { rendition, seconds, .. } = progress {
                    cx.progress(permille(seconds / length_s), rendition.as_str());
                }
            };
            transcode(&plan, chunk, &source, &self.sandbox, work.as_ref(), cx.attempt(), &on).await?;
        }
        let done = ChunkTranscoded {
            asset: event.asset,
            plan: event.plan,
            chunk: event.chunk,
            chunk_count: event.chunk_count,
        };
        // Once a plan, not once a request: a request that was said twice is one chunk.
        Ok(vec![Outgoing::once(event.plan.as_bytes(), &format!("chunk/{}", event.chunk), &done)])
    }
}

impl<const BULK: bool> Stage for ChunkWorker<BULK> {
    const NAME: &'static str = if BULK { "transcoder-bulk" } else { "transcoder" };
    const GROUP: &'static str = Self::NAME;
    type Input = Request<BULK>;
    const OUTPUTS: &'static [Topic] = &[Topic::ChunkTranscoded];

    async fn handle(&self, input: Request<BULK>, cx: &Context) -> Result<Vec<Outgoing>, StageError> {
        self.work(input.0, cx).await
    }
}

fn chunk_length_s(plan: &Plan, chunk: &mcsp_domain::Chunk) -> f64 {
    let at_s = |segment: u64| segment as f64 * f64::from(plan.grid.segment_ms()) / 1000.0;
    chunk.end_segment.map_or(plan.duration_s(), at_s) - at_s(chunk.first_segment)
}

/// Turns a share into thousandths.
fn permille(share: f64) -> u16 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=1000 before")]
    let permille = (share * 1000.0).clamp(0.0, 1000.0) as u16;
    permille
}
