//! Stages with real children on short clips: an event goes in, events and objects come out.
//!
//! Needs the program `mcsp-media` in the target folder, which a build of the workspace puts there.
#![expect(clippy::unwrap_used, reason = "a panic in a test is its report, in helpers too")]

mod early;
mod ingest;
mod moderation;
mod rights;
mod tapped;
mod thumbnails;
mod world;
