//! What the stage loop promises on every pair of log and ledger: each record's effect once, failures set aside or given up
//! by name, nothing lost when a process stops or loses its lease.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use mcsp_domain::{Bucket, ContentId, EventId, ObjectKey, Placement, Revision, SessionId, Tier, UserId};
use mcsp_events::{
    Asset, ChunkTranscoded, Event, GroupName, Message, Outgoing, Seal, SourceObject, Topic, TopicName, TraceParent,
    UploadCompleted, UploadInitiated,
};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::eventually::eventually;
use crate::stage::{Backoff, BatchStage, Context, Runner, RunnerOptions, Stage, pause, resume};
use crate::{Claim, ClaimRequest, EventLog, Record, StageError, TtlStore};

/// A log and the ledger that belongs to it.
pub type Engines = (Arc<dyn EventLog>, Arc<dyn TtlStore>);

/// Holds the stage loop to its promises. `make` gives fresh, empty engines each time.
pub async fn stage_loop<F: Future<Output = Engines>>(make: impl Fn() -> F) {
    each_record_once(make().await).await;
    failures_are_sorted(make().await).await;
    a_held_record_waits(make().await).await;
    a_killer_is_given_up(make().await).await;
    a_drain_hands_back(make().await).await;
    a_lost_partition_does_not_count(make().await).await;
    a_paused_group_rests(make().await).await;
    a_cancelled_revision_stops(make().await).await;
    a_dead_letter_is_tried_again(make().await).await;
    one_bad_record_of_a_batch(make().await).await;
}

/// What the test's stage does with an upload is told by its file name.
struct Scripted {
    runs: AtomicU32,
    /// Runs that came to their end: those that were stopped are not among them.
    ends: AtomicU32,
    healed: AtomicBool,
    gate: Notify,
}

impl Scripted {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            runs: AtomicU32::new(0),
            ends: AtomicU32::new(0),
            healed: AtomicBool::new(false),
            gate: Notify::new(),
        })
    }
}

impl Stage for Scripted {
    const NAME: &'static str = "scripted";
    const GROUP: &'static str = "upload-ingestor";
    type Input = UploadInitiated;
    const OUTPUTS: &'static [Topic] = &[Topic::UploadCompleted];

    async fn handle(&self, input: UploadInitiated, cx: &Context) -> Result<Vec<Outgoing>, StageError> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        let healed = self.healed.load(Ordering::SeqCst);
        match input.file_name.as_str() {
            "flaky" if cx.attempt() < 3 => return Err(StageError::retry("not yet", "the store is away")),
            "hopeless" => return Err(StageError::retry("never", "the store is gone")),
            "bad" if !healed => return Err(StageError::refuse("it is bad")),
            "panics" if cx.attempt() < 2 => std::panic::resume_unwind(Box::new("a broken promise")),
            "undeclared" => return Ok(vec![Outgoing::of(0, &chunk(&input.asset))]),
            "stuck" if !healed => self.gate.notified().await,
            _ => {}
        }
        self.ends.fetch_add(1, Ordering::SeqCst);
        Ok(vec![Outgoing::of(0, &completed(&input))])
    }
}

fn upload(number: u32, file_name: &str) -> UploadInitiated {
    let id = |kind: u8| {
        let mut random = [kind; 10];
        random[..4].copy_from_slice(&number.to_be_bytes());
        random
    };
    let bucket = Bucket::parse("test").unwrap_or_else(|_| unreachable!("a literal bucket"));
    let key = ObjectKey::parse("uploads/x").unwrap_or_else(|_| unreachable!("a literal key"));
    UploadInitiated {
        asset: Asset {
            content: ContentId::new(1, &id(1)),
            revision: Revision::FIRST,
            placement: Placement { region: "test".to_owned(), bucket, tier: Tier::Hot },
        },
        owner: UserId::new(1, &id(2)),
        session: SessionId::new(1, &id(3)),
        source: SourceObject { key, etag: "x".to_owned(), len_bytes: 1 },
        file_name: file_name.to_owned(),
        title: String::new(),
    }
}

