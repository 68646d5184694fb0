//! `EventLog` on SQLite: one file, any number of processes on one machine. Read in this order: the tables (`schema`), where
//! a record lies (`position`), appending (`append`), groups in the database (`group`, `assign`), what a member has in its
//! hands (`hand`, `member`), handing out (`fetch`, `subscription`), settling (`settle`), waking (`pulse`, `keeper`), and
//! what operators do (`desk`).
//!
//! The file wants a local disk: SQLite's write-ahead log needs shared memory between its processes.

mod append;
mod assign;
mod desk;
mod fetch;
mod group;
mod hand;
mod keeper;
mod member;
mod options;
mod position;
mod process;
mod pulse;
mod schema;
mod settle;
mod subscription;
mod topics;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use mcsp_events::{GroupName, Message, TopicName};
use mcsp_runtime::{
    EventLog, Lag, LogError, PartitionSpan, Record, ReplayFrom, SubscribeOptions, Subscription, now_us,
};
use tokio::task::AbortHandle;

use crate::sqlite::{Database, DatabaseError, Durability};
use crate::ttl::SqliteTtl;
use append::Batch;
use process::Process;
use pulse::Pulse;
use topics::{TopicInfo, Topics, Wanted};

pub use options::{ExtraTopic, LogOptions, TopicOverride};

/// The event log in one SQLite file. Dropping it, and every subscription, is what the death of a process is: others take
/// over what its members held.
pub struct SqliteLog {
    inner: Arc<Inner>,
}

/// What the log, its subscriptions and its background task share.
pub(crate) struct Inner {
    database: Database,
    topics: Topics,
    process: Process,
    pulse: Pulse,
    keeper: OnceLock<AbortHandle>,
    stalled: AtomicBool,
}

impl SqliteLog {
    /// Opens the log in `path`, or makes it, with every topic of the catalogue.
    ///
    /// # Errors
    /// When the file is of another kind or version, cannot be used, or the options do not fit what is there.
    pub async fn open(path: &Path, options: LogOptions) -> Result<Self, LogError> {
        let wanted = Wanted::all(&options)?;
        let failed = |fault: Fault| fault.at("open");
        let database = Database::open(path, schema::EVENTS, options.busy).await.map_err(|e| failed(e.into()))?;
        let folder = |source| failed(DatabaseError::Folder { path: path.to_owned(), source }.into());
        let process = Process::enter(path).map_err(folder)?;
        let pulse = Pulse::new(&process);
        let topics = Topics::default();
        topics.remember(enter(&database, &process, &options.process, &wanted).await.map_err(failed)?);
        let (keeper, stalled) = (OnceLock::new(), AtomicBool::new(false));
        let inner = Arc::new(Inner { database, topics, process, pulse, keeper, stalled });
        inner.pulse.look(&inner.database).await.map_err(failed)?;
        let task = tokio::spawn(keeper::keep(Arc::downgrade(&inner), inner.pulse.signal()));
        let _ = inner.keeper.set(task.abort_handle());
        Ok(Self { inner })
    }

    /// Returns the expiring store of the same file: `complete` notes its records done in it.
    pub fn ttl(&self) -> SqliteTtl {
        SqliteTtl::on(self.inner.database.clone())
    }

    /// Ends this handle's heartbeats, as a process that hangs does: for tests of what others do then.
    pub fn stall(&self) {
        self.inner.stalled.store(true, Ordering::Release);
    }
}

/// Registers the process and declares the topics, in one transaction, so that of two processes that start together with
/// new options the first one changes and the second one finds.
async fn enter(database: &Database, process: &Process, name: &str, wanted: &[Wanted]) -> Result<Vec<TopicInfo>, Fault> {
    let mut tx = database.write(Durability::Synced).await?;
    let connection = tx.connection();
    let others: Vec<String> = sqlx::query_scalar("SELECT id FROM process").fetch_all(&mut *connection).await?;
    let known = others.len();
    let dead = process.dead_among(others);
    let alone = dead.len() == known;
    group::reap(&mut *connection, &dead, now_us()).await?;
    sqlx::query("INSERT INTO process (id, name) VALUES (?, ?)")
        .bind(&process.id)
        .bind(name)
        .execute(&mut *connection)
        .await?;
    let declared = topics::declare(connection, wanted, alone).await?;
    tx.commit().await?;
    Ok(declared)
}

impl Inner {
    /// Returns a topic of the log.
    async fn topic(&self, name: &TopicName) -> Result<Arc<TopicInfo>, LogError> {
        if let Some(known) = self.topics.get(name) {
            return Ok(known);
        }
        let found = async {
            let mut connection = self.database.read().await?;
            topics::find(&mut connection, name).await
        };
        let found = found.await.map_err(|fault| self.failed("find a topic", fault))?;
        let found = found.ok_or_else(|| LogError::UnknownTopic { topic: name.to_string() })?;
        self.topics.remember(vec![found.clone()]);
        Ok(Arc::new(found))
    }

    /// Checks messages and finds their partitions.
    async fn batch(&self, messages: Vec<Message>) -> Result<Batch, LogError> {
        for message in &messages {
            if self.topics.get(&message.topic).is_none() {
                self.topic(&message.topic).await?;
            }
        }
        Batch::of(messages, |message| self.topics.get(&message.topic))
    }

