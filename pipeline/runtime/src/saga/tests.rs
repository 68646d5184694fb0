//! Journals in words, and what follows from them: `start | begin a | done a` has the saga wait.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use serde_json::json;

use super::testing::{Rehearsal, repeats_every_step, unwinds_from_every_step};
use super::*;
use crate::{SagaState, StepState};

type World = Arc<Mutex<BTreeMap<String, u32>>>;

/// Steps a (undo), w (waits for two of signal `s`, undo), b (undo), c (no undo). The world counts what is there.
fn definition(world: &World) -> SagaDefinition {
    let run = |name: &'static str| {
        let world = world.clone();
        Step::run(name, move |done: Vec<String>, cx| {
            world.lock().unwrap().insert(cx.idempotency_key, 1);
            async move { Ok([done, vec![name.to_owned()]].concat()) }
        })
    };
    let undone = |step: Step| {
        let world = world.clone();
        step.undo(move |_: Vec<String>, cx| {
            world.lock().unwrap().remove(cx.idempotency_key.trim_end_matches("/undo"));
            async { Ok(()) }
        })
    };
    let wait = Step::wait("w", "s", Duration::from_micros(100), |done: &mut Vec<String>, seen| {
        if seen.contains(&json!("bad")) {
            return Err("a bad payload".to_owned());
        }
        done.push("w".to_owned());
        Ok(seen.len() >= 2)
    });
    let steps = vec![undone(run("a")), undone(wait), undone(run("b")), run("c")];
    SagaDefinition { name: "sample", version: 1, steps }
}

/// Reads one word of a journal: `@50` moves its clock.
fn read_fact(word: &str) -> Fact {
    let (verb, rest) = word.split_once(' ').unwrap_or((word, ""));
    let step = rest.to_owned();
    match verb {
        "start" => Fact::Started { definition: "sample".into(), version: 1, state: json!([]) },
        "signal" => {
            let (signal, payload) = rest.split_once(' ').unwrap();
            Fact::Signalled { signal: signal.into(), payload: json!(payload) }
        }
        "cancel" => Fact::Cancelled { reason: rest.into() },
        "begin" => Fact::Began { step, attempt: 1 },
        "retry" => Fact::AttemptFailed { step, attempt: 1, error: "busy".into() },
        "done" => Fact::Done { step, state: json!([rest]) },
        "fail" => Fact::Failed { step, reason: "broken".into() },
        "timeout" => Fact::TimedOut { step },
        "undone" => Fact::Undone { step },
        "stuck" => Fact::UndoFailed { step, attempts: 3, error: "down".into() },
        "resume" => Fact::Resumed { idle_us: rest.parse().unwrap() },
        other => panic!("no such fact: {other}"),
    }
}

fn read_journal(text: &str) -> (Journal, i64) {
    let (mut journal, mut now_us) = (Journal::default(), 0);
    for word in text.split('|').map(str::trim).filter(|word| !word.is_empty()) {
        match word.strip_prefix('@') {
            Some(time) => now_us = time.parse().unwrap(),
            None => journal.push(now_us, read_fact(word)),
        }
    }
    (journal, now_us)
}

fn follow(text: &str) -> String {
    let definition = definition(&World::default());
    let (journal, now_us) = read_journal(text);
    let name = |index: usize| definition.steps[index].name();
    match next(&definition.steps, &journal, now_us) {
        Next::Run(index) => format!("run {}", name(index)),
        Next::Wait { step, signal, deadline_us } => format!("wait in {} for {signal} until {deadline_us}", name(step)),
        Next::Expire(index) => format!("expire {}", name(index)),
        Next::Undo(index) => format!("undo {}", name(index)),
        Next::NotStarted => "not started".into(),
        Next::Completed => "completed".into(),
        Next::RolledBack { reason } => format!("rolled back: {reason}"),
    }
}

