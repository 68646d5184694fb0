//! The embedded saga engine keeps its port's promises, and what is its own: repeated failures that do not fill the disk,
//! nights that do not count, old journals that go.
#![expect(clippy::unwrap_used, reason = "a panic in a test is its report, in helpers too")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mcsp_embedded::{JournalEngine, JournalOptions};
use mcsp_runtime::saga::{SagaDefinition, Step};
use mcsp_runtime::{SagaEngine, SagaState, StageError, Start, conformance};
use serde_json::json;

fn quick() -> JournalOptions {
    JournalOptions { lease: Duration::from_millis(600), poll: Duration::from_millis(50), ..JournalOptions::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_its_ports_promises() {
    let folder = tempfile::tempdir().unwrap();
    let count = AtomicU32::new(0);
    conformance::saga_engine(|| {
        let path = folder.path().join(format!("{}.db", count.fetch_add(1, Ordering::Relaxed)));
        move |definitions| {
            let path = path.clone();
            async move { Arc::new(JournalEngine::open(&path, definitions, quick()).await.unwrap()) as Arc<dyn SagaEngine> }
        }
    })
    .await;
}

async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let begin = Instant::now();
    while !condition().await {
        assert!(begin.elapsed() < Duration::from_secs(30), "waited in vain: {what}");
        tokio::time::timeout(Duration::from_millis(5), std::future::pending::<()>()).await.unwrap_err();
    }
}

async fn is(engine: &JournalEngine, id: &str, state: SagaState) -> bool {
    engine.status(id).await.unwrap().is_some_and(|status| status.state == state)
}

fn waits_for(silence: Duration) -> Vec<SagaDefinition> {
    let wait = Step::wait("w", "go", silence, |(): &mut (), seen| Ok(!seen.is_empty()));
    vec![SagaDefinition { name: "waits", version: 1, steps: vec![wait] }]
}

#[tokio::test]
async fn a_night_without_any_engine_ends_no_wait() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sagas.db");
    let silence = Duration::from_millis(1500);
    let begin = Instant::now();
    let evening = JournalEngine::open(&path, waits_for(silence), quick()).await.unwrap();
    evening.start("film", "waits", json!(null)).await.unwrap();
    drop(evening);
    until("the deadline has passed", || async { begin.elapsed() > silence * 2 }).await;
    // A silence of more than 100 ms is a night here.
    let options = JournalOptions { idle: Duration::from_millis(100), ..quick() };
    let morning = JournalEngine::open(&path, waits_for(silence), options).await.unwrap();
    let status = morning.status("film").await.unwrap().unwrap();
    assert_eq!(status.state, SagaState::Running, "{status:?}");
    morning.signal("film", "go", json!(1)).await.unwrap();
    until("the saga completes", || is(&morning, "film", SagaState::Completed)).await;
}

#[tokio::test]
async fn a_journal_in_use_is_of_bounded_length() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sagas.db");
    let engine = JournalEngine::open(&path, waits_for(Duration::from_secs(600)), quick()).await.unwrap();
    let mut taken = 0u32;
    let error = loop {
        match engine.signal("chatty", "progress", json!(taken)).await {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.to_string(), "journal of saga \"chatty\" has 4096 entries and takes no more signals");
    engine.start("chatty", "waits", json!(null)).await.unwrap();
    engine.cancel("chatty", "enough").await.unwrap();
    until("a full journal still ends", || is(&engine, "chatty", SagaState::RolledBack)).await;
}

#[tokio::test]
async fn ended_journals_go_and_their_ids_stay_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sagas.db");
    let engine = JournalEngine::open(&path, waits_for(Duration::from_millis(1)), quick()).await.unwrap();
    engine.start("ended", "waits", json!(null)).await.unwrap();
    engine.signal("never started", "go", json!(1)).await.unwrap();
    // A list reads the saga's row, which says that it is over once its driver has put it down.
    let over = || async {
        let listed = engine.list(None).await.unwrap();
        listed.iter().any(|saga| saga.id == "ended" && saga.state == SagaState::RolledBack)
    };
    until("the wait ends", over).await;
    let full = engine.status("ended").await.unwrap().unwrap();
    drop(engine);

    let options = JournalOptions { keep: Duration::ZERO, ..quick() };
    let engine = JournalEngine::open(&path, waits_for(Duration::from_secs(600)), options).await.unwrap();
    let row = engine.status("ended").await.unwrap().unwrap();
    assert_eq!((row.state, row.reason, row.definition), (full.state, full.reason, full.definition));
    assert_eq!((full.steps.len(), row.steps.len()), (1, 0), "the steps went with the journal");
    assert_eq!(engine.start("ended", "waits", json!(null)).await.unwrap(), Start::AlreadyThere);
    assert_eq!(engine.status("never started").await.unwrap(), None);
}

#[tokio::test]
async fn stop_lets_the_step_in_hand_end_and_begins_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sagas.db");
    let (begun, may_end, ran) =
        (Arc::new(AtomicBool::new(false)), Arc::new(tokio::sync::Notify::new()), Arc::default());
    let definitions = || {
        let (begun, may_end) = (begun.clone(), may_end.clone());
        let (first, second): (Arc<AtomicU32>, Arc<AtomicU32>) = (Arc::clone(&ran), Arc::clone(&ran));
        let long = Step::run("long", move |(): (), _| {
            let (begun, may_end, ran) = (begun.clone(), may_end.clone(), first.clone());
            async move {
                begun.store(true, Ordering::Release);
                may_end.notified().await;
                ran.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        });
        let next = Step::run("next", move |(): (), _| {
            second.fetch_add(100, Ordering::Relaxed);
            async { Ok(()) }
        });
        vec![SagaDefinition { name: "long", version: 1, steps: vec![long, next] }]
    };
    let engine = JournalEngine::open(&path, definitions(), quick()).await.unwrap();
    engine.start("one", "long", json!(null)).await.unwrap();
    until("the step has begun", || async { begun.load(Ordering::Acquire) }).await;
    let stopping = tokio::spawn(engine.stop(Duration::from_secs(30)));
    may_end.notify_one();
    stopping.await.unwrap();
    assert_eq!(ran.load(Ordering::Relaxed), 1);
    let engine = JournalEngine::open(&path, definitions(), quick()).await.unwrap();
    until("the rest is done by the next engine", || is(&engine, "one", SagaState::Completed)).await;
    assert_eq!(ran.load(Ordering::Relaxed), 101, "no step is repeated after an orderly stop");
}

#[tokio::test]
async fn a_step_that_kills_its_process_again_and_again_fails() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sagas.db");
    let panics = || {
        let step = Step::run("deadly", |(): (), _| async {
            assert!(std::hint::black_box(false), "a step that panics");
            Ok::<(), StageError>(())
        });
        vec![SagaDefinition { name: "deadly", version: 1, steps: vec![step.attempts(2)] }]
    };
    let options = JournalOptions { lease: Duration::from_millis(100), ..quick() };
    let engine = JournalEngine::open(&path, panics(), options).await.unwrap();
    engine.start("one", "deadly", json!(null)).await.unwrap();
    until("the saga ends", || is(&engine, "one", SagaState::RolledBack)).await;
    let reason = engine.status("one").await.unwrap().unwrap().reason;
    assert_eq!(reason.as_deref(), Some("step deadly failed: no run ended in 2 attempts"));
}
