//! Webhooks: the one address of a user, and the deliveries to it. A delivery stays until its address has taken it or its
//! attempts are used up, so that a message reaches its address at least once, always under the same id.

use mcsp_domain::{EventId, UserId, WebhookId, limits};
use sqlx::FromRow;

use crate::dialect::sql;
use crate::row::word;
use crate::{Catalog, CatalogError, Tx};

/// An address that is told what happens to a user's contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookRow {
    /// Whose it is.
    pub user: UserId,
    /// The address's id; a new address after a removal has another.
    pub id: WebhookId,
    /// Where messages go.
    pub url: String,
    /// The types of events that are wanted; none means all.
    pub events: Vec<String>,
    /// The sealed secret that signs.
    pub secret: String,
    /// The sealed secret before the last rotation.
    pub previous_secret: Option<String>,
    /// Until when that one signs too, microseconds since 1970.
    pub previous_until_us: Option<i64>,
    /// Why nothing is sent, if nothing is.
    pub disabled: Option<String>,
    /// When it was set up, microseconds since 1970.
    pub created_us: i64,
    /// When it last changed, microseconds since 1970.
    pub updated_us: i64,
}

/// How far a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// To be tried, now or later.
    Waiting,
    /// Taken.
    Done,
    /// Given up.
    Failed,
}

/// A message to an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRow {
    /// The address.
    pub webhook: WebhookId,
    /// The message's id, the same in every attempt.
    pub message: EventId,
    /// The type of its event.
    pub kind: String,
    /// Its body, JSON.
    pub payload: String,
    /// How far it is.
    pub state: DeliveryState,
    /// Attempts that were begun.
    pub attempts: u32,
    /// When the next one is due, microseconds since 1970.
    pub next_us: i64,
    /// The status of the last answer, where there was one.
    pub status: Option<u16>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// When it was written, microseconds since 1970.
    pub created_us: i64,
    /// When it last changed, microseconds since 1970.
    pub updated_us: i64,
}

impl DeliveryState {
    const ALL: [Self; 3] = [Self::Waiting, Self::Done, Self::Failed];

    /// Returns the word as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

impl Catalog {
    /// Returns a user's webhook.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn webhook(&self, user: UserId) -> Result<Option<WebhookRow>, CatalogError> {
        let row: Option<WebhookText> = sql::query_as(WEBHOOK_OF_USER)
            .bind(user.to_string())
            .fetch_optional(self.readers())
            .await
            .map_err(|source| self.fault("read a webhook", source))?;
        row.map(|row| read_webhook(self, row)).transpose()
    }

    /// Returns the webhook of an id.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn webhook_of_id(&self, id: WebhookId) -> Result<Option<WebhookRow>, CatalogError> {
        let sql = "SELECT user_id, id, url, events, secret, previous_secret, previous_until_us, disabled, created_us,
            updated_us FROM webhook WHERE id = $1";
        let row: Option<WebhookText> = sql::query_as(sql)
            .bind(id.to_string())
            .fetch_optional(self.readers())
            .await
            .map_err(|source| self.fault("read a webhook", source))?;
        row.map(|row| read_webhook(self, row)).transpose()
    }

    /// Returns deliveries whose time has come, the longest due first: at most `limit`, and at most `per_webhook` of one
    /// address, so that a slow one leaves room to the others.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn deliveries_due(
        &self,
        now_us: i64,
        per_webhook: u32,
        limit: u32,
    ) -> Result<Vec<DeliveryRow>, CatalogError> {
        let sql = "SELECT webhook_id, message_id, kind, payload, state, attempts, next_us, status, error, created_us,
                updated_us
            FROM (SELECT d.webhook_id, d.message_id, d.kind, d.payload, d.state, d.attempts, d.next_us, d.status,
                    d.error, d.created_us, d.updated_us,
                    ROW_NUMBER() OVER (PARTITION BY d.webhook_id ORDER BY d.next_us, d.message_id) AS place
                FROM webhook_delivery d JOIN webhook w ON w.id = d.webhook_id AND w.disabled IS NULL
                WHERE d.state = 'waiting' AND d.next_us <= $1) AS due
            WHERE place <= $2 ORDER BY next_us, message_id LIMIT $3";
        let query = sql::query_as(sql).bind(now_us).bind(i64::from(per_webhook)).bind(i64::from(limit));
        let rows: Result<Vec<DeliveryText>, _> = query.fetch_all(self.readers()).await;
        let rows = rows.map_err(|source| self.fault("list due webhook deliveries", source))?;
        rows.into_iter().map(|row| read_delivery(self, row)).collect()
    }

    /// Returns the newest deliveries to an address, at most `limit`.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn deliveries(&self, webhook: WebhookId, limit: u32) -> Result<Vec<DeliveryRow>, CatalogError> {
        let sql = "SELECT webhook_id, message_id, kind, payload, state, attempts, next_us, status, error, created_us,
            updated_us FROM webhook_delivery WHERE webhook_id = $1 ORDER BY created_us DESC, message_id LIMIT $2";
        let query = sql::query_as(sql).bind(webhook.to_string()).bind(i64::from(limit));
        let rows: Result<Vec<DeliveryText>, _> = query.fetch_all(self.readers()).await;
        let rows = rows.map_err(|source| self.fault("list webhook deliveries", source))?;
        rows.into_iter().map(|row| read_delivery(self, row)).collect()
    }

    /// Forgets deliveries that ended before a time, in steps. Returns how many.
    ///
    /// # Errors
    /// When the engine fails; a further sweep goes on.
    pub async fn sweep_deliveries(&self, before_us: i64) -> Result<u64, CatalogError> {
        let sql = "DELETE FROM webhook_delivery WHERE (webhook_id, message_id) IN (SELECT webhook_id, message_id
            FROM webhook_delivery WHERE state <> 'waiting' AND updated_us < $1 LIMIT $2)";
        let mut swept = 0;
        loop {
            let step = sql::query(sql).bind(before_us).bind(limits::INBOX_SWEEP_MAX).execute(self.writer()).await;
            let rows = step.map_err(|source| self.fault("sweep webhook deliveries", source))?.rows_affected();
            swept += rows;
            if rows < limits::INBOX_SWEEP_MAX.into() {
                return Ok(swept);
            }
        }
    }

    /// Waits until a transaction has written a delivery since the last wait: one of this process, or on Postgres of any. A
    /// sender looks by itself now and then all the same.
    pub async fn deliveries_changed(&self) {
        self.inner.wakes.deliveries.notified().await;
    }
}

