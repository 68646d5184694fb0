//! The desk's services over real catalogs and real connections.
#![expect(clippy::unwrap_used, reason = "a panic in a test is its report, in helpers too")]

mod licence;
mod licence_at_rest;
mod relay;
mod support;
