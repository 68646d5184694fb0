//! The thread of a member that polls, whatever its handlers do: it fetches, pauses partitions of which enough waits, takes
//! partitions over and hands them on. A revoked partition goes when none of its records is out, and nothing is left to
//! commit then, since each completion committed its own.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mcsp_runtime::{LogError, chain};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Message as _, Offset, TopicPartitionList};

use super::asides::Part;
use super::client::{CALL_MAX, Client, Context, lock, signed_offset, signed_partition};
use super::member::Member;
use super::place::Place;
use super::reader::is_lasting;
use super::wire;

/// How long one poll waits for a record: what else the thread does comes this late.
const POLL_WAIT: Duration = Duration::from_millis(40);
/// Records that are taken before the member hears of them.
const POLL_RECORDS_MAX: usize = 1_000;

/// A group's consumer.
pub(super) type GroupConsumer = BaseConsumer<MemberContext>;

/// What the brokers decided about a member's partitions, and it has not followed yet.
#[derive(Clone, Debug)]
enum Change {
    Assign(Vec<(String, i32)>),
    Revoke(Vec<(String, i32)>),
}

/// Keeps the brokers' decisions for the poll thread, which answers them when it is ready.
pub(super) struct MemberContext {
    context: Context,
    changes: Mutex<VecDeque<Change>>,
    closing: AtomicBool,
}

impl MemberContext {
    pub(super) fn new(context: Context) -> Self {
        Self { context, changes: Mutex::default(), closing: AtomicBool::new(false) }
    }
}

impl ClientContext for MemberContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.context.log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.error(error, reason);
    }
}

impl ConsumerContext for MemberContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let is_assign = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::Acquire) {
            // Nobody is left to answer later.
            let answered = match (consumer.rebalance_protocol(), is_assign) {
                (RebalanceProtocol::Cooperative, true) => consumer.incremental_assign(list),
                (RebalanceProtocol::Cooperative, false) => consumer.incremental_unassign(list),
                (_, true) => consumer.assign(list),
                (_, false) => consumer.unassign(),
            };
            if let Err(error) = answered {
                tracing::debug!(%error, "a member that leaves could not answer");
            }
            return;
        }
        let parts = list.elements().iter().map(|elem| (elem.topic().to_owned(), elem.partition())).collect();
        lock(&self.changes).push_back(if is_assign { Change::Assign(parts) } else { Change::Revoke(parts) });
    }
}

/// Joins the group: makes its consumer.
pub(super) fn join(client: &Client, member: &Member) -> Result<GroupConsumer, LogError> {
    let lease_ms = member.lease.as_millis();
    // The brokers wait as long for a member that has records of revoked partitions out.
    let poll_ms = (client.options.hand_over_max.as_millis() + 1_000).max(lease_ms);
    let mut config = client.consumer(&client.name(member.group.as_str()));
    config.set("client.id", &member.id);
    config.set("partition.assignment.strategy", "cooperative-sticky");
    config.set("session.timeout.ms", lease_ms.to_string());
    config.set("heartbeat.interval.ms", (lease_ms / 6).clamp(100, 3_000).to_string());
    config.set("max.poll.interval.ms", poll_ms.to_string());
    // What the library keeps of a partition is thrown away, and fetched again, each time that the partition is paused.
    config.set("queued.max.messages.kbytes", "2048");
    // By default a queue that was full is looked at again a second later.
    config.set("fetch.queue.backoff.ms", "20");
    let failed = |error| client.failed("join a group", error);
    let consumer: GroupConsumer = config.create_with_context(MemberContext::new(client.context())).map_err(failed)?;
    let topics: Vec<&str> = member.topics.iter().map(|topic| &*topic.full).collect();
    consumer.subscribe(&topics).map_err(failed)?;
    Ok(consumer)
}

/// The thread's work.
pub(super) struct Poller {
    member: Arc<Member>,
    consumer: Arc<GroupConsumer>,
    changes: VecDeque<Change>,
    /// Until when the records of partitions that are to go are waited for.
    patience: Option<Instant>,
    paused: BTreeSet<Part>,
}

