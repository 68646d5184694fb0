//! The desk's services, one folder each, and the relay that carries what they said from the catalog to the log.

pub mod licence;
mod relay;

pub use relay::{Relay, RelayError};
