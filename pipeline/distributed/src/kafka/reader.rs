//! Reading outside of groups: where partitions begin and end, and walks over their records. Calls block.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mcsp_runtime::LogError;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Message as _, Offset, TopicPartitionList};

use super::client::{CALL_MAX, Client, Context, lock, signed_offset, signed_partition};

/// Readers that are kept for the next walk.
const IDLE_MAX: usize = 4;
/// How long a walk goes without a record before it fails.
const SILENCE_MAX: Duration = Duration::from_secs(20);
/// How long what was committed just now may take to be shown; what stands open longer is not waited for.
const SHOWN_MAX: Duration = Duration::from_millis(500);
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How long the end of a walk is waited for: a broker answers this late that there is no more.
const FETCH_WAIT_MS: &str = "5";

/// A partition and the offsets of it that a walk covers: from the first up to, without, the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) partition: u32,
    pub(super) from: u64,
    pub(super) until: u64,
}

/// A topic under the namespace, and a partition.
pub(super) type Place = (String, u32);

/// Reads what is committed.
pub(super) struct Reader {
    client: Arc<Client>,
    idle: Mutex<Vec<BaseConsumer<Context>>>,
    /// Sees open transactions too.
    raw: BaseConsumer<Context>,
}

impl Reader {
    pub(super) fn new(client: Arc<Client>) -> Result<Self, LogError> {
        let mut config = client.consumer(&client.name("mcsp.reader"));
        config.set("isolation.level", "read_uncommitted");
        let raw = config.create_with_context(client.context()).map_err(|error| client.failed("open", error))?;
        Ok(Self { client, idle: Mutex::default(), raw })
    }

    /// Returns a connection for calls that no walk is needed for.
    pub(super) fn connection(&self) -> &BaseConsumer<Context> {
        &self.raw
    }

    /// Returns how many partitions a topic has; nothing where it is not there.
    pub(super) fn partitions(&self, topic: &str) -> Result<Option<u32>, LogError> {
        let failed = |error| self.client.failed("look for a topic", error);
        let metadata = self.raw.fetch_metadata(Some(topic), CALL_MAX).map_err(failed)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let count = found.filter(|found| found.error().is_none()).map_or(0, |found| found.partitions().len());
        Ok(u32::try_from(count).ok().filter(|count| *count > 0))
    }

    /// Returns the offsets behind what is committed, one a place.
    pub(super) fn ends(&self, places: &[Place]) -> Result<Vec<u64>, LogError> {
        let reader = self.take()?;
        let ends = self.offsets(&reader, places, Offset::End);
        self.give_back(reader);
        ends
    }

