//! What every `EventLog` engine promises: appending (`appended`), settling (`settled`), what comes again (`again`), groups
//! of several members and processes (`groups`).

mod again;
mod appended;
mod groups;
mod settled;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mcsp_domain::EventId;
use mcsp_events::{GroupName, Headers, Message, Topic, TopicName};

use crate::{Completion, EventLog, Record, SubscribeOptions, Subscription, now_us};

/// A process that has a log open. Dropping it, with its subscriptions, is its death.
pub struct LogProcess {
    /// Its handle.
    pub log: Arc<dyn EventLog>,
    /// Lets it hang: its members say nothing more, though they still run.
    pub stall: Box<dyn Fn() + Send + Sync>,
    /// Whether its log leaves out ids that another process wrote. One that cannot tell leaves out what this process wrote
    /// last; readers know the rest by their ids, in the ledger and the inbox.
    pub shares_ids: bool,
}

/// Opens one more process onto the same log.
type Open = Box<dyn Fn() -> Pin<Box<dyn Future<Output = LogProcess> + Send>>>;

/// The processes of one log.
struct Fleet {
    open: Open,
}

impl Fleet {
    async fn open(&self) -> LogProcess {
        (self.open)().await
    }
}

/// Holds an `EventLog` engine to its port. `make` gives a fresh, empty log with the topics of the catalogue; what it gives
/// opens one more process onto that log with each call.
pub async fn event_log<M, N, O, P>(make: M)
where
    M: Fn() -> N,
    N: Future<Output = O>,
    O: Fn() -> P + 'static,
    P: Future<Output = LogProcess> + Send + 'static,
{
    let fleet = async || {
        let open = make().await;
        Fleet { open: Box::new(move || Box::pin(open())) }
    };
    appended::keys_stay_in_order(fleet().await).await;
    appended::an_id_is_taken_once(fleet().await).await;
    appended::all_or_none(fleet().await).await;
    appended::a_relay_repeats_nothing(fleet().await).await;
    appended::spread_events_lie_apart(fleet().await).await;
    settled::a_partition_waits_for_its_records(fleet().await).await;
    settled::outputs_and_offset_together(fleet().await).await;
    settled::a_retried_record_lets_others_pass(fleet().await).await;
    settled::what_is_due_is_never_forgotten(fleet().await).await;
    settled::a_dead_letter_tells_and_comes_back(fleet().await).await;
    settled::released_records_come_at_once(fleet().await).await;
    settled::the_oldest_go_first(fleet().await).await;
    again::lag_counts_what_is_left(fleet().await).await;
    again::a_replay_raises_the_epoch(fleet().await).await;
    again::a_replay_fences(fleet().await).await;
    again::a_sweep_keeps_what_is_needed(fleet().await).await;
    again::nothing_settled_comes_again(fleet().await).await;
    again::a_group_is_forgotten(fleet().await).await;
    groups::each_group_sees_everything(fleet().await).await;
    groups::members_come_and_go(fleet().await).await;
    groups::a_zombie_is_fenced(fleet().await).await;
    groups::a_partition_with_records_out_stays(fleet().await).await;
}

/// A topic of several partitions.
const INPUT: Topic = Topic::UploadCompleted;
/// A topic for what follows.
const OUTPUT: Topic = Topic::UserEngagement;
/// A lease that no loaded machine lets run out.
const LEASE: Duration = Duration::from_secs(10);
/// How long a suite waits for what an engine owes it.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a call waits for what must not come.
const A_MOMENT: Duration = Duration::from_millis(100);

fn message(topic: Topic, key: &str, number: u64) -> Message {
    let headers = Headers {
        id: EventId::derived(&[topic.name().as_bytes(), key.as_bytes(), &number.to_be_bytes()]),
        kind: topic.name().to_owned(),
        version: 1,
        source: "conformance".to_owned(),
        time_us: BEGIN_US + i64::try_from(number).unwrap_or(0),
        traceparent: None,
        cause: None,
        worker: None,
        attempt: None,
        started_us: None,
        dead: None,
    };
    let payload = format!("{{\"n\":{number}}}").into_bytes();
    Message { topic: topic.into(), key: key.to_owned(), spread: 0, headers, payload }
}

/// The time of event 0: 2025-10-09.
const BEGIN_US: i64 = 1_760_000_000_000_000;

fn messages(topic: Topic, key: &str, numbers: std::ops::Range<u64>) -> Vec<Message> {
    numbers.map(|number| message(topic, key, number)).collect()
}

fn number(record: &Record) -> u64 {
    let text = String::from_utf8_lossy(&record.payload);
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(u64::MAX)
}

fn numbers(records: &[Record]) -> Vec<u64> {
    records.iter().map(number).collect()
}

fn group(name: &str) -> GroupName {
    name_of(GroupName::parse(name))
}

fn name_of<T, E: std::fmt::Display>(name: Result<T, E>) -> T {
    name.unwrap_or_else(|error| panic!("a literal name: {error}"))
}

/// Says what a call was for when it fails.
#[track_caller]
fn ok<T, E: std::fmt::Debug>(what: &str, result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{what}: {error:?}"))
}

async fn join(process: &LogProcess, name: &str, topics: &[Topic]) -> Box<dyn Subscription> {
    join_for(process, name, topics, LEASE).await
}

async fn join_for(process: &LogProcess, name: &str, topics: &[Topic], lease: Duration) -> Box<dyn Subscription> {
    let topics: Vec<TopicName> = topics.iter().map(|topic| (*topic).into()).collect();
    let options = SubscribeOptions { member: format!("member of {name}"), lease };
    ok("join", process.log.subscribe(&group(name), &topics, options).await)
}

/// Waits for records.
async fn take(subscription: &dyn Subscription, max: usize, per_partition: usize) -> Vec<Record> {
    let begin = Instant::now();
    loop {
        let records = ok("next", subscription.next(max, per_partition, Duration::from_secs(5)).await);
        if !records.is_empty() {
            return records;
        }
        assert!(begin.elapsed() < PATIENCE, "no record for {PATIENCE:?}");
    }
}

/// Takes and completes until `count` records are handled; returns them in the order in which they came.
async fn handle(subscription: &dyn Subscription, count: usize) -> Vec<Record> {
    let mut handled = Vec::new();
    while handled.len() < count {
        let records = take(subscription, 64, 16).await;
        complete(subscription, &records).await;
        handled.extend(records);
    }
    handled
}

async fn complete(subscription: &dyn Subscription, records: &[Record]) {
    let done = Completion { records: records.to_vec(), outputs: Vec::new() };
    ok("complete", subscription.complete(done).await);
}

async fn nothing_more(subscription: &dyn Subscription, why: &str) {
    let records = ok("next", subscription.next(64, 64, A_MOMENT).await);
    assert!(records.is_empty(), "{why}: {records:?}");
}

/// Returns everything in a topic, in the order of partitions.
async fn all_in(process: &LogProcess, topic: &TopicName) -> Vec<Record> {
    let mut records = Vec::new();
    for span in ok("partitions", process.log.partitions(topic).await) {
        records.extend(ok("read", process.log.read(topic, span.partition, span.begin_offset, 100_000).await));
    }
    records
}

async fn lag_of(process: &LogProcess, name: &str) -> BTreeMap<u32, (u64, Option<i64>)> {
    let lag = ok("lag", process.log.lag(&group(name)).await);
    lag.into_iter().filter(|lag| lag.records > 0).map(|lag| (lag.partition, (lag.records, lag.oldest_us))).collect()
}

fn soon() -> i64 {
    now_us() + 400_000
}
