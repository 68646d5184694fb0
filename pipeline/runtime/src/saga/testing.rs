//! Rehearsals of a saga without an engine: does it leave nothing behind, wherever it fails, and does doing a step again
//! change nothing? Every saga's tests call both.

use serde_json::Value;

use super::{Fact, Journal, Next, SagaDefinition, Step, next, state};
use crate::StageError;

/// Steps that a rehearsal takes before it is thought to go in circles.
const TURNS_MAX: usize = 10_000;

/// A saga in a world of its own.
pub struct Rehearsal {
    /// The saga.
    pub definition: SagaDefinition,
    /// What it is started with.
    pub input: Value,
    /// The signals that bring it to its end, each with its payload.
    pub signals: Vec<(&'static str, Value)>,
    /// Describes what the steps have changed in the world; two equal worlds have equal descriptions.
    pub probe: Box<dyn Fn() -> String + Send + Sync>,
}

/// Where a saga fails, once a step is in hand.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trouble {
    /// Without any effect.
    FailsBefore,
    /// After its effect.
    FailsAfter,
    /// A cancel comes before it begins.
    CancelBefore,
    /// A cancel comes while it runs, and its end is never seen.
    CancelAmidst,
    /// A cancel comes while it runs, and its end is seen after that.
    CancelThenDone,
}

const TROUBLES: [Trouble; 5] =
    [Trouble::FailsBefore, Trouble::FailsAfter, Trouble::CancelBefore, Trouble::CancelAmidst, Trouble::CancelThenDone];

/// Checks that a saga which fails or is cancelled at any of its steps leaves the world as it was, and that its undos are
/// made in reverse order. `make` gives a fresh world each time.
///
/// # Panics
/// When something is left behind, or the saga does not end.
pub async fn unwinds_from_every_step(make: impl Fn() -> Rehearsal) {
    for index in 0..make().definition.steps.len() {
        for trouble in TROUBLES {
            let rehearsal = make();
            let before = (rehearsal.probe)();
            let mut stage = Stage::open(&rehearsal);
            stage.play_to(index).await;
            stage.meet(index, trouble).await;
            let undone = stage.play_out().await;
            let name = stage.steps()[index].name();
            let reason = stage.next();
            assert!(
                matches!(&reason, Next::RolledBack { reason } if !reason.is_empty()),
                "{reason:?} after {trouble:?} at step {name}"
            );
            assert_eq!((rehearsal.probe)(), before, "left behind after {trouble:?} at step {name}");
            assert!(undone.is_sorted_by(|earlier, later| earlier > later), "undone in the order {undone:?}");
        }
    }
}

/// Checks that running any step twice, and undoing any step twice, comes to the same as once. `make` gives a fresh world
/// each time.
///
/// # Panics
/// When a repetition shows, or the saga does not complete.
pub async fn repeats_every_step(make: impl Fn() -> Rehearsal) {
    let once = make();
    let mut stage = Stage::open(&once);
    stage.play_out().await;
    assert_eq!(stage.next(), Next::Completed, "the saga completes when nothing goes wrong");
    let (completed, last) = ((once.probe)(), once.definition.steps.len() - 1);

    for index in 0..=last {
        let rehearsal = make();
        let mut stage = Stage::open(&rehearsal);
        stage.repeats = Some(index);
        stage.play_out().await;
        let name = stage.steps()[index].name();
        assert_eq!(stage.next(), Next::Completed, "the saga completes with step {name} run twice");
        assert_eq!((rehearsal.probe)(), completed, "step {name} run twice comes to something else than once");
    }
    for index in 0..=last {
        let rehearsal = make();
        let before = (rehearsal.probe)();
        let mut stage = Stage::open(&rehearsal);
        stage.play_to(last).await;
        stage.meet(last, Trouble::FailsAfter).await;
        stage.repeats = Some(index);
        stage.play_out().await;
        let name = stage.steps()[index].name();
        assert_eq!((rehearsal.probe)(), before, "undo of step {name} made twice comes to something else than once");
    }
}

/// A rehearsal in progress: an engine in memory, whose clock moves only when a wait ends in vain.
struct Stage<'a> {
    rehearsal: &'a Rehearsal,
    journal: Journal,
    now_us: i64,
    /// The step whose run and undo are made twice.
    repeats: Option<usize>,
}

impl<'a> Stage<'a> {
    fn open(rehearsal: &'a Rehearsal) -> Self {
        let SagaDefinition { name, version, .. } = rehearsal.definition;
        let mut journal = Journal::default();
        let state = rehearsal.input.clone();
        journal.push(0, Fact::Started { definition: name.to_owned(), version, state });
        Self { rehearsal, journal, now_us: 0, repeats: None }
    }

