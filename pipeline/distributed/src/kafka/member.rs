//! A member of a group as its process has it: which partitions it owns, what waits, what is out, and until when its lease
//! holds. The poll thread changes its rights, the settle thread its places, calls hand out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mcsp_events::GroupName;
use mcsp_runtime::{LogError, Record};
use tokio::sync::Notify;

use super::Inner;
use super::asides::{Asides, Part};
use super::client::lock;
use super::group_state::GroupState;
use super::hand::{Grant, Hand, Move, Refusal};
use super::place::Place;
use super::topics::TopicInfo;

/// How long a member waits for the first records of partitions that it was just given, so that the oldest go first.
const PRIME_MAX: Duration = Duration::from_millis(600);
/// Records of one partition that wait in memory; a partition with more is paused.
const WAITING_MAX: usize = 4_000;
/// Bytes of payloads that wait in memory, over all partitions of a member.
const WAITING_BYTES_MAX: usize = 64 << 20;

/// A member of a group.
pub(super) struct Member {
    pub(super) log: Arc<Inner>,
    pub(super) group: GroupName,
    /// Its name, for operators.
    pub(super) name: String,
    /// Its transactional id, and what the brokers call it.
    pub(super) id: String,
    pub(super) lease: Duration,
    pub(super) topics: Vec<Arc<TopicInfo>>,
    pub(super) asides: Arc<Asides>,
    /// Rung when there may be something to hand out.
    pub(super) wake: Notify,
    /// Held by the one call that hands out.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// Tells its threads to end.
    pub(super) stop: AtomicBool,
    pub(super) state: Mutex<State>,
}

/// What changes of a member.
pub(super) struct State {
    pub(super) group: GroupState,
    pub(super) hands: BTreeMap<Part, Hand>,
    /// Partitions that a replay set elsewhere, until the consumer is there.
    pub(super) seeks: BTreeSet<Part>,
    /// Partitions of which nothing came yet, though there is something.
    unprimed: BTreeSet<Part>,
    prime_until: Instant,
    generations: u64,
    lease_until: Instant,
    closed: bool,
}

/// What several partitions commit together.
pub(super) type Moves = BTreeMap<Part, Move>;

/// A partition's fill, for the thread that fetches.
pub(super) struct Fill {
    pub(super) part: Part,
    pub(super) full: bool,
    pub(super) wanting: bool,
}

impl State {
    pub(super) fn new(group: GroupState, lease: Duration) -> Self {
        Self {
            group,
            hands: BTreeMap::new(),
            seeks: BTreeSet::new(),
            unprimed: BTreeSet::new(),
            prime_until: Instant::now(),
            generations: 0,
            lease_until: Instant::now() + lease,
            closed: false,
        }
    }

    /// Returns whether all that was just given to the member may be compared by age.
    pub(super) fn is_primed(&self) -> bool {
        self.unprimed.is_empty() || Instant::now() >= self.prime_until
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Returns when to look again, where only the wait for first records is in the way.
    pub(super) fn prime_left(&self) -> Option<Duration> {
        (!self.is_primed()).then(|| self.prime_until.saturating_duration_since(Instant::now()))
    }

    fn next_generation(&mut self) -> u64 {
        self.generations += 1;
        self.generations
    }
}

impl Member {
    /// Returns a topic by its name under the namespace.
    pub(super) fn topic(&self, full: &str) -> Option<&Arc<TopicInfo>> {
        self.topics.iter().find(|topic| *topic.full == *full)
    }

    /// Returns a topic's name under the namespace.
    pub(super) fn full_name(&self, part: &Part) -> String {
        self.log.client.name(part.0.as_str())
    }

    /// Notes that its thread is alive.
    pub(super) fn beat(&self) {
        lock(&self.state).lease_until = Instant::now() + self.lease;
    }

    pub(super) fn epoch(&self) -> u64 {
        lock(&self.state).group.epoch
    }

    pub(super) fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        state.hands.clear();
        drop(state);
        self.wake.notify_waiters();
    }

