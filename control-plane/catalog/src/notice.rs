//! Notices: what a user is shown as it happens, in the order of commits, each at a position that is used once. A reader goes
//! on from the last position that it saw; those that were swept since are told as missed.

use mcsp_domain::{ContentId, UserId, limits};
use serde_json::Value;
use tokio::sync::broadcast;

use crate::dialect::sql;
use crate::{Catalog, CatalogError, Tx};

/// Wakes that wait for one listener; one that is further behind looks for itself.
pub(crate) const NOTICE_WAKES_MAX: usize = 1024;
/// Notices that one read gives at most.
const NOTICES_READ_MAX: usize = 1000;

/// Something that a user is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// Its place in the order of commits, from 1.
    pub position: u64,
    /// What it is, such as `content.step`.
    pub kind: String,
    /// The content that it is about.
    pub content: Option<ContentId>,
    /// What happened, as its kind has it.
    pub body: Value,
    /// When, microseconds since 1970.
    pub at_us: i64,
}

/// Which notices there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoticeSpan {
    /// The position of the last notice ever written; 0 before the first.
    pub last: u64,
    /// The position of the last one that was swept; all up to it are gone.
    pub swept: u64,
}

/// Tells one user's listener that there may be news.
pub struct NoticeWatch {
    user: UserId,
    wakes: broadcast::Receiver<Option<UserId>>,
}

impl NoticeWatch {
    /// Waits until a transaction has committed a notice to the user: one of this process, or on Postgres of any. A reader
    /// looks by itself now and then all the same. Dropping the future loses no wake.
    pub async fn changed(&mut self) {
        loop {
            match self.wakes.recv().await {
                Ok(user) if user.is_none_or(|user| user == self.user) => return,
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => return,
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

impl Catalog {
    /// Returns a user's notices after a position, oldest first, at most `limit`.
    ///
    /// # Errors
    /// When the engine fails, or a row is not one that we wrote.
    pub async fn notices_after(&self, user: UserId, position: u64, limit: usize) -> Result<Vec<Notice>, CatalogError> {
        let sql = "SELECT position, kind, content_id, body, at_us FROM notice
            WHERE user_id = $1 AND position > $2 ORDER BY position LIMIT $3";
        let limit = i64::try_from(limit.min(NOTICES_READ_MAX)).unwrap_or(i64::MAX);
        let rows: Vec<RowText> = sql::query_as(sql)
            .bind(user.to_string())
            .bind(i64::try_from(position).unwrap_or(i64::MAX))
            .bind(limit)
            .fetch_all(self.readers())
            .await
            .map_err(|source| self.fault("read notices", source))?;
        rows.into_iter().map(|row| self.read_notice(row)).collect()
    }

    /// Returns which notices there are, of all users.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn notice_span(&self) -> Result<NoticeSpan, CatalogError> {
        let (last, swept): (i64, i64) = sql::query_as("SELECT position, swept FROM notice_log")
            .fetch_one(self.readers())
            .await
            .map_err(|source| self.fault("read the notices' positions", source))?;
        let number =
            |name, value: i64| u64::try_from(value).map_err(|_| self.damaged(format!("notice {name} {value}")));
        Ok(NoticeSpan { last: number("position", last)?, swept: number("sweep", swept)? })
    }

    /// Returns what wakes a reader of a user's notices from now on.
    pub fn notices_changed(&self, user: UserId) -> NoticeWatch {
        NoticeWatch { user, wakes: self.inner.wakes.notices.subscribe() }
    }

    /// Removes notices from before a time, in steps, so that writers come in between. Returns how many.
    ///
    /// # Errors
    /// When the engine fails; a further sweep goes on.
    pub async fn sweep_notices(&self, before_us: i64) -> Result<u64, CatalogError> {
        let mut swept = 0;
        loop {
            let mut tx = self.begin().await?;
            let step = tx.sweep_notices_step(before_us).await?;
            tx.commit().await?;
            swept += step;
            if step < limits::INBOX_SWEEP_MAX.into() {
                return Ok(swept);
            }
        }
    }

    fn read_notice(&self, row: RowText) -> Result<Notice, CatalogError> {
        let (position, kind, content, body, at_us) = row;
        let fault = |what: String| self.damaged(format!("notice {position}: {what}"));
        Ok(Notice {
            position: u64::try_from(position).map_err(|_| fault("its position is negative".to_owned()))?,
            content: content
                .map(|content| ContentId::parse(&content))
                .transpose()
                .map_err(|error| fault(error.to_string()))?,
            body: serde_json::from_str(&body).map_err(|error| fault(format!("body: {error}")))?,
            kind,
            at_us,
        })
    }
}

/// Position, kind, content id, body, time.
type RowText = (i64, String, Option<String>, String, i64);

impl Tx {
    /// Writes a notice to a user; once the transaction commits, those who listen are woken.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn notice(
        &mut self,
        user: UserId,
        kind: &str,
        content: Option<ContentId>,
        body: &Value,
        now_us: i64,
    ) -> Result<(), CatalogError> {
        const ACTION: &str = "write a notice";
        let advance = "UPDATE notice_log SET position = position + 1 RETURNING position";
        let position = sql::query_scalar(advance).fetch_one(self.connection()?).await;
        let position: i64 = position.map_err(|source| self.end(ACTION, source))?;
        let sql = "INSERT INTO notice (position, user_id, kind, content_id, body, at_us)
            VALUES ($1, $2, $3, $4, $5, $6)";
        let query = sql::query(sql)
            .bind(position)
            .bind(user.to_string())
            .bind(kind)
            .bind(content.map(|content| content.to_string()))
            .bind(body.to_string())
            .bind(now_us);
        query.execute(self.connection()?).await.map_err(|source| self.end(ACTION, source))?;
        self.wake_on_commit(user);
        Ok(())
    }

    /// Removes the oldest notices from before a time, at most one step's worth, and notes how far that went.
    async fn sweep_notices_step(&mut self, before_us: i64) -> Result<u64, CatalogError> {
        const ACTION: &str = "sweep the notices";
        // What lies above the first younger notice stays: positions up to the sweep's are gone without exception.
        let last = "SELECT MAX(position) FROM (SELECT position FROM notice
            WHERE position < COALESCE((SELECT MIN(position) FROM notice WHERE at_us >= $1), 9223372036854775807)
            ORDER BY position LIMIT $2) AS oldest";
        let query = sql::query_scalar(last).bind(before_us).bind(limits::INBOX_SWEEP_MAX);
        let last: Result<Option<i64>, _> = query.fetch_one(self.connection()?).await;
        let Some(last) = last.map_err(|source| self.end(ACTION, source))? else { return Ok(0) };
        let note = sql::query("UPDATE notice_log SET swept = $1").bind(last).execute(self.connection()?).await;
        note.map_err(|source| self.end(ACTION, source))?;
        let delete = sql::query("DELETE FROM notice WHERE position <= $1").bind(last);
        let done = delete.execute(self.connection()?).await;
        done.map(|done| done.rows_affected()).map_err(|source| self.end(ACTION, source))
    }
}