    fn steps(&self) -> &'a [Step] {
        &self.rehearsal.definition.steps
    }

    fn next(&self) -> Next {
        next(self.steps(), &self.journal, self.now_us)
    }

    fn note(&mut self, fact: Fact) {
        self.journal.push(self.now_us, fact);
    }

    /// Plays until a step is in hand.
    async fn play_to(&mut self, index: usize) {
        for _ in 0..TURNS_MAX {
            let next = self.next();
            if matches!(next, Next::Run(step) | Next::Wait { step, .. } if step == index) {
                return;
            }
            self.turn(next).await;
        }
        panic!("step {} is never in hand", self.steps()[index].name());
    }

    /// Plays to the end. Returns the steps that were undone, in the order in which they were.
    async fn play_out(&mut self) -> Vec<usize> {
        let mut undone = Vec::new();
        for _ in 0..TURNS_MAX {
            let next = self.next();
            match next {
                Next::Completed | Next::RolledBack { .. } => return undone,
                Next::Undo(index) => undone.push(index),
                _ => {}
            }
            self.turn(next).await;
        }
        panic!("the saga does not end: {:?} after {TURNS_MAX} turns", self.next());
    }

    async fn turn(&mut self, next: Next) {
        match next {
            Next::Run(index) => self.run(index).await,
            Next::Undo(index) => self.undo(index).await,
            Next::Wait { signal, .. } => self.deliver(signal),
            other => unreachable!("a rehearsal comes to {other:?} only when it asks for it"),
        }
    }

    async fn run(&mut self, index: usize) {
        let runs = if self.repeats == Some(index) { 2 } else { 1 };
        let mut done = None;
        for attempt in 1..=runs {
            self.note(Fact::Began { step: self.steps()[index].name().to_owned(), attempt });
            done = Some(self.act(index, attempt).await);
        }
        self.journal.entries.extend(done.map(|fact| super::Entry { at_us: self.now_us, fact }));
    }

    async fn undo(&mut self, index: usize) {
        let step = &self.steps()[index];
        let state = state(self.steps(), &self.journal);
        let mut undone = step.revert(state.clone(), step.undo_context("rehearsal", 1, self.now_us)).await;
        if self.repeats == Some(index) {
            undone = step.revert(state, step.undo_context("rehearsal", 2, self.now_us)).await;
        }
        assert!(matches!(undone, Fact::Undone { .. }), "{undone:?}");
        self.note(undone);
    }

    fn deliver(&mut self, wanted: &str) {
        let came = self.rehearsal.signals.iter().filter(|(signal, _)| *signal == wanted);
        for (signal, payload) in came.clone() {
            self.note(Fact::Signalled { signal: (*signal).to_owned(), payload: payload.clone() });
        }
        let waits = matches!(self.next(), Next::Wait { signal, .. } if signal == wanted);
        assert!(!waits, "the {} signals {wanted:?} of the rehearsal do not end the wait", came.count());
    }

    async fn act(&self, index: usize, attempt: u32) -> Fact {
        let step = &self.steps()[index];
        step.act(state(self.steps(), &self.journal), step.context("rehearsal", attempt, self.now_us)).await
    }

    async fn meet(&mut self, index: usize, trouble: Trouble) {
        let name = self.steps()[index].name().to_owned();
        let cancel = Fact::Cancelled { reason: "cancelled in a rehearsal".to_owned() };
        let Next::Run(_) = self.next() else { return self.end_wait(trouble, cancel) };
        if trouble == Trouble::CancelBefore {
            return self.note(cancel);
        }
        self.note(Fact::Began { step: name, attempt: 1 });
        let failed = self.steps()[index].failed(1, &StageError::refuse("failed in a rehearsal"));
        match trouble {
            Trouble::FailsBefore => self.note(failed),
            Trouble::FailsAfter => {
                self.act(index, 1).await;
                self.note(failed);
            }
            Trouble::CancelAmidst => {
                self.act(index, 1).await;
                self.note(cancel);
            }
            Trouble::CancelBefore | Trouble::CancelThenDone => {
                let done = self.act(index, 1).await;
                self.note(cancel);
                self.note(done);
            }
        }
    }

    /// A wait has two ways to fail: its time, and a cancel.
    fn end_wait(&mut self, trouble: Trouble, cancel: Fact) {
        if !matches!(trouble, Trouble::FailsBefore | Trouble::FailsAfter) {
            return self.note(cancel);
        }
        let Next::Wait { step, deadline_us, .. } = self.next() else { unreachable!("a step in hand runs or waits") };
        self.now_us = deadline_us;
        assert_eq!(self.next(), Next::Expire(step), "a wait ends at its deadline");
        self.note(Fact::TimedOut { step: self.steps()[step].name().to_owned() });
    }
}
