//! Uploads: a session is opened (`session`) and addresses are signed for it (`sign`), its bytes go past us straight into the
//! object store, and once they are all there (`completion`) the content is handed on as `media.upload.initiated`. What
//! nobody goes on with is given up (`sweep`).
//!
//! A session lies in the store of values that expire (`record`), its content's draft in the catalog (`drafts`). Where its
//! bytes may live says the residency policy (`residency`), how a file is cut `layout`.

mod completion;
mod drafts;
mod error;
mod layout;
mod progress;
mod record;
mod residency;
mod session;
mod sign;
mod sweep;

use std::sync::Arc;
use std::time::Duration;

use mcsp_catalog::Catalog;
use mcsp_domain::limits::SOURCE_LEN_BYTES_MAX;
use mcsp_runtime::{Buckets, TtlStore};

pub use completion::{StoredObject, UploadDone};
pub use error::UploadError;
pub use layout::PartLayout;
pub use progress::UploadProgress;
pub use residency::{ResidencyError, ResidencyPolicy};
pub use session::{NewFile, NewUpload, UploadState, UploadStatus, UploadTicket};
pub use sign::{PartAddress, WantedPart};
pub use sweep::UploadsSwept;

use drafts::Drafts;
use progress::Looks;
use record::Sessions;

/// What the service says as the source of its events.
pub const SOURCE: &str = "upload";
/// Addresses that one answer lists; the rest are asked for.
pub const ADDRESSES_MAX: usize = 100;

/// How uploads behave.
#[derive(Clone, Debug)]
pub struct UploadSettings {
    /// Bytes of one file; at most `limits::SOURCE_LEN_BYTES_MAX`.
    pub size_bytes_max: u64,
    /// Sessions that one user may have open; at most `limits::TTL_SCAN_MAX` are counted.
    pub open_sessions_max: usize,
    /// How long a session waits for its bytes.
    pub session_life: Duration,
    /// How long an address works; it can be signed again while the session lives.
    pub address_life: Duration,
    /// The process, as timelines name it.
    pub worker: String,
}

impl Default for UploadSettings {
    fn default() -> Self {
        Self {
            size_bytes_max: SOURCE_LEN_BYTES_MAX,
            open_sessions_max: 200,
            session_life: Duration::from_secs(24 * 3600),
            address_life: Duration::from_secs(3600),
            worker: SOURCE.to_owned(),
        }
    }
}

/// The upload service. Clones share their state.
#[derive(Clone)]
pub struct UploadService {
    inner: Arc<Inner>,
}

struct Inner {
    catalog: Catalog,
    sessions: Sessions,
    buckets: Buckets,
    residency: ResidencyPolicy,
    settings: UploadSettings,
    drafts: Drafts,
    looks: Looks,
}

impl UploadService {
    /// Sets the service up, inside a runtime. The stores of `buckets` must be able to presign.
    pub fn new(
        catalog: Catalog,
        sessions: Arc<dyn TtlStore>,
        buckets: Buckets,
        residency: ResidencyPolicy,
        settings: UploadSettings,
    ) -> Self {
        let drafts = Drafts::start(catalog.clone());
        let settings = UploadSettings { size_bytes_max: settings.size_bytes_max.min(SOURCE_LEN_BYTES_MAX), ..settings };
        let sessions = Sessions::new(sessions);
        let inner = Inner { catalog, sessions, buckets, residency, settings, drafts, looks: Looks::default() };
        Self { inner: Arc::new(inner) }
    }
}
