//! The plan of one run: where output is cut into chunks, and where each chunk starts to read. Written once, never changed.
//!
//! The rules are those of ARCHITECTURE.md section 8, "Time, chunks, samples and keys": cuts stand on the output grid,
//! audio frames belong to the chunk in which they start, and every chunk knows its access points.

use serde::{Deserialize, Serialize};

use crate::{AccessPoint, Analysis, Digest, Grid, Ladder, PlanId, Preset, Probe, Round, Scheme, limits, rescale};

/// Samples in one AAC frame (ISO/IEC 14496-3 §4.5.2.1.1).
pub const AAC_FRAME_SAMPLES: i64 = 1024;
/// Codec frames that a chunk encodes before its first and throws away, so that its encoder has settled (measured: no seam).
pub const AUDIO_PREROLL_FRAMES: i64 = 48;
/// Frames of encoder delay before the first sample: AAC overlaps each frame with the one before.
pub const AUDIO_PRIMING_FRAMES: i64 = 1;
/// Extra milliseconds decoded before the pre-roll, so that resamplers and decoders have settled.
const AUDIO_SETTLE_MS: i64 = 250;
/// The ramp of chunk lengths, so that a film can be played early.
const CHUNK_RAMP_MS: [u32; 4] = [6000, 12_000, 24_000, 60_000];
/// Sample rates that AAC renditions keep; others become 48 kHz.
const AAC_RATES_HZ: [u32; 9] = [48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000];

/// What one run makes of one source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The plan's own id; output bytes never depend on it.
    pub id: PlanId,
    /// Bytes of the source.
    pub source_len_bytes: u64,
    /// SHA-256 of the source.
    pub source_digest: Digest,
    /// Name and version of the media engine, since encoders change their output.
    pub engine: String,
    /// What the source is.
    pub probe: Probe,
    /// What is made of it.
    pub ladder: Ladder,
    /// x264's preset.
    pub preset: Preset,
    /// Where keyframes and segments stand.
    pub grid: Grid,
    /// The chunk length asked for; `None` is the ramp.
    pub chunk_ms: Option<u32>,
    /// How renditions are protected; `None` leaves them clear.
    pub scheme: Option<Scheme>,
    /// The video line, where the source has one.
    pub video: Option<VideoPlan>,
    /// The audio line, where the source has one.
    pub audio: Option<AudioPlan>,
    /// The units of work, in order.
    pub chunks: Vec<Chunk>,
}

/// The video line of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoPlan {
    /// Source time of output zero.
    pub zero_pts: i64,
    /// Source time at which the last frame ends.
    pub end_pts: i64,
    /// Frames that the source shows.
    pub frame_count: u64,
}

/// The audio line of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioPlan {
    /// Samples per second of every audio rendition, and its timescale.
    pub sample_rate_hz: u32,
    /// The place of output zero on the source's sample count.
    pub zero_sample: i64,
    /// The place after the source's last sample.
    pub end_sample: i64,
    /// Codec frames in the whole rendition, the priming one included.
    pub frame_count: i64,
}

/// A span of output time, whole segments long: the unit of work, retry and resume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// The chunk's place, from 0.
    pub index: u32,
    /// Its first segment on the grid.
    pub first_segment: u64,
    /// The segment after its last; `None` for the last chunk, which takes all that is left.
    pub end_segment: Option<u64>,
    /// The video part.
    pub video: Option<ChunkVideo>,
    /// The audio part.
    pub audio: Option<ChunkAudio>,
}

/// The frames of a chunk: those with `start_pts <= pts < end_pts`, in source ticks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkVideo {
    /// The first instant of the span.
    pub start_pts: i64,
    /// The instant after the span; `None` takes all that is left.
    pub end_pts: Option<i64>,
    /// The random access point to decode from; `None` decodes from the start of the source.
    pub decode_from: Option<AccessPoint>,
    /// Frames that the analysis counted in the span.
    pub expected_frames: u64,
}

