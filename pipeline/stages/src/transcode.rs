//! The transcode stage: one chunk, decoded once in the confined child, every variant's access units written by our own
//! muxer as clear CMAF chunk objects.

use std::time::Instant;

use bytes::Bytes;
use mcsp_domain::{Chunk, ObjectKey, Plan, Probe, Variant};
use mcsp_runtime::{ObjectStore, PutIf, StageError};
use mcsp_sandbox::child::{AudioJob, AudioRung, FromChild, Isolation, Layer, TranscodeJob, VideoJob, VideoRung, Work};
use mcsp_sandbox::{Retry, Sandbox, SandboxError, Session, Source};
use serde::{Deserialize, Serialize};

use crate::progress::{OnProgress, Progress};
use crate::track_writer::TrackWriter;

/// What came of one chunk; stored after its objects, so that a chunk with a report is complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChunkReport {
    /// The chunk.
    pub chunk: u32,
    /// How far the child had to confine itself.
    pub isolation: Isolation,
    /// How the child was confined.
    pub layers: Vec<Layer>,
    /// Wall-clock milliseconds from the child's start to the last object.
    pub wall_ms: u64,
    /// One entry a variant, in the ladder's order; variants without a frame in this chunk have none.
    pub tracks: Vec<TrackReport>,
}

/// What came of one variant in one chunk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrackReport {
    /// Index of the variant in the ladder.
    pub variant: u16,
    /// Access units written.
    pub frames: u64,
    /// Bytes of all access units.
    pub sample_bytes: u64,
    /// Source frames that were left out, with the reasons.
    pub dropped: Vec<String>,
}

/// Returns a stored chunk's report, or nothing where the chunk is not complete.
///
/// # Errors
/// When the store fails or the report does not parse.
pub async fn stored_report(chunk: &Chunk, store: &dyn ObjectStore) -> Result<Option<ChunkReport>, StageError> {
    let key = ObjectKey::chunk_report(chunk.index);
    if store.head(&key).await?.is_none() {
        return Ok(None);
    }
    let text = store.get(&key).await?;
    let report =
        serde_json::from_slice(&text).map_err(|error| StageError::reject(format!("{key} is damaged"), error))?;
    Ok(Some(report))
}

/// Transcodes one chunk and stores an object for each variant, then the chunk's report. Objects are first-wins: a chunk
/// that runs twice leaves the bytes of its first run, which are the same. `attempt` counts from 1.
///
/// # Errors
/// `Reject` when the source or the child's answers are wrong, `Retry` when the child was killed or the store failed.
pub async fn transcode(
    plan: &Plan,
    chunk: &Chunk,
    source: &Source,
    sandbox: &Sandbox,
    store: &dyn ObjectStore,
    attempt: u32,
    on: OnProgress<'_>,
) -> Result<ChunkReport, StageError> {
    let started = Instant::now();
    let failed = |error| stage_error(error, attempt);
    let job = transcode_job(plan, chunk)?;
    let work = Work::Transcode(Box::new(job));
    let mut session = start(sandbox, source, work, Some(&plan.probe), attempt).await?;
    if session.hello().engine != plan.engine {
        let (now, then) = (&session.hello().engine, &plan.engine);
        return Err(StageError::refuse(format!(
            "media engine is {now}, the plan was made with {then}: start a new run"
        )));
    }
    let mut writers = writers(plan, chunk);
    while let Some(message) = session.next().await.map_err(failed)? {
        accept(message, plan, chunk, &mut writers, store, on).await?;
    }
    let mut tracks = Vec::new();
    for writer in writers.into_iter().flatten() {
        tracks.push(writer.into_report()?);
    }
    check_frame_counts(plan, &tracks)?;
    let wall_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let report = ChunkReport {
        chunk: chunk.index,
        isolation: sandbox.isolation(),
        layers: session.hello().layers.clone(),
        wall_ms,
        tracks,
    };
    let text =
        serde_json::to_vec(&report).map_err(|error| StageError::reject("chunk report failed to serialise", error))?;
    store.put(&ObjectKey::chunk_report(chunk.index), Bytes::from(text), PutIf::Always).await?;
    Ok(report)
}

/// Takes in one answer of the child.
async fn accept(
    message: FromChild,
    plan: &Plan,
    chunk: &Chunk,
    writers: &mut [Option<TrackWriter>],
    store: &dyn ObjectStore,
    on: OnProgress<'_>,
) -> Result<(), StageError> {
    let unknown =
        |track: u16| StageError::refuse(format!("the child answered for track {track}, which it was not given"));
    match message {
        FromChild::Config(config) => {
            let slot = writers.get_mut(usize::from(config.track)).and_then(Option::as_mut);
            let writer = slot.ok_or_else(|| unknown(config.track))?;
            writer.configure(config.decoder_config, chunk.index, store).await
        }
        FromChild::AccessUnit { track, key, pts, bytes } => {
            let slot = writers.get_mut(usize::from(track)).and_then(Option::as_mut);
            let writer = slot.ok_or_else(|| unknown(track))?;
            let fragment_done = writer.push(key, pts, bytes).await?;
            if let (true, Some(variant)) = (fragment_done, plan.ladder.variants().get(usize::from(track))) {
                on(Progress::Encoded { rendition: variant.name(), seconds: writer.seconds(), frames: writer.frames() });
            }
            Ok(())
        }
        FromChild::End(end) => {
            let slot = writers.get_mut(usize::from(end.track)).and_then(Option::as_mut);
            slot.ok_or_else(|| unknown(end.track))?.finish(end.next_pts, end.frames, end.dropped).await
        }
        FromChild::Progress { .. } => Ok(()),
        _ => Err(StageError::refuse("the child answered a transcode with something else")),
    }
}

