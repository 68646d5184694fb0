//! The desk's services, one folder each, and the relay that carries what they said from the catalog to the log.

pub mod licence;
mod relay;

pub use relay::{Relay, RelayError};

/// Writes an error with its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
