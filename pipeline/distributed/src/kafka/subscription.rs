//! A member's calls: waiting for records, handing them out, and settling them.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use mcsp_events::{GroupName, Message, TopicName};
use mcsp_runtime::{Completed, Completion, LogError, Record, SubscribeOptions, Subscription, now_us};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use super::Inner;
use super::asides::Part;
use super::client::{lock, wait_for};
use super::group_state::Change;
use super::hand::Hand;
use super::member::{Member, State};
use super::poll::{self, Poller};
use super::settle::{Fate, QUEUE_MAX, Settler, Settling};
use super::wire::AsideNote;

/// The longest that a waiting call goes without looking.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Bytes of payloads that one call hands out, but for the last record.
const GIVE_BYTES_MAX: usize = 64 << 20;

/// A member in the hands of a stage.
struct KafkaSubscription {
    member: Arc<Member>,
    calls: Mutex<Option<mpsc::Sender<Settling>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Joins a group.
pub(super) async fn subscribe(
    log: &Arc<Inner>,
    group: &GroupName,
    topics: &[TopicName],
    options: SubscribeOptions,
) -> Result<Box<dyn Subscription>, LogError> {
    if topics.is_empty() || options.lease.is_zero() {
        let what = format!("group {group} asks for {} topics and a lease of {:?}", topics.len(), options.lease);
        return Err(LogError::Misused { what });
    }
    log.topics.declare_group(group).await?;
    let (log, group, topics) = (Arc::clone(log), group.clone(), topics.to_vec());
    let joined = wait_for("join a group", move || join(&log, group, &topics, options)).await?;
    Ok(Box::new(joined))
}

fn join(
    log: &Arc<Inner>,
    group: GroupName,
    topics: &[TopicName],
    options: SubscribeOptions,
) -> Result<KafkaSubscription, LogError> {
    let mut infos = Vec::with_capacity(topics.len());
    for topic in topics {
        infos.push(log.topics.get(topic)?);
    }
    let state = log.groups.change(&group, |state| {
        let mut wanted = state.clone().unwrap_or_default();
        for topic in topics {
            wanted.topics.entry(topic.clone()).or_default();
        }
        let is_new = state.as_ref() != Some(&wanted);
        Ok((is_new.then(|| Change::Write(wanted.clone())), wanted))
    })?;
    let lease = options.lease.max(log.client.options.lease_min);
    let id = log.member_id(&group, &options.member);
    let member = Arc::new(Member {
        asides: log.asides.of(&group),
        log: Arc::clone(log),
        group,
        name: options.member,
        id,
        lease,
        topics: infos,
        wake: Notify::new(),
        turn: tokio::sync::Mutex::new(()),
        stop: false.into(),
        state: Mutex::new(State::new(state, lease)),
    });
    let consumer = Arc::new(poll::join(&log.client, &member)?);
    lock(&log.members).push(Arc::downgrade(&member));
    let (send, receive) = mpsc::channel(QUEUE_MAX);
    let poller = Poller::new(Arc::clone(&member), Arc::clone(&consumer));
    let settler = Settler::new(Arc::clone(&member), consumer);
    let failed = |error| LogError::Engine { action: "start a member's threads", source: Box::new(error) };
    let name = |what: &str| std::thread::Builder::new().name(format!("kafka-{what}"));
    let threads = vec![
        name("settle").spawn(move || settler.run(receive)).map_err(failed)?,
        name("poll").spawn(move || poller.run()).map_err(failed)?,
    ];
    Ok(KafkaSubscription { member, calls: Mutex::new(Some(send)), threads: Mutex::new(threads) })
}

/// What may be handed out of a partition.
struct Candidate {
    /// Those that were set aside go first.
    is_fresh: bool,
    time_us: i64,
    part: Part,
    generation: u64,
    due: Vec<(u64, AsideNote)>,
}

/// What a look at a member's partitions found.
struct Look {
    candidates: Vec<Candidate>,
    /// When the first of those set aside is due.
    next_due_us: Option<i64>,
    /// When to look again, where first records are still on their way.
    primed_in: Option<Duration>,
}

impl KafkaSubscription {
    /// Finds what may be handed out, the oldest first.
    fn look(&self) -> Look {
        let member = &self.member;
        let state = lock(&member.state);
        let mut look = Look { candidates: Vec::new(), next_due_us: None, primed_in: state.prime_left() };
        if look.primed_in.is_some() {
            return look;
        }
        let now_us = now_us();
        for (part, hand) in state.hands.iter().filter(|(_, hand)| hand.is_open()) {
            let generation = hand.grant.as_ref().map_or(0, |grant| grant.generation);
            let mut due = member.asides.notes(part, &state.group);
            let later = due.iter().map(|(_, note)| note.not_before_us).filter(|due_us| *due_us > now_us).min();
            look.next_due_us = look.next_due_us.into_iter().chain(later).min();
            due.retain(|(_, note)| note.not_before_us <= now_us);
            due.sort_unstable_by_key(|(offset, note)| (note.time_us, *offset));
            let first_due = due.first().map(|(_, note)| note.time_us);
            let Some(time_us) = first_due.or_else(|| hand.head_us()) else { continue };
            let (is_fresh, part) = (first_due.is_none(), part.clone());
            look.candidates.push(Candidate { is_fresh, time_us, part, generation, due });
        }
        look.candidates.sort_by(|a, b| (a.is_fresh, a.time_us, &a.part).cmp(&(b.is_fresh, b.time_us, &b.part)));
        look
    }

