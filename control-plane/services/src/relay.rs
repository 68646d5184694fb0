//! The relay: carries messages from the catalog's outbox to the event log, in the order of their commits.
//!
//! A step reads messages after the position that the log has noted, appends them together with their last position, and
//! deletes them up to it. Killed between any two of these it does the rest, or the same again, and the log leaves out what
//! it has: nothing is lost and nothing doubled. Positions alone do not say that a message was relayed, since a catalog that
//! was put back from an older copy uses some of them again: what stands at or below the log's position is appended by its
//! id once more before it is deleted. One process at a time relays, by a lease; should two overlap while a lease
//! changes hands, positions and event ids still keep each message to one record.

use std::sync::Arc;
use std::time::Duration;

use mcsp_catalog::{Catalog, CatalogError, OutboxRow};
use mcsp_domain::limits;
use mcsp_runtime::{EventLog, LogError, now_us};

use mcsp_runtime::chain;

/// The lease that the relay of a catalog holds.
const LEASE: &str = "outbox-relay";
/// How long the outbox rests when the relay's process dies.
const LEASE_US: i64 = 6_000_000;
/// Age at which the lease is renewed.
const LEASE_RENEW_US: i64 = LEASE_US / 3;
/// How often a relay looks for messages of other processes, and for a free lease; one indexed read each. Where nothing comes
/// the time between two looks doubles up to `POLL_MAX`.
const POLL: Duration = Duration::from_millis(100);
/// The longest time between two looks: what a message of another process waits after a silence.
const POLL_MAX: Duration = Duration::from_millis(400);
/// The first pause after a failure; it doubles up to `BACKOFF_MAX`.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// The longest pause after a failure.
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Carries a catalog's outbox to the log.
pub struct Relay {
    catalog: Catalog,
    log: Arc<dyn EventLog>,
    owner: String,
}

/// How far the log has what the catalog sent.
#[derive(Clone, Debug)]
struct Place {
    source: String,
    position: u64,
}

/// What the relay knows between two turns.
#[derive(Default)]
struct State {
    /// `None` until the log was asked, and again after each failure: an append whose answer was lost may have come through.
    place: Option<Place>,
    /// When the lease was last claimed.
    claimed_us: Option<i64>,
}

/// What a turn came to.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    Moved,
    Empty,
    /// Another process relays.
    NotOurs,
}

impl Relay {
    /// Makes a relay; `owner` is a name that no other process has.
    pub fn new(catalog: Catalog, log: Arc<dyn EventLog>, owner: String) -> Self {
        Self { catalog, log, owner }
    }

    /// Relays until `stop` is ready, then gives the lease back. Failures are logged and tried again, with growing pauses.
    /// Dropping the future at any time is safe too; another process takes over when the lease has run out.
    pub async fn run(&self, stop: impl Future<Output = ()> + Send) {
        tokio::select! {
            () = stop => {}
            () = self.relay() => {}
        }
        if let Err(error) = self.catalog.release_lease(LEASE, &self.owner).await {
            tracing::warn!(error = chain(&error), "relay kept its lease, which runs out by itself");
        }
    }

