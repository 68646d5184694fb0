//! Fingerprints of pictures and sound, the index over them, and the decision whether an upload holds what others own.
//!
//! Pure: luma planes and PCM in, fingerprints, matches and decisions out. Read in this order: `video` and `audio` (what is
//! remembered of a source), `fingerprint` (its bytes), `index` (the library of references as one immutable file, searched
//! where it lies), `matching` (which stretch of an upload is which stretch of a reference, and what follows from that).

pub mod audio;
mod bytes;
mod error;
mod fingerprint;
pub mod index;
pub mod matching;
pub mod video;

pub use error::FingerprintError;
pub use fingerprint::{AudioMark, Fingerprint, VideoMark};
pub use index::{Index, IndexBuilder, LibraryPointer, Reference, ReferenceAsset, RightsAction, RightsPolicy};
pub use matching::{Channel, Match, Matches, RightsDecision, Segment, Verdict, decide};
