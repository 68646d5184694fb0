//! What operators ask of the log: reading outside of groups, replay, redelivery, forgetting a group, retention. Lag is in
//! `lag`.

mod lag;

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use mcsp_events::{GroupName, TopicName};
use mcsp_runtime::{LogError, PartitionSpan, Record, ReplayFrom};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Message as _, Offset, TopicPartitionList};

use super::Inner;
use super::asides::Part;
use super::client::{CALL_MAX, Context, lock, signed_offset, signed_partition, wait_for};
use super::group_state::{Change, GroupState, Replay};
use super::place::Place;
use super::reader::{Span, is_lasting};
use super::topics::{TopicInfo, admin_options};
use super::transactor::Transactor;
use super::wire::{self, Aside, Outbound};

/// Bytes of payloads that one read returns, but for the last record.
const READ_BYTES_MAX: usize = 64 << 20;
/// Connections for the offsets of groups that are kept for the next question.
const OBSERVERS_MAX: usize = 64;
/// How far the clocks of producers and brokers may be apart where a replay looks for a time.
const CLOCKS_APART_MS: i64 = 5 * 60 * 1000;
/// Marks that one transaction of a group's end writes.
const MARKS_MAX: usize = 1_000;

/// Where partitions begin, by topic under the namespace and partition.
type Begins = HashMap<(String, i32), u64>;

/// What the desk keeps for the next question.
#[derive(Default)]
pub(super) struct Desk {
    observers: Mutex<HashMap<GroupName, Arc<BaseConsumer<Context>>>>,
    counts: Mutex<lag::Counts>,
}

