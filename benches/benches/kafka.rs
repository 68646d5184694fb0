//! The event log on Kafka beside a plain loop over the same broker with the same client library: what a stage costs a record
//! one by one and in batches, with outputs (in transactions) and without, and how many rows a second a relay moves.
//!
//! `MCSP_KAFKA=127.0.0.1:9092 cargo bench -p mcsp-benches --bench kafka`; the broker keeps topics of a namespace of their
//! own. The ledger is the embedded one in a temporary folder, so that its share is small and the same in each row.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints its rows and panics as its report")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mcsp_distributed::{KafkaLog, KafkaOptions};
use mcsp_domain::{ContentId, UserId};
use mcsp_embedded::{LogOptions, SqliteLog};
use mcsp_events::{
    EngagementAction, Event, GroupName, Message, Outgoing, Seal, SubscriptionChanged, Topic, UserEngagement,
};
use mcsp_runtime::stage::{BatchStage, Context, Runner, RunnerOptions, Stage};
use mcsp_runtime::{Completion, EventLog, StageError, SubscribeOptions, TtlStore, now_us};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::BorrowedHeaders;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;

/// Records of one run of the single loops, and of the batch loops.
const SINGLE: u32 = 2_000;
const BATCHED: u32 = 50_000;
/// Records of one batch.
const BATCH: usize = 500;
/// Rows that the relay moves.
const ROWS: u64 = 50_000;
const INPUT: Topic = Topic::UserEngagement;
const OUTPUT: Topic = Topic::SubscriptionChanged;

/// When a loop had how many records in its hands.
type Entries = Arc<Mutex<Vec<(Instant, usize)>>>;

/// Answers each record with one event, or with none.
struct Single<const OUTPUTS: bool>(Entries);

impl<const OUTPUTS: bool> Stage for Single<OUTPUTS> {
    const NAME: &'static str = "bench-single";
    const GROUP: &'static str = if OUTPUTS { "bench-single-with" } else { "bench-single-without" };
    type Input = UserEngagement;
    const OUTPUTS: &'static [Topic] = &[OUTPUT];

    async fn handle(&self, input: UserEngagement, _: &Context) -> Result<Vec<Outgoing>, StageError> {
        note(&self.0, 1);
        Ok(if OUTPUTS { vec![Outgoing::of(0, &follow(&input))] } else { Vec::new() })
    }
}

struct Batch(Entries);

impl BatchStage for Batch {
    const NAME: &'static str = "bench-batch";
    const GROUP: &'static str = "bench-batch";
    type Input = UserEngagement;
    const OUTPUTS: &'static [Topic] = &[OUTPUT];

    async fn handle(&self, inputs: Vec<UserEngagement>, _: &Context) -> Result<Vec<Vec<Outgoing>>, StageError> {
        note(&self.0, inputs.len());
        Ok(inputs.iter().map(|input| vec![Outgoing::of(0, &follow(input))]).collect())
    }
}

fn follow(event: &UserEngagement) -> SubscriptionChanged {
    SubscriptionChanged { user: event.user, creator: event.user, following: true, at_us: event.at_us }
}

fn note(entries: &Entries, records: usize) {
    entries.lock().unwrap().push((Instant::now(), records));
}

/// One user: one partition, so that the records come one after the other.
fn message(number: u64) -> Message {
    let event = UserEngagement {
        user: UserId::new(1, &[7; 10]),
        content: ContentId::new(1, &[8; 10]),
        action: EngagementAction::Heartbeat,
        position_ms: Some(number),
        at_us: now_us(),
    };
    let seal = Seal { source: "bench", now_us: now_us(), ..Seal::default() };
    Outgoing::once(event.key().as_bytes(), &number.to_string(), &event).seal(&seal).unwrap()
}

/// A broker with topics that nobody else has.
struct Bench {
    servers: String,
    namespace: String,
}

impl Bench {
    async fn open(&self, process: &str) -> KafkaLog {
        let topics = [INPUT, OUTPUT].map(Into::into).to_vec();
        let namespace = self.namespace.clone();
        KafkaLog::open(KafkaOptions { namespace, topics, ..KafkaOptions::new(&self.servers, process) }).await.unwrap()
    }

    fn topic(&self, topic: Topic) -> String {
        format!("{}{}", self.namespace, topic.name())
    }

