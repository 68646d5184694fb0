//! The planning rules, as one test binary.
#![expect(clippy::unwrap_used, reason = "a panic in a test is its report")]

mod ladder;
mod plan;