    /// Returns the ends as `ends` does, a moment later where something stands open: brokers answer a commit before they
    /// show what it committed, and a caller that has the answer expects to see it.
    pub(super) fn shown_ends(&self, places: &[Place]) -> Result<Vec<u64>, LogError> {
        let written = self.offsets(&self.raw, places, Offset::End)?;
        let deadline = Instant::now() + SHOWN_MAX;
        loop {
            let ends = self.ends(places)?;
            if ends.iter().zip(&written).all(|(end, written)| end >= written) || Instant::now() > deadline {
                return Ok(ends);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Returns the offsets of the oldest records, one a place.
    pub(super) fn begins(&self, places: &[Place]) -> Result<Vec<u64>, LogError> {
        self.offsets(&self.raw, places, Offset::Beginning)
    }

    /// Returns the offset of the first record that was stored at a time or later, milliseconds since 1970; one a place,
    /// nothing where there is none.
    pub(super) fn stored_from(&self, places: &[Place], time_ms: i64) -> Result<Vec<Option<u64>>, LogError> {
        let mut answer = Vec::with_capacity(places.len());
        for elem in self.ask(&self.raw, places, Offset::Offset(time_ms.max(0)))?.elements() {
            answer.push(elem.offset().to_raw().and_then(|offset| u64::try_from(offset).ok()));
        }
        Ok(answer)
    }

    /// Returns the offset behind everything that was written when it was called, once none of it stands open any longer.
    pub(super) fn stable_end(&self, place: &Place) -> Result<u64, LogError> {
        let places = std::slice::from_ref(place);
        let written = self.offsets(&self.raw, places, Offset::End)?.first().copied().unwrap_or(0);
        let deadline = Instant::now() + self.client.options.transaction_max + CALL_MAX;
        loop {
            let end = self.ends(places)?.first().copied().unwrap_or(0);
            if end >= written {
                return Ok(end);
            }
            if Instant::now() > deadline {
                let what = format!("an open transaction hides the end of topic {}", place.0);
                return Err(self.client.trouble("read to the end", &what));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Walks over spans of a topic; records of one partition come in order. The visitor may end the walk.
    pub(super) fn walk(
        &self,
        topic: &str,
        spans: &[Span],
        mut visit: impl FnMut(&BorrowedMessage<'_>) -> ControlFlow<()>,
    ) -> Result<(), LogError> {
        let mut open: BTreeMap<u32, u64> = BTreeMap::new();
        let mut list = TopicPartitionList::new();
        for span in spans.iter().filter(|span| span.from < span.until) {
            let added = list.add_partition_offset(
                topic,
                signed_partition(span.partition),
                Offset::Offset(signed_offset(span.from)),
            );
            added.map_err(|error| self.client.failed("read records", error))?;
            open.insert(span.partition, span.until);
        }
        if open.is_empty() {
            return Ok(());
        }
        let reader = self.take()?;
        let walked = self.walk_with(&reader, &list, open, &mut visit);
        // Without partitions it stands idle; one that failed is not used again.
        if walked.is_ok() && reader.assign(&TopicPartitionList::new()).is_ok() {
            self.give_back(reader);
        }
        walked
    }

    fn walk_with(
        &self,
        reader: &BaseConsumer<Context>,
        list: &TopicPartitionList,
        mut open: BTreeMap<u32, u64>,
        visit: &mut impl FnMut(&BorrowedMessage<'_>) -> ControlFlow<()>,
    ) -> Result<(), LogError> {
        let failed = |error| self.client.failed("read records", error);
        reader.assign(list).map_err(failed)?;
        let mut heard = Instant::now();
        while !open.is_empty() {
            match reader.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    let (partition, at) =
                        (u32::try_from(message.partition()).unwrap_or(0), super::wire::offset(&message));
                    let Some(until) = open.get(&partition).copied() else { continue };
                    if at < until && visit(&message).is_break() {
                        return Ok(());
                    }
                    if at + 1 >= until {
                        open.remove(&partition);
                    }
                }
                // What is left up to the end are marks of transactions, which are no records.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    open.remove(&u32::try_from(partition).unwrap_or(0));
                }
                Some(Err(error)) if is_lasting(&error) => return Err(failed(error)),
                Some(Err(_)) | None => {}
            }
            if heard.elapsed() > SILENCE_MAX {
                return Err(failed(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut)));
            }
        }
        Ok(())
    }

    fn offsets(&self, from: &BaseConsumer<Context>, places: &[Place], which: Offset) -> Result<Vec<u64>, LogError> {
        let answer = self.ask(from, places, which)?;
        let offsets = answer.elements().into_iter().map(|elem| elem.offset().to_raw().unwrap_or(0));
        Ok(offsets.map(|offset| u64::try_from(offset).unwrap_or(0)).collect())
    }

    /// Asks for offsets of all places in one round: a time, or one of the two ends.
    fn ask(
        &self,
        from: &BaseConsumer<Context>,
        places: &[Place],
        which: Offset,
    ) -> Result<TopicPartitionList, LogError> {
        let failed = |error| self.client.failed("ask for offsets", error);
        let mut list = TopicPartitionList::with_capacity(places.len());
        for (topic, partition) in places {
            list.add_partition_offset(topic, signed_partition(*partition), which).map_err(failed)?;
        }
        if places.is_empty() {
            return Ok(list);
        }
        let deadline = Instant::now() + CALL_MAX;
        loop {
            let answer = from.offsets_for_times(list.clone(), CALL_MAX);
            let checked = answer.and_then(|answer| {
                answer.elements().iter().try_for_each(TopicPartitionListElem::error)?;
                Ok(answer)
            });
            match checked {
                Ok(answer) => return Ok(answer),
                // A topic that was just made has no leader for a moment; one that moves has the wrong one.
                Err(error) if (is_moving(&error) || !is_lasting(&error)) && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }

    fn take(&self) -> Result<BaseConsumer<Context>, LogError> {
        if let Some(idle) = lock(&self.idle).pop() {
            return Ok(idle);
        }
        let mut config = self.client.consumer(&self.client.name("mcsp.reader"));
        config.set("fetch.wait.max.ms", FETCH_WAIT_MS).set("queued.max.messages.kbytes", "8192");
        config.create_with_context(self.client.context()).map_err(|error| self.client.failed("read records", error))
    }

    fn give_back(&self, reader: BaseConsumer<Context>) {
        let mut idle = lock(&self.idle);
        if idle.len() < IDLE_MAX {
            idle.push(reader);
        }
    }
}

/// Returns whether an error of a consumer is more than a broker that is away for a while.
pub(super) fn is_lasting(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, OperationTimedOut, Resolve};
    let passing = [AllBrokersDown, BrokerTransportFailure, OperationTimedOut, Resolve];
    !error.rdkafka_error_code().is_some_and(|code| passing.contains(&code))
}

/// Returns whether an error says that a partition has no leader yet, or another one.
fn is_moving(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{
        FencedLeaderEpoch, LeaderNotAvailable, NotLeaderForPartition, UnknownLeaderEpoch, UnknownPartition,
        UnknownTopicOrPartition,
    };
    let moving = [
        FencedLeaderEpoch,
        LeaderNotAvailable,
        NotLeaderForPartition,
        UnknownLeaderEpoch,
        UnknownPartition,
        UnknownTopicOrPartition,
    ];
    error.rdkafka_error_code().is_some_and(|code| moving.contains(&code))
}
