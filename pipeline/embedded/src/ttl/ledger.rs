//! The ledger's statements. An entry has two keys, its position and its event's id, each a row of its own: the same event
//! at a new offset meets the row of its id. A list of keys travels as one JSON array, so that one prepared statement
//! serves every batch.

use std::collections::{HashMap, HashSet};

use mcsp_domain::limits::LEDGER_KEEP_US;
use mcsp_runtime::{Claim, LedgerEntry};
use serde::Serialize;
use sqlx::SqliteConnection;

/// Who claims, for how long, seen from when.
pub(super) struct Terms<'a> {
    pub(super) namespace: &'a str,
    pub(super) owner: &'a str,
    pub(super) now_us: i64,
    pub(super) until_us: i64,
}

/// What a row says of a key.
struct Held {
    /// None is done.
    owner: Option<String>,
    until_us: i64,
    /// Earlier claims that ran out.
    lost: u32,
}

impl Held {
    /// Returns how many claims of the key ran out, this one included.
    fn lost(&self) -> u32 {
        self.lost.saturating_add(u32::from(self.owner.is_some()))
    }
}

/// Notes that records are done: the log calls this in the transaction that completes them.
pub(crate) async fn mark_done(
    connection: &mut SqliteConnection,
    namespace: &str,
    entries: &[LedgerEntry],
    now_us: i64,
) -> sqlx::Result<()> {
    write_rows(connection, namespace, None, now_us.saturating_add(LEDGER_KEEP_US), &keys_of(entries)).await
}

/// Claims what is free, and tells what was found for each entry.
pub(super) async fn claim(
    connection: &mut SqliteConnection,
    entries: &[LedgerEntry],
    terms: &Terms<'_>,
) -> sqlx::Result<Vec<Claim>> {
    let keys: Vec<[String; 2]> = entries.iter().map(keys_of_one).collect();
    let (expired, held) = rows(connection, keys.as_flattened(), terms).await?;
    let (claims, taken) = judge(&keys, terms, &held);
    if !taken.is_empty() {
        write_rows(connection, terms.namespace, Some(terms.owner), terms.until_us, &taken).await?;
    }
    let lost = |entry: &[String; 2]| entry.iter().filter_map(|key| expired.get(key)).map(Held::lost).max().unwrap_or(0);
    let told = claims.into_iter().zip(&keys).map(|(claim, entry)| match (claim, lost(entry)) {
        (Claim::Fresh, lost @ 1..) => Claim::Again(lost),
        (claim, _) => claim,
    });
    Ok(told.collect())
}

/// Decides each entry in turn. A second entry of one call that shares a key with an earlier one waits for it: it would
/// double the work that the call has just been given. Returns the keys that are taken, too.
fn judge<'a>(
    entries: &'a [[String; 2]],
    terms: &Terms<'_>,
    held: &HashMap<String, Held>,
) -> (Vec<Claim>, Vec<&'a str>) {
    let mut taken = HashSet::with_capacity(entries.len() * 2);
    let mut claims = Vec::with_capacity(entries.len());
    for keys in entries {
        let rows: Vec<&Held> = keys.iter().filter_map(|key| held.get(key)).collect();
        let foreign = rows.iter().filter(|row| row.owner.as_deref() != Some(terms.owner)).map(|row| row.until_us).max();
        claims.push(if rows.iter().any(|row| row.owner.is_none()) {
            Claim::Done
        } else if let Some(until_us) = foreign {
            Claim::HeldUntil(until_us)
        } else if keys.iter().any(|key| taken.contains(key.as_str())) {
            Claim::HeldUntil(terms.until_us)
        } else {
            taken.extend(keys.iter().map(String::as_str));
            Claim::Fresh
        });
    }
    (claims, taken.into_iter().collect())
}

