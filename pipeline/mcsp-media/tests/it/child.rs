//! Drives the built program as a parent does: one job in, messages out, reads answered.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use mcsp_child::{
    AudioJob, AudioRung, Failure, FromChild, Hello, Isolation, Job, JobLimits, ScanReport, SourceAccess, TapCells,
    TapPicture, TapStill, TapsEnd, ToChild, TrackEnd, TranscodeJob, VideoJob, VideoRung, Work, wire,
};
use mcsp_domain::{Analysis, Chunk, Digest, Grid, Ladder, Plan, PlanId, PlanRequest, Policy, Preset, Probe};

/// How the source reaches the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Descriptor,
    Requests,
}

/// One access unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) key: bool,
    pub(crate) pts: i64,
    pub(crate) bytes: Vec<u8>,
}

/// Everything that a child said.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) hello: Option<Hello>,
    pub(crate) probe: Option<Probe>,
    pub(crate) analysis: Option<Analysis>,
    pub(crate) scan: Option<ScanReport>,
    pub(crate) configs: BTreeMap<u16, Vec<u8>>,
    pub(crate) units: BTreeMap<u16, Vec<Unit>>,
    pub(crate) ends: BTreeMap<u16, TrackEnd>,
    pub(crate) pictures: Vec<TapPicture>,
    pub(crate) cells: Vec<TapCells>,
    pub(crate) samples: Vec<i16>,
    pub(crate) stills: Vec<TapStill>,
    pub(crate) taps_end: Option<TapsEnd>,
    /// Bytes of the source that were asked for.
    pub(crate) read_bytes: u64,
    pub(crate) done: bool,
    pub(crate) failure: Option<Failure>,
}

pub(crate) const LIMITS: JobLimits = JobLimits {
    memory_bytes: 4 << 30,
    cpu_seconds: 600,
    output_bytes: 1 << 30,
    pixels: 8192 * 4352,
    streams: 64,
    duration_seconds: 24 * 3600,
};

/// Runs one job to its last message.
pub(crate) fn run(path: &Path, by: By, work: Work) -> Said {
    run_with(path, by, work, LIMITS)
}

pub(crate) fn run_with(path: &Path, by: By, work: Work, limits: JobLimits) -> Said {
    let len_bytes = std::fs::metadata(path).unwrap().len();
    let source = match by {
        By::Descriptor => SourceAccess::Descriptor { len_bytes },
        By::Requests => SourceAccess::Requests { len_bytes },
    };
    let job = Job { isolation: Isolation::Strict, source, limits, work, traceparent: None };
    let mut child = start(path, by);
    let said = converse(&mut child, path, job);
    let status = child.wait().unwrap();
    assert_eq!(status.success(), said.done, "{status} after {:?}", said.failure);
    said
}

