//! The catalog on real files: opening, transactions, the outbox, leases and keys.
#![expect(clippy::unwrap_used, reason = "a panic in a test is its report, in helpers too")]

mod keys;
mod open;
mod outbox;
mod support;
mod tx;
