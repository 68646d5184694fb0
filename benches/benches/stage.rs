//! What the stage loop costs a record: fetch, claim, seal, commit, on the embedded engines. A no-op stage answers each
//! record with one event. Prints a table; `cargo bench -p mcsp-benches --bench stage`.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mcsp_domain::{ContentId, UserId};
use mcsp_embedded::{LogOptions, SqliteLog};
use mcsp_events::{EngagementAction, Event, Message, Outgoing, Seal, SubscriptionChanged, Topic, UserEngagement};
use mcsp_runtime::stage::{BatchStage, Context, Runner, RunnerOptions, Stage};
use mcsp_runtime::{EventLog, StageError, TtlStore, now_us};
use tokio_util::sync::CancellationToken;

/// Records of one run through the single loop.
const SINGLE: u32 = 3_000;
/// Records of one run through the batch loop.
const BATCHED: u32 = 50_000;

/// When the handler was entered, and with how many records.
type Entries = Arc<Mutex<Vec<(Instant, usize)>>>;

/// Says one event for each, on a topic that is as durable as the input's.
struct Echo(Entries);

fn follow(event: &UserEngagement) -> SubscriptionChanged {
    SubscriptionChanged { user: event.user, creator: event.user, following: true, at_us: event.at_us }
}

impl Stage for Echo {
    const NAME: &'static str = "echo";
    const GROUP: &'static str = "bench-single";
    type Input = UserEngagement;
    const OUTPUTS: &'static [Topic] = &[Topic::SubscriptionChanged];

    async fn handle(&self, input: UserEngagement, _: &Context) -> Result<Vec<Outgoing>, StageError> {
        note(&self.0, 1);
        Ok(vec![Outgoing::of(0, &follow(&input))])
    }
}

struct EchoBatch(Entries);

impl BatchStage for EchoBatch {
    const NAME: &'static str = "echo-batch";
    const GROUP: &'static str = "bench-batch";
    type Input = UserEngagement;
    const OUTPUTS: &'static [Topic] = &[Topic::SubscriptionChanged];

    async fn handle(&self, inputs: Vec<UserEngagement>, _: &Context) -> Result<Vec<Vec<Outgoing>>, StageError> {
        note(&self.0, inputs.len());
        Ok(inputs.iter().map(|input| vec![Outgoing::of(0, &follow(input))]).collect())
    }
}

fn note(entries: &Entries, records: usize) {
    entries.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((Instant::now(), records));
}

fn message(number: u32) -> Message {
    // One user: one partition, so that the records come one after the other.
    let event = UserEngagement {
        user: UserId::new(1, &[7; 10]),
        content: ContentId::new(1, &[8; 10]),
        action: EngagementAction::Heartbeat,
        position_ms: Some(u64::from(number)),
        at_us: now_us(),
    };
    let seal = Seal { source: "bench", now_us: now_us(), ..Seal::default() };
    let name = number.to_string();
    Outgoing::once(event.key().as_bytes(), &name, &event).seal(&seal).unwrap_or_else(|error| panic!("{error}"))
}

/// Runs one loop over `count` records; returns the handler's entries.
async fn run(durability: mcsp_events::Durability, count: u32, is_batch: bool) -> Vec<(Instant, usize)> {
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let mut options = LogOptions::default();
    for topic in [Topic::UserEngagement, Topic::SubscriptionChanged] {
        options.overrides.entry(topic.into()).or_default().durability = Some(durability);
    }
    let log =
        SqliteLog::open(&folder.path().join("events.db"), options).await.unwrap_or_else(|error| panic!("{error}"));
    let ledger: Arc<dyn TtlStore> = Arc::new(log.ttl());
    let log: Arc<dyn EventLog> = Arc::new(log);
    let messages: Vec<Message> = (0..count).map(message).collect();
    for some in messages.chunks(5_000) {
        log.append(some.to_vec()).await.unwrap_or_else(|error| panic!("{error}"));
    }
    let entries = Entries::default();
    let runner = Runner::new(log, ledger, RunnerOptions::new("bench"));
    let (shutdown, seen) = (CancellationToken::new(), Arc::clone(&entries));
    let stop = shutdown.clone();
    let running = tokio::spawn(async move {
        if is_batch {
            runner.run_batch(Arc::new(EchoBatch(seen)), stop).await
        } else {
            runner.run(Arc::new(Echo(seen)), stop).await
        }
    });
    let handled = || {
        let entries = entries.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        entries.iter().map(|(_, records)| records).sum::<usize>()
    };
    while handled() < usize::try_from(count).unwrap_or(usize::MAX) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    shutdown.cancel();
    running.await.unwrap_or_else(|error| panic!("{error}")).unwrap_or_else(|error| panic!("{error}"));
    let entries = entries.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    entries.clone()
}

fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let index = (sorted.len().saturating_sub(1)) * percent / 100;
    sorted.get(index).map_or(0.0, Duration::as_secs_f64) * 1000.0
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
    let mut text = String::from(
        "| loop | durability | records | p50 ms a record | p99 ms a record | mean ms a record |\n|---|---|---|---|---|---|\n",
    );
    for (durability, name) in
        [(mcsp_events::Durability::Process, "process"), (mcsp_events::Durability::Synced, "synced")]
    {
        for (is_batch, kind, count) in [(false, "one by one", SINGLE), (true, "batches of 500", BATCHED)] {
            let entries = runtime.block_on(run(durability, count, is_batch));
            let mut each: Vec<Duration> = entries
                .windows(2)
                .map(|pair| (pair[1].0 - pair[0].0) / u32::try_from(pair[0].1).unwrap_or(1).max(1))
                .collect();
            let mean = each.iter().sum::<Duration>().as_secs_f64() * 1000.0 / each.len().max(1) as f64;
            each.sort();
            let (p50, p99) = (percentile(&each, 50), percentile(&each, 99));
            text.push_str(&format!("| {kind} | {name} | {count} | {p50:.3} | {p99:.3} | {mean:.3} |\n"));
        }
    }
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}
