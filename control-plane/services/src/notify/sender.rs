//! Delivers messages to users' addresses by the Standard Webhooks specification: signed, each at least once and always under
//! the same id, again with growing pauses until it is taken, for some days. One process at a time sends, by a lease.

use std::collections::HashMap;
use std::time::Duration;

use mcsp_catalog::{Catalog, CatalogError, DeliveryRow, DeliveryState, WebhookRow};
use mcsp_domain::WebhookId;
use mcsp_runtime::{chain, now_us};
use mcsp_token::{WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP, sign_webhook};
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use tokio::task::JoinSet;

use super::secret::open;
use super::target::client;
use super::{NotifyError, TargetPolicy};
use crate::licence::MasterKeys;

/// The lease that the sender of a catalog holds.
const LEASE: &str = "webhook-sender";
/// How long messages rest when the sender's process dies.
const LEASE_US: i64 = 15_000_000;
/// Age at which the lease is renewed.
const LEASE_RENEW_US: i64 = LEASE_US / 3;
/// How often a sender looks for messages of other processes, and for those whose pause is over.
const POLL: Duration = Duration::from_secs(1);
/// Deliveries to one address that run side by side.
const PER_WEBHOOK_MAX: u32 = 2;
/// Due deliveries that one look gives.
const DUE_MAX: u32 = 256;
/// Time after an attempt's own time-out when its process counts as dead.
const ATTEMPT_GRACE: Duration = Duration::from_secs(30);
/// Characters of an error that a user is shown.
const ERROR_CHARS_MAX: usize = 300;

/// How messages are sent.
#[derive(Clone, Debug)]
pub struct SenderSettings {
    /// How long an address may take to answer.
    pub timeout: Duration,
    /// The pauses after failed attempts; a message that failed once more than there are pauses is given up.
    pub pauses: Vec<Duration>,
    /// Deliveries that run side by side.
    pub at_once: usize,
    /// Where messages may go.
    pub policy: TargetPolicy,
}

impl Default for SenderSettings {
    /// 15 s; the pauses that the specification recommends, three days and a half in sum; 32.
    fn default() -> Self {
        let seconds = [5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600];
        Self {
            timeout: Duration::from_secs(15),
            pauses: seconds.map(Duration::from_secs).to_vec(),
            at_once: 32,
            policy: TargetPolicy::default(),
        }
    }
}

/// Delivers the messages of a catalog.
pub struct WebhookSender {
    catalog: Catalog,
    masters: MasterKeys,
    owner: String,
    client: reqwest::Client,
    settings: SenderSettings,
}

/// What the sender knows between two turns.
#[derive(Default)]
struct State {
    flights: JoinSet<WebhookId>,
    in_flight: HashMap<WebhookId, u32>,
    claimed_us: Option<i64>,
}

/// How an attempt ended.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Taken(u16),
    /// The address wants no more messages.
    Gone(u16),
    Failed(Option<u16>, String),
}

impl WebhookSender {
    /// Makes a sender; `owner` is a name that no other process has.
    ///
    /// # Errors
    /// When the client of HTTP cannot be made.
    pub fn new(
        catalog: Catalog,
        masters: MasterKeys,
        owner: impl Into<String>,
        settings: SenderSettings,
    ) -> Result<Self, NotifyError> {
        let client = client(settings.policy, settings.timeout)?;
        Ok(Self { catalog, masters, owner: owner.into(), client, settings })
    }

    /// Sends until `stop` is ready, then gives the lease back. What is on its way then is sent again by the next sender,
    /// under the same id. Failures of the catalog are logged and tried again.
    pub async fn run(&self, stop: impl Future<Output = ()> + Send) {
        tokio::select! {
            () = stop => {}
            () = self.send() => {}
        }
        if let Err(error) = self.catalog.release_lease(LEASE, &self.owner).await {
            tracing::warn!(error = chain(&error), "sender of webhooks kept its lease, which runs out by itself");
        }
    }

    async fn send(&self) {
        let mut state = State::default();
        loop {
            if let Err(error) = self.turn(&mut state).await {
                tracing::warn!(error = chain(&error), "webhooks could not be sent, nothing is lost");
                tokio::time::sleep(POLL).await;
            }
            tokio::select! {
                Some(ended) = state.flights.join_next() => state.land(ended),
                // The time-out is the look for other processes' messages and for those whose pause is over.
                _ = tokio::time::timeout(POLL, self.catalog.deliveries_changed()) => {}
            }
            while let Some(ended) = state.flights.try_join_next() {
                state.land(ended);
            }
        }
    }

