//! What the fingerprint promises, from outside.
#![expect(clippy::unwrap_used, reason = "a panic in a test is its report")]
#![expect(clippy::cast_possible_truncation, reason = "films are made of small numbers")]
#![expect(clippy::print_stdout, reason = "what real clips gave is told, and what was skipped")]

mod film;
mod media;
mod pdq;
mod scene;
mod stored;
