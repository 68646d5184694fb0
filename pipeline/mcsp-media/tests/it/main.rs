//! The child with real codecs on short clips.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a panic in a test is its report, in helpers too")]

mod audio;
mod child;
mod chunks;
mod clips;
mod hostile;
mod scan;
mod taps;