    /// Begins as many due deliveries as there is room for.
    async fn turn(&self, state: &mut State) -> Result<(), CatalogError> {
        let room = self.settings.at_once.saturating_sub(state.flights.len());
        if room == 0 || !self.holds_lease(state).await? {
            return Ok(());
        }
        let now_us = now_us();
        let due = self.catalog.deliveries_due(now_us, PER_WEBHOOK_MAX, DUE_MAX).await?;
        let chosen = state.choose(due, room);
        if chosen.is_empty() {
            return Ok(());
        }
        let until = self.settings.timeout + ATTEMPT_GRACE;
        let until_us = now_us.saturating_add(micros(until));
        let mut tx = self.catalog.begin().await?;
        let mut begun = Vec::new();
        for row in chosen {
            if tx.begin_delivery(&row, until_us).await? {
                begun.push(DeliveryRow { attempts: row.attempts.saturating_add(1), next_us: until_us, ..row });
            }
        }
        tx.commit().await?;
        for row in begun {
            *state.in_flight.entry(row.webhook).or_default() += 1;
            let flight = Flight {
                catalog: self.catalog.clone(),
                masters: self.masters.clone(),
                client: self.client.clone(),
                pauses: self.settings.pauses.clone(),
                row,
            };
            state.flights.spawn(flight.fly());
        }
        Ok(())
    }

    async fn holds_lease(&self, state: &mut State) -> Result<bool, CatalogError> {
        let now_us = now_us();
        let age_us = state.claimed_us.map(|claimed_us| now_us.saturating_sub(claimed_us));
        if age_us.is_some_and(|age_us| (0..LEASE_RENEW_US).contains(&age_us)) {
            return Ok(true);
        }
        // Looking first keeps those who wait from queuing for the write lock.
        let lease = self.catalog.lease(LEASE).await?;
        let is_taken = lease.is_some_and(|(owner, until_us)| owner != self.owner && until_us > now_us);
        let is_held = !is_taken && self.catalog.claim_lease(LEASE, &self.owner, now_us, now_us + LEASE_US).await?;
        state.claimed_us = is_held.then_some(now_us);
        Ok(is_held)
    }
}

impl State {
    /// Picks deliveries for the room that there is, few of one address.
    fn choose(&self, due: Vec<DeliveryRow>, room: usize) -> Vec<DeliveryRow> {
        let mut taken = self.in_flight.clone();
        let fits = |row: &DeliveryRow| {
            let count = taken.entry(row.webhook).or_default();
            *count += 1;
            *count <= PER_WEBHOOK_MAX
        };
        due.into_iter().filter(fits).take(room).collect()
    }

    fn land(&mut self, ended: Result<WebhookId, tokio::task::JoinError>) {
        match ended {
            Ok(webhook) => {
                let count = self.in_flight.entry(webhook).or_default();
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.in_flight.remove(&webhook);
                }
            }
            Err(error) => {
                // Whose it was is unknown: all counts start anew, so that no address is shut out for ever.
                tracing::error!(%error, "a delivery of a webhook broke off");
                self.in_flight.clear();
            }
        }
    }
}

/// One attempt.
struct Flight {
    catalog: Catalog,
    masters: MasterKeys,
    client: reqwest::Client,
    pauses: Vec<Duration>,
    row: DeliveryRow,
}

impl Flight {
    async fn fly(self) -> WebhookId {
        let webhook = self.row.webhook;
        if let Err(error) = self.attempt().await {
            tracing::warn!(%webhook, error = chain(&error), "how a webhook's delivery ended was not noted; it comes again");
        }
        webhook
    }

    async fn attempt(&self) -> Result<(), CatalogError> {
        // An address that was removed or disabled meanwhile is left alone.
        let webhook = self.catalog.webhook_of_id(self.row.webhook).await?;
        let Some(webhook) = webhook.filter(|webhook| webhook.disabled.is_none()) else { return Ok(()) };
        let outcome = self.post(&webhook).await;
        let label = match outcome {
            Outcome::Taken(_) => "taken",
            Outcome::Gone(_) => "gone",
            Outcome::Failed(..) => "failed",
        };
        metrics::counter!("mcsp_webhook_attempts_total", "outcome" => label).increment(1);
        self.note(outcome).await
    }