impl Tx {
    /// Returns a user's webhook as this transaction sees it.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn webhook(&mut self, user: UserId) -> Result<Option<WebhookRow>, CatalogError> {
        let query = sql::query_as(WEBHOOK_OF_USER).bind(user.to_string());
        let row: Result<Option<WebhookText>, _> = query.fetch_optional(self.connection()?).await;
        let row = row.map_err(|source| self.end("read a webhook", source))?;
        row.map(|row| read_webhook(self.catalog(), row)).transpose()
    }

    /// Writes a user's webhook, in the place of an earlier one. Id and time of set-up of an earlier one stay.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn put_webhook(&mut self, row: &WebhookRow) -> Result<(), CatalogError> {
        let sql = "INSERT INTO webhook (user_id, id, url, events, secret, previous_secret, previous_until_us, disabled,
                created_us, updated_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
            ON CONFLICT (user_id) DO UPDATE SET url = excluded.url, events = excluded.events, secret = excluded.secret,
                previous_secret = excluded.previous_secret, previous_until_us = excluded.previous_until_us,
                disabled = excluded.disabled, updated_us = excluded.updated_us";
        let query = sql::query(sql)
            .bind(row.user.to_string())
            .bind(row.id.to_string())
            .bind(&row.url)
            .bind(serde_json::json!(row.events).to_string())
            .bind(&row.secret)
            .bind(&row.previous_secret)
            .bind(row.previous_until_us)
            .bind(&row.disabled)
            .bind(row.created_us)
            .bind(row.updated_us);
        let done = query.execute(self.connection()?).await;
        done.map_err(|source| self.end("write a webhook", source))?;
        self.told.deliveries = true;
        Ok(())
    }

    /// Removes a user's webhook and all that was on its way there. Returns whether there was one.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn drop_webhook(&mut self, user: UserId) -> Result<bool, CatalogError> {
        const ACTION: &str = "remove a webhook";
        let sql = "DELETE FROM webhook_delivery WHERE webhook_id IN (SELECT id FROM webhook WHERE user_id = $1)";
        let done = sql::query(sql).bind(user.to_string()).execute(self.connection()?).await;
        done.map_err(|source| self.end(ACTION, source))?;
        let query = sql::query("DELETE FROM webhook WHERE user_id = $1").bind(user.to_string());
        let done = query.execute(self.connection()?).await;
        Ok(done.map_err(|source| self.end(ACTION, source))?.rows_affected() == 1)
    }

    /// Notes that nothing is sent to an address any more, and why.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn disable_webhook(&mut self, id: WebhookId, why: &str, now_us: i64) -> Result<(), CatalogError> {
        let sql = "UPDATE webhook SET disabled = $2, updated_us = $3 WHERE id = $1 AND disabled IS NULL";
        let query = sql::query(sql).bind(id.to_string()).bind(why).bind(now_us);
        let done = query.execute(self.connection()?).await;
        done.map(|_| ()).map_err(|source| self.end("disable a webhook", source))
    }

    /// Adds a delivery, where there is none of its message to its address yet. The commit wakes this process's sender.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn add_delivery(&mut self, row: &DeliveryRow) -> Result<(), CatalogError> {
        let sql =
            "INSERT INTO webhook_delivery (webhook_id, message_id, kind, payload, state, attempts, next_us, status,
                error, created_us, updated_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
            ON CONFLICT (webhook_id, message_id) DO NOTHING";
        let query = sql::query(sql)
            .bind(row.webhook.to_string())
            .bind(row.message.to_string())
            .bind(&row.kind)
            .bind(&row.payload)
            .bind(row.state.as_str())
            .bind(i64::from(row.attempts))
            .bind(row.next_us)
            .bind(row.status.map(i64::from))
            .bind(&row.error)
            .bind(row.created_us)
            .bind(row.updated_us);
        let done = query.execute(self.connection()?).await;
        done.map_err(|source| self.end("add a webhook delivery", source))?;
        self.told.deliveries = true;
        Ok(())
    }

    /// Begins an attempt: counts it, and puts the next one off until `until_us`, when a sender that died counts as failed.
    /// Returns whether the delivery was still as it was read.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn begin_delivery(&mut self, row: &DeliveryRow, until_us: i64) -> Result<bool, CatalogError> {
        let sql = "UPDATE webhook_delivery SET attempts = attempts + 1, next_us = $5
            WHERE webhook_id = $1 AND message_id = $2 AND attempts = $3 AND next_us = $4 AND state = 'waiting'";
        let query = sql::query(sql)
            .bind(row.webhook.to_string())
            .bind(row.message.to_string())
            .bind(i64::from(row.attempts))
            .bind(row.next_us)
            .bind(until_us);
        let done = query.execute(self.connection()?).await;
        Ok(done.map_err(|source| self.end("begin a webhook delivery", source))?.rows_affected() == 1)
    }

    /// Notes how an attempt ended: state, next time, status, error and time of change are the row's.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn end_delivery(&mut self, row: &DeliveryRow) -> Result<(), CatalogError> {
        let sql = "UPDATE webhook_delivery SET state = $3, next_us = $4, status = $5, error = $6, updated_us = $7
            WHERE webhook_id = $1 AND message_id = $2";
        let query = sql::query(sql)
            .bind(row.webhook.to_string())
            .bind(row.message.to_string())
            .bind(row.state.as_str())
            .bind(row.next_us)
            .bind(row.status.map(i64::from))
            .bind(&row.error)
            .bind(row.updated_us);
        let done = query.execute(self.connection()?).await;
        done.map(|_| ()).map_err(|source| self.end("end a webhook delivery", source))
    }
}

