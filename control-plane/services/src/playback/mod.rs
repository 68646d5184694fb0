//! Playback: whether somebody may watch a content, and what their player needs for it.
//!
//! Read in this order: who may watch what (`entitle`), addresses that work for a while (`lease`), the walk from a request to
//! a grant (`play`), and how a long playback goes on (`renew`).

mod entitle;
mod error;
mod lease;
mod play;
mod renew;

pub use error::PlaybackError;
pub use lease::Addresses;
pub use play::{DrmPass, Play, PlaybackService, PlaybackSettings};
pub use renew::Renewal;

use mcsp_domain::{UserId, UserRole};

/// Somebody who wants to watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watcher {
    /// Who.
    pub user: UserId,
    /// What the account may do.
    pub role: UserRole,
}

/// What a player reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ManifestFormat {
    /// HTTP Live Streaming.
    #[default]
    Hls,
    /// Dynamic Adaptive Streaming over HTTP.
    Dash,
}
