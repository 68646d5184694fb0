//! What is known of a group beside its offsets: its topics, its epoch and where replays set it. One compacted topic holds a
//! record a group; a replay is one record of it, which counts from the moment that it is committed.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use mcsp_events::{GroupName, TopicName};
use mcsp_runtime::LogError;
use rdkafka::Message as _;
use serde::{Deserialize, Serialize};

use super::client::{Client, lock};
use super::reader::{Reader, Span};
use super::transactor::{Transactor, TxFault};
use super::wire::{self, Outbound};

/// Writers of one group's record that get in each other's way, one after the other, before a call gives up.
const TRIES_MAX: u32 = 10;

/// A group's record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct GroupState {
    /// Counts the replays.
    pub(super) epoch: u64,
    /// The topics that members asked for, and where the last replay set each partition.
    pub(super) topics: BTreeMap<TopicName, BTreeMap<u32, Replay>>,
}

/// Where a replay set a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Replay {
    /// The group's epoch from then on.
    pub(super) epoch: u64,
    /// Where the group goes on.
    pub(super) offset: u64,
}

impl GroupState {
    /// Returns the last replay of a partition.
    pub(super) fn replay(&self, topic: &TopicName, partition: u32) -> Option<&Replay> {
        self.topics.get(topic)?.get(&partition)
    }
}

/// The records of all groups, as far as they were read.
pub(super) struct Groups {
    client: Arc<Client>,
    reader: Arc<Reader>,
    /// The offset behind the last look; held while looking.
    next: Mutex<u64>,
    known: Mutex<BTreeMap<GroupName, GroupState>>,
}

impl Groups {
    pub(super) fn new(client: Arc<Client>, reader: Arc<Reader>) -> Self {
        Self { client, reader, next: Mutex::default(), known: Mutex::default() }
    }

    /// Returns what was known at the last look.
    pub(super) fn known(&self, group: &GroupName) -> Option<GroupState> {
        lock(&self.known).get(group).cloned()
    }

    /// Reads to the end, whatever stands open there, and returns what a group's record says.
    pub(super) fn read(&self, group: &GroupName) -> Result<Option<GroupState>, LogError> {
        let end = self.reader.stable_end(&(self.client.groups_topic(), 0))?;
        self.look(end)?;
        Ok(self.known(group))
    }

    /// Returns every group.
    pub(super) fn all(&self) -> Result<BTreeMap<GroupName, GroupState>, LogError> {
        let end = self.reader.stable_end(&(self.client.groups_topic(), 0))?;
        self.look(end)?;
        Ok(lock(&self.known).clone())
    }

    /// Reads up to an end that a broker told. Returns whether there was anything new.
    pub(super) fn look(&self, end: u64) -> Result<bool, LogError> {
        let mut next = lock(&self.next);
        if *next >= end {
            return Ok(false);
        }
        let span = Span { partition: 0, from: *next, until: end };
        let mut found = BTreeMap::new();
        self.reader.walk(&self.client.groups_topic(), &[span], |message| {
            if let Some(group) = wire::key(message).and_then(|key| GroupName::parse(key).ok()) {
                let state: Option<GroupState> =
                    message.payload().and_then(|payload| serde_json::from_slice(payload).ok());
                found.insert(group, state);
            }
            ControlFlow::Continue(())
        })?;
        let mut known = lock(&self.known);
        for (group, state) in found {
            match state {
                Some(state) => known.insert(group, state),
                None => known.remove(&group),
            };
        }
        *next = end;
        Ok(true)
    }

    /// Changes a group's record: of two that change it at once the second sees what the first wrote. `change` answers with
    /// nothing where nothing is to be written; `None` goes in and out for a group that is not there.
    pub(super) fn change<T>(
        &self,
        group: &GroupName,
        change: impl Fn(Option<GroupState>) -> Result<(Option<Change>, T), LogError>,
    ) -> Result<T, LogError> {
        // Most calls find everything as it should be, and need no transaction for that.
        let (wanted, answer) = change(self.read(group)?)?;
        if wanted.is_none() {
            return Ok(answer);
        }
        let mut transactor =
            Transactor::new(Arc::clone(&self.client), self.client.name(&format!("mcsp.groups/{group}")));
        let mut tries = 0;
        loop {
            tries += 1;
            // Nobody else can write from here on without taking the id away.
            transactor.ready()?;
            let (wanted, answer) = change(self.read(group)?)?;
            let Some(wanted) = wanted else { return Ok(answer) };
            let topic = self.client.groups_topic();
            let record = match wanted {
                Change::Write(state) => {
                    // A tree of numbers and text: nothing in it can fail to serialise.
                    let text = serde_json::to_string(&state).unwrap_or_default();
                    Outbound::text(topic.into(), 0, group.as_str(), text)
                }
                Change::Remove => Outbound::tombstone(topic.into(), group.to_string()),
            };
            match transactor.run(&[&record], None) {
                Ok(()) => {
                    self.read(group)?;
                    return Ok(answer);
                }
                Err(TxFault::Replaced(_) | TxFault::Unknown(_)) if tries < TRIES_MAX => {}
                Err(fault) => return Err(fault.at(&self.client, "write a group's record")),
            }
        }
    }
}

/// What becomes of a group's record.
pub(super) enum Change {
    Write(GroupState),
    Remove,
}