    /// Hands out of what was found, as far as the partitions are still free and the member's.
    async fn hand_out(&self, look: Look, max: usize, per_partition: usize) -> Result<Vec<Record>, LogError> {
        let mut asides = self.read_due(&look.candidates, max, per_partition).await?;
        let (mut records, mut bytes_left) = (Vec::new(), GIVE_BYTES_MAX);
        let mut state = lock(&self.member.state);
        for candidate in look.candidates {
            let left = (max - records.len()).min(per_partition);
            if left == 0 || bytes_left == 0 {
                break;
            }
            let of_right = |hand: &&mut Hand| {
                hand.is_open() && hand.grant.as_ref().is_some_and(|grant| grant.generation == candidate.generation)
            };
            let Some(hand) = state.hands.get_mut(&candidate.part).filter(of_right) else { continue };
            if candidate.is_fresh {
                records.extend(hand.give(left, &mut bytes_left));
            } else if let Some(due) = asides.remove(&candidate.part) {
                hand.give_asides(&due);
                records.extend(due);
            }
        }
        Ok(records)
    }

    /// Reads the payloads of what is due.
    async fn read_due(
        &self,
        candidates: &[Candidate],
        max: usize,
        per_partition: usize,
    ) -> Result<BTreeMap<Part, Vec<Record>>, LogError> {
        let (mut left, mut wanted) = (max, Vec::new());
        for candidate in candidates.iter().filter(|candidate| !candidate.is_fresh) {
            let notes: Vec<AsideNote> =
                candidate.due.iter().take(left.min(per_partition)).map(|(_, note)| *note).collect();
            left -= notes.len();
            if !notes.is_empty() {
                wanted.push((candidate.part.clone(), notes));
            }
        }
        if wanted.is_empty() {
            return Ok(BTreeMap::new());
        }
        let asides = Arc::clone(&self.member.asides);
        wait_for("read records that were set aside", move || {
            let read = wanted.into_iter().map(|(part, notes)| Ok((part, asides.records(&notes)?)));
            read.filter(|read| !matches!(read, Ok((_, records)) if records.is_empty())).collect()
        })
        .await
    }

    fn check_open(&self) -> Result<(), LogError> {
        if lock(&self.member.state).is_closed() {
            let what = format!("member {} of group {} has left", self.member.name, self.member.group);
            return Err(LogError::Misused { what });
        }
        Ok(())
    }

