//! Pausing a consumer group: a mark in the `TtlStore` that every process of the group looks at before it fetches.

use std::time::Duration;

use bytes::Bytes;

use crate::{TtlError, TtlStore};

/// How long a pause lasts at most: a forgotten one ends by itself after 30 days, and is told in the metrics until then.
const PAUSE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

fn key(group: &str) -> String {
    format!("pause/{group}")
}

/// Stops a group from fetching records, in every process; what runs goes on to its end.
///
/// # Errors
/// When the store fails.
pub async fn pause(store: &dyn TtlStore, group: &str, reason: &str) -> Result<(), TtlError> {
    store.put(&key(group), Bytes::copy_from_slice(reason.as_bytes()), PAUSE_MAX).await
}

/// Lets a group fetch records again.
///
/// # Errors
/// When the store fails.
pub async fn resume(store: &dyn TtlStore, group: &str) -> Result<(), TtlError> {
    store.delete(&key(group)).await
}

/// Returns why a group is paused, if it is.
///
/// # Errors
/// When the store fails.
pub async fn paused(store: &dyn TtlStore, group: &str) -> Result<Option<String>, TtlError> {
    let reason = store.get(&key(group)).await?;
    Ok(reason.map(|reason| String::from_utf8_lossy(&reason).into_owned()))
}
