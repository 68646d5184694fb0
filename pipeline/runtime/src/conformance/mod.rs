//! One suite a port, run on every engine by that engine's tests. A suite panics where an engine breaks the port's promise.

mod event_log;
mod eventually;
mod object_store;
mod presigned;
mod saga_engine;
mod stage_loop;
mod ttl_store;

pub use event_log::{LogProcess, event_log};
pub use object_store::object_store;
pub use presigned::{HttpAnswer, HttpCall, presigned_urls};
pub use saga_engine::saga_engine;
pub use stage_loop::{Engines, stage_loop};
pub use ttl_store::ttl_store;
