//! `TtlStore` on one Redis primary (7.0 or later, or Valkey): the ledger, sessions, counters, heartbeats. Each call is one
//! script, so that nothing comes between its parts.
//!
//! **Redis is down.** Each call fails within `answer_max` and changes nothing that its caller could see; the loops stop and
//! wait. The connection comes back by itself. Claims that ran out meanwhile are told as `Again`.
//!
//! **Redis was wiped** (flushed, replaced by an empty one, restarted without its files). It is told by a mark: a key with a
//! random id, which every script compares with the id that its process knows. Where the mark is gone every call fails with
//! `RedisError::NoMark`, reads of sessions and counters too, and nothing is written: an empty ledger would call every
//! record fresh. No running process makes the mark again. Whoever runs the platform brings the data back, or accepts the
//! loss by `RedisTtl::begin` (or by one process with `OnEmpty::Begin`). Then the running processes go on with the new mark:
//! each claim from before counts as lost, so that its owner stops at the next renewal, and `settle` holds new claims back
//! for as long as a lease lasts, so that no record is worked on by two. What stays lost: the memory of records done in the
//! last 24 h, which only a producer's repetition at a new offset would have met (offsets are the log's), sessions and counters.
//!
//! **Redis dies and restarts** with its append-only file: everything is there but for the last moments, which its
//! `appendfsync` decides. With `everysec` it answers before the file is safe: a kill or a loss of power may take up to two
//! seconds, since it goes on for as long while a sync is slow; with `always` neither takes anything. The mark cannot tell of
//! rows that went so, and need not: a lost claim makes its owner stop at the next renewal, a lost completion was the log's
//! before, a lost session costs a log-in. A replica that takes over may lack the last writes in the same way. At open,
//! settings by which older rows go unnoticed are refused.

mod error;
mod keys;
mod link;
mod mark;
mod scripts;

use std::sync::RwLock;
use std::time::Duration;

use ::redis::{FromRedisValue, Script, ScriptInvocation};
use async_trait::async_trait;
use bytes::Bytes;
use mcsp_domain::limits::{LEDGER_KEEP_US, TTL_SCAN_MAX};
use mcsp_runtime::{Claim, ClaimRequest, LedgerEntry, TtlError, TtlStore, now_us};

use crate::access::{Login, Tls};
pub use error::RedisError;
use keys::{check_key, check_value, shown};
use link::Link;
use scripts::Scripts;

/// Names that one step of a sweep removes: other calls get their turn between two of them.
const SWEEP_NAMES_MAX: usize = 1_000;
/// The longest time that is kept, in milliseconds: 1,000 years, which a sum of Redis's can hold.
const TTL_MS_MAX: u64 = 1_000 * 366 * 24 * 3600 * 1_000;

/// How a Redis is reached and used.
#[derive(Clone)]
pub struct RedisOptions {
    /// `redis://host:port/database`, or `rediss://…` for TLS; never with a login.
    pub url: String,
    /// Who we are; a login with an empty user is a password alone.
    pub login: Option<Login>,
    /// What `rediss` believes and shows.
    pub tls: Tls,
    /// What begins every key, so that several platforms can share a database.
    pub prefix: String,
    /// What to do at open where the mark is missing.
    pub on_empty: OnEmpty,
    /// What to do at open where the settings may lose rows.
    pub forgetting: Forgetting,
    /// How long open waits for a Redis that is not there yet.
    pub open_wait: Duration,
    /// How long one call may take.
    pub answer_max: Duration,
}

impl RedisOptions {
    /// Returns the options of a platform on one Redis: it is begun on purpose, and must not forget.
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            login: None,
            tls: Tls::default(),
            prefix: "mcsp".to_owned(),
            on_empty: OnEmpty::Refuse,
            forgetting: Forgetting::Refuse,
            open_wait: Duration::from_secs(30),
            answer_max: Duration::from_secs(5),
        }
    }

    fn key_of_mark(&self) -> String {
        format!("{}:mark", self.prefix)
    }
}

/// What open does with a Redis that holds no mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnEmpty {
    /// Fails: nobody can tell a new Redis from one that was wiped.
    Refuse,
    /// Begins a new ledger: for first starts, developers and tests.
    Begin {
        /// How long no claims are given, so that work claimed before a loss has ended: the longest lease. Zero is for a
        /// Redis that is known to be new.
        settle: Duration,
    },
}

/// What open does with a Redis whose settings may lose rows: one that evicts, keeps no append-only file, or is a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgetting {
    /// Fails.
    Refuse,
    /// Goes on with a warning: rows that go missing let records be handled again.
    Warn,
}

/// The expiring store on Redis.
pub struct RedisTtl {
    link: Link,
    scripts: Scripts,
    prefix: String,
    mark_key: String,
    /// The id of the mark that this process last took up.
    mark: RwLock<String>,
}

