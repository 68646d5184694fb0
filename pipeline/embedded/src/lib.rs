//! The ports on one machine: products of their own, not stand-ins. `file_store` keeps objects as files.

mod file_store;
mod log;
mod s3;
mod journal;
mod sqlite;
mod ttl;

pub use journal::{JournalEngine, JournalOptions};
pub use file_store::spool::CreatedBy;
pub use file_store::{Durability, FileStore, Swept};
pub use s3::{
    DEFAULT_REGION, EndpointUrlError, ObjectCreated, Presigner, S3Credentials, S3Endpoint, S3Options, S3SetupError,
};
pub use log::{ExtraTopic, LogOptions, SqliteLog, TopicOverride};
pub use sqlite::DatabaseError;
pub use ttl::SqliteTtl;