    /// Runs a stage over the first `count` records.
    async fn stage<F>(&self, count: usize, start: impl FnOnce(Runner, Entries, CancellationToken) -> F) -> Vec<Duration>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = SqliteLog::open(&folder.path().join("ledger.db"), LogOptions::default()).await.unwrap();
        let ledger: Arc<dyn TtlStore> = Arc::new(sqlite.ttl());
        let log: Arc<dyn EventLog> = Arc::new(self.open("bench").await);
        let (entries, stop) = (Entries::default(), CancellationToken::new());
        let running = tokio::spawn(start(
            Runner::new(log, ledger, RunnerOptions::new("bench")),
            Arc::clone(&entries),
            stop.clone(),
        ));
        let handled = || entries.lock().unwrap().iter().map(|(_, records)| records).sum::<usize>();
        while handled() < count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stop.cancel();
        running.await.unwrap();
        let entries = entries.lock().unwrap();
        each(&entries)
    }

    fn consumer(&self, group: &str) -> BaseConsumer {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.servers).set("group.id", format!("{}{group}", self.namespace));
        config.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
        config.set("isolation.level", "read_committed").set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.subscribe(&[&self.topic(INPUT)]).unwrap();
        consumer
    }

    fn producer(&self, id: &str) -> BaseProducer {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.servers).set("enable.idempotence", "true").set("linger.ms", "0");
        config.set("transactional.id", format!("{}{id}", self.namespace));
        let producer: BaseProducer = config.create().unwrap();
        producer.init_transactions(Duration::from_secs(30)).unwrap();
        producer
    }

    /// The loop that anybody would write: poll, answer, commit; `batch` records a commit.
    fn plain(&self, group: &str, count: usize, batch: usize, outputs: bool) -> Vec<Duration> {
        let (consumer, output) = (self.consumer(group), self.topic(OUTPUT));
        let producer = outputs.then(|| self.producer(group));
        let (mut entries, mut done) = (Vec::new(), 0);
        while done < count {
            let (mut offsets, mut records) = (TopicPartitionList::new(), 0);
            let mut wait = Duration::from_secs(10);
            while records < batch {
                let Some(Ok(message)) = consumer.poll(wait) else { break };
                wait = Duration::from_millis(20);
                if records == 0
                    && let Some(producer) = &producer
                {
                    producer.begin_transaction().unwrap();
                }
                records += 1;
                let payload = message.payload().unwrap_or_default();
                if let Some(producer) = &producer {
                    let key = message.key().unwrap_or_default();
                    // An event has headers: the plain loop's are those of its input.
                    let headers = message.headers().map(BorrowedHeaders::detach).unwrap_or_default();
                    let record = BaseRecord::to(&output).key(key).payload(payload).headers(headers);
                    producer.send(record).map_err(|(error, _)| error).unwrap();
                }
                let next = Offset::Offset(message.offset() + 1);
                if records == 1 {
                    offsets.add_partition(message.topic(), message.partition());
                }
                offsets.set_partition_offset(message.topic(), message.partition(), next).unwrap();
            }
            if records == 0 {
                continue;
            }
            entries.push((Instant::now(), records));
            match &producer {
                None => consumer.commit(&offsets, CommitMode::Sync).unwrap(),
                Some(producer) => {
                    // Drained first: the library's own waits go in steps of 100 ms.
                    while producer.in_flight_count() > 0 {
                        producer.poll(Duration::ZERO);
                        std::thread::sleep(Duration::from_micros(100));
                    }
                    let group = consumer.group_metadata().unwrap();
                    producer.send_offsets_to_transaction(&offsets, &group, Duration::from_secs(10)).unwrap();
                    producer.commit_transaction(Duration::from_secs(10)).unwrap();
                }
            }
            done += records;
        }
        each(&entries)
    }

    /// The log without the stage loop: no ledger, no payload is read.
    async fn log(&self, count: usize) -> Vec<Duration> {
        let log = self.open("log").await;
        let options = SubscribeOptions { member: "bench".to_owned(), lease: Duration::from_secs(15) };
        let group = GroupName::parse("bench-log").unwrap();
        let member = log.subscribe(&group, &[INPUT.into()], options).await.unwrap();
        let (mut entries, mut done) = (Vec::new(), 0);
        while done < count {
            let records = member.next(BATCH, BATCH, Duration::from_secs(10)).await.unwrap();
            if records.is_empty() {
                continue;
            }
            entries.push((Instant::now(), records.len()));
            done += records.len();
            let forward = |record: &mcsp_runtime::Record| Message {
                topic: OUTPUT.into(),
                key: record.key.clone(),
                spread: 0,
                headers: record.headers.clone(),
                payload: record.payload.clone(),
            };
            let outputs = records.iter().map(forward).collect();
            member.complete(Completion { records, outputs }).await.unwrap();
        }
        member.close().await.unwrap();
        each(&entries)
    }

    async fn relay(&self) {
        let log = self.open("relay").await;
        log.append_at("warm", 1, Vec::new()).await.unwrap();
        let prepared: Vec<(u64, Vec<Message>)> = (0..ROWS / 500)
            .map(|batch| {
                (batch * 500 + 500, (batch * 500..batch * 500 + 500).map(|row| message(row + 1_000_000)).collect())
            })
            .collect();
        let begin = Instant::now();
        for (position, messages) in prepared {
            log.append_at("outbox", position, messages).await.unwrap();
        }
        let rows = ROWS as f64 / begin.elapsed().as_secs_f64();
        println!("| relay, 500 rows a transaction | {ROWS} | {rows:.0} rows/s | | |");
    }
}