    /// Returns whether a record is out, and its partition still the member's.
    pub(super) fn owns(&self, record: &Record) -> bool {
        let state = lock(&self.state);
        let hand = state.hands.get(&part_of(record));
        state.lease_until > Instant::now() && hand.is_some_and(|hand| hand.owns(record.offset, record.attempt))
    }

    /// Takes partitions over, each with its place and its end.
    pub(super) fn grant(&self, group: GroupState, parts: Vec<(Part, Place, u64)>) {
        let mut state = lock(&self.state);
        if state.is_primed() {
            // What did not come in time is no record.
            state.unprimed.clear();
        }
        state.prime_until = Instant::now() + PRIME_MAX;
        for (part, place, end) in parts {
            let generation = state.next_generation();
            if place.committed < end {
                state.unprimed.insert(part.clone());
            }
            state.seeks.remove(&part);
            state.hands.entry(part).or_default().grant(Some(Grant { generation, place }));
        }
        drop(state);
        self.adopt(group);
        self.wake.notify_waiters();
    }

    /// Follows a group's record: partitions that a replay set elsewhere begin anew there.
    pub(super) fn adopt(&self, group: GroupState) {
        let mut state = lock(&self.state);
        if group.epoch < state.group.epoch || state.group == group {
            return;
        }
        let mut moved = Vec::new();
        for (part, hand) in &state.hands {
            let Some(grant) = &hand.grant else { continue };
            if let Some(replay) = group.replay(&part.0, part.1).filter(|replay| replay.epoch > grant.place.epoch) {
                moved.push((part.clone(), grant.place.clone().after(Some(replay))));
            }
        }
        for (part, place) in moved {
            let generation = state.next_generation();
            if let Some(hand) = state.hands.get_mut(&part) {
                let heir = hand.heir;
                hand.grant(Some(Grant { generation, place }));
                hand.heir = heir;
            }
            state.seeks.insert(part);
        }
        state.group = group;
        drop(state);
        self.wake.notify_waiters();
    }

    /// Hands nothing more out of partitions that another member is to get.
    pub(super) fn promise(&self, parts: &[Part]) {
        let mut state = lock(&self.state);
        for part in parts {
            if let Some(hand) = state.hands.get_mut(part) {
                hand.heir = true;
            }
        }
    }

    /// Returns whether no record of partitions is out.
    pub(super) fn are_free(&self, parts: &[Part]) -> bool {
        let state = lock(&self.state);
        parts.iter().all(|part| state.hands.get(part).is_none_or(Hand::is_free))
    }

    /// Gives up the right to partitions; what is out of them is lost.
    pub(super) fn revoke(&self, parts: &[Part]) {
        let mut state = lock(&self.state);
        for part in parts {
            if let Some(hand) = state.hands.get_mut(part) {
                hand.grant(None);
            }
            state.unprimed.remove(part);
            state.seeks.remove(part);
        }
        state.hands.retain(|_, hand| !hand.is_over());
        drop(state);
        self.wake.notify_waiters();
    }

    /// Takes what was fetched, and which partition numbers had nothing more.
    pub(super) fn arrive(&self, records: Vec<Record>, ends: &[u32]) {
        let mut state = lock(&self.state);
        for record in records {
            let part = part_of(&record);
            if state.seeks.contains(&part) {
                // It was fetched before the replay.
                continue;
            }
            state.unprimed.remove(&part);
            if let Some(hand) = state.hands.get_mut(&part) {
                hand.arrive(record);
            }
        }
        if !ends.is_empty() {
            // The library does not say of which topic: at worst an older record of another one comes a little later.
            state.unprimed.retain(|part| !ends.contains(&part.1));
        }
        drop(state);
        self.wake.notify_waiters();
    }

    /// Returns how full partitions are.
    pub(super) fn fills(&self) -> Vec<Fill> {
        let state = lock(&self.state);
        let total: usize = state.hands.values().map(|hand| hand.waits().1).sum();
        let granted = state.hands.iter().filter(|(_, hand)| hand.grant.is_some());
        let fill = granted.map(|(part, hand)| {
            let (records, bytes) = hand.waits();
            let full = records >= WAITING_MAX || (total >= WAITING_BYTES_MAX && bytes > 0);
            let wanting = records < WAITING_MAX / 2 && (total < WAITING_BYTES_MAX / 2 || bytes == 0);
            Fill { part: part.clone(), full, wanting }
        });
        fill.collect()
    }

