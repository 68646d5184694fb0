//! What every `SagaEngine` engine promises. Sagas act on a world in memory that outlives the engines under test, so that
//! an engine can be dropped in the midst of a step and another take over.

#![expect(clippy::unwrap_used, reason = "a suite's panic is a test's report")]

mod world;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use mcsp_domain::limits::{SAGA_ID_BYTES_MAX, SAGA_VALUE_BYTES_MAX};
use serde_json::{Value, json};

use super::eventually::eventually;
use crate::saga::SagaDefinition;
use crate::{SagaEngine, SagaState, SagaStatus, Start, StepState, now_us};
use world::{Trouble, World};

type Engine = Arc<dyn SagaEngine>;

/// Holds a `SagaEngine` engine to its port. `make` gives fresh storage each time; what it returns opens one more engine on
/// that storage, with those lists. Dropping an engine must be like its death. Leases should be short.
pub async fn saga_engine<B, F>(make: impl Fn() -> B)
where
    B: Fn(Vec<SagaDefinition>) -> F,
    F: Future<Output = Engine>,
{
    completes(make()).await;
    takes_signals_early_and_repeated(make()).await;
    unwinds_from_every_step(make()).await;
    retries_runs_and_undos(make()).await;
    ends_waits_at_their_deadline(make()).await;
    cancels_before_and_after(make()).await;
    cancels_in_every_step(make()).await;
    survives_a_death_in_every_step(make()).await;
    shares_sagas_between_engines(make()).await;
    keeps_old_lists_until_they_are_drained(make()).await;
    refuses_what_is_too_long(make()).await;
}

async fn status(engine: &Engine, id: &str) -> SagaStatus {
    engine.status(id).await.unwrap().unwrap()
}

async fn start(engine: &Engine, id: &str) {
    assert_eq!(engine.start(id, "suite", json!([])).await.unwrap(), Start::Started, "start of {id}");
}

async fn reaches(engine: &Engine, id: &str, state: SagaState) -> SagaStatus {
    eventually(&format!("{id} is {state:?}"), || async { status(engine, id).await.state == state }).await;
    status(engine, id).await
}

/// Waits until the engine waits for a signal.
async fn waits(engine: &Engine, id: &str) -> SagaStatus {
    eventually(&format!("{id} waits"), || async { status(engine, id).await.waits_for.is_some() }).await;
    status(engine, id).await
}

/// Waits until a step has had its effect.
async fn happens(world: &World, id: &str, what: &str) {
    eventually(&format!("{what} in {id}"), || async { world.log(id).iter().any(|line| line == what) }).await;
}

fn states(status: &SagaStatus) -> Vec<StepState> {
    status.steps.iter().map(|(_, state)| *state).collect()
}

async fn completes<F: Future<Output = Engine>>(open: impl Fn(Vec<SagaDefinition>) -> F) {
    let world = World::new();
    let engine = open(world.usual()).await;
    assert_eq!(engine.status("one").await.unwrap(), None);
    assert_eq!(engine.list(None).await.unwrap(), []);
    let error = engine.start("one", "nothing", json!([])).await.unwrap_err();
    assert_eq!(error.to_string(), "saga \"nothing\" is not registered");
    start(&engine, "one").await;
    let waiting = waits(&engine, "one").await;
    assert_eq!(waiting.definition, Some(("suite".to_owned(), 1)));
    assert_eq!((waiting.state, waiting.step.as_deref()), (SagaState::Running, Some("w")));
    assert_eq!(states(&waiting), [StepState::Done, StepState::InHand, StepState::Ahead, StepState::Ahead]);
    let waits_for = waiting.waits_for.unwrap();
    assert_eq!(waits_for.signal, "go");
    assert!((0..=600_000_000).contains(&(waits_for.deadline_us - now_us())), "{waits_for:?}");
    assert_eq!(engine.start("one", "suite", json!(["other"])).await.unwrap(), Start::AlreadyThere);

    engine.signal("one", "go", json!(1)).await.unwrap();
    let done = reaches(&engine, "one", SagaState::Completed).await;
    assert_eq!(states(&done), [StepState::Done; 4]);
    assert_eq!((done.reason, done.last_error, done.step), (None, None, None));

    assert_eq!(engine.start("one", "suite", json!([])).await.unwrap(), Start::AlreadyThere);
    engine.signal("one", "go", json!(2)).await.unwrap();
    engine.cancel("one", "too late").await.unwrap();
    start(&engine, "two").await;
    waits(&engine, "two").await;
    assert_eq!(world.log("one"), ["run a", "run b", "run c"]);
    assert_eq!(status(&engine, "one").await.state, SagaState::Completed, "the end is the end");
    let listed = engine.list(None).await.unwrap();
    let listed: Vec<(&str, SagaState)> = listed.iter().map(|saga| (saga.id.as_str(), saga.state)).collect();
    assert_eq!(listed, [("one", SagaState::Completed), ("two", SagaState::Running)]);
    assert_eq!(engine.list(Some("one")).await.unwrap().len(), 1);
}