impl Inner {
    pub(super) fn read(
        &self,
        topic: &TopicName,
        partition: u32,
        from_offset: u64,
        max: usize,
    ) -> Result<Vec<Record>, LogError> {
        let info = self.topics.get(topic)?;
        if partition >= info.partitions || max == 0 {
            return Ok(Vec::new());
        }
        let until = self.reader.shown_ends(&[(info.full.to_string(), partition)])?.first().copied().unwrap_or(0);
        let span = Span { partition, from: from_offset, until };
        // What a mark took back is there until it is compacted away.
        let taken_back = if info.retention.is_none() { self.taken_back(&info, span)? } else { HashMap::new() };
        let (mut records, mut bytes, mut fault) = (Vec::new(), 0, None);
        self.reader.walk(&info.full, &[span], |message| {
            let key = wire::key(message).unwrap_or_default();
            let is_gone = taken_back.get(key).is_some_and(|mark| *mark > wire::offset(message));
            if message.payload().is_none() || is_gone {
                return ControlFlow::Continue(());
            }
            match wire::record(message, topic) {
                Ok(record) => {
                    bytes += record.payload.len();
                    records.push(record);
                }
                Err(error) => fault = Some(error),
            }
            let is_enough = records.len() >= max || bytes >= READ_BYTES_MAX || fault.is_some();
            if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        fault.map_or(Ok(records), Err)
    }

    /// Returns the offset of the last mark, or newer record, of each key that has one.
    fn taken_back(&self, info: &TopicInfo, span: Span) -> Result<HashMap<String, u64>, LogError> {
        let mut last: HashMap<String, u64> = HashMap::new();
        self.reader.walk(&info.full, &[span], |message| {
            if let Some(key) = wire::key(message) {
                last.insert(key.to_owned(), wire::offset(message));
            }
            ControlFlow::Continue(())
        })?;
        Ok(last)
    }

    pub(super) fn partitions(&self, topic: &TopicName) -> Result<Vec<PartitionSpan>, LogError> {
        let info = self.topics.get(topic)?;
        let places: Vec<(String, u32)> = (0..info.partitions).map(|part| (info.full.to_string(), part)).collect();
        let (begins, ends) = (self.reader.begins(&places)?, self.reader.shown_ends(&places)?);
        let spans = (0..).zip(begins).zip(ends);
        Ok(spans
            .map(|((partition, begin_offset), end_offset)| PartitionSpan { partition, begin_offset, end_offset })
            .collect())
    }

    /// Sets a group elsewhere: from the moment that its record says so, what was committed before counts no longer. Then the
    /// producers of its members lose their ids, so that what they hold can have no effect.
    pub(super) fn replay(
        self: &Arc<Self>,
        group: &GroupName,
        topic: &TopicName,
        from: ReplayFrom,
    ) -> Result<u64, LogError> {
        let info = self.topics.get(topic)?;
        let targets = self.targets(&info, from)?;
        let epoch = self.groups.change(group, |state| {
            let mut state = state.ok_or_else(|| never_joined(group))?;
            let Some(parts) = state.topics.get_mut(topic) else {
                return Err(LogError::Misused { what: format!("group {group} never joined topic {topic}") });
            };
            state.epoch += 1;
            parts.extend(targets.iter().map(|(part, offset)| (*part, Replay { epoch: state.epoch, offset: *offset })));
            let epoch = state.epoch;
            Ok((Some(Change::Write(state)), epoch))
        })?;
        for id in self.member_ids(group)? {
            Transactor::new(Arc::clone(&self.client), id).ready()?;
        }
        for member in self.living().into_iter().filter(|member| member.group == *group) {
            member.adopt(self.groups.known(group).unwrap_or_default());
        }
        Ok(epoch)
    }

    /// Returns the transactional ids of a group's members, which are what the brokers call them.
    fn member_ids(&self, group: &GroupName) -> Result<Vec<String>, LogError> {
        let full = self.client.name(group.as_str());
        let failed = |error| self.client.failed("list the members of a group", error);
        let groups = self.reader.connection().fetch_group_list(Some(&full), CALL_MAX).map_err(failed)?;
        let found = groups.groups().iter().find(|found| found.name() == full);
        let members = found.map(|found| found.members()).unwrap_or_default();
        Ok(members.iter().map(|member| member.client_id().to_owned()).collect())
    }

    /// Returns where a replay begins in each partition: never before its oldest record, never behind its end.
    fn targets(&self, info: &TopicInfo, from: ReplayFrom) -> Result<BTreeMap<u32, u64>, LogError> {
        let spans = self.partitions(&info.name)?;
        let all = |offset: fn(&PartitionSpan) -> u64| spans.iter().map(|span| (span.partition, offset(span))).collect();
        match from {
            ReplayFrom::Beginning => Ok(all(|span| span.begin_offset)),
            ReplayFrom::Offset { partition, offset } => {
                let span = spans.iter().find(|span| span.partition == partition).ok_or_else(|| LogError::Misused {
                    what: format!("topic {} has {} partitions, no partition {partition}", info.name, info.partitions),
                })?;
                Ok([(partition, offset.clamp(span.begin_offset, span.end_offset))].into())
            }
            ReplayFrom::TimeUs(time_us) => {
                let mut targets: BTreeMap<u32, u64> = all(|span| span.end_offset);
                let places: Vec<(String, u32)> =
                    spans.iter().map(|span| (info.full.to_string(), span.partition)).collect();
                // Nothing is stored before it happened; the rest is read.
                let stored = self.reader.stored_from(&places, time_us / 1000 - CLOCKS_APART_MS)?;
                for (span, from) in spans.iter().zip(stored) {
                    let Some(from) = from.filter(|from| *from < span.end_offset) else { continue };
                    let rest = Span { partition: span.partition, from, until: span.end_offset };
                    self.reader.walk(&info.full, &[rest], |message| {
                        let is_later = wire::event_headers(message).is_ok_and(|headers| headers.time_us >= time_us);
                        if !is_later {
                            return ControlFlow::Continue(());
                        }
                        targets.insert(span.partition, wire::offset(message));
                        ControlFlow::Break(())
                    })?;
                }
                Ok(targets)
            }
        }
    }

    /// Takes a letter out and sets its record aside as due, in one transaction.
    pub(super) fn redeliver(&self, group: &GroupName, dead: &Record) -> Result<(), LogError> {
        let (key, record) = wire::letter(group, dead)?;
        let mut transactor = Transactor::new(Arc::clone(&self.client), self.client.name(&format!("mcsp.desk/{group}")));
        // Of two that redeliver at once the second finds the letter gone.
        transactor.ready()?;
        let still = self.read(&dead.topic, dead.partition, dead.offset, 1)?;
        if still.first().is_none_or(|found| found.offset != dead.offset) {
            return Err(LogError::Misused { what: format!("dead letter {} is there no longer", dead.position()) });
        }
        let state = self.groups.read(group)?.ok_or_else(|| never_joined(group))?;
        let part = (record.topic.clone(), record.partition);
        let place = self.places(group, &state, std::slice::from_ref(&part))?.remove(&part).unwrap_or_default();
        let mut records = vec![Outbound::tombstone(self.client.name(dead.topic.as_str()).into(), key)];
        // Where the group was set back behind it, it comes anyway.
        if place.committed > record.offset || place.settled.contains(&record.offset) {
            let topic = self.client.retry_topic(group).into();
            let aside = Aside { attempt: 1, not_before_us: 0, epoch: state.epoch, error: "redelivered" };
            records.push(Outbound::aside(topic, &record, &aside));
        }
        let all: Vec<&Outbound> = records.iter().collect();
        transactor.run(&all, None).map_err(|fault| fault.at(&self.client, "redeliver a dead letter"))
    }

    /// Returns a group's places as they count: what was committed, and replays since.
    fn places(&self, group: &GroupName, state: &GroupState, parts: &[Part]) -> Result<BTreeMap<Part, Place>, LogError> {
        let failed = |error| self.client.failed("read a group's offsets", error);
        if parts.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut list = TopicPartitionList::with_capacity(parts.len());
        for (topic, partition) in parts {
            list.add_partition(&self.client.name(topic.as_str()), signed_partition(*partition));
        }
        let committed = self.observer(group)?.committed_offsets(list, CALL_MAX).map_err(failed)?;
        let mut places = BTreeMap::new();
        for (part, elem) in parts.iter().zip(committed.elements()) {
            elem.error().map_err(failed)?;
            let place = Place::read(&elem).unwrap_or_default();
            places.insert(part.clone(), place.after(state.replay(&part.0, part.1)));
        }
        Ok(places)
    }

    fn observer(&self, group: &GroupName) -> Result<Arc<BaseConsumer<Context>>, LogError> {
        let mut observers = lock(&self.desk.observers);
        if let Some(known) = observers.get(group) {
            return Ok(Arc::clone(known));
        }
        let config = self.client.consumer(&self.client.name(group.as_str()));
        let made = config.create_with_context(self.client.context());
        let made: Arc<BaseConsumer<Context>> =
            Arc::new(made.map_err(|error| self.client.failed("read a group's offsets", error))?);
        if observers.len() >= OBSERVERS_MAX {
            observers.clear();
        }
        observers.insert(group.clone(), Arc::clone(&made));
        Ok(made)
    }

    pub(super) async fn forget_group(self: &Arc<Self>, group: &GroupName) -> Result<(), LogError> {
        let log = Arc::clone(self);
        let asked = group.clone();
        let known = wait_for("forget a group", move || log.groups.read(&asked)).await?;
        known.ok_or_else(|| never_joined(group))?;
        let full = self.client.name(group.as_str());
        let deleted = self.topics.admin().delete_groups(&[&full], &admin_options()).await;
        for result in deleted.map_err(|error| self.client.failed("forget a group", error))? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::GroupIdNotFound)) => {}
                Err((_, RDKafkaErrorCode::NonEmptyGroup)) => {
                    let what = format!("group {group} cannot be forgotten: a member lives");
                    return Err(LogError::Misused { what });
                }
                Err((_, code)) => {
                    return Err(self.client.failed("forget a group", rdkafka::error::KafkaError::AdminOp(code)));
                }
            }
        }
        let (log, group) = (Arc::clone(self), group.clone());
        wait_for("forget a group", move || log.forget_rest(&group)).await
    }

    /// Takes back what a group set aside, then its record. What is interrupted in between may be called again.
    fn forget_rest(&self, group: &GroupName) -> Result<(), LogError> {
        let asides = self.asides.of(group);
        asides.read()?;
        let marks: Vec<Outbound> = asides.keys().into_iter().map(|key| asides.tombstone(key)).collect();
        let mut transactor = Transactor::new(Arc::clone(&self.client), self.client.name(&format!("mcsp.desk/{group}")));
        for some in marks.chunks(MARKS_MAX) {
            let some: Vec<&Outbound> = some.iter().collect();
            transactor.run(&some, None).map_err(|fault| fault.at(&self.client, "forget a group"))?;
        }
        asides.read()?;
        self.groups.change(group, |state| Ok((state.map(|_| Change::Remove), ())))
    }

    /// Has brokers delete what is older than its topic's retention and completed by every group of the topic. What no group
    /// completes they delete by themselves, when it is older than retention and `hold` together.
    pub(super) async fn sweep(self: &Arc<Self>, now_us: i64) -> Result<u64, LogError> {
        let log = Arc::clone(self);
        let (list, begins) = wait_for("sweep", move || log.sweepable(now_us)).await?;
        if list.count() == 0 {
            return Ok(0);
        }
        let swept = self.topics.admin().delete_records(&list, &admin_options()).await;
        let swept = swept.map_err(|error| self.client.failed("sweep", error))?;
        let mut removed = 0;
        for elem in swept.elements() {
            match elem.error() {
                Ok(()) => {
                    let begin = begins.get(&(elem.topic().to_owned(), elem.partition())).copied().unwrap_or(0);
                    let low = elem.offset().to_raw().and_then(|low| u64::try_from(low).ok()).unwrap_or(0);
                    removed += low.saturating_sub(begin);
                }
                Err(error) if !is_lasting(&error) => {}
                Err(error) => return Err(self.client.failed("sweep", error)),
            }
        }
        Ok(removed)
    }

    /// Returns up to where each partition may go, and where it begins.
    fn sweepable(&self, now_us: i64) -> Result<(TopicPartitionList, Begins), LogError> {
        let groups = self.groups.all()?;
        let (mut list, mut begun) = (TopicPartitionList::new(), HashMap::new());
        for topic in self.topics.kept() {
            let Some(retention) = topic.retention else { continue };
            let spans = self.partitions(&topic.name)?;
            let places: Vec<(String, u32)> =
                spans.iter().map(|span| (topic.full.to_string(), span.partition)).collect();
            let kept_from_ms = now_us / 1000 - i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
            let young = self.reader.stored_from(&places, kept_from_ms)?;
            let mut until: Vec<u64> = spans
                .iter()
                .zip(young)
                .map(|(span, young)| young.unwrap_or(span.end_offset).min(span.end_offset))
                .collect();
            if spans.iter().zip(&until).all(|(span, until)| *until <= span.begin_offset) {
                continue;
            }
            let parts: Vec<Part> = spans.iter().map(|span| (topic.name.clone(), span.partition)).collect();
            for (group, state) in groups.iter().filter(|(_, state)| state.topics.contains_key(&topic.name)) {
                let places = self.places(group, state, &parts)?;
                for (part, until) in parts.iter().zip(&mut until) {
                    *until = places.get(part).map_or(0, |place| place.committed).min(*until);
                }
            }
            for (span, until) in spans.iter().zip(until).filter(|(span, until)| *until > span.begin_offset) {
                let (partition, at) = (signed_partition(span.partition), Offset::Offset(signed_offset(until)));
                let added = list.add_partition_offset(&topic.full, partition, at);
                added.map_err(|error| self.client.failed("sweep", error))?;
                begun.insert((topic.full.to_string(), partition), span.begin_offset);
            }
        }
        Ok((list, begun))
    }
}

fn never_joined(group: &GroupName) -> LogError {
    LogError::Misused { what: format!("group {group} never joined") }
}
