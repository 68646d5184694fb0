//! What a member holds of one partition: its right to it, the records that wait to be handed out, and those that are out.
//! Pure: records come in, plans of what to commit come out, and only a committed plan is taken over.

use std::collections::{BTreeSet, VecDeque};

use mcsp_runtime::Record;

use super::place::{AHEAD_MAX, Place};

/// A member's right to a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    /// Counts the rights of this member: what was handed out under an earlier one is lost.
    pub(super) generation: u64,
    /// What is committed.
    pub(super) place: Place,
}

/// Where a record that is out came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The partition.
    Fresh,
    /// Those set aside.
    Aside,
}

/// What became of a record that was handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Out,
    Settled,
    Released,
}

/// A record that was handed out.
#[derive(Clone, Debug)]
struct Given {
    offset: u64,
    attempt: u32,
    generation: u64,
    source: Source,
    fate: Fate,
}

/// A partition in the hands of a member.
#[derive(Clone, Debug, Default)]
pub(super) struct Hand {
    pub(super) grant: Option<Grant>,
    /// Whether another member is to get it: nothing more is handed out.
    pub(super) heir: bool,
    /// Fetched and not handed out, in order.
    waiting: VecDeque<Record>,
    waiting_bytes: usize,
    given: Vec<Given>,
}

/// What settling some records of a partition commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) generation: u64,
    pub(super) place: Place,
    /// Offsets of those that had been set aside.
    pub(super) asides: Vec<u64>,
}

/// Why records cannot be settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The partition went to somebody else.
    Lost,
    /// It was never handed out, or is settled already.
    Unknown(u64),
}

impl Hand {
    /// Returns whether no record is out, so that more may be handed out.
    pub(super) fn is_free(&self) -> bool {
        self.given.is_empty()
    }

    /// Returns whether nothing ties the member to the partition any longer.
    pub(super) fn is_over(&self) -> bool {
        self.grant.is_none() && self.given.is_empty()
    }

    /// Returns whether records may be handed out.
    pub(super) fn is_open(&self) -> bool {
        self.is_free() && !self.heir && self.grant.is_some()
    }

    /// Returns whether a record is out under the right of today.
    pub(super) fn owns(&self, offset: u64, attempt: u32) -> bool {
        let generation = self.grant.as_ref().map(|grant| grant.generation);
        self.given.iter().any(|given| given.is(offset, attempt) && Some(given.generation) == generation)
    }

    /// Takes a new right: nothing that waits is of it.
    pub(super) fn grant(&mut self, grant: Option<Grant>) {
        self.grant = grant;
        self.heir = false;
        self.waiting.clear();
        self.waiting_bytes = 0;
    }

    /// Takes a fetched record, unless it is settled already.
    pub(super) fn arrive(&mut self, record: Record) {
        let Some(grant) = &self.grant else { return };
        let is_new = self.waiting.back().is_none_or(|last| last.offset < record.offset);
        if is_new && record.offset >= grant.place.committed && !grant.place.settled.contains(&record.offset) {
            self.waiting_bytes += record.payload.len();
            self.waiting.push_back(record);
        }
    }

    /// Returns how much waits: records and bytes of payload.
    pub(super) fn waits(&self) -> (usize, usize) {
        (self.waiting.len(), self.waiting_bytes)
    }

    /// Returns the event time of the record that is next.
    pub(super) fn head_us(&self) -> Option<i64> {
        self.waiting.front().map(|record| record.headers.time_us)
    }

    /// Hands out what is next; the partition was free.
    pub(super) fn give(&mut self, max: usize, bytes_left: &mut usize) -> Vec<Record> {
        let Some(grant) = &self.grant else { return Vec::new() };
        let until = grant.place.committed + AHEAD_MAX;
        let mut records = Vec::new();
        while records.len() < max && *bytes_left > 0 {
            let Some(record) = self.waiting.pop_front_if(|record| record.offset < until) else { break };
            self.waiting_bytes -= record.payload.len();
            *bytes_left = bytes_left.saturating_sub(record.payload.len());
            records.push(record);
        }
        self.note(&records, Source::Fresh);
        records
    }

