//! The catalog on real files and, where `MCSP_POSTGRES` names one, on a real server: opening, transactions, the outbox, leases
//! and keys.
#![expect(clippy::unwrap_used, reason = "a panic in a test is its report, in helpers too")]

mod identity;
mod keys;
mod notice;
mod open;
mod outbox;
mod playback;
mod postgres;
mod search;
mod support;
mod tx;
