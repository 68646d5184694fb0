//! The orchestrator of transcoding as a stage: a cleared upload becomes a plan and one request a chunk; when a variant's
//! last chunk is stored, its completion is told, once.

use mcsp_domain::{EventId, Grid, ObjectKey, Plan, PlanId, Policy, Preset, Scheme, Variant};
use mcsp_events::{
    Asset, ChunkTranscoded, CopyrightCleared, Outgoing, Topic, TranscodeRequested, TranscodingCompleted, VariantJob,
    inputs,
};
use mcsp_runtime::StageError;
use mcsp_runtime::stage::{Context, Stage};
use mcsp_sandbox::Sandbox;

use crate::assemble::missing_chunk;
use crate::plan::{PlanOrder, plan};
use crate::progress::Progress;
use crate::stores::{Stores, digest};

inputs! {
    /// What the orchestrator hears.
    pub enum Heard { Cleared(CopyrightCleared), Chunk(ChunkTranscoded) }
}

/// What an operator wants of every plan.
#[derive(Clone, Debug)]
pub struct PlanSettings {
    /// The rungs.
    pub policy: Policy,
    /// x264's preset.
    pub preset: Preset,
    /// The output grid.
    pub grid: Grid,
    /// A fixed chunk length, or the ramp.
    pub chunk_ms: Option<u32>,
    /// The protection scheme; `None` leaves renditions clear.
    pub scheme: Option<Scheme>,
}

/// The stage.
pub struct Orchestrator {
    stores: Stores,
    sandbox: Sandbox,
    settings: PlanSettings,
}

impl Orchestrator {
    /// Makes the stage.
    pub fn new(stores: Stores, sandbox: Sandbox, settings: PlanSettings) -> Self {
        Self { stores, sandbox, settings }
    }

    async fn cleared(&self, event: CopyrightCleared, cx: &Context) -> Result<Vec<Outgoing>, StageError> {
        let id = plan_id(cx);
        let work = self.stores.work(&event.asset, id)?;
        let plan = match work.head(&ObjectKey::plan()).await? {
            Some(_) => self.stores.plan(&event.asset, id).await?,
            None => self.make_plan(&event, id, cx).await?,
        };
        tracing::info!(content = %event.asset.content, plan = %id, chunks = plan.chunks.len(), "planned");
        Ok(requests(&event, &plan))
    }

    async fn make_plan(&self, event: &CopyrightCleared, id: PlanId, cx: &Context) -> Result<Plan, StageError> {
        let source = self.stores.source(&event.asset, &event.source).await?;
        let digest = digest(&source).await?;
        let settings = &self.settings;
        let order = PlanOrder {
            id,
            policy: settings.policy.clone(),
            preset: settings.preset,
            grid: settings.grid,
            chunk_ms: settings.chunk_ms,
            scheme: settings.scheme,
            attempt: cx.attempt(),
        };
        let on = |progress: Progress<'_>| {
            if let Progress::Analysed { permille } = progress {
                cx.progress(permille, "analysing");
            }
        };
        let work = self.stores.work(&event.asset, id)?;
        plan(&source, digest, &order, &self.sandbox, work.as_ref(), &on).await
    }

    async fn chunk(&self, event: ChunkTranscoded) -> Result<Vec<Outgoing>, StageError> {
        let work = self.stores.work(&event.asset, event.plan)?;
        let plan = self.stores.plan(&event.asset, event.plan).await?;
        if missing_chunk(&plan, work.as_ref()).await?.is_some() {
            return Ok(Vec::new());
        }
        Ok(completions(&event.asset, &plan))
    }
}

impl Stage for Orchestrator {
    const NAME: &'static str = "transcoding-orchestrator";
    const GROUP: &'static str = "transcoding-orchestrator";
    type Input = Heard;
    const OUTPUTS: &'static [Topic] =
        &[Topic::TranscodeRequestedInteractive, Topic::TranscodeRequestedBulk, Topic::TranscodingCompleted];

    async fn handle(&self, input: Heard, cx: &Context) -> Result<Vec<Outgoing>, StageError> {
        match input {
            Heard::Cleared(event) => self.cleared(event, cx).await,
            Heard::Chunk(event) => self.chunk(event).await,
        }
    }
}

/// Returns the plan's id, which follows from the event: a plan that is made again has the same name.
fn plan_id(cx: &Context) -> PlanId {
    PlanId::of_event(cx.headers().id, cx.headers().time_us)
}

/// Returns one request for each chunk, with one job for each variant that has anything in it.
fn requests(event: &CopyrightCleared, plan: &Plan) -> Vec<Outgoing> {
    let chunk_count = u32::try_from(plan.chunks.len()).unwrap_or(u32::MAX);
    let request = |chunk: &mcsp_domain::Chunk| TranscodeRequested {
        asset: event.asset.clone(),
        plan: plan.id,
        chunk: chunk.index,
        chunk_count,
        source: event.source.clone(),
        source_digest: plan.source_digest,
        lane: event.lane,
        jobs: jobs(plan, chunk),
    };
    plan.chunks.iter().map(|chunk| Outgoing::of(chunk.index, &request(chunk))).collect()
}

fn jobs(plan: &Plan, chunk: &mcsp_domain::Chunk) -> Vec<VariantJob> {
    let variants = plan.ladder.variants().iter().zip(0_u16..).filter(|(variant, _)| has_frames(chunk, variant));
    let job = |(variant, index): (&Variant, u16)| VariantJob {
        job: EventId::derived(&[b"job", plan.id.as_bytes(), &index.to_be_bytes(), &chunk.index.to_be_bytes()]),
        variant: index,
        rendition: variant.name().clone(),
    };
    variants.map(job).collect()
}

/// Returns one completion for each variant; two workers that both see the last chunk say the same ones.
fn completions(asset: &Asset, plan: &Plan) -> Vec<Outgoing> {
    let variants = plan.ladder.variants();
    let completion = |(variant, index): (&Variant, u16)| {
        let chunks = plan.chunks.iter().filter(|chunk| has_frames(chunk, variant)).count();
        let event = TranscodingCompleted {
            asset: asset.clone(),
            plan: plan.id,
            variant: index,
            variant_count: u16::try_from(variants.len()).unwrap_or(u16::MAX),
            rendition: variant.name().clone(),
            kind: variant.kind(),
            chunks: u32::try_from(chunks).unwrap_or(u32::MAX),
        };
        Outgoing::once(plan.id.as_bytes(), variant.name().as_str(), &event)
    };
    variants.iter().zip(0_u16..).map(completion).collect()
}

/// Returns whether a chunk holds anything of a variant.
pub(crate) fn has_frames(chunk: &mcsp_domain::Chunk, variant: &Variant) -> bool {
    match variant {
        Variant::Video(_) => chunk.video.is_some(),
        Variant::Audio(_) => chunk.audio.as_ref().is_some_and(|audio| audio.first_frame < audio.end_frame),
    }
}