impl Poller {
    pub(super) fn new(member: Arc<Member>, consumer: Arc<GroupConsumer>) -> Self {
        Self { member, consumer, changes: VecDeque::new(), patience: None, paused: BTreeSet::new() }
    }

    /// Polls until the member is told to stop, then leaves the group.
    pub(super) fn run(mut self) {
        while !self.member.stop.load(Ordering::Acquire) {
            if self.member.log.stalled.load(Ordering::Acquire) {
                std::thread::sleep(POLL_WAIT);
                continue;
            }
            self.fetch();
            self.follow();
            self.seek();
            self.pause_and_resume();
            self.member.beat();
        }
        self.member.close();
        self.leave();
    }

    fn fetch(&self) {
        let (mut records, mut ends) = (Vec::new(), Vec::new());
        let mut wait = POLL_WAIT;
        while records.len() < POLL_RECORDS_MAX {
            match self.consumer.poll(wait) {
                Some(Ok(message)) => records.extend(self.read(&message)),
                Some(Err(KafkaError::PartitionEOF(partition))) => ends.extend(u32::try_from(partition)),
                Some(Err(error)) => {
                    if is_lasting(&error) {
                        tracing::warn!(group = %self.member.group, %error, "a member's poll failed");
                    }
                    break;
                }
                None => break,
            }
            wait = Duration::ZERO;
        }
        if !records.is_empty() || !ends.is_empty() {
            self.member.arrive(records, &ends);
        }
    }

    fn read(&self, message: &BorrowedMessage<'_>) -> Option<mcsp_runtime::Record> {
        let topic = self.member.topic(message.topic())?;
        match wire::record(message, &topic.name) {
            Ok(record) => Some(record),
            Err(error) => {
                // No event of ours: nobody could handle it, and it must not stop those behind it.
                tracing::error!(group = %self.member.group, error = %chain(&error), "a foreign record is passed over");
                None
            }
        }
    }

    /// Follows the brokers' decisions, one after the other, each when it can be.
    fn follow(&mut self) {
        self.changes.append(&mut lock(&self.consumer.context().changes));
        while let Some(change) = self.changes.front().cloned() {
            let done = match change {
                Change::Assign(parts) => self.assign(&parts),
                Change::Revoke(parts) => self.revoke(&parts),
            };
            if !done {
                return;
            }
            self.changes.pop_front();
        }
    }

    fn assign(&mut self, parts: &[(String, i32)]) -> bool {
        let answered = self.load(parts).and_then(|list| {
            let failed = |error| self.member.log.client.failed("take partitions over", error);
            self.consumer.incremental_assign(&list).map_err(failed)
        });
        if let Err(error) = &answered {
            tracing::warn!(group = %self.member.group, error = %chain(error), "partitions could not be taken over yet");
        }
        for (topic, partition) in parts {
            self.part(topic, *partition).map(|part| self.paused.remove(&part));
        }
        answered.is_ok()
    }

    /// Reads where the group is in partitions, and returns from where on they are fetched.
    fn load(&self, parts: &[(String, i32)]) -> Result<TopicPartitionList, LogError> {
        let (member, log) = (&self.member, &self.member.log);
        let mut list = TopicPartitionList::with_capacity(parts.len());
        if parts.is_empty() {
            return Ok(list);
        }
        let failed = |error| log.client.failed("read a group's offsets", error);
        for (topic, partition) in parts {
            list.add_partition(topic, *partition);
        }
        let group = log.groups.read(&member.group)?.unwrap_or_default();
        member.asides.read()?;
        let places: Vec<(String, u32)> =
            parts.iter().map(|(topic, partition)| (topic.clone(), u32::try_from(*partition).unwrap_or(0))).collect();
        let (begins, ends) = (log.reader.begins(&places)?, log.reader.ends(&places)?);
        let committed = self.consumer.committed_offsets(list, CALL_MAX).map_err(failed)?;
        let mut list = TopicPartitionList::with_capacity(parts.len());
        let mut grants = Vec::with_capacity(parts.len());
        for (((full, number), begin), end) in places.iter().zip(begins).zip(ends) {
            let elem = committed.find_partition(full, signed_partition(*number));
            let Some((elem, part)) = elem.zip(self.part(full, signed_partition(*number))) else { continue };
            elem.error().map_err(failed)?;
            let place = Place::read(&elem).unwrap_or_default().after(group.replay(&part.0, part.1));
            // What retention took is gone for every group.
            let place = Place { committed: place.committed.max(begin), ..place };
            let from = Offset::Offset(signed_offset(place.committed));
            list.add_partition_offset(full, signed_partition(*number), from).map_err(failed)?;
            grants.push((part, place, end));
        }
        member.grant(group, grants);
        Ok(list)
    }