impl RedisTtl {
    /// Connects, checks the settings and looks for the mark.
    ///
    /// # Errors
    /// Each of `RedisError`; one that may pass has been waited for.
    pub async fn open(options: &RedisOptions) -> Result<Self, RedisError> {
        keys::check_prefix(&options.prefix)?;
        let link = Link::open(options).await?;
        mark::check_settings(&link, options).await?;
        let mark = RwLock::new(mark::look(&link, options).await?);
        let (prefix, mark_key) = (options.prefix.clone(), options.key_of_mark());
        Ok(Self { link, scripts: Scripts::new(), prefix, mark_key, mark })
    }

    /// Begins a ledger where there is none, and lets claims be given once `settle` has passed: after a loss the longest
    /// lease, for a Redis that is known to be new zero. Returns false where a ledger is there.
    ///
    /// # Errors
    /// Each of `RedisError`.
    pub async fn begin(options: &RedisOptions, settle: Duration) -> Result<bool, RedisError> {
        keys::check_prefix(&options.prefix)?;
        let link = Link::open(options).await?;
        mark::check_settings(&link, options).await?;
        mark::make(&link, options, settle).await
    }

    fn mark(&self) -> String {
        self.mark.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Runs a script under the mark. A mark that somebody made anew is taken up.
    async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        fill: impl Fn(&mut ScriptInvocation<'_>),
    ) -> Result<T, RedisError> {
        let mut known = self.mark();
        loop {
            let mut call = script.prepare_invoke();
            call.key(&self.mark_key).arg(&known);
            fill(&mut call);
            let answer = self.link.call(async |mut line| call.invoke_async::<T>(&mut line).await).await;
            let Err(RedisError::Refused { source, .. }) = &answer else { return answer };
            let detail = source.detail().unwrap_or_default();
            match source.code() {
                Some("NOMARK") => {
                    let (address, prefix) = (self.link.address.clone(), self.prefix.clone());
                    return Err(RedisError::NoMark { address, prefix });
                }
                Some("SETTLING") => {
                    let left = Duration::from_micros(detail.parse().unwrap_or_default());
                    return Err(RedisError::Settling { address: self.link.address.clone(), left });
                }
                Some("OTHERMARK") if !mark::id_of(detail).is_empty() && mark::id_of(detail) != known => {
                    known = mark::id_of(detail).to_owned();
                    tracing::warn!(redis = %self.link.address, "a new ledger was begun: claims from before are lost");
                    *self.mark.write().unwrap_or_else(std::sync::PoisonError::into_inner) = known.clone();
                }
                _ => return answer,
            }
        }
    }

    /// Runs a script on one value. `more` are its arguments behind the name.
    async fn run_on<T: FromRedisValue>(&self, script: &Script, key: &str, more: &[&[u8]]) -> Result<T, RedisError> {
        self.run(script, |call| {
            call.key(self.value_key(key)).key(self.names_key()).key(self.ends_key()).arg(key);
            for argument in more {
                call.arg(*argument);
            }
        })
        .await
    }

    /// Runs a script on rows of the ledger.
    async fn run_rows<T: FromRedisValue>(
        &self,
        script: &Script,
        rows: &[String],
        more: &[&str],
    ) -> Result<T, RedisError> {
        self.run(script, |call| {
            for row in rows {
                call.key(row);
            }
            for argument in more {
                call.arg(*argument);
            }
        })
        .await
    }
}

#[async_trait]
impl TtlStore for RedisTtl {
    async fn claim(&self, claim: &ClaimRequest<'_>) -> Result<Vec<Claim>, TtlError> {
        let rows: Vec<String> =
            claim.entries.iter().flat_map(|entry| self.rows_of_one(claim.namespace, entry)).collect();
        let lease_us = micros(claim.lease).to_string();
        let more = [claim.owner, &lease_us, &keep_ms()];
        let answer: Vec<i64> =
            self.run_rows(&self.scripts.claim, &rows, &more).await.map_err(failed("claim records"))?;
        assert!(answer.len() == rows.len(), "the script answers two numbers an entry, one for each of its keys");
        let now_us = now_us();
        let told = answer.chunks_exact(2).map(|pair| match (pair[0], pair[1]) {
            (0, 0) => Claim::Fresh,
            (0, lost) => Claim::Again(u32::try_from(lost).unwrap_or(u32::MAX)),
            (1, _) => Claim::Done,
            (_, left_us) => Claim::HeldUntil(now_us.saturating_add(left_us)),
        });
        Ok(told.collect())
    }

    async fn renew(&self, claim: &ClaimRequest<'_>) -> Result<bool, TtlError> {
        let rows = self.rows_of(claim.namespace, claim.entries);
        let lease_us = micros(claim.lease).to_string();
        let more = [claim.owner, &lease_us, &keep_ms()];
        let moved: i64 = self.run_rows(&self.scripts.renew, &rows, &more).await.map_err(failed("renew claims"))?;
        Ok(usize::try_from(moved) == Ok(rows.len()))
    }

    async fn done(&self, namespace: &str, entries: &[LedgerEntry]) -> Result<(), TtlError> {
        let rows = self.rows_of(namespace, entries);
        self.run_rows(&self.scripts.done, &rows, &[&keep_ms()]).await.map_err(failed("note records done"))
    }