/// Returns the rows of keys, those that have expired apart from those that hold.
async fn rows(
    connection: &mut SqliteConnection,
    keys: &[String],
    terms: &Terms<'_>,
) -> sqlx::Result<(HashMap<String, Held>, HashMap<String, Held>)> {
    // `CROSS JOIN` keeps the order: one look-up a key, never a walk over the namespace.
    let rows: Vec<(String, Option<String>, i64, u32)> = sqlx::query_as(
        "SELECT ledger.key, ledger.owner, ledger.until_us, ledger.lost FROM json_each(?2) AS wanted
         CROSS JOIN ledger ON ledger.namespace = ?1 AND ledger.key = wanted.value",
    )
    .bind(terms.namespace)
    .bind(array(keys))
    .fetch_all(connection)
    .await?;
    let rows = rows.into_iter().map(|(key, owner, until_us, lost)| (key, Held { owner, until_us, lost }));
    Ok(rows.partition(|(_, held)| held.until_us <= terms.now_us))
}

async fn write_rows(
    connection: &mut SqliteConnection,
    namespace: &str,
    owner: Option<&str>,
    until_us: i64,
    keys: &[impl Serialize],
) -> sqlx::Result<()> {
    // The `WHERE` tells SQLite's parser that `ON CONFLICT` is not the join's `ON`.
    sqlx::query(
        "INSERT INTO ledger (namespace, key, owner, until_us) SELECT ?1, value, ?2, ?3 FROM json_each(?4) WHERE true
         ON CONFLICT (namespace, key) DO UPDATE SET owner = excluded.owner, until_us = excluded.until_us,
             lost = CASE WHEN ledger.owner IS NULL THEN 0 ELSE ledger.lost + (ledger.owner IS NOT excluded.owner) END",
    )
    .bind(namespace)
    .bind(owner)
    .bind(until_us)
    .bind(array(keys))
    .execute(connection)
    .await?;
    Ok(())
}

/// Moves the end of what the owner still holds. Returns whether that is all of it.
pub(super) async fn renew(
    connection: &mut SqliteConnection,
    entries: &[LedgerEntry],
    terms: &Terms<'_>,
) -> sqlx::Result<bool> {
    let keys = keys_of(entries);
    let moved = sqlx::query(
        "UPDATE ledger SET until_us = ?4 WHERE namespace = ?1 AND key IN (SELECT value FROM json_each(?2))
         AND owner = ?3 AND until_us > ?5",
    )
    .bind(terms.namespace)
    .bind(array(&keys))
    .bind(terms.owner)
    .bind(terms.until_us)
    .bind(terms.now_us)
    .execute(connection)
    .await?;
    Ok(usize::try_from(moved.rows_affected()) == Ok(keys.len()))
}

/// Removes the owner's claims.
pub(super) async fn release(
    connection: &mut SqliteConnection,
    namespace: &str,
    entries: &[LedgerEntry],
    owner: &str,
) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM ledger WHERE namespace = ?1 AND key IN (SELECT value FROM json_each(?2)) AND owner = ?3")
        .bind(namespace)
        .bind(array(&keys_of(entries)))
        .bind(owner)
        .execute(connection)
        .await?;
    Ok(())
}

/// Removes every row of the entries.
pub(super) async fn forget(
    connection: &mut SqliteConnection,
    namespace: &str,
    entries: &[LedgerEntry],
) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM ledger WHERE namespace = ?1 AND key IN (SELECT value FROM json_each(?2))")
        .bind(namespace)
        .bind(array(&keys_of(entries)))
        .execute(connection)
        .await?;
    Ok(())
}

/// Returns the two keys of an entry.
fn keys_of_one(entry: &LedgerEntry) -> [String; 2] {
    [entry.position.clone(), entry.event.to_string()]
}

/// Returns the keys of entries, each once.
fn keys_of(entries: &[LedgerEntry]) -> Vec<String> {
    let mut keys: Vec<String> = entries.iter().flat_map(keys_of_one).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn array(keys: &[impl Serialize]) -> String {
    match serde_json::to_string(keys) {
        Ok(text) => text,
        Err(error) => unreachable!("a list of texts has a JSON form: {error}"),
    }
}
