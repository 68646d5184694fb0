//! A member of a group as its process has it: which partitions it owns, what is out, and until when its lease holds. The
//! database is the truth; a member looks again whenever its group changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use mcsp_events::GroupName;
use mcsp_runtime::{LogError, Record, SubscribeOptions, now_us};
use sqlx::Row;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::fetch::{Candidate, Lot};
use super::group::{self, Joined, Joining};
use super::hand::{Grant, Hand, Move, Refusal};
use super::position::{Part, offset, partition};
use super::pulse::lock;
use super::topics::TopicInfo;
use super::{Fault, Inner};
use crate::sqlite::Durability;

/// A member of a group.
pub(super) struct Member {
    pub(super) log: Arc<Inner>,
    pub(super) group: GroupName,
    pub(super) topics: Vec<Arc<TopicInfo>>,
    pub(super) options: SubscribeOptions,
    /// Rung when there may be something to hand out.
    pub(super) wake: Notify,
    /// Held by the one call that hands out.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// Held by whatever changes rights or settles records, from its first look to its last.
    pub(super) settling: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

struct State {
    joined: Joined,
    epoch: u64,
    changes: i64,
    lease_until: Instant,
    closed: bool,
    hands: BTreeMap<Part, Hand>,
}

/// What several partitions write together, in the order of partitions.
pub(super) type Moves = BTreeMap<Part, Move>;

impl Member {
    /// Returns a member that has not joined yet.
    pub(super) fn new(
        log: Arc<Inner>,
        group: GroupName,
        topics: Vec<Arc<TopicInfo>>,
        options: SubscribeOptions,
    ) -> Self {
        let state = State {
            joined: Joined { group: 0, member: 0 },
            epoch: 0,
            changes: -1,
            lease_until: Instant::now(),
            closed: false,
            hands: BTreeMap::new(),
        };
        let (turn, settling) = (tokio::sync::Mutex::new(()), tokio::sync::Mutex::new(()));
        Self { log, group, topics, options, wake: Notify::new(), turn, settling, state: Mutex::new(state) }
    }

    /// Joins the group, or joins it again after having been reaped.
    pub(super) async fn join(&self) -> Result<(), Fault> {
        let _alone = self.settling.lock().await;
        let began = Instant::now();
        let joining = Joining {
            group: &self.group,
            topics: &self.topics,
            process: &self.log.process.id,
            name: &self.options.member,
            lease_us: i64::try_from(self.options.lease.as_micros()).unwrap_or(i64::MAX),
        };
        let mut tx = self.log.database.write(Durability::Process).await?;
        let dead = super::topics::Wanted::dead(&self.group);
        let dead = super::topics::declare(tx.connection(), &[dead], true).await?;
        let joined = group::join(tx.connection(), &joining, now_us()).await?;
        tx.commit().await?;
        self.log.topics.remember(dead);
        lock(&self.state).joined = joined;
        self.beaten(began);
        self.reload_alone().await?;
        self.log.ring();
        Ok(())
    }

    /// Leaves the group; what is out goes to others at once.
    pub(super) async fn leave(&self) -> Result<(), Fault> {
        let _alone = self.settling.lock().await;
        let joined = {
            let mut state = lock(&self.state);
            if state.closed {
                return Ok(());
            }
            state.closed = true;
            state.hands.clear();
            state.joined
        };
        self.wake.notify_waiters();
        let mut tx = self.log.database.write(Durability::Process).await?;
        group::leave(tx.connection(), joined).await?;
        tx.commit().await?;
        self.log.ring();
        Ok(())
    }

    /// Notes a heartbeat that began then.
    pub(super) fn beaten(&self, began: Instant) {
        lock(&self.state).lease_until = began + self.options.lease;
    }

    pub(super) fn reads(&self, topic: i64) -> bool {
        self.topics.iter().any(|info| info.id == topic)
    }

