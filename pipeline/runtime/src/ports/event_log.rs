//! The event log: ordered, durable, replayable events in topics of partitions, read by consumer groups. Embedded: SQLite.
//! Distributed: Kafka.
//!
//! What every engine promises (`conformance::event_log` holds it to that):
//! events of one key stay in order; an id is taken once; what is appended together is visible together or not at all; a
//! record is in the hands of one member of a group at a time; `complete` commits outputs and offset together, and fails
//! as `Fenced` for a member that no longer owns the partition.

use std::time::Duration;

use async_trait::async_trait;
use mcsp_events::{GroupName, Headers, Message, TopicName};

use super::ttl_store::LedgerEntry;

/// A log of events.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// Appends messages, all or none; a message whose id its topic holds already is left out. When the call returns they
    /// are as durable as the strictest of their topics asks for.
    ///
    /// # Errors
    /// When a message is over a limit, its topic is not known, or the engine fails; nothing is visible then, unless it was
    /// the disk that failed to sync: what was appended may be visible then, and may be lost with the power.
    async fn append(&self, messages: Vec<Message>) -> Result<(), LogError>;

    /// Appends messages that a relay read from `source`, and notes `position` in the same transaction. Where the noted
    /// position is already as far, nothing is appended: a relay that dies between any two steps repeats nothing. When the
    /// call returns, all of it is on the disk whatever the topics ask for, so that the relay may delete it at its source.
    ///
    /// # Errors
    /// As `append`.
    async fn append_at(&self, source: &str, position: u64, messages: Vec<Message>) -> Result<(), LogError>;

    /// Returns the position that the last `append_at` of `source` noted. When the call returns, that position is on the disk
    /// with whatever was visible when it was read.
    ///
    /// # Errors
    /// When the engine fails.
    async fn position(&self, source: &str) -> Result<Option<u64>, LogError>;

    /// Joins a consumer group. A group's first member starts at the beginning of each topic.
    ///
    /// # Errors
    /// When a topic is not known or the engine fails.
    async fn subscribe(
        &self,
        group: &GroupName,
        topics: &[TopicName],
        options: SubscribeOptions,
    ) -> Result<Box<dyn Subscription>, LogError>;

    /// Returns records of one partition from an offset on, oldest first, outside of any group.
    ///
    /// # Errors
    /// When the topic is not known or the engine fails.
    async fn read(
        &self,
        topic: &TopicName,
        partition: u32,
        from_offset: u64,
        max: usize,
    ) -> Result<Vec<Record>, LogError>;

    /// Returns the partitions of a topic.
    ///
    /// # Errors
    /// When the topic is not known or the engine fails.
    async fn partitions(&self, topic: &TopicName) -> Result<Vec<PartitionSpan>, LogError>;

    /// Returns how far a group is behind, for each partition of its topics.
    ///
    /// # Errors
    /// When the engine fails.
    async fn lag(&self, group: &GroupName) -> Result<Vec<Lag>, LogError>;

    /// Returns a group's epoch, 0 before its first replay.
    ///
    /// # Errors
    /// When the engine fails.
    async fn epoch(&self, group: &GroupName) -> Result<u64, LogError>;

    /// Returns every group that ever joined and is not forgotten.
    ///
    /// # Errors
    /// When the engine fails.
    async fn groups(&self) -> Result<Vec<GroupName>, LogError>;

    /// Sets a group back (or forth) in one topic and raises its epoch, so that the ledger does not swallow what is
    /// handled again. Records that a member holds are fenced. Returns the new epoch.
    ///
    /// # Errors
    /// When the topic is not known or the engine fails.
    async fn replay(&self, group: &GroupName, topic: &TopicName, from: ReplayFrom) -> Result<u64, LogError>;

    /// Takes a dead letter out of `dead.<group>` and gives it to its group again, as a first attempt of the event that it
    /// was. The ledger must have forgotten it (`TtlStore::forget`), or it is skipped as done.
    ///
    /// # Errors
    /// `Misused` when the record is no dead letter of this group, or is there no longer.
    async fn redeliver(&self, group: &GroupName, dead: &Record) -> Result<(), LogError>;

    /// Removes a group that has no member: its places, set-aside records and epoch. It holds back no retention from then
    /// on; its dead letters stay. One that joins under its name later begins anew, in epoch 0, where the ledger still knows
    /// for a day what the old one has done in it.
    ///
    /// # Errors
    /// `Misused` while a member lives, and for a group that never joined.
    async fn forget_group(&self, group: &GroupName) -> Result<(), LogError>;

    /// Removes what retention no longer keeps; records that a group has not completed are kept. Returns how many.
    ///
    /// # Errors
    /// When the engine fails.
    async fn sweep(&self, now_us: i64) -> Result<u64, LogError>;
}

/// One member's place in a consumer group. Dropping it without `close` leaves its partitions until its lease runs out.
#[async_trait]
pub trait Subscription: Send + Sync {
    /// Waits for records, at most `per_partition` of one partition (oldest first) and `max` in all. A partition whose
    /// records are out gives no more until they are completed, set aside, given up or released. Where more partitions
    /// have records than `max` allows, those with the oldest events go first.
    /// Answers with an empty list when `wait` has passed. Dropping the call half-way loses no record.
    ///
    /// # Errors
    /// When the engine fails.
    async fn next(&self, max: usize, per_partition: usize, wait: Duration) -> Result<Vec<Record>, LogError>;

