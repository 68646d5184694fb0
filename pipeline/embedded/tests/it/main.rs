//! The engines on one machine keep the promises of their ports.

mod journal;
mod log;
mod s3;
mod stage_loop;
mod ttl;
