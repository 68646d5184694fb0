//! The video line of a chunk: decode once, turn upright, then each rung on a thread of its own: scale, encode, send.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use mcsp_child::{FromChild, TrackConfig, TrackEnd, VideoJob, VideoRung};
use mcsp_domain::{Grid, Orientation, Round, rescale};

use crate::clock::KeyClock;
use crate::error::{MediaError, first_failure};
use crate::ffmpeg::{Frame, Graph, X264Encoder, X264Settings, tag_picture};
use crate::parent::Parent;
use crate::reader::{Input, TrackReader};

/// Pictures that may wait for one rung: enough to keep it busy, few enough to bound memory.
const WAITING_PICTURES_MAX: usize = 4;

/// A picture on its way to a rung; the pixels are shared between rungs.
struct Picture {
    frame: Frame,
    pts: i64,
    key: bool,
}

/// What decoding a span told.
struct Span {
    next_pts: i64,
    dropped: Vec<String>,
}

/// Runs the line to its end, or until `stop` is set.
pub(crate) fn run(
    parent: &Parent,
    input: &Input,
    stop: &AtomicBool,
    grid: Grid,
    job: &VideoJob,
) -> Result<(), MediaError> {
    let (senders, receivers): (Vec<_>, Vec<_>) =
        job.rungs.iter().map(|_| sync_channel::<Picture>(WAITING_PICTURES_MAX)).unzip();
    let (span, encoded) = thread::scope(|scope| {
        let rungs = job.rungs.iter().zip(receivers);
        let threads: Vec<_> =
            rungs.map(|(rung, pictures)| scope.spawn(move || encode_rung(parent, stop, job, rung, pictures))).collect();
        let span = decode_span(parent, input, stop, grid, job, senders);
        if span.is_err() {
            stop.store(true, Ordering::Relaxed);
        }
        let joined = threads.into_iter().map(|thread| thread.join());
        let encoded: Vec<Result<u64, MediaError>> =
            joined.map(|joined| joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect();
        (span, encoded)
    });
    let mut outcomes = Vec::new();
    let mut counts = Vec::new();
    for outcome in encoded {
        outcomes.push(outcome.map(|count| counts.push(count)));
    }
    let (span, decoded) = match span {
        Ok(span) => (Some(span), Ok(())),
        Err(error) => (None, Err(error)),
    };
    first_failure(outcomes.into_iter().chain([decoded]))?;
    let Some(span) = span else { return Ok(()) };
    for (rung, frames) in job.rungs.iter().zip(counts) {
        let end = TrackEnd { track: rung.track, next_pts: span.next_pts, frames, dropped: span.dropped.clone() };
        parent.send(&FromChild::End(end))?;
    }
    Ok(())
}

/// Decodes the span and hands every picture to all rungs.
fn decode_span(
    parent: &Parent,
    input: &Input,
    stop: &AtomicBool,
    grid: Grid,
    job: &VideoJob,
    rungs: Vec<SyncSender<Picture>>,
) -> Result<Span, MediaError> {
    let mut frames = SpanFrames::open(input, job)?;
    let mut turn = Some(Graph::turn(job.orientation)).filter(|_| job.orientation != Orientation::default());
    let mut keys = KeyClock::new(grid, job.timescale);
    let mut progress_permille = 0;
    while let Some((mut frame, ticks)) = frames.next()? {
        if stop.load(Ordering::Relaxed) {
            return Err(MediaError::Stopped);
        }
        tag_picture(&mut frame, job.colour);
        if let Some(turn) = &mut turn {
            frame = turn.run(frame)?;
        }
        let pts = ticks - job.zero_pts;
        let key = keys.starts_gop(pts);
        for rung in &rungs {
            let picture = Picture { frame: frame.share()?, pts, key };
            rung.send(picture).map_err(|_| MediaError::Stopped)?;
        }
        let permille = frames.delivered * 1000 / job.expected_frames.max(frames.delivered);
        if permille >= progress_permille + 10 {
            progress_permille = permille;
            parent.send(&FromChild::Progress { permille: u16::try_from(permille).unwrap_or(1000) })?;
        }
    }
    if frames.delivered == 0 {
        let (index, expected) = (job.stream_index, job.expected_frames);
        return Err(MediaError::Corrupt(format!("stream {index}: none of {expected} frames of the span decodes")));
    }
    Ok(Span { next_pts: frames.next_ticks - job.zero_pts, dropped: frames.dropped(job.expected_frames) })
}

/// The frames of a job's span, in rising time.
struct SpanFrames {
    reader: TrackReader,
    /// A frame that was decoded to check the access point.
    first: Option<Frame>,
    start_ticks: i64,
    end_ticks: Option<i64>,
    frame_ticks: i64,
    last_ticks: Option<i64>,
    /// Time of the frame after the span.
    next_ticks: i64,
    delivered: u64,
    doubled: u64,
}

impl SpanFrames {
    fn open(input: &Input, job: &VideoJob) -> Result<Self, MediaError> {
        let (reader, first) = open_at(input, job)?;
        let (num, den) = (job.frame_rate.0.max(1), job.frame_rate.1.max(1));
        let frame_ticks = rescale(den.into(), num.into(), job.timescale.into(), Round::Nearest).max(1);
        Ok(Self {
            reader,
            first,
            start_ticks: job.start_pts.max(job.zero_pts),
            end_ticks: job.end_pts,
            frame_ticks,
            last_ticks: None,
            next_ticks: job.source_end_pts,
            delivered: 0,
            doubled: 0,
        })
    }

    /// Returns the next frame and its source time; nothing after the span, when `next_ticks` is known.
    fn next(&mut self) -> Result<Option<(Frame, i64)>, MediaError> {
        loop {
            let Some(frame) = self.reader.next_after(self.first.take())? else { return Ok(None) };
            let told = frame.best_pts().map(|pts| self.reader.clock.ticks(pts));
            let ticks =
                told.unwrap_or_else(|| self.last_ticks.map_or(self.start_ticks, |last| last + self.frame_ticks));
            if ticks < self.start_ticks {
                continue;
            }
            if self.last_ticks.is_some_and(|last| ticks <= last) {
                self.doubled += 1;
                continue;
            }
            if self.end_ticks.is_some_and(|end| ticks >= end) {
                self.next_ticks = ticks;
                return Ok(None);
            }
            self.last_ticks = Some(ticks);
            self.delivered += 1;
            return Ok(Some((frame, ticks)));
        }
    }

    fn dropped(&self, expected_frames: u64) -> Vec<String> {
        let mut dropped = Vec::new();
        if self.doubled > 0 {
            dropped.push(format!("{} frames are not later than the frame before them", self.doubled));
        }
        let missing = expected_frames.saturating_sub(self.delivered + self.doubled);
        if missing > 0 {
            dropped.push(format!("{missing} of {expected_frames} frames of the span did not decode"));
        }
        dropped
    }
}

/// Opens the track at the job's access point, or at the start where the point does not hold what it promised: the first
/// frame at or after it must be its own.
fn open_at(input: &Input, job: &VideoJob) -> Result<(TrackReader, Option<Frame>), MediaError> {
    let mut reader = TrackReader::open_video(input, job.stream_index)?;
    let Some(point) = &job.decode_from else { return Ok((reader, None)) };
    if reader.seek(point)? {
        let mut frame = Frame::new()?;
        while reader.next(&mut frame)? {
            match frame.best_pts().map(|pts| reader.clock.ticks(pts)) {
                Some(ticks) if ticks == point.pts => return Ok((reader, Some(frame))),
                Some(ticks) if ticks > point.pts => break,
                _ => {}
            }
        }
    }
    Ok((TrackReader::open_video(input, job.stream_index)?, None))
}

/// Scales and encodes the pictures of one rung; returns how many access units were sent.
fn encode_rung(
    parent: &Parent,
    stop: &AtomicBool,
    job: &VideoJob,
    rung: &VideoRung,
    pictures: Receiver<Picture>,
) -> Result<u64, MediaError> {
    let mut encoder = X264Encoder::open(&X264Settings {
        width_px: rung.width_px,
        height_px: rung.height_px,
        crf: rung.crf,
        maxrate_kbps: rung.maxrate_kbps,
        preset: job.preset,
        timescale: job.timescale,
        frame_rate: job.frame_rate,
        colour: job.colour,
    })?;
    let decoder_config = encoder.decoder_config()?;
    parent.send(&FromChild::Config(TrackConfig { track: rung.track, decoder_config }))?;
    let mut scale = Graph::scale(rung.width_px, rung.height_px, job.colour);
    let mut count = 0;
    let mut send = |unit: crate::ffmpeg::EncodedPicture| {
        count += 1;
        parent.send(&FromChild::AccessUnit { track: rung.track, key: unit.key, pts: unit.pts, bytes: unit.bytes })
    };
    for picture in pictures {
        let mut frame = scale.run(picture.frame)?;
        encoder.encode(&mut frame, picture.pts, picture.key, &mut send)?;
    }
    if stop.load(Ordering::Relaxed) {
        return Err(MediaError::Stopped);
    }
    encoder.finish(&mut send)?;
    Ok(count)
}