#[test]
fn goes_through_its_steps() {
    assert_eq!(follow(""), "not started");
    assert_eq!(follow("start"), "run a");
    assert_eq!(follow("start | begin a | retry a"), "run a");
    assert_eq!(follow("start | begin a | done a"), "wait in w for s until 100");
    assert_eq!(follow("start | done a | signal s 1 | signal s 2"), "run b");
    assert_eq!(follow("start | done a | signal s 1 | signal s 2 | done b"), "run c");
    assert_eq!(follow("start | done a | signal s 1 | signal s 2 | done b | done c"), "completed");
}

#[test]
fn keeps_early_signals_and_drops_repeated_ones() {
    assert_eq!(follow("signal s 1 | signal s 2 | start | done a"), "run b");
    assert_eq!(follow("start | signal s 1 | done a | signal s 2"), "run b");
    assert_eq!(follow("start | done a | signal s 1 | signal s 1"), "wait in w for s until 100");
    assert_eq!(follow("start | done a | signal other 1 | signal other 2"), "wait in w for s until 100");
}

#[test]
fn a_deadline_runs_from_the_last_progress() {
    assert_eq!(follow("start | @40 | done a"), "wait in w for s until 140");
    assert_eq!(follow("start | done a | @50 | signal s 1"), "wait in w for s until 150");
    assert_eq!(follow("start | done a | signal s 1 | @50 | signal s 1"), "wait in w for s until 100");
    assert_eq!(follow("start | done a | @50 | signal progress 7"), "wait in w for s until 150");
    assert_eq!(follow("start | done a | signal progress 7 | @50 | signal progress 7"), "wait in w for s until 100");
    assert_eq!(follow("start | done a | @50 | signal other 1"), "wait in w for s until 100");
    assert_eq!(follow("start | done a | @5000 | resume 4950"), "wait in w for s until 5050");
    assert_eq!(follow("start | done a | @99"), "wait in w for s until 100");
    assert_eq!(follow("start | done a | @100"), "expire w");
}

#[test]
fn failures_undo_in_reverse_order() {
    assert_eq!(follow("start | begin a | fail a"), "undo w", "a wait is undone though nobody came to it");
    assert_eq!(follow("start | begin a | fail a | undone w"), "undo a", "a failed run may have left something");
    let why = "rolled back: step a failed: broken";
    assert_eq!(follow("start | begin a | fail a | undone w | undone a"), why);
    assert_eq!(follow("start | begin a | fail a | undone a"), "undo w", "out of turn");
    let why = "rolled back: step w waited in vain: 1 of signal \"s\" came, then none for 100µs";
    assert_eq!(follow("start | done a | signal s 1 | timeout w | undone w | undone a"), why);
    assert_eq!(follow("start | done a | timeout w | signal s 1 | signal s 2"), "undo w", "too late");
    assert_eq!(follow("start | done a | signal s 1 | signal s 2 | timeout w"), "run b", "timed out too late");
    let refused = "start | done a | signal s bad | undone w | undone a";
    assert_eq!(follow(refused), "rolled back: step w refused: a bad payload");
    let last = "start | done a | signal s 1 | signal s 2 | done b | begin c | fail c";
    assert_eq!(follow(last), "undo b", "c has nothing to undo");
    assert_eq!(follow(&format!("{last} | stuck b")), "undo b");
}

#[test]
fn a_cancel_undoes_whatever_state_the_saga_is_in() {
    assert_eq!(follow("cancel x"), "not started");
    assert_eq!(follow("cancel x | cancel y | start"), "undo w");
    assert_eq!(follow("cancel x | cancel y | start | undone w"), "rolled back: x");
    assert_eq!(follow("start | cancel x | undone w"), "rolled back: x", "a never began");
    assert_eq!(follow("start | begin a | cancel x | undone w"), "undo a", "a's effect is unknown");
    assert_eq!(follow("start | begin a | cancel x | done a | undone w"), "undo a");
    assert_eq!(follow("start | begin a | cancel x | undone w | undone a | done a"), "rolled back: x");
    assert_eq!(follow("start | done a | cancel x"), "undo w");
    assert_eq!(follow("start | done a | signal s 1 | signal s 2 | begin b | cancel x"), "undo b");
    assert_eq!(
        follow("start | begin a | fail a | cancel x | undone w | undone a"),
        "rolled back: step a failed: broken"
    );
    let completed = "start | done a | signal s 1 | signal s 2 | done b | done c";
    assert_eq!(follow(&format!("{completed} | cancel x")), "completed");
}