    /// Notes records that were set aside as handed out; the partition was free.
    pub(super) fn give_asides(&mut self, records: &[Record]) {
        self.note(records, Source::Aside);
    }

    fn note(&mut self, records: &[Record], source: Source) {
        assert!(self.given.is_empty(), "a partition whose records are out gives no more");
        let Some(generation) = self.grant.as_ref().map(|grant| grant.generation) else { return };
        let given = |record: &Record| {
            let (offset, attempt) = (record.offset, record.attempt);
            Given { offset, attempt, generation, source, fate: Fate::Out }
        };
        self.given = records.iter().map(given).collect();
    }

    /// Returns what settling records would commit.
    pub(super) fn plan(&self, records: &[&Record]) -> Result<Move, Refusal> {
        let mut indexes = BTreeSet::new();
        let mut hint = 0;
        for record in records {
            let found = self.find(record, hint).ok_or(Refusal::Unknown(record.offset))?;
            indexes.insert(found);
            hint = found + 1;
        }
        let Some(grant) = &self.grant else { return Err(Refusal::Lost) };
        if indexes.iter().any(|index| self.given[*index].generation != grant.generation) {
            return Err(Refusal::Lost);
        }
        let fresh = || self.given.iter().enumerate().filter(|(_, given)| given.source == Source::Fresh);
        let settled = |index: &usize, given: &Given| given.fate == Fate::Settled || indexes.contains(index);
        // What lies between two records that were given is settled already, or no record: `committed` may jump over it.
        let first_open = fresh().filter(|(index, given)| !settled(index, given)).map(|(_, given)| given.offset).min();
        let behind_last = fresh().map(|(_, given)| given.offset + 1).max();
        let mut place = grant.place.clone();
        place.committed = first_open.or(behind_last).unwrap_or(place.committed).max(place.committed);
        let ahead = fresh().filter(|(index, given)| settled(index, given) && given.offset >= place.committed);
        place.settled.extend(ahead.map(|(_, given)| given.offset));
        place.advance();
        let asides = indexes.iter().map(|index| &self.given[*index]).filter(|given| given.source == Source::Aside);
        Ok(Move { generation: grant.generation, place, asides: asides.map(|given| given.offset).collect() })
    }

    /// Takes over a plan that was committed.
    pub(super) fn settle(&mut self, records: &[&Record], plan: &Move) {
        let mut hint = 0;
        for record in records {
            if let Some(found) = self.find(record, hint) {
                self.given[found].fate = Fate::Settled;
                hint = found + 1;
            }
        }
        if let Some(grant) = self.grant.as_mut().filter(|grant| grant.generation == plan.generation) {
            grant.place = plan.place.clone();
        }
        self.clear();
    }

    /// Takes a record back that nobody settled. A fresh one is next again.
    pub(super) fn release(&mut self, record: &Record) {
        let generation = self.grant.as_ref().map(|grant| grant.generation);
        let found = self.given.iter().find(|given| given.is(record.offset, record.attempt));
        let Some((source, under)) = found.map(|given| (given.source, given.generation)) else { return };
        self.end(record, Fate::Released);
        if source == Source::Fresh && Some(under) == generation {
            let index = self.waiting.partition_point(|waiting| waiting.offset < record.offset);
            self.waiting_bytes += record.payload.len();
            self.waiting.insert(index, record.clone());
        }
        self.clear();
    }

    /// Takes a record back that was handed out under a right that is gone.
    pub(super) fn forget_lost(&mut self, record: &Record) {
        if !self.owns(record.offset, record.attempt) {
            self.end(record, Fate::Released);
            self.clear();
        }
    }

    fn end(&mut self, record: &Record, fate: Fate) {
        if let Some(found) = self.find(record, 0) {
            self.given[found].fate = fate;
        }
    }

    /// Finds a record that is out; `hint` is where the one before it was, since most calls name records in order.
    fn find(&self, record: &Record, hint: usize) -> Option<usize> {
        let (before, after) = self.given.split_at_checked(hint)?;
        let is = |given: &Given| given.is(record.offset, record.attempt);
        after.iter().position(is).map(|found| hint + found).or_else(|| before.iter().position(is))
    }

