//! What a member holds of one partition: its right to it, and the records that are out. Pure: rows come in, plans of what
//! to write come out, and only a committed plan is taken over.

use std::collections::BTreeSet;

use mcsp_runtime::Record;

/// A member's right to a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    /// Counts the owners: what the database must still say when something is settled.
    pub(super) generation: i64,
    /// Everything below is settled.
    pub(super) committed: u64,
    /// Nothing is left between `committed` and here.
    pub(super) searched: u64,
    /// Settled ahead of `committed`.
    pub(super) settled: BTreeSet<u64>,
    /// When the first record that was set aside is due.
    pub(super) due_us: Option<i64>,
    /// Whether another member waits for the partition.
    pub(super) heir: bool,
}

/// Where a record that is out came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The partition.
    Fresh,
    /// A row of those set aside.
    Delayed(i64),
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
    generation: i64,
    source: Source,
    fate: Fate,
}

/// A partition in the hands of a member.
#[derive(Clone, Debug, Default)]
pub(super) struct Hand {
    pub(super) grant: Option<Grant>,
    given: Vec<Given>,
}

/// What settling some records of a partition writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) generation: i64,
    pub(super) committed: u64,
    /// Settled ahead of `committed`, by this move.
    pub(super) ahead: Vec<u64>,
    /// Whether rows of `settled` may have fallen behind `committed`.
    pub(super) tidy: bool,
    /// Rows of `delayed` that were out.
    pub(super) delayed: Vec<i64>,
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

    /// Returns whether a record is out under the grant of today.
    pub(super) fn owns(&self, offset: u64, attempt: u32) -> bool {
        let generation = self.grant.as_ref().map(|grant| grant.generation);
        self.given.iter().any(|given| given.is(offset, attempt) && Some(given.generation) == generation)
    }

    /// Notes records as handed out; the partition was free.
    pub(super) fn give(&mut self, generation: i64, records: impl Iterator<Item = (u64, u32, Source)>) {
        assert!(self.given.is_empty(), "a partition whose records are out gives no more");
        self.given = records
            .map(|(offset, attempt, source)| Given { offset, attempt, generation, source, fate: Fate::Out })
            .collect();
    }

    /// Returns what settling records would write.
    pub(super) fn plan(&self, records: &[&Record]) -> Result<Move, Refusal> {
        let mut indexes = BTreeSet::new();
        for record in records {
            let found = self.given.iter().position(|given| given.is(record.offset, record.attempt));
            indexes.insert(found.ok_or(Refusal::Unknown(record.offset))?);
        }
        let Some(grant) = &self.grant else { return Err(Refusal::Lost) };
        if indexes.iter().any(|index| self.given[*index].generation != grant.generation) {
            return Err(Refusal::Lost);
        }
        // What lies between two records that were given is settled already, or gone: `committed` may jump over it.
        let fresh = || self.given.iter().enumerate().filter(|(_, given)| given.source == Source::Fresh);
        let open = fresh().filter(|(index, given)| given.fate != Fate::Settled && !indexes.contains(index));
        let first_open = open.map(|(_, given)| given.offset).min();
        let behind_last = fresh().map(|(_, given)| given.offset + 1).max();
        let committed = first_open.or(behind_last).unwrap_or(grant.committed).max(grant.committed);
        let settled_now = indexes.iter().map(|index| &self.given[*index]);
        let ahead = settled_now.clone().filter(|given| given.source == Source::Fresh && given.offset > committed);
        let delayed = settled_now.clone().filter_map(|given| match given.source {
            Source::Delayed(row) => Some(row),
            Source::Fresh => None,
        });
        Ok(Move {
            generation: grant.generation,
            committed,
            ahead: ahead.map(|given| given.offset).collect(),
            tidy: !grant.settled.is_empty() && committed > grant.committed,
            delayed: delayed.collect(),
        })
    }

    /// Takes over a plan that was committed. Returns whether the partition is free now.
    pub(super) fn settle(&mut self, records: &[&Record], plan: &Move) -> bool {
        for record in records {
            if let Some(given) = self.given.iter_mut().find(|given| given.is(record.offset, record.attempt)) {
                given.fate = Fate::Settled;
            }
        }
        if let Some(grant) = self.grant.as_mut().filter(|grant| grant.generation == plan.generation) {
            grant.committed = plan.committed;
            grant.settled.extend(&plan.ahead);
            grant.settled = grant.settled.split_off(&plan.committed);
        }
        self.clear()
    }

    /// Takes a record back that nobody settled.
    pub(super) fn release(&mut self, offset: u64, attempt: u32) {
        if let Some(given) = self.given.iter_mut().find(|given| given.is(offset, attempt)) {
            given.fate = Fate::Released;
            self.clear();
        }
    }

    /// Takes a record back that was handed out under a grant that is gone.
    pub(super) fn forget_lost(&mut self, offset: u64, attempt: u32) {
        let generation = self.grant.as_ref().map(|grant| grant.generation);
        let lost = |given: &Given| Some(given.generation) != generation;
        if let Some(given) = self.given.iter_mut().find(|given| given.is(offset, attempt) && lost(given)) {
            given.fate = Fate::Released;
        }
        self.clear();
    }

    fn clear(&mut self) -> bool {
        let free = self.given.iter().all(|given| given.fate != Fate::Out);
        if free {
            self.given.clear();
        }
        free
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
        Record { topic, partition: 0, offset, key: String::new(), headers, payload: Vec::new(), attempt: 1 }
    }

    fn hand(offsets: &[u64]) -> Hand {
        let grant =
            Grant { generation: 3, committed: 5, searched: 5, settled: BTreeSet::new(), due_us: None, heir: false };
        let mut hand = Hand { grant: Some(grant), given: Vec::new() };
        hand.give(3, offsets.iter().map(|offset| (*offset, 1, Source::Fresh)));
        hand
    }

    /// Settles offsets one call after the other, and says what each call commits and marks.
    fn walk(hand: &mut Hand, calls: &[&[u64]]) -> String {
        let mut said = Vec::new();
        for offsets in calls {
            let records: Vec<Record> = offsets.iter().map(|offset| record(*offset)).collect();
            let records: Vec<&Record> = records.iter().collect();
            let plan = hand.plan(&records).unwrap();
            let free = hand.settle(&records, &plan);
            said.push(format!("{}{:?}{}", plan.committed, plan.ahead, if free { " free" } else { "" }));
        }
        said.join(", ")
    }

    #[test]
    fn in_order_the_offset_moves_along() {
        assert_eq!(walk(&mut hand(&[5, 6, 7]), &[&[5], &[6, 7]]), "6[], 8[] free");
        assert_eq!(walk(&mut hand(&[5, 9]), &[&[5, 9]]), "10[] free");
    }

    #[test]
    fn out_of_order_what_is_ahead_is_marked() {
        let mut hand = hand(&[5, 6, 7]);
        assert_eq!(walk(&mut hand, &[&[7], &[5]]), "5[7], 6[]");
        hand.release(6, 1);
        assert!(hand.is_free(), "the last record is back");
        let grant = hand.grant.as_ref().unwrap();
        assert_eq!((grant.committed, &grant.settled), (6, &BTreeSet::from([7])));
    }

    #[test]
    fn a_lost_partition_and_a_stranger_are_refused() {
        let mut hand = hand(&[5]);
        assert_eq!(hand.plan(&[&record(6)]), Err(Refusal::Unknown(6)));
        hand.grant.as_mut().unwrap().generation = 4;
        assert_eq!(hand.plan(&[&record(5)]), Err(Refusal::Lost));
        assert!(!hand.is_free(), "the member still works on it");
        hand.forget_lost(5, 1);
        assert!(hand.is_free(), "the member was told");
        assert_eq!(hand.plan(&[&record(5)]), Err(Refusal::Unknown(5)));
    }
}
