//! The sagas on the embedded engine, end to end.
#![expect(clippy::unwrap_used, reason = "a panic in a test is its report, in helpers too")]

mod publish;
