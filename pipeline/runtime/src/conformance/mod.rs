//! One suite a port, run on every engine by that engine's tests. A suite panics where an engine breaks the port's promise.

mod event_log;
mod object_store;
mod saga_engine;
mod ttl_store;

pub use event_log::event_log;
pub use object_store::object_store;
pub use saga_engine::saga_engine;
pub use ttl_store::ttl_store;
