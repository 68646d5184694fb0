//! The engines keep the promises of their ports. Each needs its real server: see `engine.rs`.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "banned in workflows alone")]

mod engine;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "s3")]
mod s3;
mod secured;
#[cfg(feature = "temporal")]
mod temporal;
