//! Reports: what a child answers, apart from access units. JSON on the wire.

use serde::{Deserialize, Serialize};

/// The child's first answer: what it is and how it is confined. Sent before it reads any byte of the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Name and versions of the engine, such as `ffmpeg 5.1.9 x264 164`.
    pub engine: String,
    /// The layers in force.
    pub layers: Vec<Layer>,
}

/// One layer of confinement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Its name: `descriptors`, `environment`, `no_new_privs`, `capabilities`, `landlock`, `rlimits`, `seccomp`.
    pub name: String,
    /// Whether it is in force.
    pub in_force: bool,
    /// What it is, or why it is not in force: `ABI 7`.
    pub detail: String,
}

/// The sample entry of one track, sent before its first access unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackConfig {
    /// The track.
    pub track: u16,
    /// H.264: `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15 §5.3.3.1). AAC: `AudioSpecificConfig`.
    pub decoder_config: Vec<u8>,
}

/// Sent after a track's last access unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackEnd {
    /// The track.
    pub track: u16,
    /// Output time of the frame after the chunk; at the end of the source, the time at which the last frame ends.
    pub next_pts: i64,
    /// Access units sent.
    pub frames: u64,
    /// Source frames of the span that were not encoded, with the reasons: `2 frames share a time with their neighbour`.
    pub dropped: Vec<String>,
}

/// What a scan found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanReport {
    /// Bytes that were looked at: the whole source.
    pub scanned_bytes: u64,
    /// One entry for each rule that matched, at most `SCAN_MATCHES_MAX`.
    pub matches: Vec<ScanMatch>,
}

/// Rules that one scan may name.
pub const SCAN_MATCHES_MAX: usize = 64;

/// A rule that matched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanMatch {
    /// Its name, such as `zip_archive`.
    pub rule: String,
    /// What it finds, in words for an uploader: `a ZIP archive`.
    pub description: String,
    /// Where it first matched.
    pub offset_bytes: u64,
    /// How bad it is.
    pub class: ScanClass,
}

/// How bad a match is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScanClass {
    /// Content of another kind: harmless as a file of its own, an attack where it hides in a film.
    Foreign,
    /// What does harm wherever it lies: programs, and the test file of virus scanners.
    Malware,
}

/// What came of a forbidden act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActOutcome {
    /// Whether the act was managed.
    pub managed: bool,
    /// The error that stopped it.
    pub detail: String,
}

/// Why a job failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its class.
    pub kind: FailureKind,
    /// A lowercase fragment that names the thing and the value.
    pub message: String,
}

/// The classes of failure that a parent acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailureKind {
    /// The child could not confine itself as asked.
    Confinement,
    /// The source is sound but of a kind that is not processed.
    Unsupported,
    /// The source is damaged, truncated or not media.
    Corrupt,
    /// The source passes a limit.
    Limit,
    /// The source's bytes could not be read.
    Read,
    /// The engine failed for a reason of its own.
    Internal,
}
