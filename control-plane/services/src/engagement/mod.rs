//! Engagement: what viewers do. In: heartbeats of players. Out: where each viewer stopped, `user.engagement.events`.
//!
//! Heartbeats come by the thousand, and each is answered only when it is stored. So they queue for one writer (`writer`),
//! which appends the events of all that wait in one call and then writes their positions in one transaction.

mod service;
mod writer;

pub use service::{Beat, EngagementError, EngagementService, Recorded};
