//! The machine's ports and what every process shares: `ports` are the seams with two production engines, `stage` and `saga`
//! are the two loops, `telemetry` sets up logs, traces and metrics.

mod chain;
mod clock;
pub mod conformance;
mod ports;
pub mod saga;
mod scoped;
pub mod stage;
pub mod telemetry;

pub use chain::chain;
pub use clock::now_us;
pub use ports::direct_upload::{
    BoundHeaders, Part, PartFault, PartTag, PresignCall, PresignRequest, Presigned, UploadId, UploadIdError,
};
pub use ports::event_log::{
    Completed, Completion, EventLog, Lag, LogError, PartitionSpan, Record, ReplayFrom, SubscribeOptions, Subscription,
};
pub use ports::object_store::{Etag, EtagError, ObjectMeta, ObjectStore, Put, PutIf, StoreError, Upload};
pub use ports::saga_engine::{SagaEngine, SagaError, SagaState, SagaStatus, SagaSummary, Start, StepState, WaitsFor};
pub use ports::ttl_store::{Claim, ClaimRequest, LedgerEntry, TtlError, TtlStore};
pub use scoped::{Buckets, ScopedStore, UnknownBucket};
pub use stage::StageError;
