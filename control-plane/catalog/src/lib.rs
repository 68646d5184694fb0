//! The catalog: all relational state of the desk, and the transactions in which it changes.
//!
//! A service handles an event in one transaction (`Tx`): the inbox row that says so, its own rows, and the messages that
//! follow, which the relay of `services` carries to the log. Read in this order: opening (`catalog`), transactions (`tx`),
//! the outbox as the relay sees it (`outbox`), leases, content keys; then the tables (`schema`, `migrations/`) and what
//! differs between engines (`dialect`).

mod catalog;
mod content_key;
mod dialect;
mod error;
mod lease;
mod outbox;
mod schema;
mod tx;

pub use catalog::{BUSY_TIMEOUT, Catalog};
pub use content_key::{KeyPlan, KeyPlanState, SealedKey};
pub use error::CatalogError;
pub use outbox::OutboxRow;
pub use tx::{Receipt, Tx};