    pub(super) fn joined(&self) -> Joined {
        lock(&self.state).joined
    }

    pub(super) fn group_id(&self) -> i64 {
        self.joined().group
    }

    pub(super) fn changes(&self) -> i64 {
        lock(&self.state).changes
    }

    pub(super) fn epoch(&self) -> u64 {
        lock(&self.state).epoch
    }

    pub(super) fn is_closed(&self) -> bool {
        lock(&self.state).closed
    }

    /// Returns whether a record is out, and its partition still the member's.
    pub(super) fn owns(&self, record: &Record) -> bool {
        let Some(part) = self.part(record) else { return false };
        let state = lock(&self.state);
        let hand = state.hands.get(&part);
        state.lease_until > Instant::now() && hand.is_some_and(|hand| hand.owns(record.offset, record.attempt))
    }

    /// Returns the partition of a record by the topic's number.
    pub(super) fn part(&self, record: &Record) -> Option<Part> {
        let topic = self.topics.iter().find(|topic| topic.name == record.topic)?;
        Some(Part { topic: topic.id, part: record.partition })
    }

    /// Looks at the database again: which partitions are the member's, and in which epoch.
    pub(super) async fn reload(&self) -> Result<(), Fault> {
        let _alone = self.settling.lock().await;
        self.reload_alone().await
    }

    /// As `reload`, for a caller that holds `settling`.
    pub(super) async fn reload_alone(&self) -> Result<(), Fault> {
        let joined = self.joined();
        if self.is_closed() {
            return Ok(());
        }
        let mut connection = self.log.database.read().await?;
        // Looked at first: what changes while the rest is read is found by the next look, or by who hands out.
        let group = sqlx::query("SELECT epoch, changes FROM consumer_group WHERE id = ?");
        let group = group.bind(joined.group).fetch_one(&mut *connection).await?;
        let sql = "SELECT topic, part, generation, committed, heir IS NOT NULL, (SELECT min(due_us) FROM delayed
                       WHERE delayed.crew = place.crew AND delayed.topic = place.topic AND delayed.part = place.part)
                   FROM place WHERE crew = ? AND owner = ?";
        let query = sqlx::query(sql).bind(joined.group).bind(joined.member);
        let mut grants: BTreeMap<Part, Grant> = BTreeMap::new();
        for row in query.fetch_all(&mut *connection).await? {
            let committed = offset(row.try_get(3)?);
            let grant = Grant {
                generation: row.try_get(2)?,
                committed,
                searched: committed,
                settled: std::collections::BTreeSet::new(),
                due_us: row.try_get(5)?,
                heir: row.try_get(4)?,
            };
            grants.insert(Part { topic: row.try_get(0)?, part: partition(row.try_get(1)?) }, grant);
        }
        let query = sqlx::query("SELECT topic, part, off FROM settled WHERE crew = ?").bind(joined.group);
        for row in query.fetch_all(&mut *connection).await? {
            let part = Part { topic: row.try_get(0)?, part: partition(row.try_get(1)?) };
            if let Some(grant) = grants.get_mut(&part) {
                grant.settled.insert(offset(row.try_get(2)?));
            }
        }
        drop(connection);
        lock(&self.state).take(group.try_get::<i64, _>(0)?.cast_unsigned(), group.try_get(1)?, grants);
        self.hand_over().await?;
        self.wake.notify_waiters();
        Ok(())
    }

    /// Passes partitions of which nothing is out on to members that wait for them; the caller holds `settling`.
    pub(super) async fn hand_over(&self) -> Result<(), Fault> {
        let parts = lock(&self.state).give_up_free();
        if parts.is_empty() {
            return Ok(());
        }
        let passed = self.pass_on(&parts).await;
        if !matches!(passed, Ok(count) if count == parts.len()) {
            // What was not passed on is still the member's: the next look finds it.
            lock(&self.state).changes = -1;
            self.log.pulse.signal().notify_one();
        }
        passed.map(|_| ())
    }

