//! Waits, cancels and stops as Temporal has them: time without any engine, signals before their wait, cancels that come to
//! an activity, and Temporal's own cancel and end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mcsp_distributed::{TemporalEngine, TemporalOptions};
use mcsp_runtime::saga::{SagaDefinition, Step};
use mcsp_runtime::{SagaEngine, SagaState, StageError, StepState};
use serde_json::json;
use temporalio_client::{
    Client, ClientOptions, Connection, ConnectionOptions, UntypedWorkflow, Url, WorkflowCancelOptions, WorkflowHandle,
    WorkflowTerminateOptions,
};
use tokio::sync::Notify;

use super::{fresh, open, reaches, status, until};

fn waits_for(silence: Duration) -> Vec<SagaDefinition> {
    let wait =
        Step::wait("w", "go", silence, |(): &mut (), seen| Ok(!seen.is_empty())).undo(|(): (), _| async { Ok(()) });
    vec![SagaDefinition { name: "waits", version: 1, steps: vec![wait] }]
}

/// Returns a saga's workflow as an operator sees it.
async fn workflow(options: &TemporalOptions, id: &str) -> WorkflowHandle<Client, UntypedWorkflow> {
    let target = Url::parse(&format!("http://{}", options.address)).unwrap();
    let connection = Connection::connect(ConnectionOptions::new(target).build()).await.unwrap();
    let client = Client::new(connection, ClientOptions::new(&options.namespace).build()).unwrap();
    client.get_workflow_handle::<UntypedWorkflow>(id)
}

