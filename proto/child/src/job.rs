//! Jobs: what the parent asks of a child. JSON on the wire; every field is a plain value, none is a path or a key.

use mcsp_domain::{AccessPoint, Colour, Grid, Orientation, Preset};
use serde::{Deserialize, Serialize};

use crate::{AudioTaps, VideoTaps};

/// One job: the first message to a child, and the only one but for read answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// How far the child must confine itself before it reads the source.
    pub isolation: Isolation,
    /// How the source's bytes come.
    pub source: SourceAccess,
    /// Bounds that the child puts on itself.
    pub limits: JobLimits,
    /// What to do.
    pub work: Work,
    /// The trace that the work belongs to (W3C Trace Context); the child's printed lines begin with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// How far a child confines itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// Every layer must be in force, else the job is refused.
    #[default]
    Strict,
    /// Layers that this system lacks are left out and reported.
    Reduced,
}

/// How the source's bytes come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "by")]
pub enum SourceAccess {
    /// A read-only descriptor, always number 3.
    Descriptor {
        /// Bytes of the source.
        len_bytes: u64,
    },
    /// `Read` requests that the parent answers.
    Requests {
        /// Bytes of the source.
        len_bytes: u64,
    },
}

impl SourceAccess {
    /// The descriptor's number in the child.
    pub const DESCRIPTOR: i32 = 3;

    /// Returns the bytes of the source.
    pub fn len_bytes(self) -> u64 {
        match self {
            Self::Descriptor { len_bytes } | Self::Requests { len_bytes } => len_bytes,
        }
    }
}

/// Bounds that the child puts on itself; the parent holds them from outside as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobLimits {
    /// Address space.
    pub memory_bytes: u64,
    /// Processor time of all threads.
    pub cpu_seconds: u64,
    /// Bytes written to the parent.
    pub output_bytes: u64,
    /// Pixels in one source picture.
    pub pixels: u64,
    /// Tracks in the source.
    pub streams: u32,
    /// Length of the source.
    pub duration_seconds: u64,
}

/// What a job does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "do")]
pub enum Work {
    /// Reads the headers, answers with one `Probe`.
    Probe,
    /// Reads the whole source once and looks for what no media file holds, answers with progress and one `ScanReport`.
    Scan,
    /// Reads the whole source once, answers with `Probe`, progress and one `Analysis`.
    Analyse,
    /// Decodes one chunk and encodes every variant, answers with configurations, access units and track ends.
    Transcode(Box<TranscodeJob>),
    /// Decodes little, answers with taps, progress and one `TapsEnd`.
    Taps {
        /// Of the pictures.
        video: Option<VideoTaps>,
        /// Of the sound.
        audio: Option<AudioTaps>,
    },
    /// Tries an act that confinement forbids, answers with one `ActOutcome`. For tests of the confinement.
    Attempt {
        /// The act.
        act: Act,
    },
}

/// Acts that a confined child must not manage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "each act is its name")]
pub enum Act {
    /// Opens `/etc/passwd` for reading.
    OpenFile,
    /// Creates a file in `/tmp`.
    CreateFile,
    /// Connects a TCP socket to 127.0.0.1.
    Connect,
    /// Executes `/bin/true`.
    Execute,
    Fork,
    /// Attaches to its parent by `ptrace`.
    Trace,
    /// Sends a signal to its parent.
    Kill,
    /// Maps memory that is writable and executable.
    MapExecutable,
    /// Allocates past its memory bound.
    Allocate,
    /// Spins past its bound of processor time.
    Spin,
    /// Sleeps past the parent's watchdog.
    Hang,
    /// Writes past its output bound.
    Flood,
    /// Dies by an invalid memory access.
    Crash,
}

impl Act {
    /// Every act that must fail inside the child with an error or a kill at once.
    pub const FORBIDDEN: [Self; 8] = [
        Self::OpenFile,
        Self::CreateFile,
        Self::Connect,
        Self::Execute,
        Self::Fork,
        Self::Trace,
        Self::Kill,
        Self::MapExecutable,
    ];
}

/// One chunk of output and all its variants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TranscodeJob {
    /// The GOP grid that keyframes follow.
    pub grid: Grid,
    /// The video line, where the chunk has video.
    pub video: Option<VideoJob>,
    /// The audio line, where the chunk has audio.
    pub audio: Option<AudioJob>,
}

/// The video line of a chunk: decode once, encode every rung.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VideoJob {
    /// The source track.
    pub stream_index: u32,
    /// Ticks per second of source times and of the answers' times.
    pub timescale: u32,
    /// Average frames per second, for rate control.
    pub frame_rate: (u32, u32),
    /// How pictures are turned.
    pub orientation: Orientation,
    /// Tags that every rung carries.
    pub colour: Colour,
    /// Source time of output zero; answers' times are source times less this.
    pub zero_pts: i64,
    /// Frames with `start_pts <= pts < end_pts` (source ticks) belong to the chunk.
    pub start_pts: i64,
    /// The end of the span; `None` takes all that is left.
    pub end_pts: Option<i64>,
    /// Source time at which the source's last frame ends.
    pub source_end_pts: i64,
    /// Where decoding starts; `None` is the start of the source.
    pub decode_from: Option<AccessPoint>,
    /// Frames that the analysis counted in the span.
    pub expected_frames: u64,
    /// x264's preset.
    pub preset: Preset,
    /// The rungs.
    pub rungs: Vec<VideoRung>,
}

/// One rung of a video job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VideoRung {
    /// The number that answers carry.
    pub track: u16,
    /// Width of the picture, even.
    pub width_px: u32,
    /// Height of the picture, even.
    pub height_px: u32,
    /// Constant rate factor.
    pub crf: u8,
    /// VBV rate; the buffer is twice as many bits.
    pub maxrate_kbps: u32,
}

/// The audio line of a chunk: decode once, encode every rendition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AudioJob {
    /// The source track.
    pub stream_index: u32,
    /// Samples per second of the source's sample count.
    pub source_rate_hz: u32,
    /// Samples per second of the renditions.
    pub sample_rate_hz: u32,
    /// The place of output zero on the source's sample count.
    pub zero_sample: i64,
    /// The place after the source's last sample; silence follows it.
    pub end_sample: i64,
    /// The first codec frame wanted, on the rendition's grid where frame 0 is priming and frame `n` starts
    /// `(n - 1) * 1024` samples after zero.
    pub first_frame: i64,
    /// The codec frame after the last one wanted.
    pub end_frame: i64,
    /// Where reading starts; `None` is the start of the source.
    pub read_from: Option<AccessPoint>,
    /// The point whose packet re-establishes the sample count; samples decoded before it are thrown away.
    pub anchor: Option<AccessPoint>,
    /// The renditions.
    pub rungs: Vec<AudioRung>,
}

/// One rendition of an audio job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AudioRung {
    /// The number that answers carry.
    pub track: u16,
    /// Bit rate.
    pub bitrate_kbps: u32,
    /// Channels, 1 or 2.
    pub channels: u8,
}
