//! Messages and their bytes.

use mcsp_domain::{Analysis, Probe, limits};
use serde::{Serialize, de::DeserializeOwned};

use crate::taps::{self, TapCells, TapPicture, TapSound, TapStill, TapsEnd};
use crate::{ActOutcome, Failure, Hello, Job, SCAN_MATCHES_MAX, ScanReport, TrackConfig, TrackEnd};

/// What a parent says.
#[derive(Clone, Debug, PartialEq)]
pub enum ToChild {
    /// The job; once, first.
    Job(Box<Job>),
    /// The bytes of a `Read`; fewer than asked for only at the end of the source.
    Bytes(Vec<u8>),
    /// A `Read` that failed for a reason outside the source.
    ReadFailed,
}

/// What a child says.
#[derive(Clone, Debug, PartialEq)]
pub enum FromChild {
    /// What it is and how it is confined; once, first.
    Hello(Hello),
    /// A request for source bytes.
    Read {
        /// The first byte.
        offset_bytes: u64,
        /// How many, at most `limits::SOURCE_READ_BYTES_MAX`.
        len_bytes: u32,
    },
    /// What the headers say.
    Probe(Box<Probe>),
    /// What reading told.
    Analysis(Box<Analysis>),
    /// What a scan found.
    Scan(ScanReport),
    /// A track's sample entry.
    Config(TrackConfig),
    /// One encoded picture or audio frame, in decode order.
    AccessUnit {
        /// The track.
        track: u16,
        /// Whether decoding can start here.
        key: bool,
        /// Output time in ticks of the track.
        pts: i64,
        /// The sample: NAL units behind 4-byte lengths, or one raw AAC frame.
        bytes: Vec<u8>,
    },
    /// A track is complete.
    End(TrackEnd),
    /// Work done so far, in thousandths of the whole.
    Progress {
        /// 0 to 1000.
        permille: u16,
    },
    /// A small picture.
    TapPicture(TapPicture),
    /// One frame of a dense stretch.
    TapCells(TapCells),
    /// A piece of sound.
    TapSound(TapSound),
    /// A JPEG file.
    TapStill(TapStill),
    /// The taps are complete.
    TapsEnd(TapsEnd),
    /// What came of a forbidden act.
    Outcome(ActOutcome),
    /// The job is done; last.
    Done,
    /// The job failed; last.
    Failed(Failure),
}

/// Why bytes are no message.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The pipe failed.
    #[error("pipe failed")]
    Io(#[from] std::io::Error),
    /// A frame is larger than its kind may be.
    #[error("message of kind {kind} claims {len_bytes} bytes, {max_bytes} allowed")]
    TooLong {
        /// The kind.
        kind: u8,
        /// The claim.
        len_bytes: usize,
        /// The limit.
        max_bytes: usize,
    },
    /// A kind that is not spoken.
    #[error("message kind {kind} is unknown")]
    Kind {
        /// The kind.
        kind: u8,
    },
    /// A payload that does not parse.
    #[error("message of kind {kind} is malformed: {reason}")]
    Malformed {
        /// The kind.
        kind: u8,
        /// What is wrong.
        reason: String,
    },
}

pub(crate) mod kind {
    pub(crate) const JOB: u8 = 1;
    pub(crate) const BYTES: u8 = 2;
    pub(crate) const READ_FAILED: u8 = 3;
    pub(crate) const HELLO: u8 = 16;
    pub(crate) const READ: u8 = 17;
    pub(crate) const PROBE: u8 = 18;
    pub(crate) const ANALYSIS: u8 = 19;
    pub(crate) const CONFIG: u8 = 20;
    pub(crate) const ACCESS_UNIT: u8 = 21;
    pub(crate) const END: u8 = 22;
    pub(crate) const PROGRESS: u8 = 23;
    pub(crate) const OUTCOME: u8 = 24;
    pub(crate) const DONE: u8 = 25;
    pub(crate) const FAILED: u8 = 26;
    pub(crate) const SCAN: u8 = 32;
    pub(crate) const TAP_PICTURE: u8 = 27;
    pub(crate) const TAP_CELLS: u8 = 28;
    pub(crate) const TAP_SOUND: u8 = 29;
    pub(crate) const TAP_STILL: u8 = 30;
    pub(crate) const TAPS_END: u8 = 31;
}

/// Bytes of a scan's report: each match has two texts, whose characters JSON may escape.
const SCAN_BYTES_MAX: usize = SCAN_MATCHES_MAX * 2 * limits::CHILD_TEXT_CHARS_MAX * 6 + 4096;
/// Bytes before an access unit's sample: track, key flag, pts.
const ACCESS_UNIT_HEADER_BYTES: usize = 2 + 1 + 8;

