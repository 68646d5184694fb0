//! What the parent and the confined child `mcsp-media` say to each other: frames on two pipes, parsed with limits.
//!
//! The parent starts one child per job, writes one `Job`, and answers `Read` requests; the child answers with a `Hello`
//! that tells how it is confined, then with what the job asks for, and ends with `Done` or `Failed`. A frame is a
//! little-endian `u32` length of what follows, one byte of kind, and the payload. Both sides read hostile bytes: the
//! parent because the child decodes uploads, the child because that is cheap.

mod job;
mod message;
mod report;
pub mod wire;

pub use job::{
    Act, AudioJob, AudioRung, Isolation, Job, JobLimits, SourceAccess, TranscodeJob, VideoJob, VideoRung, Work,
};
pub use message::{FromChild, ToChild, WireError};
pub use report::{ActOutcome, Failure, FailureKind, Hello, Layer, TrackConfig, TrackEnd};