impl Tx {
    /// Returns whether an address has taken a delivery since a time.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn took_delivery_since(&mut self, webhook: WebhookId, since_us: i64) -> Result<bool, CatalogError> {
        let sql = "SELECT COUNT(*) FROM webhook_delivery WHERE webhook_id = $1 AND state = 'done' AND updated_us >= $2";
        let query = sql::query_scalar(sql).bind(webhook.to_string()).bind(since_us);
        let count: Result<i64, _> = query.fetch_one(self.connection()?).await;
        Ok(count.map_err(|source| self.end("look for deliveries that were taken", source))? > 0)
    }
}

const WEBHOOK_OF_USER: &str = "SELECT user_id, id, url, events, secret, previous_secret, previous_until_us, disabled,
    created_us, updated_us FROM webhook WHERE user_id = $1";

#[derive(FromRow)]
struct WebhookText {
    user_id: String,
    id: String,
    url: String,
    events: String,
    secret: String,
    previous_secret: Option<String>,
    previous_until_us: Option<i64>,
    disabled: Option<String>,
    created_us: i64,
    updated_us: i64,
}

fn read_webhook(catalog: &Catalog, row: WebhookText) -> Result<WebhookRow, CatalogError> {
    let fault = |what: String| catalog.damaged(format!("webhook {}: {what}", row.id));
    Ok(WebhookRow {
        user: word(&row.user_id).map_err(fault)?,
        id: word(&row.id).map_err(fault)?,
        events: serde_json::from_str(&row.events).map_err(|error| fault(format!("events: {error}")))?,
        url: row.url,
        secret: row.secret,
        previous_secret: row.previous_secret,
        previous_until_us: row.previous_until_us,
        disabled: row.disabled,
        created_us: row.created_us,
        updated_us: row.updated_us,
    })
}

#[derive(FromRow)]
struct DeliveryText {
    webhook_id: String,
    message_id: String,
    kind: String,
    payload: String,
    state: String,
    attempts: i64,
    next_us: i64,
    status: Option<i64>,
    error: Option<String>,
    created_us: i64,
    updated_us: i64,
}

fn read_delivery(catalog: &Catalog, row: DeliveryText) -> Result<DeliveryRow, CatalogError> {
    let fault = |what: String| catalog.damaged(format!("webhook delivery {}: {what}", row.message_id));
    let state = DeliveryState::ALL.into_iter().find(|state| state.as_str() == row.state);
    Ok(DeliveryRow {
        webhook: word(&row.webhook_id).map_err(fault)?,
        message: word(&row.message_id).map_err(fault)?,
        state: state.ok_or_else(|| fault(format!("state {:?}", row.state)))?,
        attempts: u32::try_from(row.attempts).map_err(|_| fault(format!("{} attempts", row.attempts)))?,
        status: row.status.map(u16::try_from).transpose().map_err(|_| fault(format!("status {:?}", row.status)))?,
        kind: row.kind,
        payload: row.payload,
        next_us: row.next_us,
        error: row.error,
        created_us: row.created_us,
        updated_us: row.updated_us,
    })
}
