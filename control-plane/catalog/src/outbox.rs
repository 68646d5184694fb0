//! The outbox as the relay sees it: messages in the order of their commits, each at a position that is used once.

use mcsp_domain::limits;
use mcsp_events::{Message, TopicName};

use crate::dialect::sql;
use crate::{Catalog, CatalogError};

/// A message that was committed and may not be in the log yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// Its place in the order of commits, from 1.
    pub position: u64,
    /// The message.
    pub message: Message,
}

impl Catalog {
    /// Returns messages after a position, oldest first, at most `max`, and at most `OUTBOX_BATCH_BYTES_MAX` of payload
    /// unless the first alone is larger.
    ///
    /// # Errors
    /// When the engine fails, or a row is not one that we wrote.
    pub async fn outbox_after(&self, position: u64, max: usize) -> Result<Vec<OutboxRow>, CatalogError> {
        let max = i64::try_from(max).unwrap_or(i64::MAX);
        loop {
            let lengths = self.outbox_lengths(position, max).await?;
            let Some(last) = last_that_fits(&lengths) else { return Ok(Vec::new()) };
            let rows = self.outbox_between(position, last).await?;
            // A relay may remove all of them between the two looks; what stands behind them is not to be missed.
            if !rows.is_empty() {
                return Ok(rows);
            }
        }
    }

    /// Positions and payload lengths after a position, oldest first.
    async fn outbox_lengths(&self, position: u64, max: i64) -> Result<Vec<(i64, i64)>, CatalogError> {
        sql::query_as(
            "SELECT position, CAST(LENGTH(payload) AS BIGINT) FROM outbox WHERE position > $1 ORDER BY position LIMIT $2",
        )
        .bind(signed(position))
        .bind(max)
        .fetch_all(self.readers())
        .await
        .map_err(|source| self.fault("read the outbox", source))
    }

    async fn outbox_between(&self, position: u64, last: i64) -> Result<Vec<OutboxRow>, CatalogError> {
        let rows: Vec<RowText> = sql::query_as(
            "SELECT position, topic, key, spread, headers, payload FROM outbox
            WHERE position > $1 AND position <= $2 ORDER BY position",
        )
        .bind(signed(position))
        .bind(last)
        .fetch_all(self.readers())
        .await
        .map_err(|source| self.fault("read the outbox", source))?;
        rows.into_iter().map(|row| self.read_row(row)).collect()
    }

    /// Removes messages up to a position, which the log has. Returns how many.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn outbox_delete_through(&self, position: u64) -> Result<u64, CatalogError> {
        sql::query("DELETE FROM outbox WHERE position <= $1")
            .bind(signed(position))
            .execute(self.writer())
            .await
            .map(|done| done.rows_affected())
            .map_err(|source| self.fault("remove messages from the outbox", source))
    }

    /// Returns the position of the last message ever sent; 0 before the first.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn outbox_position(&self) -> Result<u64, CatalogError> {
        let position: i64 = sql::query_scalar("SELECT outbox_position FROM catalog")
            .fetch_one(self.readers())
            .await
            .map_err(|source| self.fault("read the outbox's position", source))?;
        u64::try_from(position).map_err(|_| self.damaged(format!("outbox position {position}")))
    }

    /// Waits until a transaction has sent something since the last wait: one of this process, or on Postgres of any. A relay
    /// looks by itself now and then all the same.
    pub async fn outbox_changed(&self) {
        self.inner.wakes.outbox.notified().await;
    }

    fn read_row(&self, row: RowText) -> Result<OutboxRow, CatalogError> {
        let (position, topic, key, spread, headers, payload) = row;
        let fault = |what: String| self.damaged(format!("outbox position {position}: {what}"));
        Ok(OutboxRow {
            position: u64::try_from(position).map_err(|_| fault("it is negative".to_owned()))?,
            message: Message {
                topic: TopicName::parse(&topic).map_err(|error| fault(error.to_string()))?,
                key,
                spread: u32::try_from(spread).map_err(|_| fault(format!("spread {spread}")))?,
                headers: serde_json::from_str(&headers).map_err(|error| fault(format!("headers: {error}")))?,
                payload,
            },
        })
    }
}

/// A row as it is stored: position, topic, key, spread, headers, payload.
type RowText = (i64, String, String, i64, String, Vec<u8>);

/// Returns the last position whose payload, with all before it, keeps within the bound; the first one always does.
fn last_that_fits(lengths: &[(i64, i64)]) -> Option<i64> {
    let mut total_bytes = 0_u64;
    let mut last = None;
    for (position, len_bytes) in lengths {
        total_bytes = total_bytes.saturating_add(u64::try_from(*len_bytes).unwrap_or(0));
        if last.is_some() && total_bytes > limits::OUTBOX_BATCH_BYTES_MAX {
            break;
        }
        last = Some(*position);
    }
    last
}

/// Positions stay far below 2^63; a larger one is after every row.
fn signed(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_keeps_within_its_bytes_and_never_stalls() {
        let max = i64::try_from(limits::OUTBOX_BATCH_BYTES_MAX).unwrap();
        assert_eq!(last_that_fits(&[]), None);
        assert_eq!(last_that_fits(&[(4, 10), (7, max - 10), (9, 1)]), Some(7));
        assert_eq!(last_that_fits(&[(4, max + 1), (5, 1)]), Some(4));
    }
}
