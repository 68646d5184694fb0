//! Trying a dead letter again: the ledger forgets it, then the log gives it to its group.

use mcsp_domain::EventId;
use mcsp_events::GroupName;

use crate::{EventLog, LedgerEntry, LogError, Record, TtlError, TtlStore};

/// Why a dead letter could not be tried again.
#[derive(Debug, thiserror::Error)]
pub enum RedeliverError {
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] TtlError),
    /// The log failed, or the record is no dead letter.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Gives a dead letter to its group again, as a first attempt. Interrupted between its two steps it may be called again.
///
/// # Errors
/// When the record is no dead letter of the group, or an engine fails.
pub async fn redeliver(
    log: &dyn EventLog,
    ledger: &dyn TtlStore,
    group: &GroupName,
    letter: &Record,
) -> Result<EventId, RedeliverError> {
    let Some(end) = &letter.headers.dead else {
        return Err(LogError::Misused { what: format!("record {} is no dead letter", letter.position()) }.into());
    };
    let entries = [LedgerEntry { position: end.position.clone(), event: letter.headers.id }];
    let namespace = format!("{group}.{}", log.epoch(group).await?);
    ledger.forget(&namespace, &entries).await?;
    log.redeliver(group, letter).await?;
    Ok(letter.headers.id)
}
