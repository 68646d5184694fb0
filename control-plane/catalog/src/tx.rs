//! A transaction: what an event led to, that it was handled, and what it said, all or nothing.

use mcsp_domain::{EventId, limits};
use mcsp_events::{EventError, Message, Topic};

use crate::dialect::{Transaction, sql};
use crate::wake::Told;
use crate::{Catalog, CatalogError};

/// Messages that one statement writes: a step to a server and back costs more than a row.
const ROWS_MAX: usize = 32;

/// Whether an event is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// Nobody has handled it: its effect belongs into this transaction.
    Fresh,
    /// A transaction that committed has handled it.
    Seen,
}

/// A transaction of the catalog. It holds the write lock: nothing slow belongs between `begin` and `commit`. Dropped
/// without `commit`, it leaves nothing. A call that fails in the engine ends it: no later call of it has an effect.
pub struct Tx {
    catalog: Catalog,
    /// `None` once the engine has failed: SQLite may have rolled back by itself, and what followed would commit alone.
    transaction: Option<Transaction>,
    outgoing: Vec<Message>,
    outgoing_bytes: usize,
    /// Whom the commit wakes.
    pub(crate) told: Told,
}

impl Tx {
    pub(crate) fn new(catalog: Catalog, transaction: Transaction) -> Self {
        let (outgoing, told) = (Vec::new(), Told::default());
        Self { catalog, transaction: Some(transaction), outgoing, outgoing_bytes: 0, told }
    }

    /// Notes an event as handled by a consumer group, and tells whether it was before. The row commits with the effect, so
    /// a repeated event has no second one. `namespace` is the ledger's, `group.epoch`: a deliberate replay raises the epoch
    /// and is handled again.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn receive(&mut self, namespace: &str, event: EventId, now_us: i64) -> Result<Receipt, CatalogError> {
        let sql = "INSERT INTO inbox (namespace, event_id, handled_us) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        let query = sql::query(sql).bind(namespace).bind(event.to_string()).bind(now_us);
        let done = query.execute(self.connection()?).await;
        let rows = done.map_err(|source| self.end("note an event as handled", source))?.rows_affected();
        Ok(if rows == 1 { Receipt::Fresh } else { Receipt::Seen })
    }

    /// Sends a message with this transaction: once it commits, the relay carries it to the log, after everything that was
    /// committed before it.
    ///
    /// # Errors
    /// When no log would take the message, or the transaction sends too much. The transaction goes on without it.
    pub fn send(&mut self, message: Message) -> Result<(), CatalogError> {
        message.check()?;
        let (topic, headers_bytes) = (message.topic.as_str(), headers_text(&message).len());
        if Topic::of(topic).is_none() {
            return Err(CatalogError::UnknownTopic { topic: topic.to_owned() });
        }
        if headers_bytes > limits::EVENT_HEADERS_BYTES_MAX {
            let (name, value) = ("all", format!("{headers_bytes} bytes"));
            return Err(EventError::Header { name, value, expected: "at most 16 KiB" }.into());
        }
        if self.outgoing.len() >= limits::EVENTS_PER_APPEND_MAX {
            let max = limits::EVENTS_PER_APPEND_MAX;
            return Err(CatalogError::TooMuch { what: format!("{} messages", max + 1), max });
        }
        let bytes = self.outgoing_bytes.saturating_add(message.payload.len());
        if bytes > limits::OUTBOX_TRANSACTION_BYTES_MAX {
            let max = limits::OUTBOX_TRANSACTION_BYTES_MAX;
            return Err(CatalogError::TooMuch { what: format!("{bytes} payload bytes"), max });
        }
        self.outgoing_bytes = bytes;
        self.outgoing.push(message);
        Ok(())
    }

    /// Commits: when it returns, everything is on the disk. Wakes the relay.
    ///
    /// # Errors
    /// When the engine fails; nothing is visible then.
    pub async fn commit(mut self) -> Result<(), CatalogError> {
        if !self.outgoing.is_empty() {
            self.write_outbox().await?;
            self.told.outbox = true;
        }
        let Self { catalog, transaction, told, .. } = self;
        let mut transaction = transaction.ok_or(CatalogError::Ended)?;
        let wakes = &catalog.inner.wakes;
        if !told.is_nothing() {
            transaction.tell(wakes, &told).await.map_err(|source| catalog.fault("tell of a commit", source))?;
        }
        transaction.commit().await.map_err(|source| catalog.fault("commit", source))?;
        wakes.wake(&told);
        Ok(())
    }

    /// Takes positions for the messages and writes them. The positions come last in a transaction, since their counter
    /// stays locked from here to the commit.
    async fn write_outbox(&mut self) -> Result<(), CatalogError> {
        const ACTION: &str = "write the outbox";
        let messages = std::mem::take(&mut self.outgoing);
        let count = i64::try_from(messages.len()).unwrap_or(i64::MAX);
        let advance = "UPDATE catalog SET outbox_position = outbox_position + $1 RETURNING outbox_position";
        let last = sql::query_scalar(advance).bind(count).fetch_one(self.connection()?).await;
        let last: i64 = last.map_err(|source| self.end(ACTION, source))?;
        let mut position = last - count;
        let mut messages = messages.into_iter();
        while !messages.as_slice().is_empty() {
            let step = if messages.len() < ROWS_MAX { 1 } else { ROWS_MAX };
            let mut query = sql::query(outbox_insert(step));
            for message in messages.by_ref().take(step) {
                position += 1;
                query = query
                    .bind(position)
                    .bind(headers_text(&message))
                    .bind(String::from(message.topic))
                    .bind(message.key)
                    .bind(message.spread)
                    .bind(message.payload);
            }
            query.execute(self.connection()?).await.map_err(|source| self.end(ACTION, source))?;
        }
        Ok(())
    }

    /// Has the commit wake those who listen for a user's notices.
    pub(crate) fn wake_on_commit(&mut self, user: mcsp_domain::UserId) {
        if !self.told.users.contains(&user) {
            self.told.users.push(user);
        }
    }

    pub(crate) fn connection(&mut self) -> Result<&mut Transaction, CatalogError> {
        self.transaction.as_mut().ok_or(CatalogError::Ended)
    }

    /// Ends the transaction on an error of the engine, and gives the error its meaning.
    pub(crate) fn end(&mut self, action: &'static str, source: sqlx::Error) -> CatalogError {
        self.transaction = None;
        self.catalog.fault(action, source)
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalog
    }
}

/// Returns the statement that writes so many messages. There are two such texts, which the engines prepare once.
fn outbox_insert(rows: usize) -> sqlx::AssertSqlSafe<String> {
    let row = |row: usize| {
        format!(
            "(${}, ${}, ${}, ${}, ${}, ${})",
            6 * row + 1,
            6 * row + 2,
            6 * row + 3,
            6 * row + 4,
            6 * row + 5,
            6 * row + 6
        )
    };
    let rows: Vec<String> = (0..rows).map(row).collect();
    let columns = "position, headers, topic, key, spread, payload";
    sqlx::AssertSqlSafe(format!("INSERT INTO outbox ({columns}) VALUES {}", rows.join(", ")))
}

fn headers_text(message: &Message) -> String {
    let text = serde_json::to_string(&message.headers).unwrap_or_default();
    assert!(!text.is_empty(), "headers of plain values failed to serialise");
    text
}
