//! The event log on Kafka keeps its port's promises, and what is its own: what it refuses to open, what a dead or hanging
//! process leaves behind, and what happens over several processes.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

mod conformance;
mod faults;
mod groups;
mod refusals;
mod relay;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mcsp_distributed::{KafkaLog, KafkaOptions};
use mcsp_domain::EventId;
use mcsp_events::{GroupName, Headers, Message, Topic, TopicName};
use mcsp_runtime::{EventLog, Record, SubscribeOptions, Subscription, now_us};
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

/// A topic that tests read, and one that they write.
const INPUT: Topic = Topic::UploadCompleted;
const OUTPUT: Topic = Topic::UserEngagement;
/// How long a test waits for what the engine owes it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Returns the address of the broker that tests run on.
fn servers() -> Option<String> {
    crate::engine::address("kafka")
}

/// Returns a name under which nobody has topics yet.
fn namespace() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("t{:x}-{}.", now_us(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Returns options of quick tests: few topics, short leases, one process.
fn options(servers: &str, namespace: &str, process: &str) -> KafkaOptions {
    KafkaOptions {
        namespace: namespace.to_owned(),
        topics: [INPUT, OUTPUT].map(Into::into).to_vec(),
        lease_min: Duration::from_secs(2),
        hand_over_max: Duration::from_secs(3),
        transaction_max: Duration::from_secs(5),
        ..KafkaOptions::new(servers, process)
    }
}

async fn open(servers: &str, namespace: &str, process: &str) -> KafkaLog {
    KafkaLog::open(options(servers, namespace, process)).await.unwrap()
}

async fn join(log: &KafkaLog, group: &str, member: &str) -> Arc<dyn Subscription> {
    let options = SubscribeOptions { member: member.to_owned(), lease: Duration::from_secs(3) };
    Arc::from(log.subscribe(&GroupName::parse(group).unwrap(), &[INPUT.into()], options).await.unwrap())
}

fn message(topic: Topic, key: &str, number: u64) -> Message {
    let headers = Headers {
        id: EventId::derived(&[topic.name().as_bytes(), key.as_bytes(), &number.to_be_bytes()]),
        kind: topic.name().to_owned(),
        version: 1,
        source: "test".to_owned(),
        time_us: now_us(),
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

fn messages(topic: Topic, key: &str, numbers: std::ops::Range<u64>) -> Vec<Message> {
    numbers.map(|number| message(topic, key, number)).collect()
}

fn number(record: &Record) -> u64 {
    let text = String::from_utf8_lossy(&record.payload);
    text.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

fn numbers(records: &[Record]) -> Vec<u64> {
    records.iter().map(number).collect()
}

/// Waits for records.
async fn take(member: &dyn Subscription, max: usize, per_partition: usize) -> Vec<Record> {
    let begin = Instant::now();
    loop {
        let records = member.next(max, per_partition, Duration::from_secs(2)).await.unwrap();
        if !records.is_empty() {
            return records;
        }
        assert!(begin.elapsed() < PATIENCE, "no record for {PATIENCE:?}");
    }
}

/// Returns everything in a topic, in the order of partitions.
async fn all_in(log: &KafkaLog, topic: impl Into<TopicName>) -> Vec<Record> {
    let topic = topic.into();
    let mut records = Vec::new();
    for span in log.partitions(&topic).await.unwrap() {
        records.extend(log.read(&topic, span.partition, span.begin_offset, 100_000).await.unwrap());
    }
    records
}

/// Returns once the condition holds.
async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let begin = Instant::now();
    while !condition().await {
        assert!(begin.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain: {what}");
        tokio::time::timeout(Duration::from_millis(20), std::future::pending::<()>()).await.unwrap_err();
    }
}

/// Returns an error with its causes, as an operator reads it.
fn told(error: &dyn std::error::Error) -> String {
    mcsp_runtime::chain(error)
}

/// A producer that opens a transaction, writes one record and is then not heard of: a process that died half-way.
fn half_way(servers: &str, id: &str, topic: &str, timeout: Duration) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers).set("transactional.id", id);
    config.set("transaction.timeout.ms", timeout.as_millis().to_string());
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(Duration::from_secs(20)).unwrap();
    producer.begin_transaction().unwrap();
    producer.send(BaseRecord::<str, str>::to(topic).partition(0).key("half").payload("way")).unwrap();
    producer.flush(Duration::from_secs(10)).unwrap();
    producer
}
