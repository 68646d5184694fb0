//! The ports on real engines, one Cargo feature each: Kafka, Redis, S3, Temporal. Postgres is under the catalog.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "banned in workflows alone: temporal/workflow.rs"
)]

mod access;
#[cfg(any(feature = "redis", feature = "s3"))]
mod authorities;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "s3")]
mod s3;
#[cfg(feature = "temporal")]
mod temporal;

pub use access::{ClientCertificate, Login, Tls};
#[cfg(any(feature = "redis", feature = "s3"))]
pub use authorities::TlsFileError;
#[cfg(feature = "kafka")]
pub use kafka::{KafkaLog, KafkaOptions, KafkaTopic, SaslMechanism};
#[cfg(feature = "redis")]
pub use redis::{Forgetting, OnEmpty, RedisError, RedisOptions, RedisTtl};
#[cfg(feature = "s3")]
pub use s3::{Addressing, NoticeError, S3Error, S3Options, S3Store, StoredNotice, completions_of};
#[cfg(feature = "temporal")]
pub use temporal::{ReplayError, TemporalEngine, TemporalError, TemporalOptions, replay};