    async fn relay(&self) {
        let (mut state, mut failures, mut poll) = (State::default(), 0, POLL);
        loop {
            let turn = self.turn(&mut state).await;
            if turn.is_ok() {
                failures = 0;
            }
            match turn {
                Ok(Turn::Moved) => poll = POLL,
                Ok(Turn::Empty) => {
                    // The time-out is the poll for other processes' messages.
                    let _ = tokio::time::timeout(poll, self.catalog.outbox_changed()).await;
                    poll = (poll * 2).min(POLL_MAX);
                }
                Ok(Turn::NotOurs) => tokio::time::sleep(POLL_MAX).await,
                Err(error) => {
                    state = State::default();
                    let pause = backoff(failures);
                    failures = failures.saturating_add(1);
                    metrics::counter!("mcsp_outbox_failures_total").increment(1);
                    let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
                    tracing::warn!(error = chain(&error), pause_ms, failures, "relay failed, nothing is lost");
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// Makes one turn: at most one batch moves.
    async fn turn(&self, state: &mut State) -> Result<Turn, RelayError> {
        if !self.holds_lease(state).await? {
            return Ok(Turn::NotOurs);
        }
        let place = match state.place.take() {
            Some(place) => place,
            None => self.find_place().await?,
        };
        let rows = self.read(&place, limits::OUTBOX_BATCH_MAX).await?;
        let Some(last) = rows.last().map(|row| row.position) else {
            metrics::gauge!("mcsp_outbox_messages").set(0.0);
            state.place = Some(place);
            return Ok(Turn::Empty);
        };
        self.append(&place, rows).await?;
        self.catalog.outbox_delete_through(last).await?;
        self.tell_lag(last).await?;
        state.place = Some(Place { position: last, ..place });
        Ok(Turn::Moved)
    }

    async fn holds_lease(&self, state: &mut State) -> Result<bool, RelayError> {
        let now_us = now_us();
        let age_us = state.claimed_us.map(|claimed_us| now_us.saturating_sub(claimed_us));
        if age_us.is_some_and(|age_us| (0..LEASE_RENEW_US).contains(&age_us)) {
            return Ok(true);
        }
        // Looking first keeps those who wait from queuing for the write lock.
        let lease = self.catalog.lease(LEASE).await?;
        let is_taken = lease.is_some_and(|(owner, until_us)| owner != self.owner && until_us > now_us);
        let is_held = !is_taken && self.catalog.claim_lease(LEASE, &self.owner, now_us, now_us + LEASE_US).await?;
        // Whoever had it meanwhile has moved the log on.
        *state = State { place: state.place.take().filter(|_| is_held), claimed_us: is_held.then_some(now_us) };
        Ok(is_held)
    }

    /// Asks the log how far it is, and finishes what a relay that died could not.
    async fn find_place(&self) -> Result<Place, RelayError> {
        let name = source(&self.catalog.id().await?);
        let position = self.log.position(&name).await?.unwrap_or(0);
        let sent = self.catalog.outbox_position().await?;
        if position > sent {
            // Under the old name, the log would take new messages for those that it has.
            let renewed = source(&self.catalog.renew_id().await?);
            tracing::warn!(
                position,
                sent,
                old = name,
                renewed,
                "the log is ahead of the catalog, which was put back from an older copy: relaying under a new name"
            );
            return Ok(Place { source: renewed, position: 0 });
        }
        self.append_again(&name, position).await?;
        Ok(Place { source: name, position })
    }

    /// Empties the outbox up to the log's position. The log leaves out what it has; the rest took positions of messages
    /// that went with the state of the catalog that an older copy has replaced.
    async fn append_again(&self, source: &str, position: u64) -> Result<(), RelayError> {
        loop {
            let mut rows = self.catalog.outbox_after(0, limits::OUTBOX_BATCH_MAX).await?;
            rows.retain(|row| row.position <= position);
            let Some(last) = rows.last().map(|row| row.position) else { return Ok(()) };
            self.log.append(rows.into_iter().map(|row| row.message).collect()).await?;
            // Asking brings what was appended to the disk, which an append of itself may not.
            self.log.position(source).await?;
            self.catalog.outbox_delete_through(last).await?;
        }
    }

    async fn read(&self, place: &Place, max: usize) -> Result<Vec<OutboxRow>, RelayError> {
        Ok(self.catalog.outbox_after(place.position, max).await?)
    }

    async fn append(&self, place: &Place, rows: Vec<OutboxRow>) -> Result<(), RelayError> {
        let Some(last) = rows.last().map(|row| row.position) else { return Ok(()) };
        let messages: Vec<_> = rows.into_iter().map(|row| row.message).collect();
        let count = messages.len() as u64;
        self.log.append_at(&place.source, last, messages).await?;
        metrics::counter!("mcsp_outbox_relayed_total").increment(count);
        Ok(())
    }

    async fn tell_lag(&self, done: u64) -> Result<(), RelayError> {
        let waiting = self.catalog.outbox_position().await?.saturating_sub(done);
        metrics::gauge!("mcsp_outbox_messages").set(u32::try_from(waiting).unwrap_or(u32::MAX));
        Ok(())
    }
}

fn source(catalog_id: &str) -> String {
    format!("outbox:{catalog_id}")
}

/// Returns a pause with full jitter above a tenth, so that processes that failed together do not come back together.
fn backoff(failures: u32) -> Duration {
    let longest = BACKOFF_MIN.saturating_mul(1 << failures.min(10)).min(BACKOFF_MAX);
    longest.mul_f64(0.1 + 0.9 * fastrand::f64())
}

#[cfg(test)]
mod tests;
