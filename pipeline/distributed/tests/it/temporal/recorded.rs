//! Histories that a real server recorded, replayed without one: this build does what the build did that wrote them.
//! `UPDATE_GOLDEN=1` with a server records those that are missing; one that is there is never changed, since sagas of its
//! age may still be in progress.

use std::path::PathBuf;
use std::time::Duration;

use mcsp_distributed::{TemporalEngine, TemporalOptions, replay};
use mcsp_runtime::saga::{SagaDefinition, Step, StepContext};
use mcsp_runtime::{SagaEngine, SagaState, StageError};
use serde_json::json;

use super::{fresh, open, reaches, status, until};

/// Every history: how it came about stands in `play`.
const CASES: [&str; 8] = [
    "completed",
    "signalled-first",
    "not-started",
    "cancelled-in-step",
    "cancelled-in-wait",
    "waited-in-vain",
    "failed",
    "night",
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/temporal")
}

/// Run a, wait for two of `go`, run b, run c; all with an undo. Told by the id, b fails twice or hangs, c and an undo fail.
fn list() -> SagaDefinition {
    let wait = Step::wait("w", "go", Duration::from_secs(3), |seen: &mut Vec<String>, payloads| {
        seen.push("w".to_owned());
        Ok(payloads.len() >= 2)
    });
    SagaDefinition { name: "recorded", version: 1, steps: vec![run("a"), undone(wait), run("b"), run("c")] }
}

fn run(name: &'static str) -> Step {
    undone(Step::run(name, move |seen: Vec<String>, cx: StepContext| async move {
        match (cx.saga.as_str(), name, cx.attempt) {
            ("completed", "b", 1..=2) => Err(StageError::Retry("busy".to_owned(), None)),
            ("failed", "c", _) => Err(StageError::refuse("refused")),
            // Until the cancel comes and one more beat has told of it.
            ("cancelled-in-step", "b", _) => Err(StageError::Retry("busy until it is cancelled".to_owned(), None)),
            _ => Ok([seen, vec![name.to_owned()]].concat()),
        }
    }))
}

fn undone(step: Step) -> Step {
    step.undo(|_: Vec<String>, cx: StepContext| async move {
        match (cx.saga.as_str(), cx.step, cx.attempt) {
            ("failed", "b", 1..=2) => Err(StageError::refuse("not yet")),
            _ => Ok(()),
        }
    })
}

async fn both_signals(engine: &TemporalEngine, id: &str) {
    for number in 1..=2 {
        engine.signal(id, "go", json!(number)).await.unwrap();
    }
}

async fn waits(engine: &TemporalEngine, id: &str) {
    until(&format!("{id} waits"), || async { status(engine, id).await.waits_for.is_some() }).await;
}

/// Has a saga go the way that its id says, to its end.
async fn play(options: &TemporalOptions, engine: TemporalEngine, id: &str) -> TemporalEngine {
    match id {
        "not-started" => {
            both_signals(&engine, id).await;
            assert_eq!(status(&engine, id).await.state, SagaState::NotStarted);
            return engine;
        }
        "signalled-first" => both_signals(&engine, id).await,
        _ => {}
    }
    engine.start(id, "recorded", json!([])).await.unwrap();
    let end = match id {
        "completed" => {
            waits(&engine, id).await;
            engine.signal(id, "progress", json!(1)).await.unwrap();
            both_signals(&engine, id).await;
            SagaState::Completed
        }
        "signalled-first" => SagaState::Completed,
        "cancelled-in-step" => {
            both_signals(&engine, id).await;
            until("b is in hand", || async { status(&engine, id).await.attempts >= 2 }).await;
            engine.cancel(id, "deleted").await.unwrap();
            SagaState::RolledBack
        }
        "cancelled-in-wait" => {
            waits(&engine, id).await;
            engine.cancel(id, "deleted").await.unwrap();
            SagaState::RolledBack
        }
        "failed" => {
            both_signals(&engine, id).await;
            SagaState::RolledBack
        }
        "night" => return night(options, engine, id).await,
        _ => SagaState::RolledBack,
    };
    reaches(&engine, id, end).await;
    engine
}

async fn night(options: &TemporalOptions, evening: TemporalEngine, id: &str) -> TemporalEngine {
    waits(&evening, id).await;
    drop(evening);
    let begin = std::time::Instant::now();
    until("the night is over", || async { begin.elapsed() > Duration::from_secs(6) }).await;
    let morning = open(options, vec![list()]).await;
    assert_eq!(status(&morning, id).await.state, SagaState::Running);
    both_signals(&morning, id).await;
    reaches(&morning, id, SagaState::Completed).await;
    morning
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_are_recorded() {
    if std::env::var_os("UPDATE_GOLDEN").is_none() {
        return;
    }
    let Some(address) = crate::engine::address("temporal") else { return };
    std::fs::create_dir_all(folder()).unwrap();
    for id in CASES {
        let path = folder().join(format!("{id}.json"));
        if path.exists() {
            continue;
        }
        let options = TemporalOptions { idle: Duration::from_millis(1000), ..fresh(&address).await };
        let engine = play(&options, open(&options, vec![list()]).await, id).await;
        std::fs::write(path, engine.history(id).await.unwrap().unwrap()).unwrap();
    }
}

#[tokio::test]
async fn recorded_histories_are_followed() {
    for id in CASES {
        let history = std::fs::read(folder().join(format!("{id}.json"))).unwrap();
        let list = (id != "not-started").then(list);
        if let Err(error) = replay(list, &history).await {
            panic!("{id}: {}", mcsp_runtime::chain(&error));
        }
    }
}

/// Else the test above could not fail.
#[tokio::test]
async fn a_list_that_changed_without_a_new_version_is_found() {
    let history = std::fs::read(folder().join("completed.json")).unwrap();
    let mut changed = list();
    changed.steps.swap(2, 3);
    let error = replay(Some(changed), &history).await.unwrap_err();
    assert!(mcsp_runtime::chain(&error).to_lowercase().contains("nondeterminism"), "{}", mcsp_runtime::chain(&error));
    let mut shorter = list();
    shorter.steps.remove(1);
    replay(Some(shorter), &history).await.unwrap_err();
    replay(Some(list()), b"no history").await.unwrap_err();
}
