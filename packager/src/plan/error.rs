//! Why a ladder cannot be planned or a segment not built; each message names the rendition, the time and the values.

use mcsp_domain::{MediaTime, RenditionName};

use crate::bmff::BmffError;
use crate::cenc::CencError;

/// Why renditions do not make one presentation.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum PlanError {
    /// There is nothing to package.
    #[error("no renditions to package")]
    NoRenditions,
    /// More renditions or chunks than IVs can tell apart.
    #[error("{count} {what}, {allowed} allowed")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        allowed: usize,
    },
    /// Two renditions would share a folder.
    #[error("two renditions are named {name}")]
    DuplicateName {
        /// The folder.
        name: RenditionName,
    },
    /// A rendition without samples, or an object of it.
    #[error("rendition {name}: object {object} has no samples")]
    NoSamples {
        /// The rendition.
        name: RenditionName,
        /// The index of the object; 0 when there are no objects at all.
        object: usize,
    },
    /// An object that is another track than the first.
    #[error("rendition {name}: object {object} differs from object 0 in its {what}")]
    Differs {
        /// The rendition.
        name: RenditionName,
        /// The index of the object.
        object: usize,
        /// What differs.
        what: &'static str,
    },
    /// Chunk indexes that do not rise: two samples could share an IV.
    #[error("rendition {name}: object {object} is chunk {chunk}, after chunk {previous}")]
    ChunkOrder {
        /// The rendition.
        name: RenditionName,
        /// The index of the object.
        object: usize,
        /// Its chunk.
        chunk: u16,
        /// The chunk before.
        previous: u16,
    },
    /// Objects that do not follow each other in time.
    #[error("rendition {name}: object {object} begins at {:.6} s, the one before ends at {:.6} s", found.seconds(), expected.seconds())]
    Gap {
        /// The rendition.
        name: RenditionName,
        /// The index of the later object.
        object: usize,
        /// Where the earlier one ends.
        expected: MediaTime,
        /// Where the later one begins.
        found: MediaTime,
    },
    /// An object whose first sample decoding cannot begin at.
    #[error("rendition {name}: object {object} does not begin with a key frame of a closed group of pictures")]
    StartNotKey {
        /// The rendition.
        name: RenditionName,
        /// The index of the object.
        object: usize,
    },
    /// Renditions that cannot be switched between.
    #[error("rendition {name} has no key frame at {:.6} s, where {reference} has a segment", time.seconds())]
    Unaligned {
        /// The rendition that lacks it.
        name: RenditionName,
        /// The rendition that has it.
        reference: RenditionName,
        /// When.
        time: MediaTime,
    },
    /// Video renditions of which one would run on alone.
    #[error("rendition {name} ends at {:.3} s, {reference} at {:.3} s", end.seconds(), reference_end.seconds())]
    EndsApart {
        /// The one rendition.
        name: RenditionName,
        /// Where it ends.
        end: MediaTime,
        /// The other.
        reference: RenditionName,
        /// Where that ends.
        reference_end: MediaTime,
    },
    /// A segment that nobody would see or hear.
    #[error("rendition {name}: segment {segment} ends before presentation begins")]
    NoDuration {
        /// The rendition.
        name: RenditionName,
        /// The index of the segment.
        segment: usize,
    },
    /// A segment was asked for that is not planned.
    #[error("no segment {segment} of rendition {rendition} is planned")]
    NoSuchSegment {
        /// The index of the rendition.
        rendition: usize,
        /// The index of the segment.
        segment: usize,
    },
    /// More subsamples than one byte of `saiz` can count.
    #[error("rendition {name}: sample {sample} of object {object} has {count} subsamples, {allowed} fit")]
    Subsamples {
        /// The rendition.
        name: RenditionName,
        /// The index of the object.
        object: usize,
        /// The index of the sample in the object.
        sample: usize,
        /// Its subsamples.
        count: usize,
        /// How many a `saiz` entry can describe.
        allowed: usize,
    },
    /// Boxes that cannot be written.
    #[error("rendition {name}: {source}")]
    Bmff {
        /// The rendition.
        name: RenditionName,
        /// What is wrong.
        source: BmffError,
    },
    /// Samples that cannot be encrypted; nothing is left clear instead.
    #[error("rendition {name}: {source}")]
    Cenc {
        /// The rendition.
        name: RenditionName,
        /// What is wrong.
        source: CencError,
    },
}
