//! The licence service: who asks for content keys, and what comes back.

mod convert;

pub use convert::WireError;

/// Version 1 of the contract, generated from `proto/licence.proto`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    reason = "generated: what is documented in the contract is documented here"
)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/mcsp.licence.v1.rs"));
}