/// Returns the time that each record took, from one entry to the next. What came before the first is start-up.
fn each(entries: &[(Instant, usize)]) -> Vec<Duration> {
    let pairs = entries.windows(2);
    let mut each: Vec<Duration> =
        pairs.map(|pair| (pair[1].0 - pair[0].0) / u32::try_from(pair[0].1).unwrap()).collect();
    each.sort();
    each
}

/// Prints a row; returns the mean of a record in milliseconds.
fn row(what: &str, count: u32, each: &[Duration]) -> f64 {
    let at = |percent: usize| each.get(each.len().saturating_sub(1) * percent / 100).map_or(0.0, Duration::as_secs_f64);
    let mean = each.iter().sum::<Duration>().as_secs_f64() / each.len().max(1) as f64;
    let (p50, p99) = (at(50) * 1000.0, at(99) * 1000.0);
    println!("| {what} | {count} | {p50:.3} | {p99:.3} | {:.3} |", mean * 1000.0);
    mean * 1000.0
}

fn main() {
    let Ok(servers) = std::env::var("MCSP_KAFKA") else {
        println!("skipped: MCSP_KAFKA names no broker");
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let bench = Bench { servers, namespace: format!("bench{:x}.", now_us()) };
    runtime.block_on(async {
        let log = bench.open("filler").await;
        for first in (0..u64::from(BATCHED)).step_by(2_000) {
            log.append((first..first + 2_000).map(message).collect()).await.unwrap();
        }
    });
    println!("| loop | records | p50 ms a record | p99 ms a record | mean ms a record |\n|---|---|---|---|---|");
    let (single, batched) = (usize::try_from(SINGLE).unwrap(), usize::try_from(BATCHED).unwrap());
    let without = runtime.block_on(bench.stage(single, |runner, entries, stop| async move {
        runner.run(Arc::new(Single::<false>(entries)), stop).await.unwrap();
    }));
    row("stage, one by one, offsets alone", SINGLE, &without);
    row("plain loop, one by one, offsets alone", SINGLE, &bench.plain("plain-without", single, 1, false));
    let with = runtime.block_on(bench.stage(single, |runner, entries, stop| async move {
        runner.run(Arc::new(Single::<true>(entries)), stop).await.unwrap();
    }));
    row("stage, one by one, in transactions", SINGLE, &with);
    row("plain loop, one by one, in transactions", SINGLE, &bench.plain("plain-with", single, 1, true));
    let batches = runtime.block_on(bench.stage(batched, |runner, entries, stop| async move {
        runner.run_batch(Arc::new(Batch(entries)), stop).await.unwrap();
    }));
    let ours = row("stage, batches of 500, in transactions", BATCHED, &batches);
    let plain =
        row("plain loop, batches of 500, in transactions", BATCHED, &bench.plain("plain-batch", batched, BATCH, true));
    println!("| ratio of the two | | {:.2} | | |", ours / plain);
    let log = row("log alone, batches of 500, in transactions", BATCHED, &runtime.block_on(bench.log(batched)));
    println!("| ratio to the plain loop | | {:.2} | | |", log / plain);
    runtime.block_on(bench.relay());
}
