//! Manifests of a packaged presentation: HLS (RFC 8216bis) and DASH (ISO/IEC 23009-1). In: what the plan knows of every
//! segment. Out: text. Both name the same CMAF objects, and none ever holds a content key.

mod bandwidth;
pub mod dash;
pub mod hls;
mod language;

use mcsp_domain::{KeyId, ObjectKey, RenditionName, Scheme};

use crate::MediaConfig;

/// Everything that the manifests of one plan say.
#[derive(Clone, Debug)]
pub struct Presentation {
    /// Its renditions, in any order; those of one kind last equally long.
    pub renditions: Vec<RenditionInfo>,
    /// The scheme of all renditions; nothing for clear output.
    pub scheme: Option<Scheme>,
}

/// One rendition.
#[derive(Clone, Debug)]
pub struct RenditionInfo {
    /// Its folder.
    pub name: RenditionName,
    /// Its sample entry.
    pub media: MediaConfig,
    /// Ticks per second of its segment times.
    pub timescale: u32,
    /// ISO 639-2, `und` when unknown; anything else counts as `und`.
    pub language: String,
    /// The key id, present exactly when the presentation has a scheme.
    pub kid: Option<KeyId>,
    /// Frames per second as numerator and denominator, when they are constant.
    pub frame_rate: Option<(u32, u32)>,
    /// Its segments in presentation order, at least one.
    pub segments: Vec<SegmentInfo>,
}

/// One media segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// The earliest presentation time after edits, at least 0.
    pub start_ticks: i64,
    /// How long it lasts, at least 1.
    pub duration_ticks: u64,
    /// The whole file.
    pub size_bytes: u64,
}

/// Why no manifest could be written.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ManifestError {
    /// There is nothing to present.
    #[error("presentation has no renditions")]
    NoRenditions,
    /// A rendition was asked for that is not there.
    #[error("rendition index {index} of {count} renditions")]
    NoSuchRendition {
        /// Asked for.
        index: usize,
        /// There.
        count: usize,
    },
    /// Two renditions would share a folder.
    #[error("two renditions are named {name}")]
    DuplicateName {
        /// The folder.
        name: RenditionName,
    },
    /// A value of a rendition cannot be.
    #[error("rendition {name}: {fault}")]
    Rendition {
        /// Which.
        name: RenditionName,
        /// What is wrong.
        fault: &'static str,
    },
    /// A value of a segment cannot be.
    #[error("rendition {name}, segment {number}: {fault}")]
    Segment {
        /// Which rendition.
        name: RenditionName,
        /// Which segment, from 1.
        number: usize,
        /// What is wrong.
        fault: &'static str,
    },
    /// The XML writer failed.
    #[error("mpd could not be written: {cause}")]
    Xml {
        /// What it said.
        cause: String,
    },
}

/// Checks at the door what every manifest relies on.
fn check(p: &Presentation) -> Result<(), ManifestError> {
    if p.renditions.is_empty() {
        return Err(ManifestError::NoRenditions);
    }
    for (index, rendition) in p.renditions.iter().enumerate() {
        if p.renditions.iter().take(index).any(|other| other.name == rendition.name) {
            return Err(ManifestError::DuplicateName { name: rendition.name.clone() });
        }
        check_rendition(p.scheme, rendition)?;
        check_segments(rendition)?;
    }
    Ok(())
}

fn check_rendition(scheme: Option<Scheme>, rendition: &RenditionInfo) -> Result<(), ManifestError> {
    let fault = match (scheme, rendition.kid) {
        _ if rendition.timescale == 0 => "its timescale is 0",
        _ if rendition.segments.is_empty() => "it has no segments",
        _ if rendition.frame_rate.is_some_and(|(frames, seconds)| frames == 0 || seconds == 0) => "its frame rate is 0",
        (Some(_), None) => "it has no key id in a protected presentation",
        (None, Some(_)) => "it has a key id in a clear presentation",
        (Some(_), Some(_)) | (None, None) => return Ok(()),
    };
    Err(ManifestError::Rendition { name: rendition.name.clone(), fault })
}

fn check_segments(rendition: &RenditionInfo) -> Result<(), ManifestError> {
    let mut end_ticks = 0;
    for (number, segment) in (1..).zip(&rendition.segments) {
        let start_ticks = i128::from(segment.start_ticks);
        let fault = match segment {
            _ if start_ticks < 0 => "it starts before 0",
            _ if start_ticks < end_ticks => "it starts before the end of the one before it",
            _ if segment.duration_ticks == 0 => "it lasts 0 ticks",
            _ => {
                end_ticks = start_ticks + i128::from(segment.duration_ticks);
                continue;
            }
        };
        return Err(ManifestError::Segment { name: rendition.name.clone(), number, fault });
    }
    Ok(())
}

/// Returns an object's name within its folder.
fn file_name(key: &ObjectKey) -> &str {
    key.as_str().rsplit('/').next().unwrap_or_default()
}
