//! The catalog on real files: opening, transactions, the outbox, leases and keys.
#![expect(clippy::unwrap_used, reason = "a panic in a test is its report, in helpers too")]

mod identity;
mod keys;
mod notice;
mod open;
mod outbox;
mod playback;
mod search;
mod support;
mod tx;
