//! Pictures: luma planes in, PDQ hashes with quality and their eight turned and mirrored forms out.

mod dct;
mod decimate;
mod hash;
mod hasher;
mod pdq;

pub use hash::PdqHash;
pub use hasher::{Frame, VideoHasher};
pub use pdq::{DIHEDRAL_COUNT, Dihedral, Pdq, PdqHasher};
