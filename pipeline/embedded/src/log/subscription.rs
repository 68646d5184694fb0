//! A member's calls: waiting for records, handing them out, and settling them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mcsp_events::Message;
use mcsp_events::{GroupName, TopicName};
use mcsp_runtime::{Completed, Completion, LogError, Record, SubscribeOptions, Subscription, now_us};
use sqlx::Row;
use tokio::time::Instant;

use super::fetch::{self, Candidate, Measure};
use super::member::Member;
use super::settle::{self, Fate, Settling};
use super::{Fault, Inner};

/// The longest that a waiting call goes without looking. Its process looks each second for all of its calls, by one query.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Searches that find nothing, one right after the other: each one notes what it searched in vain.
const VAIN_SEARCHES_MAX: u32 = 3;

/// A member in the hands of a stage.
struct SqliteSubscription {
    member: Arc<Member>,
}

/// Joins a group.
pub(super) async fn subscribe(
    log: &Arc<Inner>,
    group: &GroupName,
    topics: &[TopicName],
    options: SubscribeOptions,
) -> Result<Box<dyn Subscription>, LogError> {
    if topics.is_empty() || options.lease.is_zero() {
        let what = format!("group {group} asks for {} topics and a lease of {:?}", topics.len(), options.lease);
        return Err(LogError::Misused { what });
    }
    let mut infos = Vec::with_capacity(topics.len());
    for topic in topics {
        infos.push(log.topic(topic).await?);
    }
    let member = Arc::new(Member::new(log.clone(), group.clone(), infos, options));
    member.join().await.map_err(|fault| log.failed("join a group", fault))?;
    log.pulse.add(&member);
    // The keeper learns of the lease, and of what changed before it knew the member.
    log.pulse.signal().notify_one();
    Ok(Box::new(SqliteSubscription { member }))
}

impl Member {
    /// Tries to hand something out. Returns the records and, where there are none, when the first one is due.
    async fn hand_out(&self, max: usize, per_partition: usize) -> Result<(Vec<Record>, Option<i64>), Fault> {
        let mut searches = 0;
        loop {
            let measure = Measure { max, per_partition, now_us: now_us() };
            let (candidates, next_due) = self.candidates(measure.now_us);
            if candidates.is_empty() || searches == VAIN_SEARCHES_MAX {
                return Ok((Vec::new(), next_due));
            }
            searches += 1;
            let records = self.search(&candidates, measure).await?;
            if !records.is_empty() {
                return Ok((records, None));
            }
        }
    }

    /// Reads candidates, and hands out what is still the member's after that: the epoch of what is given is then the one
    /// that `epoch` answers.
    async fn search(&self, candidates: &[Candidate], measure: Measure) -> Result<Vec<Record>, Fault> {
        let group = self.group_id();
        let mut connection = self.log.database.read().await?;
        let lots = fetch::fetch(&mut connection, group, candidates, measure).await?;
        let row = sqlx::query("SELECT changes FROM consumer_group WHERE id = ?");
        let changes: i64 = row.bind(group).fetch_one(&mut *connection).await?.try_get(0)?;
        drop(connection);
        if changes == self.changes() {
            return Ok(self.give(lots));
        }
        self.reload().await?;
        Ok(Vec::new())
    }

    fn check_open(&self) -> Result<(), LogError> {
        if self.is_closed() {
            let what = format!("member {} of group {} has left", self.options.member, self.group);
            return Err(LogError::Misused { what });
        }
        Ok(())
    }
}

impl SqliteSubscription {
    /// Settles records in a task of its own: a caller that goes away half-way leaves neither a record that is settled in
    /// the database and out in memory, nor the reverse.
    async fn settle(&self, records: Vec<Record>, outputs: Vec<Message>, fate: Fate) -> Result<(), LogError> {
        let settling = Settling { records, outputs, fate };
        let task = tokio::spawn(settle::settle(self.member.clone(), settling));
        task.await.unwrap_or_else(|error| Err(LogError::Engine { action: "settle records", source: Box::new(error) }))
    }
}

#[async_trait]
impl Subscription for SqliteSubscription {
    async fn next(&self, max: usize, per_partition: usize, wait: Duration) -> Result<Vec<Record>, LogError> {
        let member = &self.member;
        let deadline = Instant::now() + wait;
        if max == 0 || per_partition == 0 {
            return Err(LogError::Misused { what: format!("{max} records and {per_partition} a partition asked for") });
        }
        let Ok(_turn) = tokio::time::timeout_at(deadline, member.turn.lock()).await else { return Ok(Vec::new()) };
        loop {
            member.check_open()?;
            let mut rung = std::pin::pin!(member.wake.notified());
            // What rings from here on is heard, though it is waited for only after the search.
            rung.as_mut().enable();
            let found = member.hand_out(max, per_partition).await;
            let (records, next_due) = found.map_err(|fault| member.log.failed("read records", fault))?;
            let now = Instant::now();
            if !records.is_empty() || now >= deadline {
                return Ok(records);
            }
            let due_in = next_due.map_or(LOOK_EVERY, |due_us| {
                Duration::from_micros(u64::try_from(due_us.saturating_sub(now_us())).unwrap_or(0))
            });
            let _ = tokio::time::timeout_at(deadline.min(now + due_in.min(LOOK_EVERY)), rung).await;
        }
    }

    async fn complete(&self, done: Completion) -> Result<Completed, LogError> {
        self.settle(done.records, done.outputs, Fate::Done).await?;
        Ok(Completed::WithLedger)
    }

    async fn retry_later(&self, record: &Record, not_before_us: i64, error: &str) -> Result<(), LogError> {
        let fate = Fate::Later { due_us: not_before_us, error: settle::cut(error) };
        self.settle(vec![record.clone()], Vec::new(), fate).await
    }

    async fn dead(&self, record: &Record, error: &str, outputs: Vec<Message>) -> Result<Completed, LogError> {
        self.settle(vec![record.clone()], outputs, Fate::Dead { error: settle::cut(error) }).await?;
        Ok(Completed::WithLedger)
    }

    async fn release(&self, records: &[Record]) -> Result<(), LogError> {
        let member = &self.member;
        let _alone = member.settling.lock().await;
        member.release(records);
        member.hand_over().await.map_err(|fault| member.log.failed("hand partitions over", fault))
    }

    fn owns(&self, record: &Record) -> bool {
        self.member.owns(record)
    }

    fn epoch(&self) -> u64 {
        self.member.epoch()
    }

    async fn close(&self) -> Result<(), LogError> {
        self.member.leave().await.map_err(|fault| self.member.log.failed("leave a group", fault))
    }
}