/// Returns the most payload bytes that a kind may have.
pub(crate) fn payload_bytes_max(kind: u8) -> Result<usize, WireError> {
    match kind {
        kind::JOB | kind::PROBE | kind::ANALYSIS => Ok(limits::CONTROL_MESSAGE_BYTES_MAX),
        kind::BYTES => Ok(limits::SOURCE_READ_BYTES_MAX as usize),
        kind::ACCESS_UNIT => Ok(limits::ACCESS_UNIT_BYTES_MAX + ACCESS_UNIT_HEADER_BYTES),
        kind::CONFIG => Ok(limits::CODEC_CONFIG_BYTES_MAX * 4),
        kind::SCAN => Ok(SCAN_BYTES_MAX),
        kind::HELLO | kind::END | kind::OUTCOME | kind::FAILED => Ok(limits::CODEC_CONFIG_BYTES_MAX),
        kind::READ_FAILED | kind::READ | kind::PROGRESS | kind::DONE => Ok(16),
        kind::TAP_PICTURE..=kind::TAPS_END => Ok(taps::payload_bytes_max(kind)),
        _ => Err(WireError::Kind { kind }),
    }
}

impl ToChild {
    /// Returns the kind and payload of the message.
    pub fn encode(&self) -> (u8, Vec<u8>) {
        match self {
            Self::Job(job) => (kind::JOB, json(job)),
            Self::Bytes(bytes) => (kind::BYTES, bytes.clone()),
            Self::ReadFailed => (kind::READ_FAILED, Vec::new()),
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// When the kind is not one a parent speaks, or the payload does not parse.
    pub fn decode(kind: u8, payload: Vec<u8>) -> Result<Self, WireError> {
        match kind {
            kind::JOB => Ok(Self::Job(Box::new(from_json(kind, &payload)?))),
            kind::BYTES => Ok(Self::Bytes(payload)),
            kind::READ_FAILED => Ok(Self::ReadFailed),
            _ => Err(WireError::Kind { kind }),
        }
    }
}

impl FromChild {
    /// Returns the kind and payload of the message.
    pub fn encode(&self) -> (u8, Vec<u8>) {
        match self {
            Self::Hello(hello) => (kind::HELLO, json(hello)),
            Self::Read { offset_bytes, len_bytes } => {
                (kind::READ, [&offset_bytes.to_le_bytes()[..], &len_bytes.to_le_bytes()].concat())
            }
            Self::Probe(probe) => (kind::PROBE, json(probe)),
            Self::Analysis(analysis) => (kind::ANALYSIS, json(analysis)),
            Self::Scan(report) => (kind::SCAN, json(report)),
            Self::Config(config) => (kind::CONFIG, json(config)),
            Self::AccessUnit { track, key, pts, bytes } => {
                let mut payload = Vec::with_capacity(ACCESS_UNIT_HEADER_BYTES + bytes.len());
                payload.extend_from_slice(&track.to_le_bytes());
                payload.push(u8::from(*key));
                payload.extend_from_slice(&pts.to_le_bytes());
                payload.extend_from_slice(bytes);
                (kind::ACCESS_UNIT, payload)
            }
            Self::End(end) => (kind::END, json(end)),
            Self::Progress { permille } => (kind::PROGRESS, permille.to_le_bytes().to_vec()),
            Self::TapPicture(picture) => (kind::TAP_PICTURE, picture.encode()),
            Self::TapCells(cells) => (kind::TAP_CELLS, cells.encode()),
            Self::TapSound(sound) => (kind::TAP_SOUND, sound.encode()),
            Self::TapStill(still) => (kind::TAP_STILL, still.encode()),
            Self::TapsEnd(end) => (kind::TAPS_END, json(end)),
            Self::Outcome(outcome) => (kind::OUTCOME, json(outcome)),
            Self::Done => (kind::DONE, Vec::new()),
            Self::Failed(failure) => (kind::FAILED, json(failure)),
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// When the kind is not one a child speaks, or the payload does not parse or passes a limit.
    pub fn decode(kind: u8, payload: Vec<u8>) -> Result<Self, WireError> {
        match kind {
            kind::HELLO => Ok(Self::Hello(from_json(kind, &payload)?)),
            kind::READ => decode_read(&payload),
            kind::PROBE => Ok(Self::Probe(Box::new(from_json(kind, &payload)?))),
            kind::ANALYSIS => decode_analysis(&payload),
            kind::SCAN => decode_scan(&payload),
            kind::CONFIG => decode_config(&payload),
            kind::ACCESS_UNIT => decode_access_unit(&payload),
            kind::END => Ok(Self::End(from_json(kind, &payload)?)),
            kind::PROGRESS => {
                let permille = take(kind, &payload, 0).map(u16::from_le_bytes)?;
                Ok(Self::Progress { permille: permille.min(1000) })
            }
            kind::TAP_PICTURE => TapPicture::decode(&payload).map(Self::TapPicture),
            kind::TAP_CELLS => TapCells::decode(&payload).map(Self::TapCells),
            kind::TAP_SOUND => TapSound::decode(&payload).map(Self::TapSound),
            kind::TAP_STILL => TapStill::decode(&payload).map(Self::TapStill),
            kind::TAPS_END => Ok(Self::TapsEnd(from_json(kind, &payload)?)),
            kind::OUTCOME => Ok(Self::Outcome(from_json(kind, &payload)?)),
            kind::DONE => Ok(Self::Done),
            kind::FAILED => decode_failure(&payload),
            _ => Err(WireError::Kind { kind }),
        }
    }
}

fn decode_read(payload: &[u8]) -> Result<FromChild, WireError> {
    let offset_bytes = take(kind::READ, payload, 0).map(u64::from_le_bytes)?;
    let len_bytes = take(kind::READ, payload, 8).map(u32::from_le_bytes)?;
    if len_bytes > limits::SOURCE_READ_BYTES_MAX {
        return Err(malformed(
            kind::READ,
            format!("asks for {len_bytes} bytes, {} allowed", limits::SOURCE_READ_BYTES_MAX),
        ));
    }
    Ok(FromChild::Read { offset_bytes, len_bytes })
}

fn decode_analysis(payload: &[u8]) -> Result<FromChild, WireError> {
    let analysis: Analysis = from_json(kind::ANALYSIS, payload)?;
    let video_points = analysis.video.as_ref().map_or(0, |video| video.access_points.len());
    let audio_points = analysis.audio.as_ref().map_or(0, |audio| audio.access_points.len());
    let points = video_points.max(audio_points);
    if points > limits::ACCESS_POINTS_MAX {
        let max = limits::ACCESS_POINTS_MAX;
        return Err(malformed(kind::ANALYSIS, format!("holds {points} access points, {max} allowed")));
    }
    let runs = analysis.video.iter().flat_map(|video| &video.frame_runs);
    let frames: u64 = runs.map(|&(count, _)| u64::from(count)).sum();
    if frames > limits::SOURCE_FRAMES_MAX {
        let max = limits::SOURCE_FRAMES_MAX;
        return Err(malformed(kind::ANALYSIS, format!("holds {frames} frames, {max} allowed")));
    }
    Ok(FromChild::Analysis(Box::new(analysis)))
}

/// Reads a scan's report and keeps its texts short and printable, since they are shown to people.
fn decode_scan(payload: &[u8]) -> Result<FromChild, WireError> {
    let mut report: ScanReport = from_json(kind::SCAN, payload)?;
    let (matches, max) = (report.matches.len(), SCAN_MATCHES_MAX);
    if matches > max {
        return Err(malformed(kind::SCAN, format!("holds {matches} matches, {max} allowed")));
    }
    for found in &mut report.matches {
        found.rule = shown(&found.rule);
        found.description = shown(&found.description);
    }
    Ok(FromChild::Scan(report))
}

fn decode_config(payload: &[u8]) -> Result<FromChild, WireError> {
    let config: TrackConfig = from_json(kind::CONFIG, payload)?;
    let len_bytes = config.decoder_config.len();
    if len_bytes == 0 || len_bytes > limits::CODEC_CONFIG_BYTES_MAX {
        return Err(malformed(kind::CONFIG, format!("decoder configuration has {len_bytes} bytes")));
    }
    Ok(FromChild::Config(config))
}

fn decode_access_unit(payload: &[u8]) -> Result<FromChild, WireError> {
    let track = take(kind::ACCESS_UNIT, payload, 0).map(u16::from_le_bytes)?;
    let [flags] = take(kind::ACCESS_UNIT, payload, 2)?;
    let pts = take(kind::ACCESS_UNIT, payload, 3).map(i64::from_le_bytes)?;
    let bytes = payload.get(ACCESS_UNIT_HEADER_BYTES..).unwrap_or_default().to_vec();
    if bytes.is_empty() || flags > 1 {
        return Err(malformed(kind::ACCESS_UNIT, format!("{} bytes with flags {flags}", bytes.len())));
    }
    Ok(FromChild::AccessUnit { track, key: flags == 1, pts, bytes })
}

/// Reads a failure and keeps its text short and printable, since it is shown to people.
fn decode_failure(payload: &[u8]) -> Result<FromChild, WireError> {
    let mut failure: Failure = from_json(kind::FAILED, payload)?;
    failure.message = shown(&failure.message);
    Ok(FromChild::Failed(failure))
}

/// Returns a text as people may be shown it.
fn shown(text: &str) -> String {
    let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    printable.take(limits::CHILD_TEXT_CHARS_MAX).collect()
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    let text = serde_json::to_vec(value).unwrap_or_default();
    assert!(!text.is_empty(), "a message of plain values failed to serialise");
    text
}

fn from_json<T: DeserializeOwned>(kind: u8, payload: &[u8]) -> Result<T, WireError> {
    serde_json::from_slice(payload).map_err(|error| malformed(kind, error.to_string()))
}

pub(crate) fn malformed(kind: u8, reason: String) -> WireError {
    WireError::Malformed { kind, reason }
}

pub(crate) fn take<const N: usize>(kind: u8, payload: &[u8], at: usize) -> Result<[u8; N], WireError> {
    let bytes = payload.get(at..).and_then(|rest| rest.first_chunk());
    bytes.copied().ok_or_else(|| malformed(kind, format!("payload of {} bytes is too short", payload.len())))
}
