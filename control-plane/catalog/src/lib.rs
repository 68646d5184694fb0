//! The catalog: all relational state of the desk, and the transactions in which it changes.
//!
//! A service handles an event in one transaction (`Tx`): the inbox row that says so, its own rows, and the messages that
//! follow, which the relay of `services` carries to the log. Read in this order: opening (`catalog`), transactions (`tx`),
//! the outbox as the relay sees it (`outbox`), leases, content keys; then the tables (`schema`, `migrations/`) and what
//! differs between engines (`dialect`).

mod catalog;
mod content;
mod content_key;
mod dialect;
mod error;
mod idempotency;
mod lease;
mod moderation;
mod notice;
mod outbox;
mod playback;
#[cfg(feature = "postgres")]
mod postgres_options;
mod publication;
mod row;
mod run;
mod schema;
#[cfg(feature = "scratch")]
mod scratch;
mod search;
mod step;
mod tx;
mod upload;
mod user;
mod wake;
mod webhook;

pub use catalog::{BUSY_TIMEOUT, Catalog};
pub use content::{ContentFilter, ContentRow};
pub use content_key::{KeyPlan, KeyPlanState, SealedKey};
pub use error::CatalogError;
pub use idempotency::AnswerState;
pub use moderation::{CASE_FLAGS_MAX, CaseDecision, CaseFlag, CaseKind, CasePlace, CaseRow, ListedCase};
pub use notice::{Notice, NoticeSpan, NoticeWatch};
pub use outbox::OutboxRow;
pub use playback::{PlaybackRow, PositionUpdate};
#[cfg(feature = "postgres")]
pub use postgres_options::{PostgresCertificate, PostgresOptions, PostgresTls, PostgresTrust};
pub use publication::{PackageRow, PublicationRow};
pub use run::{ReuseRow, RunItemRow, RunItemState, RunRow, Settled};
#[cfg(feature = "scratch")]
pub use scratch::ScratchDatabase;
pub use search::{Document, SEARCH_RESULTS_MAX, SearchHit};
pub use step::{RenditionRow, StepRow};
pub use tx::{Receipt, Tx};
pub use upload::WaitingUpload;
pub use user::{PasswordHash, RefreshUse, SignIn, UserRow};
pub use webhook::{DeliveryRow, DeliveryState, WebhookRow};
