//! The records that a group set aside, as its topic `retry.<group>` holds them: one record under its position until it is
//! settled, then a mark that takes it back. A process keeps a note of each; payloads are read when they are due.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use mcsp_events::{GroupName, TopicName};
use mcsp_runtime::{LogError, Record};
use rdkafka::Message as _;

use super::client::{Client, lock};
use super::group_state::GroupState;
use super::reader::{Reader, Span};
use super::wire::{self, AsideNote};

/// Notes of one group that a process keeps: those beyond are found when there is room again.
const NOTES_MAX: usize = 200_000;

/// A partition of a topic.
pub(super) type Part = (TopicName, u32);

/// The records that one group set aside.
pub(super) struct Asides {
    reader: Arc<Reader>,
    topic: String,
    /// The offset behind the last look; held while looking.
    next: Mutex<u64>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    count: usize,
    notes: BTreeMap<Part, BTreeMap<u64, AsideNote>>,
}

impl Known {
    fn put(&mut self, part: Part, offset: u64, note: Option<AsideNote>) {
        let notes = self.notes.entry(part.clone()).or_default();
        self.count -= notes.len();
        match note {
            Some(note) => notes.insert(offset, note),
            None => notes.remove(&offset),
        };
        self.count += notes.len();
        if notes.is_empty() {
            self.notes.remove(&part);
        }
    }
}

impl Asides {
    fn new(client: &Client, reader: Arc<Reader>, group: &GroupName) -> Self {
        let topic = client.retry_topic(group);
        Self { reader, topic, next: Mutex::default(), known: Mutex::default() }
    }

    /// Returns the topic under the namespace.
    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    /// Reads to the end, whatever stands open there.
    pub(super) fn read(&self) -> Result<(), LogError> {
        let end = self.reader.stable_end(&(self.topic.clone(), 0))?;
        self.look(end).map(|_| ())
    }

    /// Reads up to an end that a broker told. Returns whether there was anything new.
    pub(super) fn look(&self, end: u64) -> Result<bool, LogError> {
        let mut next = lock(&self.next);
        if *next >= end {
            return Ok(false);
        }
        let room = NOTES_MAX.saturating_sub(lock(&self.known).count);
        let (mut found, mut fault, mut until) = (Vec::new(), None, end);
        let span = Span { partition: 0, from: *next, until: end };
        self.reader.walk(&self.topic, &[span], |message| {
            let Some((topic, partition, offset)) = wire::key(message).and_then(wire::position) else {
                return ControlFlow::Continue(());
            };
            if found.len() >= room {
                until = wire::offset(message);
                return ControlFlow::Break(());
            }
            match message.payload().map(|_| wire::aside_note(message)).transpose() {
                Ok(note) => found.push(((topic, partition), offset, note)),
                Err(error) => fault = Some(error),
            }
            ControlFlow::Continue(())
        })?;
        let mut known = lock(&self.known);
        for (part, offset, note) in found {
            known.put(part, offset, note);
        }
        *next = until;
        match fault {
            Some(fault) => Err(fault),
            None => Ok(true),
        }
    }

    /// Returns what is set aside of a partition and not replayed since, by offset.
    pub(super) fn notes(&self, part: &Part, state: &GroupState) -> Vec<(u64, AsideNote)> {
        let replay = state.replay(&part.0, part.1);
        let known = lock(&self.known);
        let Some(notes) = known.notes.get(part) else { return Vec::new() };
        let counts = |offset: u64, note: &AsideNote| {
            // What lies behind the place that a later replay set comes again by itself.
            !replay.is_some_and(|replay| replay.epoch > note.epoch && offset >= replay.offset)
        };
        notes.iter().filter(|(offset, note)| counts(**offset, note)).map(|(offset, note)| (*offset, *note)).collect()
    }

    /// Returns the positions of everything that is set aside, which are the keys of its topic.
    pub(super) fn keys(&self) -> Vec<String> {
        let known = lock(&self.known);
        let all = known.notes.iter().flat_map(|((topic, partition), notes)| {
            notes.keys().map(move |offset| format!("{topic}:{partition}:{offset}"))
        });
        all.collect()
    }

    /// Forgets what was settled, before its mark is read.
    pub(super) fn settled(&self, record: &Record) {
        lock(&self.known).put((record.topic.clone(), record.partition), record.offset, None);
    }

    /// Reads records that are set aside.
    pub(super) fn records(&self, notes: &[AsideNote]) -> Result<Vec<Record>, LogError> {
        let mut records = Vec::with_capacity(notes.len());
        for note in notes {
            let span = Span { partition: 0, from: note.at, until: note.at + 1 };
            let mut found = None;
            self.reader.walk(&self.topic, &[span], |message| {
                found = Some(wire::aside_record(message));
                ControlFlow::Break(())
            })?;
            match found {
                Some(record) => records.push(record?),
                // Compacted away since: its mark is about to be read.
                None => tracing::debug!(topic = self.topic, offset = note.at, "a record that was set aside is gone"),
            }
        }
        Ok(records)
    }

    /// Returns what takes records back.
    pub(super) fn tombstone(&self, key: String) -> wire::Outbound {
        wire::Outbound::tombstone(self.topic.as_str().into(), key)
    }
}

/// The records that were set aside, of every group that this process looked at.
pub(super) struct AsidesOfGroups {
    client: Arc<Client>,
    reader: Arc<Reader>,
    known: Mutex<HashMap<GroupName, Arc<Asides>>>,
}

impl AsidesOfGroups {
    pub(super) fn new(client: Arc<Client>, reader: Arc<Reader>) -> Self {
        Self { client, reader, known: Mutex::default() }
    }

    /// Returns those of a group.
    pub(super) fn of(&self, group: &GroupName) -> Arc<Asides> {
        let mut known = lock(&self.known);
        let make = || Arc::new(Asides::new(&self.client, Arc::clone(&self.reader), group));
        Arc::clone(known.entry(group.clone()).or_insert_with(make))
    }

    /// Returns all of them.
    pub(super) fn all(&self) -> Vec<Arc<Asides>> {
        lock(&self.known).values().cloned().collect()
    }
}
