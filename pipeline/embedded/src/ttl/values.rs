//! The statements on values that expire. A counter is a value of decimal digits, as it is in Redis.

use sqlx::SqliteConnection;

/// Returns a value that has not expired.
pub(super) async fn get(connection: &mut SqliteConnection, key: &str, now_us: i64) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar("SELECT value FROM expiring_value WHERE key = ?1 AND until_us > ?2")
        .bind(key)
        .bind(now_us)
        .fetch_optional(connection)
        .await
}

/// Stores a value over whatever is there.
pub(super) async fn put(connection: &mut SqliteConnection, key: &str, value: &[u8], until_us: i64) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO expiring_value (key, value, until_us) VALUES (?1, ?2, ?3)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value, until_us = excluded.until_us",
    )
    .bind(key)
    .bind(value)
    .bind(until_us)
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores a value where none is, or only an expired one. Returns whether it did.
pub(super) async fn put_absent(
    connection: &mut SqliteConnection,
    key: &str,
    value: &[u8],
    now_us: i64,
    until_us: i64,
) -> sqlx::Result<bool> {
    let stored = sqlx::query(
        "INSERT INTO expiring_value (key, value, until_us) VALUES (?1, ?2, ?3)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value, until_us = excluded.until_us
         WHERE expiring_value.until_us <= ?4",
    )
    .bind(key)
    .bind(value)
    .bind(until_us)
    .bind(now_us)
    .execute(connection)
    .await?;
    Ok(stored.rows_affected() == 1)
}

/// Changes a value and leaves its end as it is.
pub(super) async fn replace(connection: &mut SqliteConnection, key: &str, value: &[u8]) -> sqlx::Result<()> {
    sqlx::query("UPDATE expiring_value SET value = ?2 WHERE key = ?1")
        .bind(key)
        .bind(value)
        .execute(connection)
        .await?;
    Ok(())
}

/// Removes a value.
pub(super) async fn delete(connection: &mut SqliteConnection, key: &str) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM expiring_value WHERE key = ?1").bind(key).execute(connection).await?;
    Ok(())
}

/// Returns values whose keys begin with `prefix` and follow `after`, in rising order.
pub(super) async fn scan(
    connection: &mut SqliteConnection,
    prefix: &str,
    after: Option<&str>,
    now_us: i64,
    max: i64,
) -> sqlx::Result<Vec<(String, Vec<u8>)>> {
    // Ranges, not LIKE: no character of a key has a meaning, and the primary key serves them. Every blob is above every text;
    // the plus keeps the planner from the index of ends, which would read every row that lives.
    sqlx::query_as(
        "SELECT key, value FROM expiring_value
         WHERE key >= ?1 AND key < COALESCE(?2, x'') AND (?3 IS NULL OR key > ?3) AND +until_us > ?4
         ORDER BY key LIMIT ?5",
    )
    .bind(after.map_or(prefix, |after| after.max(prefix)))
    .bind(after_prefix(prefix))
    .bind(after)
    .bind(now_us)
    .bind(max)
    .fetch_all(connection)
    .await
}

/// Returns how many values have keys that begin with `prefix`, at most `max`.
pub(super) async fn count(connection: &mut SqliteConnection, prefix: &str, now_us: i64, max: i64) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "SELECT COUNT(*) FROM (SELECT 1 FROM expiring_value
         WHERE key >= ?1 AND key < COALESCE(?2, x'') AND +until_us > ?3 LIMIT ?4)",
    )
    .bind(prefix)
    .bind(after_prefix(prefix))
    .bind(now_us)
    .bind(max)
    .fetch_one(connection)
    .await
}

/// Returns the first text that follows every text with this prefix; the order of UTF-8 bytes is that of characters.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        if let Some(next) = (last..=char::MAX).nth(1) {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_prefix() {
        assert_eq!(after_prefix("a%"), Some("a&".into()));
        assert_eq!(after_prefix("a\u{d7ff}"), Some("a\u{e000}".into()), "surrogates are no characters");
        assert_eq!(after_prefix("a\u{10ffff}"), Some("b".into()));
        assert_eq!(after_prefix("\u{10ffff}"), None);
        assert_eq!(after_prefix(""), None);
    }
}
