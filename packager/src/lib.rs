//! The packager core, pure: sample tables and boxes (`bmff`), segments of a whole ladder (`plan`), Common Encryption
//! (`cenc`), HLS and DASH (`manifest`). Bytes and values in, bytes and values out; files, threads, clocks and randomness
//! belong to the caller. Input bytes are hostile: every reader here is bounded and answers with an error.

pub mod bmff;
pub mod cenc;
pub mod manifest;
pub mod plan;
mod track;

pub use track::{AacConfig, AvcConfig, MediaConfig, TrackConfig};
