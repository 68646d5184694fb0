//! The edge over real sockets, on real files.
#![expect(clippy::unwrap_used, reason = "a panic in a test is its report, in helpers too")]

mod bytes;
mod caches;
mod leases;
mod support;
mod traversal;