/// The codec frames of a chunk: `first_frame <= frame < end_frame` on the rendition's frame grid, where frame 0 is priming.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkAudio {
    /// The first frame.
    pub first_frame: i64,
    /// The frame after the last.
    pub end_frame: i64,
    /// The access point to start reading at; `None` reads from the start of the source.
    pub read_from: Option<AccessPoint>,
    /// The access point at which the sample count is known again; decoding before it only settles the decoder.
    pub anchor: Option<AccessPoint>,
}

/// Everything that a plan is made from.
pub struct PlanRequest {
    /// The new plan's id.
    pub id: PlanId,
    /// SHA-256 of the source.
    pub source_digest: Digest,
    /// Name and version of the media engine.
    pub engine: String,
    /// What the source is.
    pub probe: Probe,
    /// What reading it told.
    pub analysis: Analysis,
    /// What is wanted.
    pub ladder: Ladder,
    /// x264's preset.
    pub preset: Preset,
    /// The grid.
    pub grid: Grid,
    /// A fixed chunk length, or the ramp.
    pub chunk_ms: Option<u32>,
    /// The protection scheme.
    pub scheme: Option<Scheme>,
}

/// Why no plan could be made.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum PlanError {
    /// The chunk length is out of range.
    #[error("chunk length {chunk_ms} ms is outside {segment_ms} ms (one segment) to {max_ms} ms")]
    ChunkLength {
        /// What was asked for.
        chunk_ms: u32,
        /// The segment's length.
        segment_ms: u32,
        /// The most allowed.
        max_ms: u32,
    },
    /// The source holds no frame and no sample.
    #[error("source has no decodable video frame and no decodable audio sample")]
    Empty,
    /// The source is longer than allowed.
    #[error("source lasts {seconds} s, {max_seconds} s allowed")]
    TooLong {
        /// Its length.
        seconds: u64,
        /// The limit.
        max_seconds: u64,
    },
    /// More chunks than the IV layout can number.
    #[error("plan has {count} chunks, {max} allowed: choose longer chunks")]
    TooManyChunks {
        /// How many.
        count: usize,
        /// The limit.
        max: usize,
    },
}

impl Plan {
    /// Makes the plan of a run.
    ///
    /// # Errors
    /// When the chunk length is out of range, or the source is empty or too long.
    pub fn new(request: PlanRequest) -> Result<Self, PlanError> {
        let PlanRequest { id, source_digest, engine, probe, analysis, ladder, preset, grid, chunk_ms, scheme } =
            request;
        Self::check_chunk(grid, chunk_ms)?;
        let timeline = Timeline::new(&probe, &analysis, grid)?;
        let cuts = timeline.cuts(chunk_ms);
        let max = limits::CHUNKS_MAX.min(limits::CHUNK_OBJECTS_MAX / ladder.variants().len().max(1));
        if cuts.len() > max {
            return Err(PlanError::TooManyChunks { count: cuts.len(), max });
        }
        let chunks = (0..cuts.len()).map(|index| timeline.chunk(&cuts, index)).collect();
        Ok(Self {
            id,
            source_len_bytes: probe.len_bytes,
            source_digest,
            engine,
            ladder,
            preset,
            grid,
            chunk_ms,
            scheme,
            video: timeline.video_plan(),
            audio: timeline.audio,
            chunks,
            probe,
        })
    }

    /// Checks a chunk length against the grid, before anything is read.
    ///
    /// # Errors
    /// When it is below a segment or over the limit.
    pub fn check_chunk(grid: Grid, chunk_ms: Option<u32>) -> Result<(), PlanError> {
        let (segment_ms, max_ms) = (grid.segment_ms(), limits::CHUNK_MS_MAX.max(grid.segment_ms()));
        match chunk_ms {
            Some(chunk_ms) if !(segment_ms..=max_ms).contains(&chunk_ms) => {
                Err(PlanError::ChunkLength { chunk_ms, segment_ms, max_ms })
            }
            _ => Ok(()),
        }
    }

