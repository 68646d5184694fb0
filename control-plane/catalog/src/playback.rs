//! Playbacks and where viewers stopped. Heartbeats come by the thousand: many are written in one transaction.

use mcsp_domain::{ContentId, PlanId, PlaybackId, Revision, UserId};

use crate::content::read_revision;
use crate::dialect::sql;
use crate::row::{integer, read_integer, word};
use crate::{Catalog, CatalogError, Tx};

/// Playbacks that one sweep step removes, so that a sweep never holds the writer for long.
const SWEEP_MAX: i64 = 10_000;

/// One viewer's playback of one content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaybackRow {
    /// Its id.
    pub id: PlaybackId,
    /// The viewer.
    pub user: UserId,
    /// The content.
    pub content: ContentId,
    /// The publication of it that is shown.
    pub revision: Revision,
    /// The plan whose package is shown.
    pub plan: PlanId,
    /// The highest heartbeat that was taken; 0 before the first.
    pub seq: u64,
    /// Where the film stood then, milliseconds.
    pub position_ms: u64,
    /// When it began, microseconds since 1970.
    pub started_us: i64,
    /// When it was last heard of, microseconds since 1970.
    pub seen_us: i64,
    /// From when on a heartbeat is answered with a new lease, microseconds since 1970.
    pub renew_us: i64,
}

/// What one heartbeat says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PositionUpdate {
    /// The playback.
    pub playback: PlaybackId,
    /// Its viewer.
    pub user: UserId,
    /// Its content.
    pub content: ContentId,
    /// The heartbeat's place in the playback, from 1.
    pub seq: u64,
    /// Where the film stands, milliseconds.
    pub position_ms: u64,
    /// Where the next playback goes on, milliseconds: 0 once the end was seen.
    pub resume_ms: u64,
    /// When it came, microseconds since 1970.
    pub at_us: i64,
}

impl Catalog {
    /// Returns a playback.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn playback(&self, id: PlaybackId) -> Result<Option<PlaybackRow>, CatalogError> {
        let sql = "SELECT user_id, content_id, revision, plan_id, seq, position_ms, started_us, seen_us, renew_us
            FROM playback WHERE id = $1";
        let row: Option<RowText> = sql::query_as(sql)
            .bind(id.to_string())
            .fetch_optional(self.readers())
            .await
            .map_err(|source| self.fault("read a playback", source))?;
        row.map(|row| self.read_playback(id, row)).transpose()
    }

    /// Returns where a viewer stopped in a content, milliseconds.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn resume_position(&self, user: UserId, content: ContentId) -> Result<Option<u64>, CatalogError> {
        let sql = "SELECT position_ms FROM resume_position WHERE user_id = $1 AND content_id = $2";
        let position: Option<i64> = sql::query_scalar(sql)
            .bind(user.to_string())
            .bind(content.to_string())
            .fetch_optional(self.readers())
            .await
            .map_err(|source| self.fault("read where a viewer stopped", source))?;
        Ok(position.map(|position| u64::try_from(position).unwrap_or_default()))
    }

    /// Forgets playbacks that were last heard of before a time, in steps, so that writers come in between. Where viewers
    /// stopped is kept. Returns how many.
    ///
    /// # Errors
    /// When the engine fails; a further sweep goes on.
    pub async fn sweep_playbacks(&self, before_us: i64) -> Result<u64, CatalogError> {
        let sql = "DELETE FROM playback WHERE id IN
            (SELECT id FROM playback WHERE seen_us < $1 ORDER BY seen_us LIMIT $2)";
        let mut swept = 0;
        loop {
            let step = sql::query(sql).bind(before_us).bind(SWEEP_MAX).execute(self.writer()).await;
            let rows = step.map_err(|source| self.fault("sweep playbacks", source))?.rows_affected();
            swept += rows;
            if rows < SWEEP_MAX.unsigned_abs() {
                return Ok(swept);
            }
        }
    }

    fn read_playback(&self, id: PlaybackId, row: RowText) -> Result<PlaybackRow, CatalogError> {
        let (user, content, revision, plan, seq, position_ms, started_us, seen_us, renew_us) = row;
        let fault = |what: String| self.damaged(format!("playback {id}: {what}"));
        Ok(PlaybackRow {
            id,
            user: word(&user).map_err(fault)?,
            content: word(&content).map_err(fault)?,
            revision: read_revision(revision).ok_or_else(|| fault(format!("revision {revision}")))?,
            plan: word(&plan).map_err(fault)?,
            seq: read_integer("seq", seq).map_err(fault)?,
            position_ms: read_integer("position_ms", position_ms).map_err(fault)?,
            started_us,
            seen_us,
            renew_us,
        })
    }
}

impl Tx {
    /// Adds a playback.
    ///
    /// # Errors
    /// When its id is taken, or the engine fails.
    pub async fn insert_playback(&mut self, row: &PlaybackRow) -> Result<(), CatalogError> {
        let sql = "INSERT INTO playback (id, user_id, content_id, revision, plan_id, seq, position_ms, started_us,
            seen_us, renew_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        let query = sql::query(sql)
            .bind(row.id.to_string())
            .bind(row.user.to_string())
            .bind(row.content.to_string())
            .bind(i64::from(row.revision.number()))
            .bind(row.plan.to_string())
            .bind(integer(row.seq))
            .bind(integer(row.position_ms))
            .bind(row.started_us)
            .bind(row.seen_us)
            .bind(row.renew_us);
        let done = query.execute(self.connection()?).await;
        done.map(|_| ()).map_err(|source| self.end("add a playback", source))
    }

    /// Writes a heartbeat down, unless its playback has a later one. Returns whether it was written.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn put_position(&mut self, update: &PositionUpdate) -> Result<bool, CatalogError> {
        const ACTION: &str = "write a position down";
        let sql = "UPDATE playback SET seq = $2, position_ms = $3, seen_us = $4 WHERE id = $1 AND seq < $2";
        let query = sql::query(sql)
            .bind(update.playback.to_string())
            .bind(integer(update.seq))
            .bind(integer(update.position_ms))
            .bind(update.at_us);
        let done = query.execute(self.connection()?).await;
        if done.map_err(|source| self.end(ACTION, source))?.rows_affected() == 0 {
            return Ok(false);
        }
        // Of two playbacks at once, the one that was heard of last counts.
        let sql = "INSERT INTO resume_position (user_id, content_id, position_ms, updated_us) VALUES ($1, $2, $3, $4)
            ON CONFLICT (user_id, content_id)
            DO UPDATE SET position_ms = excluded.position_ms, updated_us = excluded.updated_us
            WHERE resume_position.updated_us <= excluded.updated_us";
        let query = sql::query(sql)
            .bind(update.user.to_string())
            .bind(update.content.to_string())
            .bind(integer(update.resume_ms))
            .bind(update.at_us);
        let done = query.execute(self.connection()?).await;
        done.map(|_| true).map_err(|source| self.end(ACTION, source))
    }

    /// Sets from when on a playback gets a new lease.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn renew_playback(&mut self, id: PlaybackId, renew_us: i64) -> Result<(), CatalogError> {
        let query = sql::query("UPDATE playback SET renew_us = $2 WHERE id = $1").bind(id.to_string()).bind(renew_us);
        let done = query.execute(self.connection()?).await;
        done.map(|_| ()).map_err(|source| self.end("renew a playback", source))
    }
}

/// User, content, revision, plan, sequence, position, started, seen, renew.
type RowText = (String, String, i64, String, i64, i64, i64, i64, i64);
