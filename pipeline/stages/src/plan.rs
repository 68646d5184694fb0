//! The plan stage (orchestrator): analysis in the confined child, then ladder and cuts, written as `plan.json`.

use bytes::Bytes;
use mcsp_domain::{
    Analysis, Digest, Grid, Ladder, ObjectKey, Plan, PlanId, PlanRequest, Policy, Preset, Probe, Scheme,
};
use mcsp_runtime::{ObjectStore, PutIf, StageError};
use mcsp_sandbox::child::{FromChild, Work};
use mcsp_sandbox::{Sandbox, Source};

use crate::progress::{OnProgress, Progress};
use crate::transcode::{stage_error, start};

/// What an operator wants of a plan.
pub struct PlanOrder {
    /// The new plan's id.
    pub id: PlanId,
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
    /// How often this plan was tried, from 1.
    pub attempt: u32,
}

/// What the child said of a source.
pub struct Analysed {
    /// Its headers.
    pub probe: Probe,
    /// Its access points and lengths.
    pub analysis: Analysis,
    /// Name and version of the engine.
    pub engine: String,
}

/// Reads a source's headers in the confined child.
///
/// # Errors
/// `Reject` when the source is damaged, not supported or over a limit.
pub async fn probe(source: &Source, sandbox: &Sandbox, attempt: u32) -> Result<Probe, StageError> {
    let mut session = start(sandbox, source, Work::Probe, None, attempt).await?;
    let mut answer = None;
    while let Some(message) = session.next().await.map_err(|error| stage_error(error, attempt))? {
        if let FromChild::Probe(probe) = message {
            answer = Some(*probe);
        }
    }
    answer.ok_or_else(|| StageError::refuse("the child ended without a probe"))
}

/// Reads the whole source once in the confined child. Its headers are read first, in a child of their own: what they say
/// bounds the second child's time.
///
/// # Errors
/// As `probe`; a killed child is `Retry`.
pub async fn analyse(
    source: &Source,
    sandbox: &Sandbox,
    attempt: u32,
    on: OnProgress<'_>,
) -> Result<Analysed, StageError> {
    let headers = probe(source, sandbox, attempt).await?;
    let mut session = start(sandbox, source, Work::Analyse, Some(&headers), attempt).await?;
    let engine = session.hello().engine.clone();
    let (mut probe, mut analysis) = (None, None);
    while let Some(message) = session.next().await.map_err(|error| stage_error(error, attempt))? {
        match message {
            FromChild::Probe(read) => probe = Some(*read),
            FromChild::Analysis(read) => analysis = Some(*read),
            FromChild::Progress { permille } => on(Progress::Analysed { permille }),
            _ => return Err(StageError::refuse("the child answered an analysis with something else")),
        }
    }
    match (probe, analysis) {
        (Some(probe), Some(analysis)) => Ok(Analysed { probe, analysis, engine }),
        _ => Err(StageError::refuse("the child ended without an analysis")),
    }
}

/// Analyses a source, plans its ladder and chunks, and stores the plan. `digest` is the source's SHA-256.
///
/// # Errors
/// `Reject` when the source cannot be planned, `Retry` when the store or the child failed.
pub async fn plan(
    source: &Source,
    digest: Digest,
    order: &PlanOrder,
    sandbox: &Sandbox,
    store: &dyn ObjectStore,
    on: OnProgress<'_>,
) -> Result<Plan, StageError> {
    let Analysed { probe, mut analysis, engine } = analyse(source, sandbox, order.attempt, on).await?;
    let mut playable = playable(probe, &analysis);
    let ladder = Ladder::plan(&playable, &order.policy).map_err(|error| StageError::refuse(error.to_string()))?;
    drop_unwanted(&mut playable, &mut analysis, &ladder);
    let request = PlanRequest {
        id: order.id,
        source_digest: digest,
        engine,
        probe: playable,
        analysis,
        ladder,
        preset: order.preset,
        grid: order.grid,
        chunk_ms: order.chunk_ms,
        scheme: order.scheme,
    };
    let plan = Plan::new(request).map_err(|error| StageError::refuse(error.to_string()))?;
    let text =
        serde_json::to_vec_pretty(&plan).map_err(|error| StageError::reject("plan failed to serialise", error))?;
    store.put(&ObjectKey::plan(), Bytes::from(text), PutIf::Always).await?;
    Ok(plan)
}

/// Drops the tracks that the ladder makes nothing of, so that nothing waits for them.
fn drop_unwanted(probe: &mut Probe, analysis: &mut Analysis, ladder: &Ladder) {
    if ladder.video().next().is_none()
        && let Some(track) = probe.video.take()
    {
        analysis.video = None;
        probe.left_out.push(format!("stream {}: video {}, not in the ladder", track.stream_index, track.codec));
    }
    if ladder.audio().next().is_none()
        && let Some(track) = probe.audio.take()
    {
        analysis.audio = None;
        probe.left_out.push(format!("stream {}: audio {}, not in the ladder", track.stream_index, track.codec));
    }
}

/// Drops the tracks in which reading found no frame, and says so.
fn playable(mut probe: Probe, analysis: &Analysis) -> Probe {
    if analysis.video.is_none()
        && let Some(track) = probe.video.take()
    {
        probe.left_out.push(format!("stream {}: video {} without a decodable frame", track.stream_index, track.codec));
    }
    if analysis.audio.is_none()
        && let Some(track) = probe.audio.take()
    {
        probe.left_out.push(format!("stream {}: audio {} without a decodable sample", track.stream_index, track.codec));
    }
    probe
}