async fn takes_signals_early_and_repeated<F: Future<Output = Engine>>(open: impl Fn(Vec<SagaDefinition>) -> F) {
    let world = World::new();
    let engine = open(vec![world.definition(1, 2, Duration::from_secs(600))]).await;
    engine.signal("early", "go", json!({"variant": 1})).await.unwrap();
    engine.signal("early", "other", json!(1)).await.unwrap();
    assert_eq!(status(&engine, "early").await.state, SagaState::NotStarted);
    assert_eq!(world.log("early"), Vec::<String>::new());
    world.hang("run a");
    start(&engine, "early").await;
    happens(&world, "early", "run a").await;
    engine.signal("early", "go", json!({"variant": 1})).await.unwrap();
    world.free("run a");
    waits(&engine, "early").await;
    engine.signal("early", "go", json!({"variant": 1})).await.unwrap();
    waits(&engine, "early").await;
    engine.signal("early", "go", json!({"variant": 2})).await.unwrap();
    reaches(&engine, "early", SagaState::Completed).await;
    assert_eq!(world.log("early"), ["run a", "run b", "run c"]);
}

async fn unwinds_from_every_step<F: Future<Output = Engine>>(open: impl Fn(Vec<SagaDefinition>) -> F) {
    let world = World::new();
    let engine = open(world.usual()).await;
    let all = ["undo c", "undo b", "undo w", "undo a"];
    for (failing, begun, undone) in [
        ("a", &["run a"][..], &["undo w", "undo a"][..]),
        ("b", &["run a", "run b"], &["undo b", "undo w", "undo a"]),
        ("c", &["run a", "run b", "run c"], &all),
    ] {
        let (id, what) = (format!("fails in {failing}"), format!("run {failing}"));
        world.trouble(&what, Trouble::Reject);
        engine.signal(&id, "go", json!(1)).await.unwrap();
        start(&engine, &id).await;
        let ended = reaches(&engine, &id, SagaState::RolledBack).await;
        world.heal(&what);
        assert_eq!(world.log(&id), [begun, undone].concat(), "undone in reverse, the failed step too");
        assert_eq!(world.things(&id), Vec::<String>::new());
        assert_eq!(ended.reason, Some(format!("step {failing} failed: {what} is refused")));
        assert_eq!(ended.last_error, Some(format!("step {failing}: {what} is refused")));
    }
}

async fn retries_runs_and_undos<F: Future<Output = Engine>>(open: impl Fn(Vec<SagaDefinition>) -> F) {
    let world = World::new();
    let engine = open(world.usual()).await;
    world.trouble("run b", Trouble::Retry(2));
    world.trouble("run c", Trouble::Reject);
    // An undo has no last word: it is tried again whatever it answers.
    world.trouble("undo b", Trouble::Reject);
    engine.signal("flaky", "go", json!(1)).await.unwrap();
    start(&engine, "flaky").await;
    happens(&world, "flaky", "undo b").await;
    let stuck = || async {
        let status = status(&engine, "flaky").await;
        status.state == SagaState::Undoing && status.step.as_deref() == Some("b") && status.attempts >= 2
    };
    eventually("an undo that fails shows in the status", stuck).await;
    let seen = status(&engine, "flaky").await;
    assert_eq!(seen.last_error.as_deref(), Some("undo of step b: undo b is refused"));
    assert_eq!(world.things("flaky"), ["a"], "the undo before it is made, the one after it waits");
    world.heal("undo b");
    reaches(&engine, "flaky", SagaState::RolledBack).await;
    let log = world.log("flaky");
    assert_eq!(log.iter().filter(|line| *line == "run b").count(), 3);
    assert_eq!(world.keys("flaky", "run b").len(), 1, "every run of a step has the same key");
    assert_ne!(world.keys("flaky", "run b"), world.keys("flaky", "undo b"));
    assert_eq!(log.last().map(String::as_str), Some("undo a"));
}