fn completed(input: &UploadInitiated) -> UploadCompleted {
    UploadCompleted {
        asset: input.asset.clone(),
        owner: input.owner,
        source: input.source.clone(),
        container: "mp4".to_owned(),
        duration_ms: None,
        file_name: input.file_name.clone(),
        title: input.title.clone(),
    }
}

fn chunk(asset: &Asset) -> ChunkTranscoded {
    let plan = mcsp_domain::PlanId::new(1, &[0; 10]);
    ChunkTranscoded { asset: asset.clone(), plan, chunk: 0, chunk_count: 1 }
}

fn message(event: &impl Event, name: &str) -> Message {
    let traceparent = TraceParent::new(0xabc, 0xdef, true);
    let seal = Seal { source: "test", now_us: crate::now_us(), traceparent, ..Seal::default() };
    match Outgoing::once(event.key().as_bytes(), name, event).seal(&seal) {
        Ok(message) => message,
        Err(error) => panic!("a small event was refused: {error}"),
    }
}

async fn send(log: &dyn EventLog, names: &[&str]) -> Vec<EventId> {
    let uploads = names.iter().zip(0_u32..).map(|(name, number)| message(&upload(number, name), name));
    let uploads: Vec<Message> = uploads.collect();
    let ids = uploads.iter().map(|upload| upload.headers.id).collect();
    log.append(uploads).await.unwrap_or_else(|error| panic!("append: {error}"));
    ids
}

async fn records(log: &dyn EventLog, topic: &TopicName) -> Vec<Record> {
    let mut records = Vec::new();
    // A group's dead letters have no topic before the first of them.
    let Ok(spans) = log.partitions(topic).await else { return records };
    for span in spans {
        let read = log.read(topic, span.partition, span.begin_offset, 10_000).await;
        records.extend(read.unwrap_or_else(|error| panic!("read: {error}")));
    }
    records
}

async fn of(log: &dyn EventLog, topic: Topic) -> Vec<Record> {
    records(log, &topic.into()).await
}

async fn dead(log: &dyn EventLog) -> Vec<Record> {
    records(log, &TopicName::dead(&group())).await
}

fn group() -> GroupName {
    GroupName::parse(Scripted::GROUP).unwrap_or_else(|_| unreachable!("a literal group"))
}

fn options(worker: &str) -> RunnerOptions {
    RunnerOptions {
        lease: Duration::from_millis(900),
        slots: 4,
        attempts_max: 4,
        backoff: Backoff { first: Duration::from_millis(10), max: Duration::from_millis(50) },
        drain: Duration::from_millis(100),
        ..RunnerOptions::new(worker)
    }
}

/// A running stage that can be told to stop.
struct Running {
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    fn start(engines: &Engines, worker: &str, stage: &Arc<Scripted>) -> Self {
        let (log, ledger) = engines.clone();
        Self::run(Runner::new(log, ledger, options(worker)), stage)
    }

    fn run(runner: Runner, stage: &Arc<Scripted>) -> Self {
        let (shutdown, stage) = (CancellationToken::new(), Arc::clone(stage));
        let token = shutdown.clone();
        let task = tokio::spawn(async move {
            runner.run(stage, token).await.unwrap_or_else(|error| panic!("the stage did not run: {error}"));
        });
        Self { shutdown, task }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap_or_else(|error| panic!("the loop died: {error}"));
    }
}

async fn is_settled(log: &dyn EventLog) -> bool {
    let lag = log.lag(&group()).await.unwrap_or_else(|error| panic!("lag: {error}"));
    // A group that has not joined yet has no lag to tell of.
    !lag.is_empty() && lag.iter().all(|lag| lag.records == 0)
}

async fn settled(log: &Arc<dyn EventLog>) {
    eventually("the group has no lag", || async { is_settled(log.as_ref()).await }).await;
}

