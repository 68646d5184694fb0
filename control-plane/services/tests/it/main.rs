//! The desk's services over real catalogs and real connections.
#![expect(clippy::unwrap_used, reason = "a panic in a test is its report, in helpers too")]

mod content;
mod idempotency;
mod licence;
mod licence_at_rest;
mod moderation;
mod notify;
mod playback;
mod relay;
mod search;
mod support;
mod told;
mod upload;