    async fn release(&self, claim: &ClaimRequest<'_>) -> Result<(), TtlError> {
        let rows = self.rows_of(claim.namespace, claim.entries);
        self.run_rows(&self.scripts.release, &rows, &[claim.owner]).await.map_err(failed("release claims"))
    }

    async fn forget(&self, namespace: &str, entries: &[LedgerEntry]) -> Result<(), TtlError> {
        let rows = self.rows_of(namespace, entries);
        self.run_rows(&self.scripts.forget, &rows, &[]).await.map_err(failed("forget records"))
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, TtlError> {
        let value: Option<Vec<u8>> = self.run_on(&self.scripts.get, key, &[]).await.map_err(failed("get"))?;
        Ok(value.map(Bytes::from))
    }

    async fn put(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), TtlError> {
        check_key(key)?;
        check_value(key, &value)?;
        let ms = ttl_ms(ttl);
        let more: [&[u8]; 2] = [&value, ms.as_bytes()];
        self.run_on(&self.scripts.put, key, &more).await.map_err(failed("put"))
    }

    async fn put_absent(&self, key: &str, value: Bytes, ttl: Duration) -> Result<bool, TtlError> {
        check_key(key)?;
        check_value(key, &value)?;
        let ms = ttl_ms(ttl);
        let more: [&[u8]; 2] = [&value, ms.as_bytes()];
        let stored: i64 = self.run_on(&self.scripts.put_absent, key, &more).await.map_err(failed("put"))?;
        Ok(stored == 1)
    }

    async fn delete(&self, key: &str) -> Result<(), TtlError> {
        self.run_on(&self.scripts.delete, key, &[]).await.map_err(failed("delete"))
    }

    async fn add(&self, key: &str, amount: i64, ttl: Duration) -> Result<i64, TtlError> {
        check_key(key)?;
        let (digits, ms) = (amount.to_string(), ttl_ms(ttl));
        let more = [digits.as_bytes(), ms.as_bytes()];
        let sum: Result<String, RedisError> = self.run_on(&self.scripts.add, key, &more).await;
        if let Err(RedisError::Refused { source, .. }) = &sum {
            let held = source.detail().unwrap_or_default();
            match source.code() {
                Some("NOCOUNTER") => return Err(TtlError::NoCounter { key: shown(key) }),
                Some("FULL") => {
                    let cause = format!("counter {:?} at {held} cannot take {amount} more", shown(key));
                    return Err(TtlError::Engine { action: "add", source: cause.into() });
                }
                _ => {}
            }
        }
        let sum = sum.map_err(failed("add"))?;
        sum.parse().map_err(|_| TtlError::NoCounter { key: shown(key) })
    }

    async fn scan(&self, prefix: &str, after: Option<&str>) -> Result<Vec<(String, Bytes)>, TtlError> {
        let failed = failed("scan");
        let mut from = keys::scan_from(prefix, after);
        let to = keys::scan_to(prefix);
        let mut found = Vec::new();
        loop {
            let wanted = TTL_SCAN_MAX - found.len();
            let (more, last, page): (i64, Vec<u8>, Vec<Vec<u8>>) = self
                .run(&self.scripts.scan, |call| {
                    call.key(self.value_key("")).key(self.names_key()).key(self.ends_key());
                    call.arg(&from[..]).arg(&to[..]).arg(wanted);
                })
                .await
                .map_err(&failed)?;
            let mut page = page.into_iter();
            while let (Some(name), Some(value)) = (page.next(), page.next()) {
                found.push((keys::name(name)?, Bytes::from(value)));
            }
            // Expired names take places of a page, so that a full one may hold less than was wanted.
            if more == 0 || found.len() >= TTL_SCAN_MAX {
                return Ok(found);
            }
            from = [b"(", &last[..]].concat();
        }
    }

    async fn sweep(&self) -> Result<u64, TtlError> {
        let mut removed = 0;
        loop {
            let step: u64 = self
                .run(&self.scripts.sweep, |call| {
                    call.key(self.value_key("")).key(self.names_key()).key(self.ends_key()).arg(SWEEP_NAMES_MAX);
                })
                .await
                .map_err(failed("sweep"))?;
            if step == 0 {
                return Ok(removed);
            }
            removed += step;
        }
    }
}

/// How long the ledger remembers, as an argument.
fn keep_ms() -> String {
    (LEDGER_KEEP_US / 1000).to_string()
}

/// A time to live in whole milliseconds, as an argument; what is shorter than one lives for one.
fn ttl_ms(ttl: Duration) -> String {
    let ms = u64::try_from(ttl.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    ms.min(TTL_MS_MAX).to_string()
}

/// A span in microseconds, bounded so that sums of it are exact in Lua.
fn micros(span: Duration) -> u64 {
    const YEAR_US: u64 = 366 * 24 * 3600 * 1_000_000;
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX).min(YEAR_US)
}

fn failed(action: &'static str) -> impl Fn(RedisError) -> TtlError {
    move |error| TtlError::Engine { action, source: error.into() }
}
