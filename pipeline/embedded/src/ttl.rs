//! `TtlStore` on SQLite: the ledger and the values that expire, two tables of the log's file, so that the log completes a
//! record and notes it done in one transaction. What is written survives the death of the process; a power cut may take
//! the last writes, which costs a repetition or a log-in.

mod ledger;
mod values;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mcsp_domain::limits::{LEDGER_KEEP_US, TTL_KEY_BYTES_MAX, TTL_SCAN_MAX, TTL_VALUE_BYTES_MAX};
use mcsp_runtime::{Claim, ClaimRequest, LedgerEntry, TtlError, TtlStore, now_us};

use crate::sqlite::{BUSY_DEFAULT, Database, DatabaseError, Durability, Schema};
pub(crate) use ledger::mark_done;

/// The tables. The ledger has one row a key, and an entry has two keys: its position and its event's id. A row without an
/// owner is done; `until_us` ends the claim, or the memory of what was done; `lost` counts earlier claims that ran out.
pub(crate) const TTL_SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS ledger (
    namespace TEXT NOT NULL,
    key TEXT NOT NULL,
    owner TEXT,
    until_us INTEGER NOT NULL,
    lost INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (namespace, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS ledger_until ON ledger (until_us);
CREATE TABLE IF NOT EXISTS expiring_value (
    key TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL,
    until_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS expiring_value_until ON expiring_value (until_us);
";

/// A file that holds nothing else.
const SCHEMA: Schema = Schema { application_id: 0x6d74_746c, version: 1, sql: &[TTL_SCHEMA] };

/// Rows that one transaction of a sweep removes: other writers get their turn between two of them.
const SWEEP_ROWS_MAX: u32 = 5_000;

/// The expiring store in one SQLite file.
pub struct SqliteTtl {
    database: Database,
}

impl SqliteTtl {
    /// Returns the store in a file of its own.
    ///
    /// # Errors
    /// When the file is of another kind or version, or cannot be opened.
    pub async fn open(path: &Path) -> Result<Self, DatabaseError> {
        Ok(Self::on(Database::open(path, SCHEMA, BUSY_DEFAULT).await?))
    }

    /// Returns the store on the log's database.
    pub(crate) fn on(database: Database) -> Self {
        Self { database }
    }

    /// Turns an error of a statement into one that names the file.
    fn failed(&self, action: &'static str) -> impl Fn(sqlx::Error) -> TtlError + '_ {
        move |error| failed(action)(self.database.explain(error))
    }
}

/// Opens a transaction, runs the body on its connection and commits.
macro_rules! write {
    ($store:expr, $action:literal, |$connection:ident| $body:expr) => {{
        let mut transaction = $store.database.write(Durability::Process).await.map_err(failed($action))?;
        let $connection = transaction.connection();
        let answer = $body.map_err($store.failed($action))?;
        transaction.commit().await.map_err(failed($action))?;
        answer
    }};
}

#[async_trait]
impl TtlStore for SqliteTtl {
    async fn claim(&self, claim: &ClaimRequest<'_>) -> Result<Vec<Claim>, TtlError> {
        Ok(write!(self, "claim records", |connection| ledger::claim(connection, claim.entries, &terms(claim)).await))
    }

    async fn renew(&self, claim: &ClaimRequest<'_>) -> Result<bool, TtlError> {
        Ok(write!(self, "renew claims", |connection| ledger::renew(connection, claim.entries, &terms(claim)).await))
    }

    async fn done(&self, namespace: &str, entries: &[LedgerEntry]) -> Result<(), TtlError> {
        write!(self, "note records done", |connection| mark_done(connection, namespace, entries, now_us()).await);
        Ok(())
    }

    async fn release(&self, claim: &ClaimRequest<'_>) -> Result<(), TtlError> {
        write!(self, "release claims", |connection| {
            ledger::release(connection, claim.namespace, claim.entries, claim.owner).await
        });
        Ok(())
    }

    async fn forget(&self, namespace: &str, entries: &[LedgerEntry]) -> Result<(), TtlError> {
        write!(self, "forget records", |connection| ledger::forget(connection, namespace, entries).await);
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, TtlError> {
        let mut reader = self.database.read().await.map_err(failed("get"))?;
        let value = values::get(&mut reader, key, now_us()).await.map_err(self.failed("get"))?;
        Ok(value.map(Bytes::from))
    }

    async fn put(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), TtlError> {
        check_key(key)?;
        check_value(key, &value)?;
        write!(self, "put", |connection| values::put(connection, key, &value, after(now_us(), ttl)).await);
        Ok(())
    }

    async fn put_absent(&self, key: &str, value: Bytes, ttl: Duration) -> Result<bool, TtlError> {
        check_key(key)?;
        check_value(key, &value)?;
        let now_us = now_us();
        Ok(write!(self, "put", |connection| {
            values::put_absent(connection, key, &value, now_us, after(now_us, ttl)).await
        }))
    }

    async fn delete(&self, key: &str) -> Result<(), TtlError> {
        write!(self, "delete", |connection| values::delete(connection, key).await);
        Ok(())
    }

    async fn add(&self, key: &str, amount: i64, ttl: Duration) -> Result<i64, TtlError> {
        check_key(key)?;
        let now_us = now_us();
        let mut transaction = self.database.write(Durability::Process).await.map_err(failed("add"))?;
        let connection = transaction.connection();
        let stored = values::get(connection, key, now_us).await.map_err(self.failed("add"))?;
        let sum = match &stored {
            None => amount,
            Some(digits) => sum(key, digits, amount)?,
        };
        let digits = sum.to_string();
        match stored {
            None => values::put(connection, key, digits.as_bytes(), after(now_us, ttl)).await,
            Some(_) => values::replace(connection, key, digits.as_bytes()).await,
        }
        .map_err(self.failed("add"))?;
        transaction.commit().await.map_err(failed("add"))?;
        Ok(sum)
    }

    async fn scan(&self, prefix: &str, after: Option<&str>) -> Result<Vec<(String, Bytes)>, TtlError> {
        let mut reader = self.database.read().await.map_err(failed("scan"))?;
        let max = i64::try_from(TTL_SCAN_MAX).unwrap_or(i64::MAX);
        let rows = values::scan(&mut reader, prefix, after, now_us(), max).await.map_err(self.failed("scan"))?;
        Ok(rows.into_iter().map(|(key, value)| (key, Bytes::from(value))).collect())
    }

    async fn count(&self, prefix: &str) -> Result<usize, TtlError> {
        let mut reader = self.database.read().await.map_err(failed("count"))?;
        let max = i64::try_from(TTL_SCAN_MAX).unwrap_or(i64::MAX);
        let count = values::count(&mut reader, prefix, now_us(), max).await.map_err(self.failed("count"))?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    async fn sweep(&self) -> Result<u64, TtlError> {
        let now_us = now_us();
        let mut removed = 0;
        loop {
            let rows = write!(self, "sweep", |connection| remove_expired(connection, now_us).await);
            if rows == 0 {
                return Ok(removed);
            }
            removed += rows;
        }
    }
}

/// Claims that ran out stay for a day: they count the runs that their record has ended, over restarts that take longer
/// than a lease.
async fn remove_expired(connection: &mut sqlx::SqliteConnection, now_us: i64) -> sqlx::Result<u64> {
    let claims = sqlx::query(
        "DELETE FROM ledger WHERE (namespace, key) IN
         (SELECT namespace, key FROM ledger WHERE until_us <= ?1 AND (owner IS NULL OR until_us <= ?3) LIMIT ?2)",
    )
    .bind(now_us)
    .bind(SWEEP_ROWS_MAX)
    .bind(now_us.saturating_sub(LEDGER_KEEP_US))
    .execute(&mut *connection)
    .await?;
    let values = sqlx::query(
        "DELETE FROM expiring_value WHERE key IN (SELECT key FROM expiring_value WHERE until_us <= ?1 LIMIT ?2)",
    )
    .bind(now_us)
    .bind(SWEEP_ROWS_MAX)
    .execute(connection)
    .await?;
    Ok(claims.rows_affected() + values.rows_affected())
}

fn terms<'a>(claim: &ClaimRequest<'a>) -> ledger::Terms<'a> {
    let now_us = now_us();
    ledger::Terms { namespace: claim.namespace, owner: claim.owner, now_us, until_us: after(now_us, claim.lease) }
}

fn after(now_us: i64, span: Duration) -> i64 {
    now_us.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX))
}

fn sum(key: &str, digits: &[u8], amount: i64) -> Result<i64, TtlError> {
    let held = std::str::from_utf8(digits).ok().and_then(|text| text.parse::<i64>().ok());
    let held = held.ok_or_else(|| TtlError::NoCounter { key: shown(key) })?;
    held.checked_add(amount).ok_or_else(|| {
        let cause = format!("counter {:?} at {held} cannot take {amount} more", shown(key));
        TtlError::Engine { action: "add", source: cause.into() }
    })
}

fn check_key(key: &str) -> Result<(), TtlError> {
    check("key", key, key.len(), TTL_KEY_BYTES_MAX)
}

fn check_value(key: &str, value: &[u8]) -> Result<(), TtlError> {
    check("value", key, value.len(), TTL_VALUE_BYTES_MAX)
}

fn check(what: &'static str, key: &str, len_bytes: usize, max: usize) -> Result<(), TtlError> {
    if len_bytes > max {
        return Err(TtlError::Oversized { what, key: shown(key), len_bytes, max });
    }
    Ok(())
}

/// Returns a key as errors show it.
fn shown(key: &str) -> String {
    key.chars().take(100).collect()
}

fn failed<E: Into<Box<dyn std::error::Error + Send + Sync>>>(action: &'static str) -> impl Fn(E) -> TtlError {
    move |source| TtlError::Engine { action, source: source.into() }
}
