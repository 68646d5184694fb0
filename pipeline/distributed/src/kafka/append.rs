//! Appending outside of groups: a single record by an idempotent producer, several together in a transaction, and what
//! relays read elsewhere in one transaction with how far they came.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use mcsp_domain::EventId;
use mcsp_domain::limits::EVENTS_PER_APPEND_MAX;
use mcsp_events::Message;
use mcsp_runtime::LogError;
use rdkafka::Message as _;
use rdkafka::producer::FutureRecord;

use super::Inner;
use super::client::{CALL_MAX, Client, lock, signed_partition, wait_for};
use super::reader::{Reader, Span};
use super::transactor::{Transactor, TxFault};
use super::wire::{self, Outbound};

/// Ids that a process keeps of what it wrote: some seconds of the fastest producer.
const RECENT_IDS_MAX: usize = 65_536;
/// Relays of one process.
const RELAYS_MAX: usize = 64;
/// Times that a relay's transaction is tried.
const RELAY_TRIES_MAX: u32 = 3;

/// The ids of what this process wrote last. A broker cannot tell whether a topic holds an id: what comes again later, or
/// from another process, is written again, and left out by who reads it (ledger and inbox know events by their ids).
#[derive(Default)]
pub(super) struct Recent {
    ids: Mutex<RecentIds>,
}

/// An id and the topic that took it.
type TakenId = (Arc<str>, EventId);

#[derive(Default)]
struct RecentIds {
    all: HashSet<TakenId>,
    oldest_first: VecDeque<TakenId>,
}

impl Recent {
    /// Returns those that were not written of late, each id of a topic once.
    pub(super) fn unknown<'a>(
        &self,
        records: impl Iterator<Item = &'a Outbound>,
    ) -> impl Iterator<Item = &'a Outbound> {
        let recent = lock(&self.ids);
        let mut seen = HashSet::new();
        let fresh: Vec<&Outbound> = records
            .filter(|record| {
                let Some(id) = record.id else { return true };
                let key = (Arc::clone(&record.topic), id);
                !recent.all.contains(&key) && seen.insert(key)
            })
            .collect();
        fresh.into_iter()
    }

    /// Notes what was written.
    pub(super) fn note(&self, records: &[&Outbound]) {
        let mut recent = lock(&self.ids);
        for record in records {
            let Some(id) = record.id else { continue };
            let key = (Arc::clone(&record.topic), id);
            if recent.all.insert(key.clone()) {
                recent.oldest_first.push_back(key);
            }
            if recent.oldest_first.len() > RECENT_IDS_MAX
                && let Some(oldest) = recent.oldest_first.pop_front()
            {
                recent.all.remove(&oldest);
            }
        }
    }
}

impl Inner {
    /// Checks messages, and finds their partitions.
    pub(super) fn outbound(&self, messages: Vec<Message>) -> Result<Vec<Outbound>, LogError> {
        if messages.len() > EVENTS_PER_APPEND_MAX {
            let what = format!("{} events in one append, {EVENTS_PER_APPEND_MAX} allowed", messages.len());
            return Err(LogError::Misused { what });
        }
        let mut records = Vec::with_capacity(messages.len());
        for message in messages {
            message.check()?;
            let known = self.topics.known(&message.topic);
            let topic = known.ok_or_else(|| LogError::UnknownTopic { topic: message.topic.to_string() })?;
            records.push(Outbound::of(message, Arc::clone(&topic.full), topic.partitions)?);
        }
        Ok(records)
    }

    /// Appends messages.
    pub(super) async fn append(self: &Arc<Self>, messages: Vec<Message>) -> Result<(), LogError> {
        let is_transactional = |message: &Message| self.topics.known(&message.topic).is_some_and(|t| t.transactional);
        let alone = messages.len() == 1 && !messages.iter().any(is_transactional);
        let records = self.outbound(messages)?;
        if records.is_empty() {
            return Ok(());
        }
        if alone {
            return self.append_one(&records[0]).await;
        }
        let log = Arc::clone(self);
        wait_for("append", move || {
            let mut transactor = lock(&log.transactor);
            let fresh: Vec<&Outbound> = log.recent.unknown(records.iter()).collect();
            if fresh.is_empty() {
                return Ok(());
            }
            let mut tries = 0;
            loop {
                tries += 1;
                match transactor.run(&fresh, None) {
                    Ok(()) => break,
                    // Taken over by a process of the same name, which is this one's successor or a mistake: once more.
                    Err(TxFault::Replaced(_)) if tries < 2 => {}
                    Err(fault) => return Err(fault.at(&log.client, "append")),
                }
            }
            log.recent.note(&fresh);
            Ok(())
        })
        .await
    }

