//! The keys in Redis: `{prefix}:mark`, `{prefix}:ledger:{namespace}:{position or event}`, `{prefix}:value:{key}`, and the
//! sorted sets `{prefix}:names` and `{prefix}:ends` of the values' keys.

use mcsp_domain::limits::{TTL_KEY_BYTES_MAX, TTL_VALUE_BYTES_MAX};
use mcsp_runtime::{LedgerEntry, TtlError};

use super::RedisTtl;
use super::error::RedisError;

/// The longest prefix, in bytes.
const PREFIX_BYTES_MAX: usize = 64;
/// Characters of a key that an error shows.
const KEY_CHARS_SHOWN_MAX: usize = 100;

impl RedisTtl {
    /// Returns the two rows of an entry.
    pub(super) fn rows_of_one(&self, namespace: &str, entry: &LedgerEntry) -> [String; 2] {
        let prefix = &self.prefix;
        [
            format!("{prefix}:ledger:{namespace}:{}", entry.position),
            format!("{prefix}:ledger:{namespace}:{}", entry.event),
        ]
    }

    /// Returns the rows of entries, each once.
    pub(super) fn rows_of(&self, namespace: &str, entries: &[LedgerEntry]) -> Vec<String> {
        let mut rows: Vec<String> = entries.iter().flat_map(|entry| self.rows_of_one(namespace, entry)).collect();
        rows.sort_unstable();
        rows.dedup();
        rows
    }

    pub(super) fn value_key(&self, key: &str) -> String {
        format!("{}:value:{key}", self.prefix)
    }

    pub(super) fn names_key(&self) -> String {
        format!("{}:names", self.prefix)
    }

    pub(super) fn ends_key(&self) -> String {
        format!("{}:ends", self.prefix)
    }
}

pub(super) fn check_prefix(prefix: &str) -> Result<(), RedisError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    if (1..=PREFIX_BYTES_MAX).contains(&prefix.len()) && prefix.bytes().all(plain) {
        return Ok(());
    }
    Err(RedisError::Prefix { prefix: shown(prefix) })
}

pub(super) fn check_key(key: &str) -> Result<(), TtlError> {
    check("key", key, key.len(), TTL_KEY_BYTES_MAX)
}

pub(super) fn check_value(key: &str, value: &[u8]) -> Result<(), TtlError> {
    check("value", key, value.len(), TTL_VALUE_BYTES_MAX)
}

fn check(what: &'static str, key: &str, len_bytes: usize, max: usize) -> Result<(), TtlError> {
    if len_bytes > max {
        return Err(TtlError::Oversized { what, key: shown(key), len_bytes, max });
    }
    Ok(())
}

/// Returns a key as errors show it.
pub(super) fn shown(key: &str) -> String {
    key.chars().take(KEY_CHARS_SHOWN_MAX).collect()
}

/// Returns a name that was written as text.
pub(super) fn name(bytes: Vec<u8>) -> Result<String, TtlError> {
    String::from_utf8(bytes).map_err(|error| TtlError::Engine { action: "scan", source: error.into() })
}

/// Returns where a scan begins, in the words of `ZRANGEBYLEX`.
pub(super) fn scan_from(prefix: &str, after: Option<&str>) -> Vec<u8> {
    match after {
        Some(after) if after >= prefix => format!("({after}").into_bytes(),
        _ => format!("[{prefix}").into_bytes(),
    }
}

/// Returns where a scan ends: no text holds the byte 0xff, so it stands behind all that begin with the prefix.
pub(super) fn scan_to(prefix: &str) -> Vec<u8> {
    [b"(", prefix.as_bytes(), &[0xff]].concat()
}