    async fn pass_on(&self, parts: &[(Part, i64)]) -> Result<usize, Fault> {
        let mut tx = self.log.database.write(Durability::Process).await?;
        let passed = group::hand_over(tx.connection(), self.joined(), parts).await?;
        tx.commit().await?;
        if passed > 0 {
            self.log.ring();
        }
        Ok(passed)
    }

    /// Returns the partitions that may be handed out, and when to look again where none is due yet.
    pub(super) fn candidates(&self, now_us: i64) -> (Vec<Candidate>, Option<i64>) {
        let state = lock(&self.state);
        let mut candidates = Vec::new();
        let mut next_due: Option<i64> = None;
        for (part, hand) in &state.hands {
            let Some(grant) = hand.grant.as_ref().filter(|grant| hand.is_free() && !grant.heir) else { continue };
            if let Some(due_us) = grant.due_us.filter(|due_us| *due_us > now_us) {
                next_due = Some(next_due.map_or(due_us, |next| next.min(due_us)));
            }
            let due_us = grant.due_us.filter(|due_us| *due_us <= now_us);
            let mut from = grant.committed.max(grant.searched);
            while grant.settled.contains(&from) {
                from += 1;
            }
            let until = self.log.pulse.end(*part);
            if due_us.is_some() || from < until {
                let settled = grant.settled.clone();
                candidates.push(Candidate { part: *part, generation: grant.generation, due_us, from, until, settled });
            }
        }
        (candidates, next_due)
    }

    /// Notes what was fetched as handed out, as far as the partitions are still the member's.
    pub(super) fn give(&self, lots: Vec<Lot>) -> Vec<Record> {
        let mut state = lock(&self.state);
        let mut records = Vec::new();
        for lot in lots {
            let Some(hand) = state.hands.get_mut(&lot.part) else { continue };
            let Some(grant) = hand.grant.as_mut().filter(|grant| grant.generation == lot.generation) else { continue };
            let Some(topic) = self.topics.iter().find(|topic| topic.id == lot.part.topic) else { continue };
            if lot.nothing_due_at.is_some() && lot.nothing_due_at == grant.due_us {
                grant.due_us = None;
            }
            if lot.rows.is_empty() {
                grant.searched = grant.searched.max(lot.searched);
                continue;
            }
            if grant.heir || !hand.is_free() {
                continue;
            }
            hand.give(lot.generation, lot.rows.iter().map(|row| (row.offset, row.attempt, row.source)));
            records.extend(lot.rows.into_iter().map(|row| row.into_record(topic.name.clone())));
        }
        records
    }

    /// Returns what settling records writes.
    pub(super) fn plan(&self, records: &[Record]) -> Result<Moves, LogError> {
        let state = lock(&self.state);
        let mut moves = Moves::new();
        for (part, records) in self.by_part(records)? {
            if state.closed {
                return Err(self.fenced(part));
            }
            let plan =
                state.hands.get(&part).map_or(Err(Refusal::Unknown(records[0].offset)), |hand| hand.plan(&records));
            let plan = plan.map_err(|refusal| match refusal {
                Refusal::Lost => self.fenced(part),
                Refusal::Unknown(offset) => {
                    let (topic, group) = (self.topic_name(part), &self.group);
                    let what = format!("record {topic}:{}:{offset} is not in the hands of group {group}", part.part);
                    LogError::Misused { what }
                }
            })?;
            moves.insert(part, plan);
        }
        Ok(moves)
    }