async fn ends_waits_at_their_deadline<F: Future<Output = Engine>>(open: impl Fn(Vec<SagaDefinition>) -> F) {
    let world = World::new();
    let engine = open(vec![world.definition(1, 2, Duration::from_millis(400))]).await;
    engine.signal("silent", "go", json!(1)).await.unwrap();
    start(&engine, "silent").await;
    let ended = reaches(&engine, "silent", SagaState::RolledBack).await;
    let reason = "step w waited in vain: 1 of signal \"go\" came, then none for 400ms";
    assert_eq!(ended.reason.as_deref(), Some(reason));
    engine.signal("silent", "go", json!(2)).await.unwrap();
    assert_eq!(world.log("silent"), ["run a", "undo w", "undo a"]);
}

async fn cancels_before_and_after<F: Future<Output = Engine>>(open: impl Fn(Vec<SagaDefinition>) -> F) {
    let world = World::new();
    let engine = open(world.usual()).await;
    engine.cancel("before", "deleted").await.unwrap();
    engine.cancel("before", "blocked").await.unwrap();
    start(&engine, "before").await;
    let ended = reaches(&engine, "before", SagaState::RolledBack).await;
    assert_eq!(ended.reason.as_deref(), Some("deleted"), "the first reason counts");
    assert_eq!(world.log("before"), ["undo w"], "no step began; what a wait is for may be under way");

    engine.signal("after", "go", json!(1)).await.unwrap();
    start(&engine, "after").await;
    reaches(&engine, "after", SagaState::Completed).await;
    engine.cancel("after", "deleted").await.unwrap();
    let still = status(&engine, "after").await;
    assert_eq!((still.state, still.reason), (SagaState::Completed, None));
    assert_eq!(world.things("after"), ["a", "b", "c"]);
}

async fn cancels_in_every_step<F: Future<Output = Engine>>(open: impl Fn(Vec<SagaDefinition>) -> F) {
    let world = World::new();
    let engine = open(world.usual()).await;
    for (hanging, undone) in [
        ("run a", &["undo w", "undo a"][..]),
        ("run b", &["undo b", "undo w", "undo a"]),
        ("run c", &["undo c", "undo b", "undo w", "undo a"]),
    ] {
        let id = format!("cancelled in {hanging}");
        world.hang(hanging);
        engine.signal(&id, "go", json!(1)).await.unwrap();
        start(&engine, &id).await;
        happens(&world, &id, hanging).await;
        engine.cancel(&id, "deleted").await.unwrap();
        world.free(hanging);
        let ended = reaches(&engine, &id, SagaState::RolledBack).await;
        assert_eq!(ended.reason.as_deref(), Some("deleted"));
        let log = world.log(&id);
        assert_eq!(log[log.len() - undone.len()..], *undone, "{id}");
        assert_eq!(log[log.len() - undone.len() - 1], hanging, "no step begins after the cancel");
        assert_eq!(world.things(&id), Vec::<String>::new(), "{id}");
    }

    start(&engine, "waiting").await;
    waits(&engine, "waiting").await;
    engine.cancel("waiting", "blocked").await.unwrap();
    reaches(&engine, "waiting", SagaState::RolledBack).await;
    assert_eq!(world.log("waiting"), ["run a", "undo w", "undo a"]);

    world.trouble("run b", Trouble::Reject);
    world.hang("undo w");
    engine.signal("undoing", "go", json!(1)).await.unwrap();
    start(&engine, "undoing").await;
    happens(&world, "undoing", "undo w").await;
    assert_eq!(status(&engine, "undoing").await.state, SagaState::Undoing);
    engine.cancel("undoing", "deleted").await.unwrap();
    world.free("undo w");
    let ended = reaches(&engine, "undoing", SagaState::RolledBack).await;
    assert_eq!(ended.reason.as_deref(), Some("step b failed: run b is refused"), "it was being undone already");
    assert_eq!(world.log("undoing"), ["run a", "run b", "undo b", "undo w", "undo a"]);
}