    /// Commits records as handled, in one transaction with what follows from them and with their rows in the ledger
    /// where ledger and log are one engine. Records of a partition must be the ones that `next` gave, in order.
    ///
    /// # Errors
    /// `Fenced` when the member lost one of the partitions; nothing is visible then.
    async fn complete(&self, done: Completion) -> Result<Completed, LogError>;

    /// Sets one record aside until `not_before_us`, with its attempt counted; its partition goes on. The claim of the
    /// record in the ledger is the caller's to release.
    ///
    /// # Errors
    /// As `complete`.
    async fn retry_later(&self, record: &Record, not_before_us: i64, error: &str) -> Result<(), LogError>;

    /// Gives one record up: it goes to `dead.<group>` with its error, in one transaction with its completion and with
    /// `outputs`.
    ///
    /// # Errors
    /// As `complete`.
    async fn dead(&self, record: &Record, error: &str, outputs: Vec<Message>) -> Result<Completed, LogError>;

    /// Hands records back as they were: another member, or this one, gets them again at once, with the same attempt. A
    /// member that finds out by `owns` that it lost them hands them back too; after `Fenced` it must not.
    ///
    /// # Errors
    /// When the engine fails.
    async fn release(&self, records: &[Record]) -> Result<(), LogError>;

    /// Returns whether the member still owns a record's partition; long work asks on each beat.
    fn owns(&self, record: &Record) -> bool;

    /// Returns the group's epoch: part of the ledger's namespace.
    fn epoch(&self) -> u64;

    /// Leaves the group at once; records that are out are released.
    ///
    /// # Errors
    /// When the engine fails; the lease runs out then.
    async fn close(&self) -> Result<(), LogError>;
}

/// How a member joins.
#[derive(Clone, Debug)]
pub struct SubscribeOptions {
    /// The member's name, for operators: host and process.
    pub member: String,
    /// How long a member that says nothing keeps its partitions.
    pub lease: Duration,
}

/// A record in the hands of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its topic.
    pub topic: TopicName,
    /// Its partition.
    pub partition: u32,
    /// Its place in the partition, from 0.
    pub offset: u64,
    /// What orders it.
    pub key: String,
    /// What it carries beside its payload.
    pub headers: Headers,
    /// Its payload, JSON.
    pub payload: Vec<u8>,
    /// The number of this run, from 1.
    pub attempt: u32,
}

impl Record {
    /// Returns `topic:partition:offset`, the ledger's key.
    pub fn position(&self) -> String {
        format!("{}:{}:{}", self.topic, self.partition, self.offset)
    }

    /// Returns its entry in a group's ledger.
    pub fn ledger_entry(&self) -> LedgerEntry {
        LedgerEntry { position: self.position(), event: self.headers.id }
    }
}

/// Records that are handled, and what follows from them.
#[derive(Clone, Debug, Default)]
pub struct Completion {
    /// The records.
    pub records: Vec<Record>,
    /// What they led to.
    pub outputs: Vec<Message>,
}

/// What `complete` wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completed {
    /// Everything, the ledger's rows too.
    WithLedger,
    /// Outputs and offsets; the caller tells the ledger.
    WithoutLedger,
}

/// What a partition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionSpan {
    /// The partition.
    pub partition: u32,
    /// The offset of its oldest record.
    pub begin_offset: u64,
    /// The offset of its next record.
    pub end_offset: u64,
}

/// How far a group is behind in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lag {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: u32,
    /// Records that are not completed, those set aside included.
    pub records: u64,
    /// The time of the oldest of them, microseconds since 1970.
    pub oldest_us: Option<i64>,
}

/// Where a replay starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayFrom {
    /// At the oldest record that is kept.
    Beginning,
    /// At the first record of this time or later, microseconds since 1970.
    TimeUs(i64),
    /// At an offset of one partition.
    Offset {
        /// The partition.
        partition: u32,
        /// The offset.
        offset: u64,
    },
}

/// Why the log could not answer.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The member no longer owns the partition; what it did must not count.
    #[error("member {member} of group {group} no longer owns partition {partition} of topic {topic}")]
    Fenced {
        /// The group.
        group: String,
        /// The member.
        member: String,
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
    },
    /// No such topic.
    #[error("topic {topic} is not in the catalogue")]
    UnknownTopic {
        /// Its name.
        topic: String,
    },
    /// A message that no log would take.
    #[error(transparent)]
    Refused(#[from] mcsp_events::EventError),
    /// A call that no engine could answer: more messages than a transaction takes, records that were never given.
    #[error("{what}")]
    Misused {
        /// What, with names and values.
        what: String,
    },
    /// The engine failed; time may help.
    #[error("event log failed to {action}")]
    Engine {
        /// What was tried.
        action: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl LogError {
    /// Returns whether time may help.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Engine { .. })
    }
}
