//! The desk's services, one folder each, and the relay that carries what they said from the catalog to the log.

mod channel;
pub mod content;
pub mod engagement;
pub mod idempotency;
pub mod identity;
pub mod licence;
pub mod moderation;
pub mod notify;
pub mod playback;
mod relay;
pub mod search;
mod secret_file;
mod token_keys;
pub mod upload;

pub use relay::{Relay, RelayError};
pub use token_keys::{TokenKeysError, read_or_make_token_keys};

/// Returns what a failure of the catalog means to a stage of the desk: another attempt where time may help, an end where not.
pub fn desk_fault(error: mcsp_catalog::CatalogError) -> mcsp_runtime::StageError {
    if error.may_pass() {
        mcsp_runtime::StageError::retry("catalog failed", error)
    } else {
        mcsp_runtime::StageError::reject("catalog refused", error)
    }
}
