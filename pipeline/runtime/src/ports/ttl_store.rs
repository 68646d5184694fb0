//! Values that expire: the idempotency ledger, sessions, counters, heartbeats. Embedded: an SQLite table. Distributed: Redis.
//!
//! The ledger's keys are `{topic}:{partition}:{offset}` in the namespace `group.epoch`; the event's id is remembered beside
//! it, since a retried producer may write the same event at a new offset. Its rows expire after 24 h.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mcsp_domain::EventId;

/// A store of values that expire.
#[async_trait]
pub trait TtlStore: Send + Sync {
    /// Claims records for `owner` until `lease` has passed, all in one step, and tells what was found for each. An entry
    /// whose claim has expired may be claimed again: its owner is gone.
    ///
    /// # Errors
    /// When the engine fails: the caller stops and waits, it never goes on blind.
    async fn claim(&self, claim: &ClaimRequest<'_>) -> Result<Vec<Claim>, TtlError>;

    /// Moves the end of claims that `owner` holds to `lease` from now. Returns false when one of them is no longer held.
    ///
    /// # Errors
    /// When the engine fails.
    async fn renew(&self, claim: &ClaimRequest<'_>) -> Result<bool, TtlError>;

    /// Notes that records are done, for 24 h. Entries that another owner claimed meanwhile become done too: the log has
    /// committed them.
    ///
    /// # Errors
    /// When the engine fails.
    async fn done(&self, namespace: &str, entries: &[LedgerEntry]) -> Result<(), TtlError>;

    /// Gives claims of `owner` back, so that the next attempt finds them fresh.
    ///
    /// # Errors
    /// When the engine fails.
    async fn release(&self, claim: &ClaimRequest<'_>) -> Result<(), TtlError>;

    /// Forgets records, done or claimed, so that a deliberate redelivery is handled again.
    ///
    /// # Errors
    /// When the engine fails.
    async fn forget(&self, namespace: &str, entries: &[LedgerEntry]) -> Result<(), TtlError>;

    /// Returns a value that has not expired.
    ///
    /// # Errors
    /// When the engine fails.
    async fn get(&self, key: &str) -> Result<Option<Bytes>, TtlError>;

    /// Stores a value for a while; one that is there is replaced.
    ///
    /// # Errors
    /// When key or value is over its limit, or the engine fails.
    async fn put(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), TtlError>;

    /// Stores a value for a while where none is. Returns whether it did.
    ///
    /// # Errors
    /// As `put`.
    async fn put_absent(&self, key: &str, value: Bytes, ttl: Duration) -> Result<bool, TtlError>;

    /// Removes a value; one that is not there is no error.
    ///
    /// # Errors
    /// When the engine fails.
    async fn delete(&self, key: &str) -> Result<(), TtlError>;

    /// Adds to a counter and returns the sum. A counter begins at 0 and expires `ttl` after its first addition.
    ///
    /// # Errors
    /// When the key holds no counter, or the engine fails.
    async fn add(&self, key: &str, amount: i64, ttl: Duration) -> Result<i64, TtlError>;

    /// Returns values whose keys begin with `prefix` and follow `after`, in rising order, at most `TTL_SCAN_MAX`.
    ///
    /// # Errors
    /// When the engine fails.
    async fn scan(&self, prefix: &str, after: Option<&str>) -> Result<Vec<(String, Bytes)>, TtlError>;

    /// Returns how many values a scan from the beginning would give; engines count without reading them.
    ///
    /// # Errors
    /// When the engine fails.
    async fn count(&self, prefix: &str) -> Result<usize, TtlError> {
        Ok(self.scan(prefix, None).await?.len())
    }

    /// Removes what has expired; a claim stays for 24 h after that, so that `Claim::Again` counts it. Returns how much.
    ///
    /// # Errors
    /// When the engine fails.
    async fn sweep(&self) -> Result<u64, TtlError>;
}

/// One record in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    /// `{topic}:{partition}:{offset}`.
    pub position: String,
    /// The event's id.
    pub event: EventId,
}

/// Who claims what.
#[derive(Clone, Copy, Debug)]
pub struct ClaimRequest<'a> {
    /// `group.epoch`.
    pub namespace: &'a str,
    /// The records.
    pub entries: &'a [LedgerEntry],
    /// The one who does the work: unique to a run, not to a process.
    pub owner: &'a str,
    /// How long the claim holds without renewal.
    pub lease: Duration,
}

/// What a claim found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nobody has done it: it is the caller's now.
    Fresh,
    /// As `Fresh`, but so many earlier claims ran out without being released: their owners died or hung, perhaps of it.
    Again(u32),
    /// It is done; its offset may be committed without doing it.
    Done,
    /// Another owner holds it, until this time in microseconds since 1970: wait, never skip.
    HeldUntil(i64),
}

/// Why the store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum TtlError {
    /// A key or value is too long.
    #[error("{what} of {key:?} has {len_bytes} bytes, {max} allowed")]
    Oversized {
        /// `key` or `value`.
        what: &'static str,
        /// The key, cut at 100 characters.
        key: String,
        /// Its length.
        len_bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The key holds something else than a counter.
    #[error("key {key:?} holds no counter")]
    NoCounter {
        /// The key.
        key: String,
    },
    /// The engine failed; time may help.
    #[error("expiring store failed to {action}")]
    Engine {
        /// What was tried.
        action: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
