//! The thread of a member that settles: what follows from records, their offsets, what is set aside and what is given up, in
//! one transaction that only a member of the group's present generation can commit. Completions of different partitions
//! that wait while one is written go together in the next.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mcsp_events::TopicName;
use mcsp_runtime::{LogError, Record, chain};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::{mpsc, oneshot};

use super::asides::Part;
use super::client::{CALL_MAX, signed_offset, signed_partition};
use super::member::{Member, Moves, part_of};
use super::place::Place;
use super::poll::GroupConsumer;
use super::transactor::{Offsets, Transactor, TxFault};
use super::wire::{Aside, Outbound};

/// Calls that wait for the thread.
pub(super) const QUEUE_MAX: usize = 1_024;
/// Calls that go together in one transaction.
const TOGETHER_MAX: usize = 64;
/// How long a settlement is tried again while the group rebalances.
const TRY_MAX: Duration = Duration::from_secs(20);
/// Producers of one member that are replaced, one after the other, before a settlement fails.
const REPLACED_MAX: u32 = 5;

/// Records and what becomes of them.
pub(super) struct Settling {
    pub(super) records: Vec<Record>,
    pub(super) outputs: Vec<Outbound>,
    pub(super) fate: Fate,
    pub(super) reply: oneshot::Sender<Result<(), LogError>>,
}

/// What becomes of records.
pub(super) enum Fate {
    /// They are handled.
    Done,
    /// They are set aside.
    Later { not_before_us: i64, error: String },
    /// They are given up.
    Dead { error: String },
}

/// The thread's work.
pub(super) struct Settler {
    member: Arc<Member>,
    consumer: Arc<GroupConsumer>,
    transactor: Transactor,
}

/// A settlement with what it commits.
type Planned = (Settling, Moves);

impl Settler {
    pub(super) fn new(member: Arc<Member>, consumer: Arc<GroupConsumer>) -> Self {
        let transactor = Transactor::new(Arc::clone(&member.log.client), member.id.clone());
        Self { member, consumer, transactor }
    }

    /// Settles what comes until nobody is left to ask.
    pub(super) fn run(mut self, mut calls: mpsc::Receiver<Settling>) {
        // Taken before the first completion needs it: that is what a restarted process ends its predecessor's work with.
        if let Err(error) = self.transactor.ready() {
            tracing::warn!(group = %self.member.group, error = %chain(&error), "a transactional id is taken later");
        }
        let mut later: Vec<Settling> = Vec::new();
        loop {
            if later.is_empty() {
                let Some(first) = calls.blocking_recv() else { return };
                later.push(first);
            }
            while later.len() < TOGETHER_MAX
                && let Ok(next) = calls.try_recv()
            {
                later.push(next);
            }
            let (now, rest) = apart(later);
            later = rest;
            self.settle(now);
        }
    }

