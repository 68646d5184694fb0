//! Telling users what happens to their contents: live, over a connection that they hold open (`live`), and by messages to an
//! address of theirs (`webhooks` sets it up, `stage` turns events into messages, `sender` delivers them). In: notices of the
//! catalog, events. Out: live messages, HTTP requests by the Standard Webhooks specification.

mod live;
mod secret;
mod sender;
mod stage;
mod target;
mod webhooks;

use mcsp_catalog::CatalogError;
use mcsp_domain::UserId;

pub use live::{CONNECTIONS_PER_USER_MAX, LiveEvents, LiveMessage, LiveStream, LiveTimes, ProgressLookup, progress_of};
pub use mcsp_catalog::{DeliveryRow, DeliveryState, WebhookRow};
pub use sender::{SenderSettings, WebhookSender};
pub use stage::{Notification, Told};
pub use target::{TargetPolicy, URL_PATTERN};
pub use webhooks::{NewWebhook, SECRET_OVERLAP_US, URL_CHARS_MAX, WEBHOOK_EVENTS, WebhookService, WebhookView};

/// Why a user is not told.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// An address that nothing is sent to.
    #[error("webhook address {why}")]
    Address {
        /// What is wrong with it.
        why: String,
    },
    /// A type of event that there is not.
    #[error("webhook event {name:?} is none of {}", WEBHOOK_EVENTS.join(", "))]
    UnknownEvent {
        /// What was asked for.
        name: String,
    },
    /// The user has set up no address.
    #[error("user {user} has no webhook")]
    NoWebhook {
        /// The user.
        user: UserId,
    },
    /// Nothing is sent to the address any more.
    #[error("the webhook is disabled: {why}")]
    Disabled {
        /// Why.
        why: String,
    },
    /// The user holds as many connections as one may.
    #[error("user {user} holds {max} connections, which is the limit")]
    TooManyConnections {
        /// The user.
        user: UserId,
        /// The limit.
        max: u32,
    },
    /// A secret that does not open: its master key was not given, or its row was changed.
    #[error("secret of webhook {webhook} does not open: {why}")]
    Secret {
        /// The webhook's id.
        webhook: String,
        /// Why.
        why: String,
    },
    /// The operating system gave no randomness.
    #[error("no randomness for a webhook secret: {0}")]
    Randomness(getrandom::Error),
    /// The client of HTTP could not be made.
    #[error("client of webhooks could not be made")]
    Client(#[source] reqwest::Error),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl NotifyError {
    /// Returns whether time may help.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Catalog(error) if error.may_pass())
    }
}
