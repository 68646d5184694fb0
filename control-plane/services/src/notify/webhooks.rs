//! Setting up the one address of a user: where it is, what it is told, and the secret that signs. A secret is shown once, when
//! it is made; after a rotation the one before signs too for a day, so that its receiver can change in peace.

use mcsp_catalog::{Catalog, DeliveryRow, DeliveryState, WebhookRow};
use mcsp_domain::{EventId, UserId, WebhookId};
use mcsp_runtime::now_us;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::secret::{new_secret, seal};
use super::{NotifyError, TargetPolicy};
use crate::licence::MasterKeys;

/// The types of events that an address can be told.
pub const WEBHOOK_EVENTS: [&str; 3] = ["media.published", "media.upload.blocked", "moderation.decided"];
/// The type of the message that a user asks for to try an address.
const TEST_EVENT: &str = "webhook.test";
/// Characters of an address.
pub const URL_CHARS_MAX: usize = 2048;
/// How long the secret before the last rotation signs too: a day.
pub const SECRET_OVERLAP_US: i64 = 24 * 3600 * 1_000_000;
/// Deliveries that are shown with an address.
const DELIVERIES_SHOWN_MAX: u32 = 20;

/// Sets up addresses.
#[derive(Clone)]
pub struct WebhookService {
    catalog: Catalog,
    masters: MasterKeys,
    policy: TargetPolicy,
}

/// What a user wants of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewWebhook {
    /// Where messages go.
    pub url: String,
    /// The types of events that are wanted; none means all.
    pub events: Vec<String>,
    /// Whether an address that is there gets a new secret.
    pub rotates_secret: bool,
}

/// An address as its user sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookView {
    /// The address; its secrets are sealed.
    pub row: WebhookRow,
    /// The newest deliveries.
    pub deliveries: Vec<DeliveryRow>,
    /// A secret that was made just now.
    pub secret: Option<Zeroizing<String>>,
}

impl WebhookService {
    /// Makes the service. The master keys seal secrets; the policy is that of the sender.
    pub fn new(catalog: Catalog, masters: MasterKeys, policy: TargetPolicy) -> Self {
        Self { catalog, masters, policy }
    }

    /// Sets up a user's address, or changes it; one that was disabled is tried again.
    ///
    /// # Errors
    /// When the address or an event's type is refused, or the catalog fails.
    pub async fn put(&self, user: UserId, wanted: NewWebhook) -> Result<WebhookView, NotifyError> {
        let url = self.policy.check(&wanted.url)?;
        let mut events = wanted.events;
        events.sort();
        events.dedup();
        if let Some(name) = events.iter().find(|name| !WEBHOOK_EVENTS.contains(&name.as_str())) {
            return Err(NotifyError::UnknownEvent { name: name.chars().take(100).collect() });
        }
        let (secret, now_us) = (new_secret()?, now_us());
        let mut tx = self.catalog.begin().await?;
        let known = tx.webhook(user).await?;
        let (row, is_new_secret) = match known {
            Some(row) => {
                let rotates = wanted.rotates_secret;
                let row = WebhookRow { url: url.into(), events, disabled: None, updated_us: now_us, ..row };
                (if rotates { self.rotate(row, &secret, now_us)? } else { row }, rotates)
            }
            None => {
                let id = new_id(now_us)?;
                let row = WebhookRow {
                    user,
                    id,
                    url: url.into(),
                    events,
                    secret: seal(&self.masters, id, &secret)?,
                    previous_secret: None,
                    previous_until_us: None,
                    disabled: None,
                    created_us: now_us,
                    updated_us: now_us,
                };
                (row, true)
            }
        };
        tx.put_webhook(&row).await?;
        tx.commit().await?;
        let deliveries = self.catalog.deliveries(row.id, DELIVERIES_SHOWN_MAX).await?;
        Ok(WebhookView { row, deliveries, secret: is_new_secret.then(|| secret.reveal()) })
    }

    /// Returns a user's address.
    ///
    /// # Errors
    /// `NoWebhook`, or when the catalog fails.
    pub async fn get(&self, user: UserId) -> Result<WebhookView, NotifyError> {
        let row = self.catalog.webhook(user).await?.ok_or(NotifyError::NoWebhook { user })?;
        let deliveries = self.catalog.deliveries(row.id, DELIVERIES_SHOWN_MAX).await?;
        Ok(WebhookView { row, deliveries, secret: None })
    }

    /// Removes a user's address, and all that was on its way there.
    ///
    /// # Errors
    /// `NoWebhook`, or when the catalog fails.
    pub async fn delete(&self, user: UserId) -> Result<(), NotifyError> {
        let mut tx = self.catalog.begin().await?;
        let was_there = tx.drop_webhook(user).await?;
        tx.commit().await?;
        if was_there { Ok(()) } else { Err(NotifyError::NoWebhook { user }) }
    }

    /// Has a test message sent to a user's address, and returns its id.
    ///
    /// # Errors
    /// When there is no address or it is disabled, or the catalog fails.
    pub async fn test(&self, user: UserId) -> Result<EventId, NotifyError> {
        let now_us = now_us();
        let mut tx = self.catalog.begin().await?;
        let webhook = tx.webhook(user).await?.ok_or(NotifyError::NoWebhook { user })?;
        if let Some(why) = webhook.disabled {
            return Err(NotifyError::Disabled { why });
        }
        let random = random::<16>()?;
        let message = EventId::derived(&[b"webhook test", webhook.id.as_bytes(), &random]);
        let delivery = delivery(webhook.id, message, TEST_EVENT, now_us, &json!({ "user": user }));
        tx.add_delivery(&delivery).await?;
        tx.commit().await?;
        Ok(message)
    }

    /// Gives an address a new secret. The one before stays valid for a day; where that of an earlier rotation still is, it
    /// stays instead: the newest may never have reached its receiver.
    fn rotate(
        &self,
        row: WebhookRow,
        secret: &mcsp_token::WebhookSecret,
        now_us: i64,
    ) -> Result<WebhookRow, NotifyError> {
        let is_rotating = row.previous_until_us.is_some_and(|until_us| until_us > now_us);
        let previous_secret = if is_rotating { row.previous_secret } else { Some(row.secret) };
        let previous_until_us = Some(now_us.saturating_add(SECRET_OVERLAP_US));
        let secret = seal(&self.masters, row.id, secret)?;
        Ok(WebhookRow { secret, previous_secret, previous_until_us, ..row })
    }
}

/// Returns a delivery that is due now; its body is what the specification recommends: type, time, data.
pub(super) fn delivery(webhook: WebhookId, message: EventId, kind: &str, at_us: i64, data: &Value) -> DeliveryRow {
    let timestamp = jiff::Timestamp::from_microsecond(at_us).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string();
    DeliveryRow {
        webhook,
        message,
        kind: kind.to_owned(),
        payload: json!({ "type": kind, "timestamp": timestamp, "data": data }).to_string(),
        state: DeliveryState::Waiting,
        attempts: 0,
        next_us: at_us,
        status: None,
        error: None,
        created_us: at_us,
        updated_us: at_us,
    }
}

fn new_id(now_us: i64) -> Result<WebhookId, NotifyError> {
    let now_ms = u64::try_from(now_us / 1000).unwrap_or(0);
    Ok(WebhookId::new(now_ms, &random::<10>()?))
}

fn random<const N: usize>() -> Result<[u8; N], NotifyError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(NotifyError::Randomness)?;
    Ok(bytes)
}
