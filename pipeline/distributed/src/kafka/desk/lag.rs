//! How far groups are behind. Marks of transactions take offsets, so that records are counted by reading them, where there
//! are not too many; what was counted is kept as long as neither end has moved.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use mcsp_events::GroupName;
use mcsp_runtime::{Lag, LogError};
use rdkafka::Message as _;

use super::super::Inner;
use super::super::asides::Part;
use super::super::client::lock;
use super::super::place::Place;
use super::super::reader::Span;
use super::super::wire;

/// Offsets of one partition up to which records are counted one by one; beyond, offsets are taken for records.
const COUNTED_MAX: u64 = 2_000;
/// Offsets of which the first record is found, where records are not counted.
const LOOKED_AT: u64 = 100;
/// Counts that are kept.
const KEPT_MAX: usize = 20_000;

/// What was counted, by group and partition.
pub(super) type Counts = HashMap<(GroupName, Part), Counted>;

/// What a partition had before a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    place: Place,
    end: u64,
    records: u64,
    oldest_us: Option<i64>,
}

impl Inner {
    pub(in super::super) fn lag(self: &Arc<Self>, group: &GroupName) -> Result<Vec<Lag>, LogError> {
        let Some(state) = self.groups.read(group)? else { return Ok(Vec::new()) };
        let mut parts: Vec<Part> = Vec::new();
        for topic in state.topics.keys() {
            // One that this process does not know is another one's to tell of.
            let Some(info) = self.topics.known(topic) else { continue };
            parts.extend((0..info.partitions).map(|partition| (topic.clone(), partition)));
        }
        // Asides before places: a record that is settled in between is counted in neither, never twice for long.
        let asides = self.asides.of(group);
        asides.read()?;
        let places = self.places(group, &state, &parts)?;
        let full: Vec<(String, u32)> =
            parts.iter().map(|(topic, partition)| (self.client.name(topic.as_str()), *partition)).collect();
        let (begins, ends) = (self.reader.begins(&full)?, self.reader.shown_ends(&full)?);
        let mut open = BTreeMap::new();
        for ((part, begin), end) in parts.iter().zip(begins).zip(ends) {
            let place = places.get(part).cloned().unwrap_or_default();
            let place = Place { committed: place.committed.max(begin), ..place };
            open.insert(part.clone(), Counted { place, end, records: 0, oldest_us: None });
        }
        self.count(group, &mut open)?;
        let lag = open.into_iter().map(|(part, counted)| {
            let notes = asides.notes(&part, &state);
            let aside_us = notes.iter().map(|(_, note)| note.time_us).min();
            let records = counted.records + u64::try_from(notes.len()).unwrap_or(u64::MAX);
            let oldest_us = counted.oldest_us.into_iter().chain(aside_us).min();
            Lag { topic: part.0, partition: part.1, records, oldest_us }
        });
        Ok(lag.collect())
    }

    /// Counts what lies between places and ends.
    fn count(&self, group: &GroupName, open: &mut BTreeMap<Part, Counted>) -> Result<(), LogError> {
        let mut by_topic: BTreeMap<String, Vec<Span>> = BTreeMap::new();
        {
            let kept = lock(&self.desk.counts);
            for (part, counted) in open.iter_mut() {
                let known = kept.get(&(group.clone(), part.clone()));
                if let Some(known) = known.filter(|known| known.place == counted.place && known.end == counted.end) {
                    *counted = known.clone();
                    continue;
                }
                let (from, until) = (counted.place.committed, counted.end);
                let until = if until.saturating_sub(from) > COUNTED_MAX { from + LOOKED_AT } else { until };
                if from < until {
                    let spans = by_topic.entry(self.client.name(part.0.as_str())).or_default();
                    spans.push(Span { partition: part.1, from, until });
                }
            }
        }
        for (topic, spans) in by_topic {
            let bare = open.keys().find(|part| self.client.name(part.0.as_str()) == topic).map(|part| part.0.clone());
            let Some(bare) = bare else { continue };
            self.reader.walk(&topic, &spans, |message| {
                let part = (bare.clone(), u32::try_from(message.partition()).unwrap_or(0));
                let Some(counted) = open.get_mut(&part) else { return ControlFlow::Continue(()) };
                if !counted.place.settled.contains(&wire::offset(message)) {
                    counted.records += 1;
                    if counted.oldest_us.is_none() {
                        counted.oldest_us = wire::event_headers(message).ok().map(|headers| headers.time_us);
                    }
                }
                ControlFlow::Continue(())
            })?;
        }
        self.keep(group, open);
        Ok(())
    }

    fn keep(&self, group: &GroupName, open: &mut BTreeMap<Part, Counted>) {
        let mut kept = lock(&self.desk.counts);
        if kept.len() + open.len() > KEPT_MAX {
            kept.clear();
        }
        for (part, counted) in open {
            let ahead = counted.end.saturating_sub(counted.place.committed);
            if ahead > COUNTED_MAX {
                let settled = u64::try_from(counted.place.settled.len()).unwrap_or(0);
                counted.records = ahead.saturating_sub(settled);
            }
            kept.insert((group.clone(), part.clone()), counted.clone());
        }
    }
}
