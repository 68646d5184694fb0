//! The ports on one machine: products of their own, not stand-ins. `file_store` keeps objects as files.

mod file_store;

pub use file_store::{Durability, FileStore};