    /// Returns the digest of everything that decides the output's bytes: the plan without its id. IV bases are drawn from
    /// it, so that a repeated run repeats its bytes, and two different plans share no counter under one key.
    pub fn fingerprint(&self) -> Digest {
        let mut anonymous = self.clone();
        anonymous.id = PlanId::new(0, &[0; 10]);
        let text = serde_json::to_vec(&anonymous).unwrap_or_default();
        assert!(!text.is_empty(), "a plan of plain values failed to serialise");
        Digest::of(&[b"mcsp plan", &text])
    }

    /// Returns the length of the output in seconds, for progress and reports.
    pub fn duration_s(&self) -> f64 {
        let video = self.probe.video.as_ref().zip(self.video.as_ref());
        let video_s =
            video.map_or(0.0, |(track, plan)| (plan.end_pts - plan.zero_pts) as f64 / f64::from(track.timescale));
        let audio = self.probe.audio.as_ref().zip(self.audio.as_ref());
        let audio_s = audio
            .map_or(0.0, |(track, plan)| (plan.end_sample - plan.zero_sample) as f64 / f64::from(track.sample_rate_hz));
        video_s.max(audio_s)
    }
}

/// The source laid on the output grid: what cutting needs.
struct Timeline<'a> {
    grid: Grid,
    /// Video: timescale and analysis.
    video: Option<(u32, &'a crate::VideoAnalysis)>,
    /// Frames in each grid segment, for sources with video.
    frames_by_segment: Vec<u64>,
    audio: Option<AudioPlan>,
    /// Audio: source sample rate and analysis.
    audio_source: Option<(u32, &'a crate::AudioAnalysis)>,
    /// Grid segments that hold any output.
    segment_count: u64,
    /// Length of the line that is cut: video, or audio where there is none.
    end_ms: u64,
}

impl<'a> Timeline<'a> {
    fn new(probe: &Probe, analysis: &'a Analysis, grid: Grid) -> Result<Self, PlanError> {
        let video = probe.video.as_ref().zip(analysis.video.as_ref()).map(|(track, video)| (track.timescale, video));
        let audio_source = probe.audio.as_ref().zip(analysis.audio.as_ref());
        let audio_source = audio_source.map(|(track, audio)| (track.sample_rate_hz, audio));
        let audio = audio_source.map(|(rate, analysis)| plan_audio(rate, analysis, video));
        let video_s = video.map_or(0, |(timescale, video)| {
            rescale(video.end_pts.saturating_sub(video.zero_pts), timescale.into(), 1, Round::Up)
        });
        let audio_s = audio.as_ref().map_or(0, |audio| {
            rescale(audio.frame_count.saturating_mul(AAC_FRAME_SAMPLES), audio.sample_rate_hz.into(), 1, Round::Up)
        });
        let seconds = u64::try_from(video_s.max(audio_s)).unwrap_or(0);
        if seconds == 0 {
            return Err(PlanError::Empty);
        }
        if seconds > limits::SOURCE_DURATION_S_MAX {
            return Err(PlanError::TooLong { seconds, max_seconds: limits::SOURCE_DURATION_S_MAX });
        }
        let frames_by_segment =
            video.map(|(timescale, video)| count_frames(timescale, video, grid)).unwrap_or_default();
        let end = match (&audio, video) {
            (_, Some((timescale, video))) => (video.end_pts.saturating_sub(video.zero_pts), timescale),
            (Some(audio), None) => {
                ((audio.frame_count - AUDIO_PRIMING_FRAMES).max(1) * AAC_FRAME_SAMPLES, audio.sample_rate_hz)
            }
            (None, None) => return Err(PlanError::Empty),
        };
        let segment_count = match video {
            Some(_) => frames_by_segment.len() as u64,
            None => grid.segment_of(end.0 - 1, end.1) + 1,
        };
        let end_ms = u64::try_from(rescale(end.0, end.1.into(), 1000, Round::Up)).unwrap_or(0);
        Ok(Self { grid, video, frames_by_segment, audio, audio_source, segment_count, end_ms })
    }

    fn video_plan(&self) -> Option<VideoPlan> {
        self.video.map(|(_, video)| VideoPlan {
            zero_pts: video.zero_pts,
            end_pts: video.end_pts,
            frame_count: video.frame_count,
        })
    }

    /// Returns the first segments of all chunks: lengths by the ramp or as asked for, each start with a frame in its first
    /// segment and an access point of its own, and no last chunk under half the length it should have.
    fn cuts(&self, chunk_ms: Option<u32>) -> Vec<u64> {
        let mut cuts = vec![0];
        let segment_ms = u64::from(self.grid.segment_ms());
        let mut candidate = self.chunk_segments(chunk_ms, 0);
        while candidate < self.segment_count {
            let last = cuts.last().copied().unwrap_or(0);
            let length = self.chunk_segments(chunk_ms, cuts.len());
            let left_ms = self.end_ms.saturating_sub(candidate * segment_ms);
            if left_ms * 2 < length * segment_ms {
                break;
            }
            if self.may_cut(last, candidate) {
                cuts.push(candidate);
                candidate += length;
            } else {
                candidate += 1;
            }
        }
        cuts
    }

    fn chunk_segments(&self, chunk_ms: Option<u32>, chunk_index: usize) -> u64 {
        let ramp_ms = CHUNK_RAMP_MS.get(chunk_index).or(CHUNK_RAMP_MS.last()).copied().unwrap_or(60_000);
        let length_ms = chunk_ms.unwrap_or(ramp_ms);
        let segment_ms = self.grid.segment_ms();
        u64::from((length_ms + segment_ms / 2) / segment_ms).max(1)
    }

    fn may_cut(&self, last: u64, candidate: u64) -> bool {
        if self.video.is_none() {
            return true;
        }
        let index = usize::try_from(candidate).unwrap_or(usize::MAX);
        let has_frame = self.frames_by_segment.get(index).is_some_and(|&count| count > 0);
        let access = self.video_access(candidate);
        has_frame && access.is_some() && access != self.video_access(last)
    }

    fn video_start_pts(&self, segment: u64) -> Option<i64> {
        let (timescale, video) = self.video?;
        Some(video.zero_pts.saturating_add(self.grid.segment_start_ticks(segment, timescale)))
    }

    /// Returns the last point whose leading pictures a chunk from `segment` on does not need.
    fn video_access(&self, segment: u64) -> Option<AccessPoint> {
        let (_, video) = self.video?;
        let start_pts = self.video_start_pts(segment)?;
        let after = video.access_points.partition_point(|point| point.pts <= start_pts);
        after.checked_sub(1).and_then(|index| video.access_points.get(index)).copied()
    }

    fn chunk(&self, cuts: &[u64], index: usize) -> Chunk {
        let first_segment = cuts.get(index).copied().unwrap_or(0);
        let end_segment = cuts.get(index + 1).copied();
        Chunk {
            index: u32::try_from(index).unwrap_or(u32::MAX),
            first_segment,
            end_segment,
            video: self.chunk_video(first_segment, end_segment),
            audio: self.chunk_audio(first_segment, end_segment),
        }
    }

    fn chunk_video(&self, first_segment: u64, end_segment: Option<u64>) -> Option<ChunkVideo> {
        let start_pts = self.video_start_pts(first_segment)?;
        let first = usize::try_from(first_segment).unwrap_or(usize::MAX);
        let end = end_segment.map_or(self.frames_by_segment.len(), |end| usize::try_from(end).unwrap_or(usize::MAX));
        let expected_frames = self.frames_by_segment.get(first..end).unwrap_or_default().iter().sum();
        let decode_from = (first_segment > 0).then(|| self.video_access(first_segment)).flatten();
        let end_pts = end_segment.and_then(|segment| self.video_start_pts(segment));
        Some(ChunkVideo { start_pts, end_pts, decode_from, expected_frames })
    }

    fn chunk_audio(&self, first_segment: u64, end_segment: Option<u64>) -> Option<ChunkAudio> {
        let (audio, (source_rate, analysis)) = (self.audio.as_ref()?, self.audio_source?);
        let frame_at = |segment: u64| {
            let ticks = self.grid.segment_start_ticks(segment, audio.sample_rate_hz);
            let whole = rescale(ticks, AAC_FRAME_SAMPLES.unsigned_abs(), 1, Round::Up);
            (whole + AUDIO_PRIMING_FRAMES).min(audio.frame_count)
        };
        let first_frame = if first_segment == 0 { 0 } else { frame_at(first_segment) };
        let end_frame = end_segment.map_or(audio.frame_count, frame_at);
        let first_needed = (first_frame - AUDIO_PRIMING_FRAMES - AUDIO_PREROLL_FRAMES) * AAC_FRAME_SAMPLES;
        let first_needed = rescale(first_needed, audio.sample_rate_hz.into(), source_rate.into(), Round::Down);
        let settle = i64::from(source_rate) * AUDIO_SETTLE_MS / 1000;
        let position = audio.zero_sample.saturating_add(first_needed).saturating_sub(settle);
        let after = analysis.access_points.partition_point(|point| point.position <= position);
        let (read_from, anchor) = match (after.checked_sub(2), after.checked_sub(1)) {
            (Some(read), Some(anchor)) => (analysis.access_points.get(read), analysis.access_points.get(anchor)),
            _ => (None, None),
        };
        Some(ChunkAudio { first_frame, end_frame, read_from: read_from.copied(), anchor: anchor.copied() })
    }
}

/// Lays audio on output time: zero is the video's, the end is the later of both, silence fills what is missing.
fn plan_audio(
    source_rate: u32,
    analysis: &crate::AudioAnalysis,
    video: Option<(u32, &crate::VideoAnalysis)>,
) -> AudioPlan {
    let sample_rate_hz = if AAC_RATES_HZ.contains(&source_rate) { source_rate } else { 48_000 };
    let at = |pts: i64, timescale: u32| rescale(pts, timescale.into(), source_rate.into(), Round::Nearest);
    let zero_sample = video.map_or(analysis.first_sample, |(timescale, video)| at(video.zero_pts, timescale));
    let video_end = video.map_or(i64::MIN, |(timescale, video)| at(video.end_pts, timescale));
    let end_sample = analysis.end_sample.max(video_end).max(zero_sample);
    let samples = rescale(end_sample.saturating_sub(zero_sample), source_rate.into(), sample_rate_hz.into(), Round::Up);
    let frame_count = rescale(samples, AAC_FRAME_SAMPLES.unsigned_abs(), 1, Round::Up) + AUDIO_PRIMING_FRAMES;
    AudioPlan { sample_rate_hz, zero_sample, end_sample, frame_count }
}

fn count_frames(timescale: u32, video: &crate::VideoAnalysis, grid: Grid) -> Vec<u64> {
    let mut counts: Vec<u64> = Vec::new();
    for pts in video.frame_times() {
        let segment = grid.segment_of(pts.saturating_sub(video.zero_pts), timescale);
        let index = usize::try_from(segment).unwrap_or(usize::MAX);
        if segment > limits::SOURCE_DURATION_S_MAX * 2 {
            break;
        }
        if counts.len() <= index {
            counts.resize(index + 1, 0);
        }
        if let Some(count) = counts.get_mut(index) {
            *count += 1;
        }
    }
    counts
}
