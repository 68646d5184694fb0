//! The world that the suite's sagas act on: what is there, what was done in which order, and steps that fail or hang when
//! they are told to.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

use crate::StageError;
use crate::saga::{SagaDefinition, Step, StepContext};

/// What a step does instead of succeeding, after it has had its effect.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Trouble {
    /// Fails so often, then succeeds.
    Retry(u32),
    /// Fails for good.
    Reject,
}

/// The world of one saga name; clones are the same world.
#[derive(Clone)]
pub(super) struct World {
    inner: Arc<Mutex<Inner>>,
    /// What hangs: `run b`, `undo a`.
    hangs: Arc<watch::Sender<HashSet<String>>>,
}

#[derive(Default)]
struct Inner {
    things: BTreeSet<String>,
    log: Vec<String>,
    keys: BTreeMap<String, BTreeSet<String>>,
    troubles: BTreeMap<String, Trouble>,
}

impl World {
    pub(super) fn new() -> Self {
        Self { inner: Arc::default(), hangs: Arc::new(watch::Sender::default()) }
    }

    /// Returns the saga `suite` of this version: run a, wait w for `wanted` distinct payloads of `go`, run b, run c; all
    /// with an undo. A later version has a step d in front.
    pub(super) fn definition(&self, version: u32, wanted: usize, silence: Duration) -> SagaDefinition {
        let wait = Step::wait("w", "go", silence, move |state: &mut Vec<String>, seen: &[Value]| {
            state.push("w".to_owned());
            Ok(seen.len() >= wanted)
        });
        let mut steps = vec![self.step("a"), self.with_undo(wait), self.step("b"), self.step("c")];
        if version > 1 {
            steps.insert(0, self.step("d"));
        }
        SagaDefinition { name: "suite", version, steps }
    }

    /// Returns the usual list: one signal is waited for, for longer than any test.
    pub(super) fn usual(&self) -> Vec<SagaDefinition> {
        vec![self.definition(1, 1, Duration::from_secs(600))]
    }

    fn step(&self, name: &'static str) -> Step {
        let world = self.clone();
        self.with_undo(Step::run(name, move |mut state: Vec<String>, cx| {
            let world = world.clone();
            async move {
                world.act("run", &cx).await?;
                state.push(name.to_owned());
                Ok(state)
            }
        }))
    }

    fn with_undo(&self, step: Step) -> Step {
        let world = self.clone();
        step.undo(move |_: Vec<String>, cx| {
            let world = world.clone();
            async move { world.act("undo", &cx).await }
        })
    }

    async fn act(&self, verb: &str, cx: &StepContext) -> Result<(), StageError> {
        let what = format!("{verb} {}", cx.step);
        let thing = format!("{}/{}", cx.saga, cx.step);
        {
            let mut inner = self.lock();
            inner.log.push(format!("{}: {what}", cx.saga));
            inner.keys.entry(format!("{}: {what}", cx.saga)).or_default().insert(cx.idempotency_key.clone());
            if verb == "run" {
                inner.things.insert(thing)
            } else {
                inner.things.remove(&thing)
            };
        }
        // The world outlives every engine, so its sender is there.
        let _ = self.hangs.subscribe().wait_for(|hangs| !hangs.contains(&what)).await;
        match self.lock().troubles.get_mut(&what) {
            Some(Trouble::Retry(times)) if *times > 0 => {
                *times -= 1;
                Err(StageError::Retry(format!("{what} is out of order"), None))
            }
            Some(Trouble::Reject) => Err(StageError::refuse(format!("{what} is refused"))),
            _ => Ok(()),
        }
    }

    /// Has a step fail from now on.
    pub(super) fn trouble(&self, what: &str, trouble: Trouble) {
        self.lock().troubles.insert(what.to_owned(), trouble);
    }

    /// Ends a step's trouble.
    pub(super) fn heal(&self, what: &str) {
        self.lock().troubles.remove(what);
    }

    /// Has a step hang after its effect, until it is freed.
    pub(super) fn hang(&self, what: &str) {
        self.hangs.send_modify(|hangs| {
            hangs.insert(what.to_owned());
        });
    }

    /// Lets a step go on.
    pub(super) fn free(&self, what: &str) {
        self.hangs.send_modify(|hangs| {
            hangs.remove(what);
        });
    }

    /// Returns what a saga's steps did, in order.
    pub(super) fn log(&self, saga: &str) -> Vec<String> {
        let prefix = format!("{saga}: ");
        self.lock().log.iter().filter_map(|line| line.strip_prefix(&prefix).map(str::to_owned)).collect()
    }

    /// Returns the idempotency keys that a step of a saga was given.
    pub(super) fn keys(&self, saga: &str, what: &str) -> Vec<String> {
        self.lock().keys.get(&format!("{saga}: {what}")).into_iter().flatten().cloned().collect()
    }

    /// Returns what a saga's steps have left in the world.
    pub(super) fn things(&self, saga: &str) -> Vec<String> {
        let prefix = format!("{saga}/");
        self.lock().things.iter().filter_map(|thing| thing.strip_prefix(&prefix).map(str::to_owned)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
