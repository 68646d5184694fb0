//! `SagaEngine` on SQLite: journals in a file of their own, driven by whichever process holds a saga's lease. A waiting
//! saga holds none: the first process to see its signal or its deadline takes it up. What a call has taken is synced when
//! the call returns.

mod drive;
mod schedule;
mod table;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use mcsp_domain::limits::{ERROR_CHARS_MAX, SAGA_ENTRIES_MAX, SAGA_ID_BYTES_MAX, SAGA_LIST_MAX, SAGA_VALUE_BYTES_MAX};
use mcsp_runtime::saga::{Fact, SagaDefinition, assert_distinct, newest, status};
use mcsp_runtime::{SagaEngine, SagaError, SagaStatus, SagaSummary, Start, now_us};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::sqlite::{BUSY_DEFAULT, Database, DatabaseError, Durability, Schema, WriteTx};

/// A file of journals.
const SCHEMA: Schema = Schema { application_id: 0x6d73_6761, version: 1, sql: &[table::TABLES] };

/// How an engine drives.
#[derive(Clone, Copy, Debug)]
pub struct JournalOptions {
    /// How long a process that says nothing keeps the sagas that it drives.
    pub lease: Duration,
    /// How often the file is looked at for what other processes wrote.
    pub poll: Duration,
    /// Sagas that are driven at once.
    pub driven_max: usize,
    /// How long the journal of an ended saga, and the signals of one that never started, are kept.
    pub keep: Duration,
    /// A silence of all engines that is longer does not count towards any deadline: the machine was off.
    pub idle: Duration,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            poll: Duration::from_secs(1),
            driven_max: 64,
            keep: Duration::from_secs(30 * 24 * 3600),
            idle: Duration::from_secs(300),
        }
    }
}

/// Sagas in one SQLite file. Dropping the engine is like a death: its sagas are taken up when its leases run out.
pub struct JournalEngine {
    inner: Arc<Inner>,
    scheduler: JoinHandle<()>,
}

/// What the scheduler and the drives share.
struct Inner {
    database: Database,
    definitions: Vec<SagaDefinition>,
    options: JournalOptions,
    /// Tells this engine's leases from those of others.
    instance: u64,
    leases: AtomicU64,
    /// Something was written that may be due.
    news: Notify,
    stopping: AtomicBool,
}

impl JournalEngine {
    /// Opens a file of journals and drives its sagas, those of the given lists.
    ///
    /// # Errors
    /// When the file is of another kind or version, or cannot be opened.
    ///
    /// # Panics
    /// When two lists share name and version, or two steps of a list a name.
    pub async fn open(
        path: &Path,
        definitions: Vec<SagaDefinition>,
        options: JournalOptions,
    ) -> Result<Self, DatabaseError> {
        assert_distinct(&definitions);
        let database = Database::open(path, SCHEMA, BUSY_DEFAULT).await?;
        let inner = Arc::new(Inner {
            database,
            definitions,
            options,
            instance: fastrand::u64(..),
            leases: AtomicU64::new(0),
            news: Notify::new(),
            stopping: AtomicBool::new(false),
        });
        inner.say_alive().await?;
        let scheduler = tokio::spawn(schedule::run(inner.clone()));
        Ok(Self { inner, scheduler })
    }

    /// Stops: no step begins any more, those in hand may end within `grace`. What did not is repeated by another process.
    pub async fn stop(mut self, grace: Duration) {
        self.inner.stopping.store(true, Ordering::Release);
        self.inner.news.notify_one();
        if tokio::time::timeout(grace, &mut self.scheduler).await.is_err() {
            tracing::warn!(?grace, "sagas did not come to rest in time: their steps will be repeated");
        }
    }
}

impl Drop for JournalEngine {
    fn drop(&mut self) {
        self.scheduler.abort();
    }
}

impl Inner {
    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Returns the lists that are registered, as the table's statements take them.
    fn known(&self) -> String {
        let pairs = self.definitions.iter().map(|list| Value::from(vec![list.name.into(), Value::from(list.version)]));
        Value::from_iter(pairs).to_string()
    }

    fn failed(&self, action: &'static str) -> impl Fn(sqlx::Error) -> SagaError + '_ {
        move |error| failed(action)(self.database.explain(error))
    }

    async fn write(&self, action: &'static str) -> Result<WriteTx, SagaError> {
        self.database.write(Durability::Synced).await.map_err(failed(action))
    }

    /// Says that an engine runs. Time in which none did is noted in every open journal: a machine that was off for a
    /// night must not find its films undone in the morning.
    async fn say_alive(&self) -> Result<(), DatabaseError> {
        let fail = |error| self.database.explain(error);
        let now_us = now_us();
        let mut transaction = self.database.write(Durability::Process).await?;
        let before_us = table::beat(transaction.connection(), now_us).await.map_err(fail)?;
        let idle_us = now_us.saturating_sub(before_us);
        if before_us > 0 && idle_us > micros(self.options.idle) {
            table::note_idle(transaction.connection(), idle_us, now_us).await.map_err(fail)?;
        }
        table::tidy(transaction.connection(), now_us.saturating_sub(micros(self.options.keep))).await.map_err(fail)?;
        transaction.commit().await
    }
}

#[async_trait]
impl SagaEngine for JournalEngine {
    async fn start(&self, id: &str, definition: &str, input: Value) -> Result<Start, SagaError> {
        const ACTION: &str = "start a saga";
        check("id", id, id.len(), SAGA_ID_BYTES_MAX)?;
        check("input", id, input.to_string().len(), SAGA_VALUE_BYTES_MAX)?;
        let unknown = || SagaError::UnknownDefinition { name: definition.chars().take(100).collect() };
        let list = newest(&self.inner.definitions, definition).ok_or_else(unknown)?;
        let now_us = now_us();
        let mut transaction = self.inner.write(ACTION).await?;
        let connection = transaction.connection();
        let row = table::row_or_new(connection, id, now_us).await.map_err(self.inner.failed(ACTION))?;
        if row.definition.is_some() {
            return Ok(Start::AlreadyThere);
        }
        let started = Fact::Started { definition: list.name.to_owned(), version: list.version, state: input };
        table::append(connection, &row, now_us, &started).await.map_err(self.inner.failed(ACTION))?;
        let name = (list.name, list.version);
        table::mark_started(connection, id, name, now_us).await.map_err(self.inner.failed(ACTION))?;
        transaction.commit().await.map_err(failed(ACTION))?;
        self.inner.news.notify_one();
        Ok(Start::Started)
    }