    async fn post(&self, webhook: &WebhookRow) -> Outcome {
        let now_us = now_us();
        let is_fresh = webhook.previous_until_us.is_some_and(|until_us| until_us > now_us);
        let previous = webhook.previous_secret.iter().filter(|_| is_fresh);
        let mut secrets = Vec::new();
        for sealed in std::iter::once(&webhook.secret).chain(previous) {
            match open(&self.masters, webhook.id, sealed) {
                Ok(secret) => secrets.push(secret),
                Err(error) => {
                    tracing::error!(error = chain(&error), "a webhook cannot be signed");
                    return Outcome::Failed(None, "the platform could not sign it".to_owned());
                }
            }
        }
        let (id, timestamp_s) = (self.row.message.to_string(), now_us / 1_000_000);
        let signature = sign_webhook(&secrets, &id, timestamp_s, self.row.payload.as_bytes());
        let request = self
            .client
            .post(&webhook.url)
            .header(CONTENT_TYPE, "application/json")
            .header(WEBHOOK_ID, id)
            .header(WEBHOOK_TIMESTAMP, timestamp_s.to_string())
            .header(WEBHOOK_SIGNATURE, signature)
            .body(self.row.payload.clone());
        match request.send().await {
            Ok(answer) => outcome_of(answer.status()),
            Err(error) => Outcome::Failed(None, chain(&error.without_url())),
        }
    }

    async fn note(&self, outcome: Outcome) -> Result<(), CatalogError> {
        let now_us = now_us();
        let mut row = DeliveryRow { updated_us: now_us, ..self.row.clone() };
        let mut disabled = None;
        match outcome {
            Outcome::Taken(status) => {
                (row.state, row.status, row.error) = (DeliveryState::Done, Some(status), None);
            }
            Outcome::Gone(status) => {
                (row.state, row.status, row.error) = (DeliveryState::Failed, Some(status), None);
                disabled = Some("it answered 410 Gone".to_owned());
            }
            Outcome::Failed(status, error) => {
                (row.status, row.error) = (status, Some(error.chars().take(ERROR_CHARS_MAX).collect()));
                match pause(&self.pauses, row.attempts) {
                    Some(pause) => row.next_us = now_us.saturating_add(micros(pause)),
                    None => {
                        row.state = DeliveryState::Failed;
                        disabled = Some(format!("it took nothing in {} attempts", row.attempts));
                    }
                }
            }
        }
        let mut tx = self.catalog.begin().await?;
        tx.end_delivery(&row).await?;
        let is_gone = row.status == Some(StatusCode::GONE.as_u16());
        if let Some(why) = disabled
            // One message that is never taken does not silence an address that takes others.
            && (is_gone || !tx.took_delivery_since(row.webhook, row.created_us).await?)
        {
            tracing::info!(webhook = %row.webhook, why, "a webhook is disabled");
            tx.disable_webhook(row.webhook, &why, now_us).await?;
        }
        tx.commit().await
    }
}

fn outcome_of(status: StatusCode) -> Outcome {
    let code = status.as_u16();
    match status {
        StatusCode::GONE => Outcome::Gone(code),
        _ if status.is_success() => Outcome::Taken(code),
        _ if status.is_redirection() => Outcome::Failed(Some(code), "redirects are not followed".to_owned()),
        _ => Outcome::Failed(Some(code), format!("it answered {code}")),
    }
}

/// Returns the pause after so many attempts, a fifth longer or shorter, so that messages that failed together do not come back
/// together; nothing when they are used up.
fn pause(pauses: &[Duration], attempts: u32) -> Option<Duration> {
    let index = usize::try_from(attempts.saturating_sub(1)).ok()?;
    pauses.get(index).map(|pause| pause.mul_f64(0.8 + 0.4 * fastrand::f64()))
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_for_days_and_end() {
        let pauses = SenderSettings::default().pauses;
        let mut sum = Duration::ZERO;
        for attempts in 1..=9 {
            let (exact, jittered) = (pauses[attempts as usize - 1], pause(&pauses, attempts).unwrap());
            assert!(
                jittered >= exact.mul_f64(0.79) && jittered <= exact.mul_f64(1.21),
                "{jittered:?} after {attempts}"
            );
            sum += exact;
        }
        assert_eq!(pause(&pauses, 10), None);
        assert!(sum > Duration::from_secs(3 * 24 * 3600) && sum < Duration::from_secs(5 * 24 * 3600), "{sum:?}");
    }

    #[test]
    fn statuses_are_sorted() {
        let outcome = |code| outcome_of(StatusCode::from_u16(code).unwrap());
        assert_eq!(outcome(200), Outcome::Taken(200));
        assert_eq!(outcome(204), Outcome::Taken(204));
        assert_eq!(outcome(410), Outcome::Gone(410));
        assert_eq!(outcome(302), Outcome::Failed(Some(302), "redirects are not followed".to_owned()));
        assert_eq!(outcome(503), Outcome::Failed(Some(503), "it answered 503".to_owned()));
    }
}