    /// Returns where the consumer is to go on in partitions that a replay set elsewhere.
    pub(super) fn seeks(&self) -> Vec<(Part, u64)> {
        let state = lock(&self.state);
        let place = |part: &Part| Some((part.clone(), state.hands.get(part)?.grant.as_ref()?.place.committed));
        state.seeks.iter().filter_map(place).collect()
    }

    /// Notes that the consumer is where a replay set it, unless another one came meanwhile.
    pub(super) fn sought(&self, done: &[(Part, u64)]) {
        let now = self.seeks();
        let mut state = lock(&self.state);
        for (part, _) in done.iter().filter(|sought| now.contains(sought)) {
            state.seeks.remove(part);
        }
    }

    /// Returns what settling records commits.
    pub(super) fn plan(&self, records: &[Record], token: u64) -> Result<Moves, LogError> {
        let state = lock(&self.state);
        let mut moves = Moves::new();
        for (part, records) in by_part(records) {
            if state.closed || state.lease_until <= Instant::now() {
                return Err(self.fenced(&part));
            }
            let hand = state.hands.get(&part);
            let plan = hand.map_or(Err(Refusal::Unknown(records[0].offset)), |hand| hand.plan(&records));
            let mut plan = plan.map_err(|refusal| match refusal {
                Refusal::Lost => self.fenced(&part),
                Refusal::Unknown(offset) => {
                    let (topic, partition) = &part;
                    let what =
                        format!("record {topic}:{partition}:{offset} is not in the hands of group {}", self.group);
                    LogError::Misused { what }
                }
            })?;
            (plan.place.epoch, plan.place.token) = (state.group.epoch, token);
            moves.insert(part, plan);
        }
        Ok(moves)
    }

    /// Takes over what was committed.
    pub(super) fn settle(&self, records: &[Record], moves: &Moves) {
        let mut state = lock(&self.state);
        for (part, records) in by_part(records) {
            if let (Some(hand), Some(plan)) = (state.hands.get_mut(&part), moves.get(&part)) {
                hand.settle(&records, plan);
            }
        }
        state.hands.retain(|_, hand| !hand.is_over());
        drop(state);
        self.wake.notify_waiters();
    }

    /// Takes records back that nobody settled.
    pub(super) fn release(&self, records: &[Record]) {
        let mut state = lock(&self.state);
        for record in records {
            if let Some(hand) = state.hands.get_mut(&part_of(record)) {
                hand.release(record);
            }
        }
        state.hands.retain(|_, hand| !hand.is_over());
        drop(state);
        self.wake.notify_waiters();
    }

    /// Takes records of lost partitions back: their holder has been told.
    pub(super) fn forget_lost(&self, records: &[Record]) {
        let mut state = lock(&self.state);
        for record in records {
            if let Some(hand) = state.hands.get_mut(&part_of(record)) {
                hand.forget_lost(record);
            }
        }
        state.hands.retain(|_, hand| !hand.is_over());
        drop(state);
        self.wake.notify_waiters();
    }

    /// Returns the error for a partition that went to somebody else.
    pub(super) fn fenced(&self, part: &Part) -> LogError {
        LogError::Fenced {
            group: self.group.to_string(),
            member: self.name.clone(),
            topic: part.0.to_string(),
            partition: part.1,
        }
    }
}

/// Returns a record's partition.
pub(super) fn part_of(record: &Record) -> Part {
    (record.topic.clone(), record.partition)
}

fn by_part(records: &[Record]) -> BTreeMap<Part, Vec<&Record>> {
    let mut by_part: BTreeMap<Part, Vec<&Record>> = BTreeMap::new();
    for record in records {
        by_part.entry(part_of(record)).or_default().push(record);
    }
    by_part
}