    async fn signal(&self, id: &str, signal: &str, payload: Value) -> Result<(), SagaError> {
        const ACTION: &str = "take a signal";
        check("id", id, id.len(), SAGA_ID_BYTES_MAX)?;
        check("signal", id, signal.len(), SAGA_ID_BYTES_MAX)?;
        check("payload", id, payload.to_string().len(), SAGA_VALUE_BYTES_MAX)?;
        let now_us = now_us();
        let mut transaction = self.inner.write(ACTION).await?;
        let connection = transaction.connection();
        let row = table::row_or_new(connection, id, now_us).await.map_err(self.inner.failed(ACTION))?;
        let fact = Fact::Signalled { signal: signal.to_owned(), payload };
        if row.state().is_end() || table::holds(connection, id, &fact).await.map_err(self.inner.failed(ACTION))? {
            return Ok(());
        }
        let entries = u64::try_from(row.entries).unwrap_or(u64::MAX);
        if usize::try_from(entries).is_ok_and(|entries| entries >= SAGA_ENTRIES_MAX) {
            return Err(SagaError::Full { id: shown(id), entries });
        }
        table::append(connection, &row, now_us, &fact).await.map_err(self.inner.failed(ACTION))?;
        table::wake(connection, id, now_us).await.map_err(self.inner.failed(ACTION))?;
        transaction.commit().await.map_err(failed(ACTION))?;
        self.inner.news.notify_one();
        Ok(())
    }

    async fn cancel(&self, id: &str, reason: &str) -> Result<(), SagaError> {
        const ACTION: &str = "take a cancel";
        check("id", id, id.len(), SAGA_ID_BYTES_MAX)?;
        let now_us = now_us();
        let mut transaction = self.inner.write(ACTION).await?;
        let connection = transaction.connection();
        let row = table::row_or_new(connection, id, now_us).await.map_err(self.inner.failed(ACTION))?;
        if row.state().is_end() || table::is_cancelled(connection, id).await.map_err(self.inner.failed(ACTION))? {
            return Ok(());
        }
        let fact = Fact::Cancelled { reason: reason.chars().take(ERROR_CHARS_MAX).collect() };
        table::append(connection, &row, now_us, &fact).await.map_err(self.inner.failed(ACTION))?;
        table::wake(connection, id, now_us).await.map_err(self.inner.failed(ACTION))?;
        transaction.commit().await.map_err(failed(ACTION))?;
        self.inner.news.notify_one();
        Ok(())
    }

    async fn status(&self, id: &str) -> Result<Option<SagaStatus>, SagaError> {
        const ACTION: &str = "read a saga";
        let mut reader = self.inner.database.read().await.map_err(failed(ACTION))?;
        let Some(row) = table::row(&mut reader, id).await.map_err(self.inner.failed(ACTION))? else { return Ok(None) };
        let journal = table::journal(&mut reader, id).await.map_err(self.inner.failed(ACTION))?;
        let mut status = status(id, &self.inner.definitions, &journal, now_us());
        if row.entries == 0 {
            // The journal has been removed; its saga's row tells how it ended.
            (status.state, status.reason, status.updated_us) = (row.state(), row.reason.clone(), row.updated_us);
            status.definition = row.definition.zip(row.version);
        }
        Ok(Some(status))
    }

    async fn list(&self, after: Option<&str>) -> Result<Vec<SagaSummary>, SagaError> {
        const ACTION: &str = "list sagas";
        let mut reader = self.inner.database.read().await.map_err(failed(ACTION))?;
        let max = i64::try_from(SAGA_LIST_MAX).unwrap_or(i64::MAX);
        let rows = table::list(&mut reader, after, max).await.map_err(self.inner.failed(ACTION))?;
        let mut summaries = Vec::with_capacity(rows.len());
        for row in rows {
            let state = row.state();
            summaries.push(SagaSummary { id: row.id, definition: row.definition.zip(row.version), state });
        }
        Ok(summaries)
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

fn check(what: &'static str, id: &str, len_bytes: usize, max: usize) -> Result<(), SagaError> {
    if len_bytes > max {
        return Err(SagaError::Oversized { what, id: shown(id), len_bytes, max });
    }
    Ok(())
}

/// Returns an id as errors show it.
fn shown(id: &str) -> String {
    id.chars().take(100).collect()
}

fn failed(action: &'static str) -> impl Fn(DatabaseError) -> SagaError {
    move |source| SagaError::Engine { action, source: Box::new(source) }
}