    /// Takes over what was committed, with the times at which records that were set aside are due.
    pub(super) fn settle(&self, records: &[Record], moves: &Moves, due: &[(Part, Option<i64>)]) {
        let Ok(by_part) = self.by_part(records) else { return };
        let mut state = lock(&self.state);
        for (part, records) in by_part {
            if let (Some(hand), Some(plan)) = (state.hands.get_mut(&part), moves.get(&part)) {
                hand.settle(&records, plan);
            }
        }
        for (part, due_us) in due {
            if let Some(grant) = state.hands.get_mut(part).and_then(|hand| hand.grant.as_mut()) {
                grant.due_us = *due_us;
            }
        }
        drop(state);
        self.wake.notify_waiters();
    }

    /// Takes records back that nobody settled.
    pub(super) fn release(&self, records: &[Record]) {
        let mut state = lock(&self.state);
        for record in records {
            if let Some(hand) = self.part(record).and_then(|part| state.hands.get_mut(&part)) {
                hand.release(record.offset, record.attempt);
            }
        }
        drop(state);
        self.wake.notify_waiters();
    }

    /// Drops the rights to partitions that the database says went to somebody else; the next look tells the rest.
    pub(super) fn lose(&self, parts: &[Part]) {
        let mut state = lock(&self.state);
        for part in parts {
            if let Some(hand) = state.hands.get_mut(part) {
                hand.grant = None;
            }
        }
        state.changes = -1;
        drop(state);
        self.log.pulse.signal().notify_one();
    }

    /// Takes records of lost partitions back: their holder has been told.
    pub(super) fn forget_lost(&self, records: &[Record]) {
        let mut state = lock(&self.state);
        for record in records {
            if let Some(hand) = self.part(record).and_then(|part| state.hands.get_mut(&part)) {
                hand.forget_lost(record.offset, record.attempt);
            }
        }
        state.hands.retain(|_, hand| !hand.is_over());
        drop(state);
        self.wake.notify_waiters();
    }

    /// Returns the error for a partition that went to somebody else.
    pub(super) fn fenced(&self, part: Part) -> LogError {
        LogError::Fenced {
            group: self.group.to_string(),
            member: self.options.member.clone(),
            topic: self.topic_name(part),
            partition: part.part,
        }
    }

    fn topic_name(&self, part: Part) -> String {
        let topic = self.topics.iter().find(|topic| topic.id == part.topic);
        topic.map_or_else(|| part.topic.to_string(), |topic| topic.name.to_string())
    }

    fn by_part<'a>(&self, records: &'a [Record]) -> Result<BTreeMap<Part, Vec<&'a Record>>, LogError> {
        let mut by_part: BTreeMap<Part, Vec<&Record>> = BTreeMap::new();
        for record in records {
            let part = self.part(record).ok_or_else(|| LogError::Misused {
                what: format!("record {} is of no topic of group {}", record.position(), self.group),
            })?;
            by_part.entry(part).or_default().push(record);
        }
        Ok(by_part)
    }
}

impl State {
    /// Takes over what the database says. A grant of the same generation keeps what this process knows better.
    fn take(&mut self, epoch: u64, changes: i64, mut grants: BTreeMap<Part, Grant>) {
        (self.epoch, self.changes) = (epoch, changes);
        for (part, hand) in &mut self.hands {
            hand.grant = match (hand.grant.take(), grants.remove(part)) {
                (Some(mut known), Some(found)) if known.generation == found.generation => {
                    (known.due_us, known.heir) = (found.due_us, found.heir);
                    Some(known)
                }
                (_, found) => found,
            };
        }
        for (part, grant) in grants {
            self.hands.entry(part).or_default().grant = Some(grant);
        }
        self.hands.retain(|_, hand| !hand.is_over());
    }

    /// Takes back the rights to free partitions that have an heir.
    fn give_up_free(&mut self) -> Vec<(Part, i64)> {
        let mut parts = Vec::new();
        for (part, hand) in &mut self.hands {
            if hand.is_free()
                && let Some(grant) = hand.grant.take_if(|grant| grant.heir)
            {
                parts.push((*part, grant.generation));
            }
        }
        self.hands.retain(|_, hand| !hand.is_over());
        parts
    }
}
