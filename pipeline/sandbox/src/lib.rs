//! The sandbox: starts one confined child (`mcsp-media`) per job, answers its reads of the source, turns its pipe into
//! values. In: a source and a job. Out: the child's messages, checked against `mcsp_domain::limits`, or why it ended.
//!
//! The child confines itself before it reads the source (`mcsp-media/src/confine.rs`); this side holds what it can hold
//! from outside: an empty environment, one read-only descriptor at most, bounds on output, reads and time, and a death
//! for the child when the session is dropped or this process dies.

mod bounds;
mod error;
mod session;
mod source;
mod start;
mod starter;
mod watch;

pub use bounds::{limits_for, wall_for};
pub use error::{Retry, SandboxError};
/// The protocol's words, for callers that order work and read answers.
pub use mcsp_child as child;
pub use session::Session;
pub use source::{Piece, Source};
pub use start::Sandbox;
pub use watch::Usage;