async fn waits(engine: &TemporalEngine, id: &str) {
    until(&format!("{id} waits"), || async { status(engine, id).await.waits_for.is_some() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_without_any_engine_ends_no_wait() {
    let Some(address) = crate::engine::address("temporal") else { return };
    // A silence of more than half a second is a night here.
    let options = TemporalOptions { idle: Duration::from_millis(500), ..fresh(&address).await };
    let silence = Duration::from_secs(4);
    let evening = open(&options, waits_for(silence)).await;
    evening.start("film", "waits", json!(null)).await.unwrap();
    waits(&evening, "film").await;
    drop(evening);
    let night = Instant::now();
    until("the deadline has passed", || async { night.elapsed() > silence * 2 }).await;
    let morning = open(&options, waits_for(silence)).await;
    let woken = status(&morning, "film").await;
    assert_eq!(woken.state, SagaState::Running, "{woken:?}");
    morning.signal("film", "go", json!(1)).await.unwrap();
    reaches(&morning, "film", SagaState::Completed).await;

    // By day, a wait ends at its deadline though it is looked at many times before.
    let begin = Instant::now();
    morning.start("silent", "waits", json!(null)).await.unwrap();
    let ended = reaches(&morning, "silent", SagaState::RolledBack).await;
    assert!(begin.elapsed() >= silence, "{:?}", begin.elapsed());
    assert_eq!(ended.reason.as_deref(), Some("step w waited in vain: 0 of signal \"go\" came, then none for 4s"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_moves_a_deadline() {
    let Some(address) = crate::engine::address("temporal") else { return };
    let engine = open(&fresh(&address).await, waits_for(Duration::from_secs(600))).await;
    engine.start("film", "waits", json!(null)).await.unwrap();
    waits(&engine, "film").await;
    let deadline_us = || async { status(&engine, "film").await.waits_for.unwrap().deadline_us };
    let first_us = deadline_us().await;
    engine.signal("film", "progress", json!(1)).await.unwrap();
    let second_us = deadline_us().await;
    assert!(second_us > first_us);
    engine.signal("film", "progress", json!(1)).await.unwrap();
    engine.signal("film", "other", json!(1)).await.unwrap();
    assert_eq!(deadline_us().await, second_us, "nothing new came under a name that counts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_ends_the_repetitions_of_a_step_at_once() {
    let Some(address) = crate::engine::address("temporal") else { return };
    let (runs, options) = (Arc::new(AtomicU32::new(0)), fresh(&address).await);
    let counted = runs.clone();
    let failing = Step::run("failing", move |(): (), _| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Err::<(), _>(StageError::Retry("out of order".to_owned(), None)) }
    });
    let failing = failing.undo(|(): (), _| async { Ok(()) });
    let engine = open(&options, vec![SagaDefinition { name: "fails", version: 1, steps: vec![failing] }]).await;
    engine.start("film", "fails", json!(null)).await.unwrap();
    // The pause before the next run is of more than a second by now.
    until("it was tried four times", || async { status(&engine, "film").await.attempts >= 4 }).await;
    assert_eq!(status(&engine, "film").await.last_error.as_deref(), Some("step failing: out of order"));
    engine.cancel("film", "deleted").await.unwrap();
    let ended = reaches(&engine, "film", SagaState::RolledBack).await;
    assert_eq!(
        (ended.reason.as_deref(), ended.steps),
        (Some("deleted"), vec![("failing".to_owned(), StepState::Undone)])
    );
    let counted = runs.load(Ordering::Relaxed);
    assert!((4..=5).contains(&counted), "{counted} runs");
}

/// A step that begins, and ends when it is told to.
fn held(begun: &Arc<AtomicU32>, freed: &Arc<Notify>, ended: &Arc<AtomicU32>) -> Step {
    let (begun, freed, ended) = (begun.clone(), freed.clone(), ended.clone());
    Step::run("long", move |(): (), _| {
        let (freed, ended) = (freed.clone(), ended.clone());
        begun.fetch_add(1, Ordering::Relaxed);
        async move {
            freed.notified().await;
            ended.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_in_an_activity_lets_the_run_end_and_undoes_it() {
    let Some(address) = crate::engine::address("temporal") else { return };
    let (begun, freed, ended) = (Arc::default(), Arc::new(Notify::new()), Arc::default());
    let undone = Arc::new(AtomicU32::new(0));
    let seen = (undone.clone(), Arc::clone(&ended));
    let step = held(&begun, &freed, &ended).undo(move |(): (), _| {
        seen.0.store(1 + seen.1.load(Ordering::Relaxed), Ordering::Relaxed);
        async { Ok(()) }
    });
    let options = fresh(&address).await;
    let engine = open(&options, vec![SagaDefinition { name: "long", version: 1, steps: vec![step] }]).await;
    engine.start("film", "long", json!(null)).await.unwrap();
    until("the step has begun", || async { begun.load(Ordering::Relaxed) == 1 }).await;
    engine.cancel("film", "deleted").await.unwrap();
    let begin = Instant::now();
    // Longer than a lease: the activity is told of the cancel by then, and still has its process.
    until("a lease has passed", || async { begin.elapsed() > options.lease * 2 }).await;
    assert_eq!(undone.load(Ordering::Relaxed), 0, "the run is in hand");
    assert_eq!(status(&engine, "film").await.state, SagaState::Undoing);
    freed.notify_one();
    reaches(&engine, "film", SagaState::RolledBack).await;
    assert_eq!(undone.load(Ordering::Relaxed), 2, "undone after its end");
    assert_eq!(begun.load(Ordering::Relaxed), 1, "and not repeated");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_lets_the_step_in_hand_end_and_begins_no_other() {
    let Some(address) = crate::engine::address("temporal") else { return };
    let (begun, freed, ended) = (Arc::default(), Arc::new(Notify::new()), Arc::default());
    let after = Arc::new(AtomicU32::new(0));
    let definitions = || {
        let after = after.clone();
        let next = Step::run("next", move |(): (), _| {
            after.fetch_add(1, Ordering::Relaxed);
            async { Ok(()) }
        });
        vec![SagaDefinition { name: "long", version: 1, steps: vec![held(&begun, &freed, &ended), next] }]
    };
    let options = fresh(&address).await;
    let engine = open(&options, definitions()).await;
    engine.start("one", "long", json!(null)).await.unwrap();
    until("the step has begun", || async { begun.load(Ordering::Relaxed) == 1 }).await;
    let stopping = tokio::spawn(engine.stop(Duration::from_secs(30)));
    freed.notify_one();
    stopping.await.unwrap();
    assert_eq!((ended.load(Ordering::Relaxed), after.load(Ordering::Relaxed)), (1, 0));
    let engine = open(&options, definitions()).await;
    reaches(&engine, "one", SagaState::Completed).await;
    assert_eq!(
        (begun.load(Ordering::Relaxed), after.load(Ordering::Relaxed)),
        (1, 1),
        "no step is repeated after an orderly stop"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn temporals_own_cancel_undoes_and_its_end_is_told() {
    let Some(address) = crate::engine::address("temporal") else { return };
    let options = fresh(&address).await;
    let engine = open(&options, waits_for(Duration::from_secs(600))).await;
    for id in ["cancelled", "ended"] {
        engine.start(id, "waits", json!(null)).await.unwrap();
        waits(&engine, id).await;
    }
    let cancelled = workflow(&options, "cancelled").await;
    cancelled.cancel(WorkflowCancelOptions::builder().reason("by an operator").build()).await.unwrap();
    let undone = reaches(&engine, "cancelled", SagaState::RolledBack).await;
    assert_eq!(undone.reason.as_deref(), Some("by an operator"));
    assert_eq!(undone.steps, [("w".to_owned(), StepState::Undone)]);

    workflow(&options, "ended").await.terminate(WorkflowTerminateOptions::default()).await.unwrap();
    let ended = status(&engine, "ended").await;
    let why = "workflow was ended in temporal (Terminated): nothing drives this saga";
    assert_eq!((ended.state, ended.last_error.as_deref()), (SagaState::Running, Some(why)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_that_were_mended_are_told() {
    let Some(address) = crate::engine::address("temporal") else { return };
    let flaky = Step::run("flaky", |(): (), cx| async move {
        if cx.attempt < 3 { Err(StageError::Retry(format!("busy at {}", cx.attempt), None)) } else { Ok(()) }
    });
    let engine =
        open(&fresh(&address).await, vec![SagaDefinition { name: "flaky", version: 1, steps: vec![flaky] }]).await;
    engine.start("film", "flaky", json!(null)).await.unwrap();
    let done = reaches(&engine, "film", SagaState::Completed).await;
    assert_eq!(done.last_error.as_deref(), Some("step flaky: busy at 2"));
}