    /// Settles records on the member's thread: a caller that goes away half-way leaves nothing half done.
    async fn settle(&self, records: Vec<Record>, outputs: Vec<Message>, fate: Fate) -> Result<(), LogError> {
        let outputs = self.member.log.outbound(outputs)?;
        if let Some(stranger) = records.iter().find(|record| self.member.topics.iter().all(|t| t.name != record.topic))
        {
            let what = format!("record {} is of no topic of group {}", stranger.position(), self.member.group);
            return Err(LogError::Misused { what });
        }
        let calls = lock(&self.calls).clone();
        let (reply, answer) = oneshot::channel();
        if let Some(calls) = calls
            && calls.send(Settling { records: records.clone(), outputs, fate, reply }).await.is_ok()
            && let Ok(answer) = answer.await
        {
            return answer;
        }
        match records.first() {
            Some(record) => Err(self.member.fenced(&super::member::part_of(record))),
            None => self.check_open(),
        }
    }
}

#[async_trait]
impl Subscription for KafkaSubscription {
    async fn next(&self, max: usize, per_partition: usize, wait: Duration) -> Result<Vec<Record>, LogError> {
        let member = &self.member;
        let deadline = Instant::now() + wait;
        if max == 0 || per_partition == 0 {
            return Err(LogError::Misused { what: format!("{max} records and {per_partition} a partition asked for") });
        }
        let Ok(_turn) = tokio::time::timeout_at(deadline, member.turn.lock()).await else { return Ok(Vec::new()) };
        loop {
            self.check_open()?;
            let mut rung = std::pin::pin!(member.wake.notified());
            // What rings from here on is heard, though it is waited for only after the look.
            rung.as_mut().enable();
            let look = self.look();
            let mut again_in = look.primed_in.unwrap_or(LOOK_EVERY).min(LOOK_EVERY);
            if let Some(due_us) = look.next_due_us {
                let due_in = u64::try_from(due_us.saturating_sub(now_us())).unwrap_or(0);
                again_in = again_in.min(Duration::from_micros(due_in));
            }
            let records = self.hand_out(look, max, per_partition).await?;
            let now = Instant::now();
            if !records.is_empty() || now >= deadline {
                return Ok(records);
            }
            let _ = tokio::time::timeout_at(deadline.min(now + again_in), rung).await;
        }
    }

    async fn complete(&self, done: Completion) -> Result<Completed, LogError> {
        self.settle(done.records, done.outputs, Fate::Done).await?;
        Ok(Completed::WithoutLedger)
    }

    async fn retry_later(&self, record: &Record, not_before_us: i64, error: &str) -> Result<(), LogError> {
        let fate = Fate::Later { not_before_us, error: error.to_owned() };
        self.settle(vec![record.clone()], Vec::new(), fate).await
    }

    async fn dead(&self, record: &Record, error: &str, outputs: Vec<Message>) -> Result<Completed, LogError> {
        let fate = Fate::Dead { error: error.to_owned() };
        self.settle(vec![record.clone()], outputs, fate).await?;
        Ok(Completed::WithoutLedger)
    }

    async fn release(&self, records: &[Record]) -> Result<(), LogError> {
        self.member.release(records);
        Ok(())
    }

    fn owns(&self, record: &Record) -> bool {
        self.member.owns(record)
    }

    fn epoch(&self) -> u64 {
        self.member.epoch()
    }

    async fn close(&self) -> Result<(), LogError> {
        self.member.close();
        self.member.stop.store(true, Ordering::Release);
        lock(&self.calls).take();
        let threads = std::mem::take(&mut *lock(&self.threads));
        wait_for("leave a group", move || {
            // A thread that panicked has said so.
            threads.into_iter().for_each(|thread| drop(thread.join()));
            Ok(())
        })
        .await?;
        self.member.log.left(&self.member.id);
        Ok(())
    }
}

impl Drop for KafkaSubscription {
    fn drop(&mut self) {
        // The threads end by themselves, as those of a dead process do; closing a consumer may take seconds.
        self.member.stop.store(true, Ordering::Release);
        self.member.log.left(&self.member.id);
    }
}
