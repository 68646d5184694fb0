//! The words of the platform: plain values that every room shares, without I/O, clocks or randomness.
//!
//! Read in this order: time, what the source is (`probe`), what we want (`ladder`), how the work is cut
//! (`grid`, `plan`), how it is protected (`protection`), what came out (`rendition`), where it lies (`object_key`), who may
//! see it and how far it is (`desk`).

mod colour;
mod desk;
mod digest;
mod grid;
mod ids;
mod ladder;
pub mod limits;
mod media_time;
mod object_key;
mod placement;
mod plan;
mod probe;
mod protection;
mod rendition;
mod revision;
mod schema;

pub use colour::Colour;
pub use desk::{ContentState, RenditionState, StepName, StepState, SubscriptionTier, UserRole, Visibility, WordError};
pub use digest::Digest;
pub use grid::{Grid, GridError};
pub use ids::{ContentId, EventId, IdError, PlanId, PlaybackId, ReferenceId, RunId, SessionId, UserId, WebhookId};
pub use ladder::{
    AudioCodec, AudioRung, AudioVariant, Ladder, LadderError, LadderFile, Policy, Preset, Variant, VideoRung,
    VideoVariant,
};
pub use media_time::{MediaTime, Round, rescale};
pub use object_key::{ObjectKey, ObjectKeyError};
pub use placement::{Bucket, BucketError, Placement, Tier};
pub use plan::{
    AAC_FRAME_SAMPLES, AUDIO_PREROLL_FRAMES, AUDIO_PRIMING_FRAMES, AudioPlan, Chunk, ChunkAudio, ChunkVideo, Plan,
    PlanError, PlanRequest, VideoPlan,
};
pub use probe::{AccessPoint, Analysis, AudioAnalysis, AudioTrack, Orientation, Probe, VideoAnalysis, VideoTrack};
pub use protection::{ContentKey, KeyId, KeyParseError, Protection, Scheme, TrackClass, TrackKey};
pub use rendition::{RenditionKind, RenditionName};
pub use revision::Revision;
