//! The ports on one machine: products of their own, not stand-ins. `file_store` keeps objects as files.

mod file_store;
mod journal;
mod log;
mod s3;
mod sqlite;
mod ttl;

pub use file_store::spool::CreatedBy;
pub use file_store::{Durability, FileStore, Swept};
pub use journal::{JournalEngine, JournalOptions};
pub use log::{ExtraTopic, LogOptions, SqliteLog, TopicOverride};
pub use s3::{
    DEFAULT_REGION, EndpointUrlError, ObjectCreated, Presigner, S3Credentials, S3Endpoint, S3Options, S3SetupError,
};
pub use sqlite::DatabaseError;
pub use ttl::SqliteTtl;
