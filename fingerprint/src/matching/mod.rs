//! Which stretch of an upload is which stretch of a reference, and what follows from that. Look-ups give candidates, votes
//! on (asset, form, offset) give alignments, and along each alignment what agrees is weighed against what does not.

mod decide;
mod sound;
mod vision;

use mcsp_domain::Digest;
use serde::{Deserialize, Serialize};

use crate::index::{Index, ReferenceAsset};
use crate::video::Dihedral;
use crate::{Fingerprint, FingerprintError};

pub use decide::{ALGORITHM, AUDIO_SURE, MatchedAsset, RightsDecision, VIDEO_SURE, Verdict, decide};

/// The quality below which a picture's hash says too little to be compared, as the reference implementation advises.
pub(crate) const QUALITY_MIN: u8 = 50;
/// References that one search tells of, the strongest.
const MATCHES_MAX: usize = 64;

/// What was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// A stretch of time, milliseconds, its end exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Its start.
    pub start_ms: u64,
    /// Its end.
    pub end_ms: u64,
}

impl Span {
    /// Returns how long it is.
    pub fn len_ms(&self) -> u64 {
        self.end_ms.saturating_sub(self.start_ms)
    }

    /// Returns how much of it another covers.
    pub(crate) fn shared_ms(&self, other: &Self) -> u64 {
        self.end_ms.min(other.end_ms).saturating_sub(self.start_ms.max(other.start_ms))
    }
}

/// A stretch of the upload that is a stretch of a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Pictures or sound.
    pub channel: Channel,
    /// Where in the upload.
    pub query: Span,
    /// Where in the reference.
    pub reference: Span,
    /// How the upload's pictures were turned; sound is as it stands.
    pub transform: Dihedral,
    /// How much speaks for it: bits below chance, summed over pictures, or landmarks that agree.
    pub evidence: u32,
    /// Pictures or landmarks that agree.
    pub marks: u32,
    /// How many of the upload's pictures or landmarks in this stretch agree, in thousandths.
    pub share_permille: u16,
}

/// All that an upload shares with one reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The reference.
    pub asset: ReferenceAsset,
    /// The stretches, the strongest first.
    pub segments: Vec<Segment>,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matches {
    /// The digest of the index that was searched.
    pub library: Digest,
    /// The references, the strongest first.
    pub matches: Vec<Match>,
}

impl Index<'_> {
    /// Finds what an upload shares with the library.
    ///
    /// # Errors
    /// When the index names an asset that cannot be read.
    pub fn search(&self, upload: &Fingerprint) -> Result<Matches, FingerprintError> {
        let mut found = vision::find(self, &upload.video);
        found.extend(sound::find(self, &upload.audio));
        found.sort_by_key(|(asset, segment)| (*asset, std::cmp::Reverse(segment.evidence)));
        let mut matches = Vec::new();
        for group in found.chunk_by(|a, b| a.0 == b.0) {
            let Some((asset, _)) = group.first() else { continue };
            let segments = group.iter().map(|(_, segment)| *segment).collect();
            matches.push(Match { asset: self.asset(*asset)?, segments });
        }
        matches.sort_by_key(|found| std::cmp::Reverse(found.segments.iter().map(|segment| segment.evidence).max()));
        matches.truncate(MATCHES_MAX);
        Ok(Matches { library: self.digest(), matches })
    }
}

fn permille(part: u64, whole: u64) -> u16 {
    u16::try_from((part * 1000 / whole.max(1)).min(1000)).unwrap_or(1000)
}
