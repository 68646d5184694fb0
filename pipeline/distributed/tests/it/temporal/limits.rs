//! Limits: journals that are full, steps that never end well, ids in a listing.

use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use mcsp_runtime::saga::{SagaDefinition, Step};
use mcsp_runtime::{SagaEngine, SagaState, StageError, Start};
use serde_json::json;

use super::{fresh, open, reaches, status, until};

fn waits() -> Vec<SagaDefinition> {
    let wait = Step::wait("w", "go", Duration::from_secs(600), |(): &mut (), seen| Ok(!seen.is_empty()));
    vec![SagaDefinition { name: "waits", version: 1, steps: vec![wait] }]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_journal_takes_no_signals_and_still_ends() {
    let Some(address) = crate::engine::address("temporal") else { return };
    let engine = open(&fresh(&address).await, waits()).await;
    engine.start("chatty", "waits", json!(null)).await.unwrap();
    let text = "x".repeat(60_000);
    let mut taken = 0u32;
    let error = loop {
        // Several at once, for the sake of time: a limit is checked before each, so a few more may slip in.
        let numbers = (taken..taken + 16).map(|number| engine.signal("chatty", "progress", json!([number, text])));
        match try_join_all(numbers).await {
            Ok(_) => taken += 16,
            Err(error) => break error,
        }
        assert!(taken < 1000, "no end of signals");
    };
    assert!(error.to_string().ends_with("entries and takes no more signals"), "{error}");
    assert!(taken > 100, "full after {taken} signals");
    engine.cancel("chatty", "enough").await.unwrap();
    reaches(&engine, "chatty", SagaState::RolledBack).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_signal_leaves_no_trace() {
    let Some(address) = crate::engine::address("temporal") else { return };
    let engine = open(&fresh(&address).await, waits()).await;
    engine.start("film", "waits", json!(null)).await.unwrap();
    engine.signal("film", "progress", json!(1)).await.unwrap();
    until("it waits", || async { status(&engine, "film").await.waits_for.is_some() }).await;
    engine.signal("film", "progress", json!(1)).await.unwrap();
    engine.signal("film", "progress", json!(2)).await.unwrap();
    let history = String::from_utf8(engine.history("film").await.unwrap().unwrap()).unwrap();
    assert_eq!(history.matches("WorkflowExecutionSignaledEventAttributes").count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_panics_again_and_again_fails() {
    let Some(address) = crate::engine::address("temporal") else { return };
    let step = Step::run("deadly", |(): (), _| async {
        assert!(std::hint::black_box(false), "a step that panics");
        Ok::<(), StageError>(())
    });
    let list = SagaDefinition { name: "deadly", version: 1, steps: vec![step.attempts(2)] };
    let engine = open(&fresh(&address).await, vec![list]).await;
    engine.start("one", "deadly", json!(null)).await.unwrap();
    let reason = reaches(&engine, "one", SagaState::RolledBack).await.reason;
    assert_eq!(reason.as_deref(), Some("step deadly failed: no run ended in 2 attempts"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_goes_on_after_any_id() {
    let Some(address) = crate::engine::address("temporal") else { return };
    let engine = open(&fresh(&address).await, waits()).await;
    let ids = ["a'b\\c", "f-1:1", "f-1:2", "f/1:1", "ü:1"];
    for (number, id) in ids.into_iter().enumerate() {
        if number % 2 == 1 {
            // Its workflow is begun by the signal, and goes on elsewhere when it is started.
            engine.signal(id, "other", json!(1)).await.unwrap();
        }
        assert_eq!(engine.start(id, "waits", json!(null)).await.unwrap(), Start::Started);
        assert_eq!(engine.start(id, "waits", json!(null)).await.unwrap(), Start::AlreadyThere);
    }
    let all_run = || async {
        let listed = engine.list(None).await.unwrap();
        let waits = Some(("waits".to_owned(), 1));
        listed.len() == ids.len()
            && listed.iter().all(|saga| saga.definition == waits && saga.state == SagaState::Running)
    };
    until("all are listed", all_run).await;
    for (number, id) in ids.iter().enumerate() {
        let listed = engine.list(Some(id)).await.unwrap();
        let listed: Vec<&str> = listed.iter().map(|saga| saga.id.as_str()).collect();
        assert_eq!(listed, ids[number + 1..], "after {id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_starts_starts() {
    let Some(address) = crate::engine::address("temporal") else { return };
    let options = fresh(&address).await;
    let engines = [open(&options, waits()).await, open(&options, waits()).await];
    engines[0].cancel("cancelled first", "deleted").await.unwrap();
    for id in ["fresh", "cancelled first"] {
        let starts = (0..8).map(|number| engines[number % 2].start(id, "waits", json!(null)));
        let started = join_all(starts).await.into_iter().filter(|start| *start.as_ref().unwrap() == Start::Started);
        assert_eq!(started.count(), 1, "{id}");
    }
    let ended = reaches(&engines[1], "cancelled first", SagaState::RolledBack).await;
    assert_eq!(ended.reason.as_deref(), Some("deleted"));
}