#[tokio::test]
async fn the_sample_unwinds_and_repeats() {
    let make = || {
        let world = World::default();
        let definition = definition(&world);
        let probe = move || format!("{:?}", world.lock().unwrap().keys().filter(|key| !key.ends_with('c')).count());
        let signals = vec![("s", json!(1)), ("s", json!(2))];
        Rehearsal { definition, input: json!([]), signals, probe: Box::new(probe) }
    };
    unwinds_from_every_step(make).await;
    repeats_every_step(make).await;
}

/// A step that counts up, and an undo that does as it is told.
fn counter(undo_by: impl Fn(&mut i32) + Clone + Send + Sync + 'static) -> Rehearsal {
    let count = Arc::new(Mutex::new(0));
    let (up, down, seen) = (count.clone(), count.clone(), count);
    let step = Step::run("count", move |(): (), _| {
        *up.lock().unwrap() += 1;
        async { Ok(()) }
    });
    let step = step.undo(move |(): (), _| {
        undo_by(&mut down.lock().unwrap());
        async { Ok(()) }
    });
    let definition = SagaDefinition { name: "counter", version: 1, steps: vec![step] };
    let probe = Box::new(move || seen.lock().unwrap().to_string());
    Rehearsal { definition, input: json!(null), signals: Vec::new(), probe }
}

#[tokio::test]
#[should_panic(expected = "left behind after FailsAfter at step count")]
async fn an_undo_that_does_nothing_is_found() {
    unwinds_from_every_step(|| counter(|_| {})).await;
}

#[tokio::test]
#[should_panic(expected = "step count run twice comes to something else than once")]
async fn a_step_that_adds_up_is_found() {
    repeats_every_step(|| counter(|count| *count = 0)).await;
}

#[test]
fn status_tells_the_truth() {
    let definitions = [definition(&World::default())];
    let look = |text: &str| {
        let (journal, now_us) = read_journal(text);
        status("id", &definitions, &journal, now_us)
    };
    assert_eq!(look("signal s 1").state, SagaState::NotStarted);
    let running = look("start | begin a | retry a | begin a");
    assert_eq!((running.state, running.step.as_deref(), running.attempts), (SagaState::Running, Some("a"), 2));
    assert_eq!(running.last_error.as_deref(), Some("step a: busy"));
    let waiting = look("start | @7 | done a");
    let waits_for = waiting.waits_for.unwrap();
    assert_eq!((waits_for.signal.as_str(), waits_for.deadline_us, waiting.updated_us), ("s", 107, 7));
    let undoing = look("start | done a | cancel x | undone w | stuck a");
    assert_eq!((undoing.state, undoing.step.as_deref(), undoing.attempts), (SagaState::Undoing, Some("a"), 3));
    assert_eq!(undoing.last_error.as_deref(), Some("undo of step a: down"));
    assert_eq!(undoing.reason.as_deref(), Some("x"));
    let states: Vec<StepState> = undoing.steps.iter().map(|(_, state)| *state).collect();
    assert_eq!(states, [StepState::ToUndo, StepState::Undone, StepState::Skipped, StepState::Skipped]);

    let (mut journal, _) = read_journal("start");
    journal.entries[0].fact = Fact::Started { definition: "sample".into(), version: 9, state: json!(null) };
    let unknown = status("id", &definitions, &journal, 0);
    assert_eq!(unknown.last_error.as_deref(), Some("saga sample version 9 is not known to this build"));
}

