//! The machine's ports and what every process shares: `ports` are the seams with two production engines,
//! `telemetry` sets up logs.

pub mod conformance;
mod ports;
mod stage;
pub mod telemetry;

pub use ports::object_store::{ObjectMeta, ObjectStore, Put, PutIf, StoreError, Upload};
pub use stage::StageError;