async fn each_record_once(engines: Engines) {
    let (log, _) = &engines;
    let names: Vec<String> = (0..40).map(|number| format!("film {number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let ids = send(log.as_ref(), &names).await;
    let (one, two) = (Scripted::new(), Scripted::new());
    let runs = [Running::start(&engines, "one", &one), Running::start(&engines, "two", &two)];
    settled(log).await;
    send(log.as_ref(), &names).await;
    settled(log).await;
    let outputs = of(log.as_ref(), Topic::UploadCompleted).await;
    let causes: BTreeSet<EventId> = outputs.iter().filter_map(|record| record.headers.cause).collect();
    assert_eq!(causes, ids.into_iter().collect(), "one output for each input");
    assert_eq!(outputs.len(), 40, "and none twice");
    for output in &outputs {
        let headers = &output.headers;
        assert_eq!((headers.source.as_str(), headers.attempt), ("scripted", Some(1)));
        assert!(headers.worker.is_some() && headers.started_us <= Some(headers.time_us));
        let trace = headers.traceparent.as_ref().map(TraceParent::trace_id);
        assert_eq!(trace, Some("00000000000000000000000000000abc"), "the trace goes on");
    }
    assert_eq!(one.runs.load(Ordering::SeqCst) + two.runs.load(Ordering::SeqCst), 40);
    for run in runs {
        run.stop().await;
    }
}

async fn failures_are_sorted(engines: Engines) {
    let (log, _) = &engines;
    let names = ["flaky", "good", "hopeless", "bad", "panics", "undeclared"];
    let ids = send(log.as_ref(), &names).await;
    let mut newer = message(&upload(99, "good"), "newer");
    newer.headers.version = 2;
    log.append(vec![newer]).await.unwrap_or_else(|error| panic!("append: {error}"));
    let run = Running::start(&engines, "one", &Scripted::new());
    settled(log).await;
    run.stop().await;
    let outputs = of(log.as_ref(), Topic::UploadCompleted).await;
    let attempts = |id: EventId| outputs.iter().find(|record| record.headers.cause == Some(id))?.headers.attempt;
    assert_eq!([attempts(ids[0]), attempts(ids[1]), attempts(ids[4])], [Some(3), Some(1), Some(2)]);
    assert_eq!(outputs.len(), 3);
    let mut stories = Vec::new();
    for letter in dead(log.as_ref()).await {
        let Some(end) = letter.headers.dead else { panic!("a dead letter without its end") };
        assert!(end.position.starts_with("media.upload.initiated:"), "{}", end.position);
        stories.push((end.attempts, end.error));
    }
    stories.sort();
    let expected = [
        (1, "it is bad".to_owned()),
        (1, "stage scripted does not declare its output media.chunk.transcoded".to_owned()),
        (1, "the record cannot be read: event of topic media.upload.initiated has version 2, this build reads version 1".to_owned()),
        (4, "never: the store is gone".to_owned()),
    ];
    assert_eq!(stories, expected);
    let failed = of(log.as_ref(), Topic::StageFailed).await;
    let events: BTreeSet<EventId> = failed.iter().filter_map(|record| record.headers.cause).collect();
    assert_eq!(failed.len(), 4, "each is told once");
    assert!(events.contains(&ids[2]) && events.contains(&ids[3]) && events.contains(&ids[5]));
}

async fn a_held_record_waits(engines: Engines) {
    let (log, ledger) = &engines;
    send(log.as_ref(), &["held"]).await;
    let [record] = &of(log.as_ref(), Topic::UploadInitiated).await[..] else { panic!("one record was sent") };
    let (namespace, entries) = (format!("{}.{}", Scripted::GROUP, 0), [record.ledger_entry()]);
    let lease = Duration::from_millis(400);
    let other = ClaimRequest { namespace: &namespace, entries: &entries, owner: "somebody else", lease };
    let claimed = ledger.claim(&other).await.unwrap_or_else(|error| panic!("claim: {error}"));
    assert_eq!(claimed, [Claim::Fresh]);
    let began = std::time::Instant::now();
    let run = Running::start(&engines, "one", &Scripted::new());
    settled(log).await;
    assert!(began.elapsed() >= lease / 2, "the record was handled while another held it");
    run.stop().await;
    assert_eq!(of(log.as_ref(), Topic::UploadCompleted).await.len(), 1, "held is not skipped");
}

async fn a_killer_is_given_up(engines: Engines) {
    let (log, ledger) = &engines;
    send(log.as_ref(), &["good"]).await;
    let [record] = &of(log.as_ref(), Topic::UploadInitiated).await[..] else { panic!("one record was sent") };
    let (namespace, entries) = (format!("{}.{}", Scripted::GROUP, 0), [record.ledger_entry()]);
    // Four processes take it and are never heard of again.
    for owner in ["1", "2", "3", "4"] {
        let claim = ClaimRequest { namespace: &namespace, entries: &entries, owner, lease: Duration::from_millis(20) };
        let taken = || async { matches!(ledger.claim(&claim).await.as_deref(), Ok([Claim::Fresh | Claim::Again(_)])) };
        eventually("the claim before has run out", taken).await;
    }
    let stage = Scripted::new();
    let run = Running::start(&engines, "one", &stage);
    settled(log).await;
    run.stop().await;
    assert_eq!(stage.runs.load(Ordering::SeqCst), 0, "a killer was let in again");
    let letters = dead(log.as_ref()).await;
    let story = letters.first().and_then(|letter| letter.headers.dead.as_ref()).map(|end| end.error.as_str());
    assert_eq!(story, Some("4 runs ended with their process or were never heard of again"));
}

async fn a_drain_hands_back(engines: Engines) {
    let (log, _) = &engines;
    send(log.as_ref(), &["stuck"]).await;
    let stage = Scripted::new();
    let run = Running::start(&engines, "one", &stage);
    eventually("the handler runs", || async { stage.runs.load(Ordering::SeqCst) == 1 }).await;
    run.stop().await;
    assert!(!is_settled(log.as_ref()).await, "a drained record is not done");
    stage.healed.store(true, Ordering::SeqCst);
    let run = Running::start(&engines, "two", &stage);
    settled(log).await;
    run.stop().await;
    let outputs = of(log.as_ref(), Topic::UploadCompleted).await;
    assert_eq!(outputs.iter().map(|output| output.headers.attempt).collect::<Vec<_>>(), [Some(1)], "as it was");
}

async fn a_lost_partition_does_not_count(engines: Engines) {
    let (log, _) = &engines;
    send(log.as_ref(), &["stuck"]).await;
    let stage = Scripted::new();
    let run = Running::start(&engines, "one", &stage);
    eventually("the handler runs", || async { stage.runs.load(Ordering::SeqCst) == 1 }).await;
    // A replay takes the record out of the first run's hands: the second handles it under a new epoch.
    stage.healed.store(true, Ordering::SeqCst);
    let replayed = log.replay(&group(), &Topic::UploadInitiated.into(), crate::ReplayFrom::Beginning).await;
    assert_eq!(replayed.unwrap_or_else(|error| panic!("replay: {error}")), 1);
    settled(log).await;
    stage.gate.notify_waiters();
    run.stop().await;
    let (runs, ends) = (stage.runs.load(Ordering::SeqCst), stage.ends.load(Ordering::SeqCst));
    assert_eq!((runs, ends), (2, 1), "the run that lost its record was stopped");
    assert_eq!(of(log.as_ref(), Topic::UploadCompleted).await.len(), 1, "one effect, whoever had it");
}

async fn a_paused_group_rests(engines: Engines) {
    let (log, ledger) = &engines;
    pause(ledger.as_ref(), Scripted::GROUP, "maintenance").await.unwrap_or_else(|error| panic!("pause: {error}"));
    send(log.as_ref(), &["good"]).await;
    let stage = Scripted::new();
    let run = Running::start(&engines, "one", &stage);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(stage.runs.load(Ordering::SeqCst), 0, "a paused group handles nothing");
    resume(ledger.as_ref(), Scripted::GROUP).await.unwrap_or_else(|error| panic!("resume: {error}"));
    settled(log).await;
    run.stop().await;
    assert_eq!(stage.runs.load(Ordering::SeqCst), 1);
}

async fn a_cancelled_revision_stops(engines: Engines) {
    let (log, ledger) = engines.clone();
    send(log.as_ref(), &["good"]).await;
    let stage = Scripted::new();
    let runner = Runner::new(Arc::clone(&log), ledger, options("one"));
    let run = Running::run(runner.with_cancel_lookup(Arc::new(|_| Box::pin(async { true }))), &stage);
    settled(&log).await;
    run.stop().await;
    assert_eq!(stage.runs.load(Ordering::SeqCst), 0);
    assert!(of(log.as_ref(), Topic::UploadCompleted).await.is_empty() && dead(log.as_ref()).await.is_empty());
}

async fn a_dead_letter_is_tried_again(engines: Engines) {
    let (log, ledger) = &engines;
    send(log.as_ref(), &["bad"]).await;
    let stage = Scripted::new();
    let run = Running::start(&engines, "one", &stage);
    eventually("it is given up", || async { dead(log.as_ref()).await.len() == 1 }).await;
    stage.healed.store(true, Ordering::SeqCst);
    let [letter] = &dead(log.as_ref()).await[..] else { panic!("one dead letter") };
    crate::stage::redeliver(log.as_ref(), ledger.as_ref(), &group(), letter)
        .await
        .unwrap_or_else(|error| panic!("redeliver: {error}"));
    eventually("it is handled", || async { of(log.as_ref(), Topic::UploadCompleted).await.len() == 1 }).await;
    settled(log).await;
    run.stop().await;
    assert!(dead(log.as_ref()).await.is_empty(), "a letter that was delivered is dead no longer");
}

/// Counts uploads; knows one that it does not take.
struct Counting(AtomicU32);

impl BatchStage for Counting {
    const NAME: &'static str = "counting";
    const GROUP: &'static str = Scripted::GROUP;
    type Input = UploadInitiated;
    const OUTPUTS: &'static [Topic] = &[Topic::UploadCompleted];

    async fn handle(&self, inputs: Vec<UploadInitiated>, _: &Context) -> Result<Vec<Vec<Outgoing>>, StageError> {
        if inputs.iter().any(|input| input.file_name == "bad") {
            return Err(StageError::refuse("one of them is bad"));
        }
        let most = u32::try_from(inputs.len()).unwrap_or(u32::MAX);
        self.0.fetch_max(most, Ordering::SeqCst);
        Ok(inputs.iter().map(|input| vec![Outgoing::of(0, &completed(input))]).collect())
    }
}

async fn one_bad_record_of_a_batch(engines: Engines) {
    let (log, ledger) = engines;
    let names: Vec<String> = (0..300).map(|number| format!("film {number}")).collect();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names[150] = "bad";
    send(log.as_ref(), &names).await;
    let (stage, shutdown) = (Arc::new(Counting(AtomicU32::new(0))), CancellationToken::new());
    let runner = Runner::new(Arc::clone(&log), ledger, options("one"));
    let (running, token) = (Arc::clone(&stage), shutdown.clone());
    let task = tokio::spawn(async move { runner.run_batch(running, token).await });
    settled(&log).await;
    shutdown.cancel();
    assert!(matches!(task.await, Ok(Ok(()))), "the loop died");
    assert_eq!(of(log.as_ref(), Topic::UploadCompleted).await.len(), 299);
    assert_eq!(dead(log.as_ref()).await.len(), 1);
    assert!(stage.0.load(Ordering::SeqCst) > 10, "records came one by one");
}
