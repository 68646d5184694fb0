//! The media stages: one file each, plain async functions over a source and an `ObjectStore`.
//!
//! `plan` cuts a source into chunks, `transcode` makes one chunk's clear CMAF objects, `assemble` finds a rendition
//! complete, `package` turns renditions into encrypted segments and manifests. A stage holds no database handle.

pub mod assemble;
mod map;
pub mod package;
pub mod plan;
mod progress;
mod track_writer;
pub mod transcode;

pub use progress::{OnProgress, Progress};
