//! The media stages: one file each, plain async functions over a source and an `ObjectStore`.
//!
//! `plan` cuts a source into chunks, `transcode` makes one chunk's clear CMAF objects, `assemble` finds a rendition
//! complete, `package` turns renditions into encrypted segments and manifests. A stage holds no database handle.
//! `orchestrate`, `transcoder` and `drm_packager` drive the same functions from events; `stores` is where they find bytes.

pub mod assemble;
pub mod copyright;
mod drm_packager;
pub mod ingest;
mod map;
pub mod moderate;
mod orchestrate;
pub mod package;
pub mod plan;
mod progress;
mod stores;
pub mod taps;
mod thumbnails;
mod track_writer;
pub mod transcode;
mod transcoder;

pub use copyright::CopyrightScanner;
pub use drm_packager::{DrmPackager, Licence, Packable};
pub use ingest::{IngestPolicy, UploadIngestor};
pub use moderate::{Moderator, Rules, RulesError};
pub use orchestrate::{Heard, Orchestrator, PlanSettings};
pub use progress::{OnProgress, Progress};
pub use stores::Stores;
pub use thumbnails::ThumbnailGenerator;
pub use transcoder::{BulkTranscoder, ChunkWorker, Request, Transcoder};