    fn clear(&mut self) {
        if self.given.iter().all(|given| given.fate != Fate::Out) {
            self.given.clear();
        }
    }
}

impl Given {
    fn is(&self, offset: u64, attempt: u32) -> bool {
        self.offset == offset && self.attempt == attempt && self.fate == Fate::Out
    }
}

#[cfg(test)]
mod tests {
    use mcsp_domain::EventId;
    use mcsp_events::{Headers, TopicName};

    use super::*;

    fn record(offset: u64) -> Record {
        let headers = Headers {
            id: EventId::derived(&[&offset.to_be_bytes()]),
            kind: "test".to_owned(),
            version: 1,
            source: "test".to_owned(),
            time_us: 0,
            traceparent: None,
            cause: None,
            worker: None,
            attempt: None,
            started_us: None,
            dead: None,
        };
        let topic = TopicName::parse("test").unwrap();
        Record { topic, partition: 0, offset, key: String::new(), headers, payload: vec![b'x'], attempt: 1 }
    }

    fn hand(offsets: &[u64]) -> Hand {
        let mut hand = Hand::default();
        hand.grant(Some(Grant { generation: 3, place: Place { committed: 5, ..Place::default() } }));
        offsets.iter().for_each(|offset| hand.arrive(record(*offset)));
        hand
    }

    fn give(hand: &mut Hand, max: usize) -> Vec<u64> {
        hand.give(max, &mut usize::MAX.clone()).iter().map(|record| record.offset).collect()
    }

    /// Settles offsets one call after the other, and says what each call commits and marks.
    fn walk(hand: &mut Hand, calls: &[&[u64]]) -> String {
        let mut said = Vec::new();
        for offsets in calls {
            let records: Vec<Record> = offsets.iter().map(|offset| record(*offset)).collect();
            let records: Vec<&Record> = records.iter().collect();
            let plan = hand.plan(&records).unwrap();
            hand.settle(&records, &plan);
            let (place, free) = (&plan.place, if hand.is_free() { " free" } else { "" });
            said.push(format!("{}{:?}{free}", place.committed, place.settled));
        }
        said.join(", ")
    }

    #[test]
    fn in_order_the_offset_moves_along() {
        let mut hand = hand(&[5, 6, 7]);
        assert_eq!(give(&mut hand, 3), [5, 6, 7]);
        assert_eq!(walk(&mut hand, &[&[5], &[6, 7]]), "6{}, 8{} free");
    }

    #[test]
    fn out_of_order_what_is_ahead_is_marked() {
        let mut hand = hand(&[5, 6, 7, 9]);
        assert_eq!(give(&mut hand, 3), [5, 6, 7]);
        assert_eq!(walk(&mut hand, &[&[7], &[5]]), "5{7}, 6{7}");
        hand.release(&record(6));
        assert!(hand.is_free(), "the last record is back");
        assert_eq!(give(&mut hand, 2), [6, 9], "what was released is next; what is settled is not handed out");
        assert_eq!(walk(&mut hand, &[&[9], &[6]]), "6{7, 9}, 10{} free");
    }

    #[test]
    fn settled_records_are_not_taken_again() {
        let mut hand = hand(&[3, 4, 5, 5, 6]);
        assert_eq!(give(&mut hand, 8), [5, 6]);
    }

    #[test]
    fn a_lost_partition_and_a_stranger_are_refused() {
        let mut hand = hand(&[5, 6]);
        assert_eq!(give(&mut hand, 1), [5]);
        assert_eq!(hand.plan(&[&record(6)]), Err(Refusal::Unknown(6)));
        hand.grant(Some(Grant { generation: 4, place: Place::default() }));
        assert_eq!(hand.plan(&[&record(5)]), Err(Refusal::Lost));
        assert!(!hand.is_free(), "the member still works on it");
        hand.release(&record(5));
        assert!(hand.is_free() && hand.head_us().is_none(), "it comes again by the new right, not by the old one");
        assert_eq!(hand.plan(&[&record(5)]), Err(Refusal::Unknown(5)));
    }
}