/// Returns one writer for each variant that the chunk holds.
fn writers(plan: &Plan, chunk: &Chunk) -> Vec<Option<TrackWriter>> {
    let writer = |(index, variant): (usize, &Variant)| {
        let wanted = match variant {
            Variant::Video(_) => chunk.video.is_some(),
            Variant::Audio(_) => chunk.audio.as_ref().is_some_and(|audio| audio.first_frame < audio.end_frame),
        };
        wanted.then(|| TrackWriter::new(plan, variant, u16::try_from(index).unwrap_or(u16::MAX)))
    };
    plan.ladder.variants().iter().enumerate().map(writer).collect()
}

/// Every video rung must have the same frames: they came from one decode.
fn check_frame_counts(plan: &Plan, tracks: &[TrackReport]) -> Result<(), StageError> {
    let is_video = |track: &&TrackReport| {
        matches!(plan.ladder.variants().get(usize::from(track.variant)), Some(Variant::Video(_)))
    };
    let mut video = tracks.iter().filter(is_video);
    let Some(first) = video.next() else { return Ok(()) };
    match video.find(|track| track.frames != first.frames) {
        Some(other) => Err(StageError::refuse(format!(
            "variant {} has {} frames, variant {} has {}",
            first.variant, first.frames, other.variant, other.frames
        ))),
        None => Ok(()),
    }
}

/// Returns the child's order for a chunk.
fn transcode_job(plan: &Plan, chunk: &Chunk) -> Result<TranscodeJob, StageError> {
    let job = TranscodeJob { grid: plan.grid, video: video_job(plan, chunk), audio: audio_job(plan, chunk) };
    if job.video.is_none() && job.audio.is_none() {
        return Err(StageError::refuse(format!("chunk {} holds nothing to transcode", chunk.index)));
    }
    Ok(job)
}

fn video_job(plan: &Plan, chunk: &Chunk) -> Option<VideoJob> {
    let (track, line, span) = (plan.probe.video.as_ref()?, plan.video.as_ref()?, chunk.video.as_ref()?);
    let rungs = plan.ladder.variants().iter().zip(0_u16..).filter_map(|(variant, track)| match variant {
        Variant::Video(video) => Some(VideoRung {
            track,
            width_px: video.width_px,
            height_px: video.height_px,
            crf: video.crf,
            maxrate_kbps: video.maxrate_kbps,
        }),
        Variant::Audio(_) => None,
    });
    Some(VideoJob {
        stream_index: track.stream_index,
        timescale: track.timescale,
        frame_rate: track.frame_rate,
        orientation: track.orientation,
        colour: track.colour,
        zero_pts: line.zero_pts,
        start_pts: span.start_pts,
        end_pts: span.end_pts,
        source_end_pts: line.end_pts,
        decode_from: span.decode_from,
        expected_frames: span.expected_frames,
        preset: plan.preset,
        rungs: rungs.collect(),
    })
}

fn audio_job(plan: &Plan, chunk: &Chunk) -> Option<AudioJob> {
    let (track, line, span) = (plan.probe.audio.as_ref()?, plan.audio.as_ref()?, chunk.audio.as_ref()?);
    if span.first_frame >= span.end_frame {
        return None;
    }
    let rungs = plan.ladder.variants().iter().zip(0_u16..).filter_map(|(variant, track)| match variant {
        Variant::Audio(audio) => Some(AudioRung { track, bitrate_kbps: audio.bitrate_kbps, channels: audio.channels }),
        Variant::Video(_) => None,
    });
    let rungs: Vec<AudioRung> = rungs.collect();
    (!rungs.is_empty()).then_some(AudioJob {
        stream_index: track.stream_index,
        source_rate_hz: track.sample_rate_hz,
        sample_rate_hz: line.sample_rate_hz,
        zero_sample: line.zero_sample,
        end_sample: line.end_sample,
        first_frame: span.first_frame,
        end_frame: span.end_frame,
        read_from: span.read_from,
        anchor: span.anchor,
        rungs,
    })
}

/// Starts a child for a job, under the bounds that the job and the source's headers call for.
pub(crate) async fn start(
    sandbox: &Sandbox,
    source: &Source,
    work: Work,
    probe: Option<&Probe>,
    attempt: u32,
) -> Result<Session, StageError> {
    let limits = mcsp_sandbox::limits_for(&work, source.len_bytes(), probe);
    let started = sandbox.start(source, work, limits, mcsp_sandbox::wall_for(&limits)).await;
    started.map_err(|error| stage_error(error, attempt))
}

/// Sorts the sandbox's failures: what time may heal may run again, what looks like an attack once, the rest not.
pub(crate) fn stage_error(error: SandboxError, attempt: u32) -> StageError {
    match (error.retry(), error) {
        (_, SandboxError::Rejected(failure)) => StageError::refuse(failure.message),
        (Retry::Again, error) => StageError::retry("the media child failed", error),
        (Retry::Once, error) if attempt <= 1 => StageError::retry("the media child failed", error),
        (_, error) => StageError::reject("the media child failed", error),
    }
}