#[test]
fn back_off_grows_to_its_bound() {
    assert_eq!(back_off(1), Duration::from_millis(200));
    assert_eq!(back_off(4), Duration::from_millis(1600));
    assert_eq!(back_off(u32::MAX), Duration::from_secs(60));
}

#[test]
fn a_state_that_does_not_fit_fails_its_step() {
    let step = Step::run("a", |state: Vec<String>, _| async { Ok(state) });
    let run = |state| {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(step.act(state, step.context("id", 1, 0)))
    };
    let Fact::Failed { reason, .. } = run(json!({"other": 1})) else { panic!("a run on another state") };
    assert!(reason.starts_with("saga's state cannot be read"), "{reason}");
    let Fact::Failed { reason, .. } = run(json!(["x".repeat(SAGA_VALUE_BYTES_MAX)])) else { panic!("a huge state") };
    assert_eq!(reason, format!("saga's state has {} bytes, {SAGA_VALUE_BYTES_MAX} allowed", SAGA_VALUE_BYTES_MAX + 4));
}

fn any_fact() -> impl Strategy<Value = String> {
    let step = prop::sample::select(vec!["a", "w", "b", "c", "nobody"]);
    let verb = prop::sample::select(vec!["begin", "retry", "done", "fail", "timeout", "undone", "stuck"]);
    prop_oneof![
        6 => (verb, step).prop_map(|(verb, step)| format!("{verb} {step}")),
        1 => Just("start".to_owned()),
        2 => (0..3, prop::sample::select(vec!["s", "progress", "other"])).prop_map(|(n, s)| format!("signal {s} {n}")),
        1 => Just("signal s bad".to_owned()),
        1 => Just("cancel x".to_owned()),
        1 => Just("resume 30".to_owned()),
        2 => (0..500i64).prop_map(|at| format!("@{at}")),
    ]
}

proptest! {
    /// Whatever a journal holds, and in whatever order: a driver that does what `next` says comes to an end, with each
    /// undo made once, and once ended nothing more changes it.
    #[test]
    fn any_journal_can_be_driven_to_an_end(words in prop::collection::vec(any_fact(), 0..40), more in any_fact()) {
        let definition = definition(&World::default());
        let (mut journal, mut now_us) = read_journal(&format!("{} | start", words.join("|")));
        let mut turns = 0;
        let end = loop {
            let step = |index: usize| definition.steps[index].name().to_owned();
            let fact = match next(&definition.steps, &journal, now_us) {
                Next::NotStarted => unreachable!("the journal holds a start"),
                Next::Run(index) => Fact::Done { step: step(index), state: json!([]) },
                Next::Wait { deadline_us, .. } => {
                    now_us = deadline_us;
                    continue;
                }
                Next::Expire(index) => Fact::TimedOut { step: step(index) },
                Next::Undo(index) => Fact::Undone { step: step(index) },
                end => break end,
            };
            journal.push(now_us, fact);
            turns += 1;
            prop_assert!(turns <= 2 * definition.steps.len(), "{journal:?}");
        };
        if let Next::RolledBack { reason } = &end {
            prop_assert!(!reason.is_empty());
        }
        if !more.starts_with('@') {
            journal.push(now_us, read_fact(&more));
            let again = next(&definition.steps, &journal, now_us);
            // A run that a driver began or ended without knowing of the cancel is undone.
            let late_run = more.starts_with("begin") || more.starts_with("done");
            prop_assert!(again == end || matches!(again, Next::Undo(_)) && late_run, "{again:?} after {end:?}");
        }
    }

    #[test]
    fn journals_survive_storage(words in prop::collection::vec(any_fact(), 0..20)) {
        let (journal, _) = read_journal(&words.join("|"));
        let text = serde_json::to_string(&journal).unwrap();
        prop_assert_eq!(serde_json::from_str::<Journal>(&text).unwrap(), journal);
    }
}
