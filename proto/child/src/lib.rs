//! What the parent and the confined child `mcsp-media` say to each other: frames on two pipes, parsed with limits.
//!
//! The parent starts one child per job, writes one `Job`, and answers `Read` requests; the child answers with a `Hello`
//! that tells how it is confined, then with what the job asks for, and ends with `Done` or `Failed`. A frame is a
//! little-endian `u32` length of what follows, one byte of kind, and the payload. Both sides read hostile bytes: the
//! parent because the child decodes uploads, the child because that is cheap.

mod job;
mod message;
mod report;
mod taps;
pub mod wire;

pub use job::{
    Act, AudioJob, AudioRung, Isolation, Job, JobLimits, SourceAccess, TranscodeJob, VideoJob, VideoRung, Work,
};
pub use message::{FromChild, ToChild, WireError};
pub use report::{
    ActOutcome, Failure, FailureKind, Hello, Layer, SCAN_MATCHES_MAX, ScanClass, ScanMatch, ScanReport, TrackConfig,
    TrackEnd,
};
pub use taps::{
    AudioTaps, CELL_COLUMNS, CELL_COUNT, CELL_ROWS, DenseTap, PosterTap, SHEET_TILES_MAX, STILL_BYTES_MAX,
    STILL_EDGE_PX_MAX, StillKind, StoryboardTap, TAP_LUMA_EDGE_PX_MAX, TAP_SAMPLE_RATE_HZ, TAP_SAMPLES_MAX, TapCells,
    TapPicture, TapSound, TapStill, TapsEnd, VideoTaps,
};