async fn survives_a_death_in_every_step<F: Future<Output = Engine>>(open: impl Fn(Vec<SagaDefinition>) -> F) {
    for hanging in ["run a", "run b", "run c", "undo c", "undo b", "undo w", "undo a"] {
        let world = World::new();
        let id = format!("dies in {hanging}");
        let undoes = hanging.starts_with("undo");
        if undoes {
            world.trouble("run c", Trouble::Reject);
        }
        world.hang(hanging);
        let first = open(world.usual()).await;
        first.signal(&id, "go", json!(1)).await.unwrap();
        start(&first, &id).await;
        happens(&world, &id, hanging).await;
        drop(first);
        world.free(hanging);
        let second = open(world.usual()).await;
        let (end, things) =
            if undoes { (SagaState::RolledBack, &[][..]) } else { (SagaState::Completed, &["a", "b", "c"][..]) };
        reaches(&second, &id, end).await;
        assert_eq!(world.things(&id), things, "{id}");
        let log = world.log(&id);
        assert_eq!(log.iter().filter(|line| *line == hanging).count(), 2, "the step in hand is repeated: {log:?}");
        assert_eq!(world.keys(&id, hanging).len(), 1, "with the same key");
        let mut steps = log.clone();
        steps.dedup();
        let expected = ["run a", "run b", "run c", "undo c", "undo b", "undo w", "undo a"];
        assert_eq!(steps, expected[..if undoes { 7 } else { 3 }], "nothing else is");
    }

    let world = World::new();
    let first = open(world.usual()).await;
    start(&first, "dies waiting").await;
    waits(&first, "dies waiting").await;
    drop(first);
    let second = open(world.usual()).await;
    second.signal("dies waiting", "go", json!(1)).await.unwrap();
    reaches(&second, "dies waiting", SagaState::Completed).await;
    assert_eq!(world.log("dies waiting"), ["run a", "run b", "run c"]);
}

async fn shares_sagas_between_engines<F: Future<Output = Engine>>(open: impl Fn(Vec<SagaDefinition>) -> F) {
    let world = World::new();
    let engines = [open(world.usual()).await, open(world.usual()).await];
    let ids: Vec<String> = (0..20).map(|number| format!("shared {number:02}")).collect();
    for (number, id) in ids.iter().enumerate() {
        start(&engines[number % 2], id).await;
        assert_eq!(engines[(number + 1) % 2].start(id, "suite", json!([])).await.unwrap(), Start::AlreadyThere);
    }
    for (number, id) in ids.iter().enumerate() {
        engines[(number / 2) % 2].signal(id, "go", Value::Null).await.unwrap();
    }
    for id in &ids {
        reaches(&engines[0], id, SagaState::Completed).await;
        assert_eq!(world.log(id), ["run a", "run b", "run c"], "one engine at a time drives {id}");
    }
    let listed = engines[1].list(None).await.unwrap();
    assert_eq!(listed.iter().map(|saga| saga.id.clone()).collect::<Vec<_>>(), ids);
}

async fn keeps_old_lists_until_they_are_drained<F: Future<Output = Engine>>(open: impl Fn(Vec<SagaDefinition>) -> F) {
    let world = World::new();
    let list = |version| world.definition(version, 1, Duration::from_secs(600));
    let old = open(vec![list(1)]).await;
    start(&old, "old").await;
    waits(&old, "old").await;
    drop(old);

    let without = open(vec![list(2)]).await;
    without.signal("old", "go", json!(1)).await.unwrap();
    start(&without, "new").await;
    waits(&without, "new").await;
    let unknown = status(&without, "old").await;
    assert_eq!(unknown.last_error.as_deref(), Some("saga suite version 1 is not known to this build"));
    assert_eq!((unknown.state, unknown.definition), (SagaState::Running, Some(("suite".to_owned(), 1))));
    assert_eq!(world.log("old"), ["run a"], "left alone");
    drop(without);

    let both = open(vec![list(1), list(2)]).await;
    reaches(&both, "old", SagaState::Completed).await;
    both.signal("new", "go", json!(1)).await.unwrap();
    reaches(&both, "new", SagaState::Completed).await;
    assert_eq!(world.log("old"), ["run a", "run b", "run c"]);
    assert_eq!(world.log("new"), ["run d", "run a", "run b", "run c"]);
}

async fn refuses_what_is_too_long<F: Future<Output = Engine>>(open: impl Fn(Vec<SagaDefinition>) -> F) {
    let engine = open(World::new().usual()).await;
    let long = "i".repeat(SAGA_ID_BYTES_MAX + 1);
    let error = engine.start(&long, "suite", json!([])).await.unwrap_err();
    assert_eq!(error.to_string(), format!("id of saga {:?} has 257 bytes, 256 allowed", "i".repeat(100)));
    engine.signal(&long, "go", json!(1)).await.unwrap_err();
    engine.cancel(&long, "x").await.unwrap_err();
    let large = json!("x".repeat(SAGA_VALUE_BYTES_MAX));
    for error in [
        engine.signal("large", "go", large.clone()).await.unwrap_err(),
        engine.start("large", "suite", large).await.unwrap_err(),
    ] {
        assert!(error.to_string().ends_with("of saga \"large\" has 65538 bytes, 65536 allowed"), "{error}");
    }
    assert_eq!(engine.status("large").await.unwrap(), None, "what is refused leaves nothing");
}