    /// Hands partitions on when nothing of them is out, or has been for too long.
    fn revoke(&mut self, parts: &[(String, i32)]) -> bool {
        let member = &self.member;
        let ours: Vec<Part> = parts.iter().filter_map(|(topic, partition)| self.part(topic, *partition)).collect();
        let until = *self.patience.get_or_insert_with(|| {
            member.promise(&ours);
            Instant::now() + member.log.client.options.hand_over_max
        });
        if !member.are_free(&ours) && Instant::now() < until && !self.consumer.assignment_lost() {
            return false;
        }
        self.patience = None;
        member.revoke(&ours);
        let mut list = TopicPartitionList::with_capacity(parts.len());
        for (topic, partition) in parts {
            list.add_partition(topic, *partition);
        }
        if let Err(error) = self.consumer.incremental_unassign(&list) {
            tracing::debug!(group = %member.group, %error, "partitions could not be handed on");
        }
        true
    }

    fn seek(&self) {
        let seeks = self.member.seeks();
        if seeks.is_empty() {
            return;
        }
        let mut list = TopicPartitionList::with_capacity(seeks.len());
        for (part, offset) in &seeks {
            let full = self.member.full_name(part);
            let at = Offset::Offset(signed_offset(*offset));
            if list.add_partition_offset(&full, signed_partition(part.1), at).is_err() {
                return;
            }
        }
        match self.consumer.seek_partitions(list, CALL_MAX) {
            Ok(sought) if sought.elements().iter().all(|elem| elem.error().is_ok()) => self.member.sought(&seeks),
            Ok(_) => {}
            Err(error) => tracing::debug!(group = %self.member.group, %error, "a replay is followed later"),
        }
    }

    fn pause_and_resume(&mut self) {
        for fill in self.member.fills() {
            let is_paused = self.paused.contains(&fill.part);
            if !(if is_paused { fill.wanting } else { fill.full }) {
                continue;
            }
            let mut list = TopicPartitionList::new();
            list.add_partition(&self.member.full_name(&fill.part), signed_partition(fill.part.1));
            if !is_paused && self.consumer.pause(&list).is_ok() {
                self.paused.insert(fill.part);
            } else if is_paused && self.consumer.resume(&list).is_ok() {
                self.paused.remove(&fill.part);
            }
        }
    }

    fn part(&self, full: &str, partition: i32) -> Option<Part> {
        let topic = self.member.topic(full)?;
        Some((topic.name.clone(), u32::try_from(partition).ok()?))
    }

    /// Answers what is open, so that closing waits for nothing.
    fn leave(mut self) {
        let context = self.consumer.context();
        context.closing.store(true, Ordering::Release);
        self.changes.append(&mut lock(&context.changes));
        for change in &self.changes {
            let (Change::Assign(parts) | Change::Revoke(parts)) = change;
            let mut list = TopicPartitionList::with_capacity(parts.len());
            for (topic, partition) in parts {
                list.add_partition(topic, *partition);
            }
            let answered = match change {
                Change::Assign(_) => self.consumer.incremental_assign(&list),
                Change::Revoke(_) => self.consumer.incremental_unassign(&list),
            };
            if let Err(error) = answered {
                tracing::debug!(group = %self.member.group, %error, "a member that leaves could not answer");
            }
        }
    }
}