    async fn append_one(&self, record: &Outbound) -> Result<(), LogError> {
        if self.recent.unknown(std::iter::once(record)).next().is_none() {
            return Ok(());
        }
        let message = FutureRecord::<str, [u8]>::to(&record.topic).partition(record.partition).key(record.key.as_str());
        let message = message.headers(record.library_headers());
        let message = message.payload(record.payload.as_deref().unwrap_or_default());
        let sent = self.plain.send(message, CALL_MAX).await;
        sent.map_err(|(error, _)| self.client.failed("append", error))?;
        self.recent.note(&[record]);
        Ok(())
    }
}

/// The relays that write through this process, by their sources.
pub(super) struct Relays {
    client: Arc<Client>,
    reader: Arc<Reader>,
    known: Mutex<HashMap<String, Arc<Mutex<Relay>>>>,
}

/// A relay: the producer that alone may write for its source, and how far it came.
struct Relay {
    transactor: Transactor,
    position: Option<u64>,
}

impl Relays {
    pub(super) fn new(client: Arc<Client>, reader: Arc<Reader>) -> Self {
        Self { client, reader, known: Mutex::default() }
    }

    /// Writes records and a position, unless the source is as far already. Blocks.
    pub(super) fn append_at(&self, source: &str, position: u64, records: &[Outbound]) -> Result<(), LogError> {
        let relay = self.of(source)?;
        let mut relay = lock(&relay);
        let mut tries = 0;
        loop {
            tries += 1;
            if !relay.transactor.is_ready() {
                // What a dead relay of this source left open is decided by that, and nobody else writes for it from here on:
                // only then is the position that is read the last one.
                relay.transactor.ready()?;
                relay.position = self.position(source)?;
            }
            if relay.position >= Some(position) {
                return Ok(());
            }
            let partition = signed_partition(self.partition(source));
            let note = Outbound::text(self.client.positions_topic().into(), partition, source, position.to_string());
            let all: Vec<&Outbound> = records.iter().chain(std::iter::once(&note)).collect();
            match relay.transactor.run(&all, None) {
                Ok(()) => {
                    relay.position = Some(position);
                    return Ok(());
                }
                Err(TxFault::Replaced(_) | TxFault::Unknown(_)) if tries < RELAY_TRIES_MAX => {}
                Err(fault) => return Err(fault.at(&self.client, "append what a relay read")),
            }
        }
    }

    /// Returns the position that was noted last. Blocks until no transaction that began before stands open.
    pub(super) fn position(&self, source: &str) -> Result<Option<u64>, LogError> {
        let (topic, partition) = (self.client.positions_topic(), self.partition(source));
        let until = self.reader.stable_end(&(topic.clone(), partition))?;
        let mut found = None;
        self.reader.walk(&topic, &[Span { partition, from: 0, until }], |message| {
            if wire::key(message) == Some(source) {
                let text = message.payload().and_then(|payload| std::str::from_utf8(payload).ok());
                found = text.and_then(|text| text.parse().ok());
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    fn partition(&self, source: &str) -> u32 {
        Message::partition_of(source, 0, super::topics::POSITION_PARTITIONS)
    }

    fn of(&self, source: &str) -> Result<Arc<Mutex<Relay>>, LogError> {
        let mut known = lock(&self.known);
        if known.len() >= RELAYS_MAX && !known.contains_key(source) {
            return Err(LogError::Misused { what: format!("relay {source} is one more than {RELAYS_MAX}") });
        }
        let make = || {
            let id = self.client.name(&format!("mcsp.relay/{source}"));
            let transactor = Transactor::new(Arc::clone(&self.client), id);
            Arc::new(Mutex::new(Relay { transactor, position: None }))
        };
        Ok(Arc::clone(known.entry(source.to_owned()).or_insert_with(make)))
    }
}