fn start(path: &Path, by: By) -> Child {
    let redirect = if by == By::Descriptor { "exec env -i \"$0\" 3<\"$1\"" } else { "exec env -i \"$0\"" };
    Command::new("sh")
        .args(["-c", redirect, env!("CARGO_BIN_EXE_mcsp-media")])
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn converse(child: &mut Child, path: &Path, job: Job) -> Said {
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let source = std::fs::File::open(path).unwrap();
    let send = |input: &mut std::process::ChildStdin, message: ToChild| {
        let (kind, payload) = message.encode();
        wire::write(input, kind, &payload).unwrap();
    };
    send(&mut input, ToChild::Job(Box::new(job)));
    let mut said = Said::default();
    loop {
        let (kind, payload) = wire::read(&mut output).expect("the child ended without a last word");
        match FromChild::decode(kind, payload).unwrap() {
            FromChild::Read { offset_bytes, len_bytes } => {
                let mut bytes = vec![0; len_bytes as usize];
                let count = source.read_at(&mut bytes, offset_bytes).unwrap();
                bytes.truncate(count);
                said.read_bytes += count as u64;
                send(&mut input, ToChild::Bytes(bytes));
            }
            FromChild::Hello(hello) => said.hello = Some(hello),
            FromChild::Probe(probe) => said.probe = Some(*probe),
            FromChild::Analysis(analysis) => said.analysis = Some(*analysis),
            FromChild::Scan(report) => assert!(said.scan.replace(report).is_none()),
            FromChild::Config(config) => assert!(said.configs.insert(config.track, config.decoder_config).is_none()),
            FromChild::AccessUnit { track, key, pts, bytes } => {
                assert!(said.configs.contains_key(&track), "track {track} has a unit before its configuration");
                said.units.entry(track).or_default().push(Unit { key, pts, bytes });
            }
            FromChild::End(end) => assert!(said.ends.insert(end.track, end).is_none()),
            FromChild::Progress { permille } => assert!(permille <= 1000),
            FromChild::TapPicture(picture) => said.pictures.push(picture),
            FromChild::TapCells(cells) => said.cells.push(cells),
            FromChild::TapSound(sound) => {
                assert_eq!(sound.first_sample, said.samples.len() as u64, "sound has a gap");
                said.samples.extend(sound.samples);
            }
            FromChild::TapStill(still) => said.stills.push(still),
            FromChild::TapsEnd(end) => assert!(said.taps_end.replace(end).is_none()),
            FromChild::Outcome(outcome) => panic!("an outcome without an attempt: {outcome:?}"),
            FromChild::Done => said.done = true,
            FromChild::Failed(failure) => said.failure = Some(failure),
        }
        if said.done || said.failure.is_some() {
            assert_eq!(output.read_to_end(&mut Vec::new()).unwrap(), 0, "words after the last one");
            return said;
        }
    }
}

/// Returns the failure that a job ends with.
pub(crate) fn failure_of(path: &Path, work: Work) -> Failure {
    run(path, By::Descriptor, work).failure.expect("the job was expected to fail")
}

/// Analyses a source and plans it, or returns why it is refused.
pub(crate) fn plan(
    path: &Path,
    grid: Grid,
    chunk_ms: u32,
    policy: &Policy,
    preset: Preset,
) -> Result<(Plan, Analysis), Failure> {
    let said = run(path, By::Descriptor, Work::Analyse);
    if let Some(failure) = said.failure {
        return Err(failure);
    }
    let (probe, analysis) = (said.probe.unwrap(), said.analysis.unwrap());
    let request = PlanRequest {
        id: PlanId::new(0, &[0; 10]),
        source_digest: Digest::of(&[b"test"]),
        engine: said.hello.unwrap().engine,
        ladder: Ladder::plan(&probe, policy).unwrap(),
        probe,
        analysis: analysis.clone(),
        preset,
        grid,
        chunk_ms: Some(chunk_ms),
        scheme: None,
    };
    Ok((Plan::new(request).unwrap(), analysis))
}

/// Returns the work of one chunk; audio tracks are numbered from 100.
pub(crate) fn chunk_work(plan: &Plan, chunk: &Chunk) -> Work {
    let video = chunk.video.as_ref().map(|span| {
        let (track, line) = (plan.probe.video.as_ref().unwrap(), plan.video.as_ref().unwrap());
        let rungs = (0..).zip(plan.ladder.video()).map(|(number, rung)| VideoRung {
            track: number,
            width_px: rung.width_px,
            height_px: rung.height_px,
            crf: rung.crf,
            maxrate_kbps: rung.maxrate_kbps,
        });
        VideoJob {
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
        }
    });
    let audio = chunk.audio.as_ref().map(|span| {
        let (track, line) = (plan.probe.audio.as_ref().unwrap(), plan.audio.as_ref().unwrap());
        let rungs = (100..).zip(plan.ladder.audio()).map(|(number, rung)| AudioRung {
            track: number,
            bitrate_kbps: rung.bitrate_kbps,
            channels: rung.channels,
        });
        AudioJob {
            stream_index: track.stream_index,
            source_rate_hz: track.sample_rate_hz,
            sample_rate_hz: line.sample_rate_hz,
            zero_sample: line.zero_sample,
            end_sample: line.end_sample,
            first_frame: span.first_frame,
            end_frame: span.end_frame,
            read_from: span.read_from,
            anchor: span.anchor,
            rungs: rungs.collect(),
        }
    });
    Work::Transcode(Box::new(TranscodeJob { grid: plan.grid, video, audio }))
}

/// Returns a small ladder for quick tests.
pub(crate) fn small_ladder(heights: &[u32], channels: &[u8]) -> Policy {
    let mut policy = Policy::default();
    policy.rungs.video.retain(|rung| heights.contains(&rung.height));
    let template = policy.rungs.audio[0].clone();
    policy.rungs.audio =
        channels.iter().map(|&channels| mcsp_domain::AudioRung { channels, ..template.clone() }).collect();
    policy
}