    /// Settles calls of different partitions, together where that works, else each alone.
    fn settle(&mut self, calls: Vec<Settling>) {
        let (mut calls, begin, mut replaced) = (calls, Instant::now(), 0);
        loop {
            let token = fastrand::u64(1..);
            let planned = self.plan(calls, token);
            if planned.is_empty() {
                return;
            }
            let fault = match self.write(&planned) {
                Ok(()) => return self.settled(planned),
                Err(fault) => fault,
            };
            let retry = match &fault {
                TxFault::Aborted(error) => is_of_the_group(error) && begin.elapsed() < TRY_MAX,
                TxFault::Replaced(_) => {
                    replaced += 1;
                    self.catch_up() && replaced < REPLACED_MAX
                }
                TxFault::Unknown(_) => {
                    replaced += 1;
                    match self.was_committed(&planned, token) {
                        Ok(true) => return self.settled(planned),
                        Ok(false) => self.catch_up() && replaced < REPLACED_MAX,
                        Err(error) => return self.fail(planned, &mut || again(&error)),
                    }
                }
                TxFault::NotReady(_) => false,
            };
            calls = planned.into_iter().map(|(call, _)| call).collect();
            if !retry {
                return self.give_up(calls, fault);
            }
            // The group goes through a change: its next generation is a heartbeat away.
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Answers calls that failed: several that went together are tried one by one.
    fn give_up(&mut self, calls: Vec<Settling>, fault: TxFault) {
        if calls.len() > 1 && matches!(fault, TxFault::Aborted(_)) {
            return calls.into_iter().for_each(|call| self.settle(vec![call]));
        }
        let error = fault.at(&self.member.log.client, "settle records");
        let planned = calls.into_iter().map(|call| (call, Moves::new())).collect();
        self.fail(planned, &mut || again(&error));
    }

    fn fail(&self, planned: Vec<Planned>, error: &mut dyn FnMut() -> LogError) {
        for (call, _) in planned {
            let _ = call.reply.send(Err(error()));
        }
    }

    /// Finds what each call commits; those that cannot are answered.
    fn plan(&self, calls: Vec<Settling>, token: u64) -> Vec<Planned> {
        let mut planned = Vec::with_capacity(calls.len());
        for call in calls {
            match self.member.plan(&call.records, token) {
                Ok(moves) => planned.push((call, moves)),
                Err(error) => {
                    if matches!(error, LogError::Fenced { .. }) {
                        self.member.forget_lost(&call.records);
                    }
                    let _ = call.reply.send(Err(error));
                }
            }
        }
        planned
    }

    fn write(&mut self, planned: &[Planned]) -> Result<(), TxFault> {
        let mut records = Vec::new();
        for (call, moves) in planned {
            self.follow(call, moves, &mut records);
        }
        let log = Arc::clone(&self.member.log);
        let outputs = planned.iter().flat_map(|(call, _)| &call.outputs);
        let outputs: Vec<&Outbound> = log.recent.unknown(outputs).collect();
        let list = self.offsets(planned)?;
        if records.is_empty() && outputs.is_empty() {
            if list.count() == 0 {
                return Ok(());
            }
            // Offsets alone are one write of the brokers, all or none by themselves.
            return self.consumer.commit(&list, CommitMode::Sync).map_err(TxFault::Aborted);
        }
        let all: Vec<&Outbound> = outputs.iter().copied().chain(&records).collect();
        let group = self.consumer.group_metadata();
        let offsets = group.as_ref().filter(|_| list.count() > 0).map(|group| Offsets { list: &list, group });
        self.transactor.run(&all, offsets.as_ref())?;
        log.recent.note(&outputs);
        Ok(())
    }

    /// Adds what a settlement writes beside outputs and offsets.
    fn follow(&self, call: &Settling, moves: &Moves, records: &mut Vec<Outbound>) {
        let member = &self.member;
        for record in &call.records {
            let part = part_of(record);
            let was_aside = moves.get(&part).is_some_and(|plan| plan.asides.contains(&record.offset));
            match &call.fate {
                Fate::Later { not_before_us, error } => {
                    let aside = Aside {
                        attempt: record.attempt.saturating_add(1),
                        not_before_us: *not_before_us,
                        epoch: moves.get(&part).map_or(0, |plan| plan.place.epoch),
                        error,
                    };
                    records.push(Outbound::aside(member.asides.topic().into(), record, &aside));
                    continue;
                }
                Fate::Dead { error } => {
                    let topic = member.log.client.name(TopicName::dead(&member.group).as_str()).into();
                    records.push(Outbound::dead(topic, record, error));
                }
                Fate::Done => {}
            }
            if was_aside {
                records.push(member.asides.tombstone(record.position()));
            }
        }
    }

    fn offsets(&self, planned: &[Planned]) -> Result<TopicPartitionList, TxFault> {
        let mut list = TopicPartitionList::new();
        for (part, plan) in planned.iter().flat_map(|(_, moves)| moves) {
            let full = self.member.full_name(part);
            let mut elem = list.add_partition(&full, signed_partition(part.1));
            let at = Offset::Offset(signed_offset(plan.place.committed));
            elem.set_offset(at).map_err(TxFault::Aborted)?;
            elem.set_metadata(plan.place.text());
        }
        Ok(list)
    }

    fn settled(&self, planned: Vec<Planned>) {
        let mut set_aside = false;
        for (call, moves) in &planned {
            self.member.settle(&call.records, moves);
            set_aside |= matches!(call.fate, Fate::Later { .. });
            for record in &call.records {
                let was_aside = moves.get(&part_of(record)).is_some_and(|plan| plan.asides.contains(&record.offset));
                if was_aside && !matches!(call.fate, Fate::Later { .. }) {
                    self.member.asides.settled(record);
                }
            }
        }
        if set_aside {
            // What was written is read back, as any owner of the partition would; a keeper does it where this fails.
            if let Err(error) = self.member.asides.read() {
                tracing::debug!(group = %self.member.group, error = %chain(&error), "read back later");
            }
            self.member.wake.notify_waiters();
        }
        for (call, _) in planned {
            let _ = call.reply.send(Ok(()));
        }
    }

    /// Reads the group's record: whoever took the producer's id away may have set the group back. Returns whether it could.
    fn catch_up(&self) -> bool {
        let log = &self.member.log;
        match log.groups.read(&self.member.group) {
            Ok(state) => {
                self.member.adopt(state.unwrap_or_default());
                true
            }
            Err(error) => {
                tracing::warn!(group = %self.member.group, error = %chain(&error), "the group's record is not there");
                false
            }
        }
    }

    /// Finds out whether a transaction that was cut off was committed: the offsets that it wrote carry its token.
    fn was_committed(&mut self, planned: &[Planned], token: u64) -> Result<bool, LogError> {
        // Whatever of it stands open is decided when the id is taken again.
        self.transactor.ready()?;
        let Some((part, _)) = planned.iter().flat_map(|(_, moves)| moves).next() else { return Ok(false) };
        let client = &self.member.log.client;
        let failed = |error| client.failed("read a group's offsets", error);
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.member.full_name(part), signed_partition(part.1));
        let committed = self.consumer.committed_offsets(list, CALL_MAX).map_err(failed)?;
        let places = committed.elements();
        let Some(elem) = places.first() else { return Ok(false) };
        elem.error().map_err(failed)?;
        Ok(Place::read(elem).is_some_and(|place| place.token == token))
    }
}

/// Splits calls: the first ones of different partitions, and those that have to wait for one of them.
fn apart(calls: Vec<Settling>) -> (Vec<Settling>, Vec<Settling>) {
    let mut taken: BTreeSet<Part> = BTreeSet::new();
    let (mut now, mut rest) = (Vec::new(), Vec::new());
    for call in calls {
        let parts: BTreeSet<Part> = call.records.iter().map(part_of).collect();
        if taken.is_disjoint(&parts) {
            now.push(call);
        } else {
            rest.push(call);
        }
        taken.extend(parts);
    }
    (now, rest)
}

/// Returns whether a failure comes from a change of the group, after which the same may go through.
fn is_of_the_group(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{
        CoordinatorLoadInProgress, CoordinatorNotAvailable, FencedInstanceId, IllegalGeneration, NotCoordinator,
        RebalanceInProgress, UnknownMemberId, WaitingForCoordinator,
    };
    let code = match error {
        KafkaError::Transaction(error) => Some(error.code()),
        error => error.rdkafka_error_code(),
    };
    let of_the_group = [
        CoordinatorLoadInProgress,
        CoordinatorNotAvailable,
        FencedInstanceId,
        IllegalGeneration,
        NotCoordinator,
        RebalanceInProgress,
        UnknownMemberId,
        WaitingForCoordinator,
    ];
    code.is_some_and(|code| of_the_group.contains(&code))
}

/// Returns an error of the same words, for each of several calls.
fn again(error: &LogError) -> LogError {
    match error {
        LogError::Misused { what } => LogError::Misused { what: what.clone() },
        error => LogError::Engine { action: "settle records", source: chain(error).into() },
    }
}