    async fn append(&self, messages: Vec<Message>, relay: Option<(&str, u64)>) -> Result<(), LogError> {
        let mut batch = self.batch(messages).await?;
        if batch.records.is_empty() && relay.is_none() {
            return Ok(());
        }
        // A relay deletes at its source what it has appended: it must be on the disk, whatever its topics ask for.
        let durability = if relay.is_some() { Durability::Synced } else { batch.durability };
        if relay.is_none() && batch.records.len() == 1 {
            let one = batch.records.remove(0);
            let ends = append::append_one(&self.database, durability, one, now_us()).await;
            return self.appended(ends);
        }
        let written = async {
            let mut tx = self.database.write(durability).await?;
            if let Some((source, position)) = relay
                && !note_position(&mut tx, source, position).await?
            {
                drop(tx);
                // Whoever noted it, here or in another process, may have died before its sync.
                self.database.sync_all().await?;
                return Ok(Vec::new());
            }
            let ends = append::insert(tx.connection(), batch.records, now_us()).await?;
            tx.commit().await?;
            Ok(ends)
        };
        self.appended(written.await)
    }

    /// Lets readers know of an append.
    fn appended(&self, ends: Result<append::Ends, Fault>) -> Result<(), LogError> {
        let ends = ends.map_err(|fault| self.failed("append", fault))?;
        self.pulse.grew(&ends);
        self.process.announce();
        Ok(())
    }

    /// Lets every member look again: those of this process and the others'.
    fn ring(&self) {
        self.process.announce();
        self.pulse.signal().notify_one();
    }

    /// Puts a failure into the port's words.
    fn failed(&self, action: &'static str, fault: Fault) -> LogError {
        match fault {
            Fault::Sql(error) => Fault::Database(self.database.explain(error)).at(action),
            fault => fault.at(action),
        }
    }
}

/// Notes how far a relay came. Returns whether it had not been there before.
async fn note_position(tx: &mut crate::sqlite::WriteTx, source: &str, position: u64) -> Result<bool, Fault> {
    let position = i64::try_from(position)
        .map_err(|_| LogError::Misused { what: format!("position {position} of relay {source} is out of range") })?;
    let sql = "INSERT INTO relay (source, position) VALUES (?, ?)
               ON CONFLICT (source) DO UPDATE SET position = excluded.position WHERE position < excluded.position";
    let noted = sqlx::query(sql).bind(source).bind(position).execute(tx.connection()).await?;
    Ok(noted.rows_affected() > 0)
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.get() {
            keeper.abort();
        }
    }
}

#[async_trait]
impl EventLog for SqliteLog {
    async fn append(&self, messages: Vec<Message>) -> Result<(), LogError> {
        self.inner.append(messages, None).await
    }

    async fn append_at(&self, source: &str, position: u64, messages: Vec<Message>) -> Result<(), LogError> {
        self.inner.append(messages, Some((source, position))).await
    }

    async fn position(&self, source: &str) -> Result<Option<u64>, LogError> {
        self.inner.position(source).await
    }

    async fn subscribe(
        &self,
        group: &GroupName,
        topics: &[TopicName],
        options: SubscribeOptions,
    ) -> Result<Box<dyn Subscription>, LogError> {
        subscription::subscribe(&self.inner, group, topics, options).await
    }

    async fn read(
        &self,
        topic: &TopicName,
        partition: u32,
        from_offset: u64,
        max: usize,
    ) -> Result<Vec<Record>, LogError> {
        self.inner.read(topic, partition, from_offset, max).await
    }

    async fn partitions(&self, topic: &TopicName) -> Result<Vec<PartitionSpan>, LogError> {
        self.inner.partitions(topic).await
    }

    async fn lag(&self, group: &GroupName) -> Result<Vec<Lag>, LogError> {
        self.inner.lag(group).await
    }

    async fn epoch(&self, group: &GroupName) -> Result<u64, LogError> {
        self.inner.epoch(group).await
    }

    async fn groups(&self) -> Result<Vec<GroupName>, LogError> {
        self.inner.groups().await
    }

    async fn replay(&self, group: &GroupName, topic: &TopicName, from: ReplayFrom) -> Result<u64, LogError> {
        self.inner.replay(group, topic, from).await
    }

    async fn redeliver(&self, group: &GroupName, dead: &Record) -> Result<(), LogError> {
        self.inner.redeliver(group, dead).await
    }

    async fn forget_group(&self, group: &GroupName) -> Result<(), LogError> {
        self.inner.forget_group(group).await
    }

    async fn sweep(&self, now_us: i64) -> Result<u64, LogError> {
        self.inner.sweep(now_us).await
    }
}

/// A failure inside of a call, before it is put into the port's words.
#[derive(Debug)]
enum Fault {
    Sql(sqlx::Error),
    Database(DatabaseError),
    Log(LogError),
}

impl Fault {
    fn at(self, action: &'static str) -> LogError {
        match self {
            Self::Sql(source) => LogError::Engine { action, source: Box::new(source) },
            Self::Database(source) => LogError::Engine { action, source: Box::new(source) },
            Self::Log(error) => error,
        }
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<DatabaseError> for Fault {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

impl From<LogError> for Fault {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

#[cfg(test)]
mod tests;
