//! The saga loop: a list of steps over one state, done in order, or undone in reverse. `next` is pure and reads a journal;
//! engines (the embedded journal, Temporal) drive it and write the journal down.
//!
//! A step either runs, or waits for a fact that a signal brings. What a run leaves behind is undone if the run ever began:
//! done, failed or cut off, its effect counts as unknown, so an undo must be idempotent and bear that there is nothing to
//! undo. A wait's undo takes back what others did towards its fact: they follow events, not the saga, so it is due even
//! where the saga never came to the wait.

mod journal;
mod next;
mod status;
pub mod testing;
#[cfg(test)]
mod tests;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use mcsp_domain::limits::{ERROR_CHARS_MAX, SAGA_ATTEMPTS_MAX, SAGA_BACK_OFF_MS_MAX, SAGA_VALUE_BYTES_MAX};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::StageError;
pub use journal::{Entry, Fact, Journal};
pub use next::{Next, next, state};
pub use status::status;

/// The signal that pushes a wait's deadline without being what any step waits for.
pub const PROGRESS: &str = "progress";

/// The first pause between two runs.
const BACK_OFF_MS_MIN: u64 = 200;

/// A list of steps under a name. A changed list is a new version; the old one stays registered until its sagas have ended.
#[derive(Clone, Debug)]
pub struct SagaDefinition {
    /// The name that sagas are started by.
    pub name: &'static str,
    /// Counts the lists of this name.
    pub version: u32,
    /// The steps, in order; each name once.
    pub steps: Vec<Step>,
}

/// One step: what it does or waits for, and what takes that back.
#[derive(Clone)]
pub struct Step {
    name: &'static str,
    work: Work,
    undo: Option<Undo>,
    attempts_max: u32,
}

#[derive(Clone)]
enum Work {
    Run(Action),
    Wait { signal: &'static str, silence: Duration, arrived: Arrived },
}

type Pending<T> = Pin<Box<dyn Future<Output = Result<T, StageError>> + Send>>;
type Action = Arc<dyn Fn(Value, StepContext) -> Pending<Value> + Send + Sync>;
type Undo = Arc<dyn Fn(Value, StepContext) -> Pending<()> + Send + Sync>;
type Arrived = Arc<dyn Fn(&Value, &[Value]) -> Result<Option<Value>, String> + Send + Sync>;

/// What a run or an undo knows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepContext {
    /// The saga's id.
    pub saga: String,
    /// The step's name.
    pub step: &'static str,
    /// The number of this run, from 1.
    pub attempt: u32,
    /// The same for every run of this step of this saga, and another for its undo.
    pub idempotency_key: String,
    /// The time, microseconds since 1970.
    pub now_us: i64,
}

impl Step {
    /// Returns a step that runs. It is repeated after `StageError::Retry`, and after a death in its midst.
    pub fn run<S, F>(name: &'static str, action: impl Fn(S, StepContext) -> F + Send + Sync + 'static) -> Self
    where
        S: Serialize + DeserializeOwned,
        F: Future<Output = Result<S, StageError>> + Send + 'static,
    {
        let action = move |state: Value, cx: StepContext| -> Pending<Value> {
            match read::<S>(&state) {
                Ok(state) => {
                    let run = action(state, cx);
                    Box::pin(async move { write(&run.await?).map_err(StageError::refuse) })
                }
                Err(reason) => Box::pin(std::future::ready(Err(StageError::refuse(reason)))),
            }
        };
        Self { name, work: Work::Run(Arc::new(action)), undo: None, attempts_max: SAGA_ATTEMPTS_MAX }
    }

    /// Returns a step that waits. `arrived` sees the distinct payloads of `signal` so far and tells whether they are all
    /// that is waited for; an error undoes the saga. `silence` is how long nothing may happen: the deadline runs from
    /// the last step done, the last new payload, or the last new payload of the signal `PROGRESS`.
    pub fn wait<S>(
        name: &'static str,
        signal: &'static str,
        silence: Duration,
        arrived: impl Fn(&mut S, &[Value]) -> Result<bool, String> + Send + Sync + 'static,
    ) -> Self
    where
        S: Serialize + DeserializeOwned,
    {
        let arrived = move |state: &Value, payloads: &[Value]| {
            let mut state = read::<S>(state)?;
            if arrived(&mut state, payloads)? { write(&state).map(Some) } else { Ok(None) }
        };
        let work = Work::Wait { signal, silence, arrived: Arc::new(arrived) };
        Self { name, work, undo: None, attempts_max: SAGA_ATTEMPTS_MAX }
    }

    /// Gives the step its undo, which is repeated until it succeeds.
    #[must_use]
    pub fn undo<S, F>(mut self, undo: impl Fn(S, StepContext) -> F + Send + Sync + 'static) -> Self
    where
        S: DeserializeOwned,
        F: Future<Output = Result<(), StageError>> + Send + 'static,
    {
        self.undo = Some(Arc::new(move |state: Value, cx: StepContext| -> Pending<()> {
            match read::<S>(&state) {
                Ok(state) => Box::pin(undo(state, cx)),
                Err(reason) => Box::pin(std::future::ready(Err(StageError::refuse(reason)))),
            }
        }));
        self
    }

    /// Bounds the runs of the step; `SAGA_ATTEMPTS_MAX` otherwise.
    #[must_use]
    pub fn attempts(mut self, attempts_max: u32) -> Self {
        self.attempts_max = attempts_max;
        self
    }

    /// Returns the step's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Runs the step once and returns what goes into the journal.
    pub async fn act(&self, state: Value, cx: StepContext) -> Fact {
        let Work::Run(action) = &self.work else { unreachable!("`next` runs no step that waits") };
        let (step, attempt) = (self.name.to_owned(), cx.attempt);
        match action(state, cx).await {
            Ok(state) => Fact::Done { step, state },
            Err(error) => self.failed(attempt, &error),
        }
    }

    /// Returns what a failed run means: another one, or the end of the saga.
    pub fn failed(&self, attempt: u32, error: &StageError) -> Fact {
        let (step, error_text) = (self.name.to_owned(), describe(error));
        match error {
            StageError::Retry(..) if attempt < self.attempts_max => {
                Fact::AttemptFailed { step, attempt, error: error_text }
            }
            _ => Fact::Failed { step, reason: error_text },
        }
    }

    /// Returns why a step that began so many times is not run again, if that is so.
    pub fn spent(&self, attempts: u32) -> Option<Fact> {
        let reason = || format!("no run ended in {attempts} attempts");
        (attempts >= self.attempts_max).then(|| Fact::Failed { step: self.name.to_owned(), reason: reason() })
    }

    /// Undoes the step once and returns what goes into the journal. Every error is retried: nothing may be left behind.
    pub async fn revert(&self, state: Value, cx: StepContext) -> Fact {
        let (step, attempts) = (self.name.to_owned(), cx.attempt);
        let Some(undo) = &self.undo else { return Fact::Undone { step } };
        match undo(state, cx).await {
            Ok(()) => Fact::Undone { step },
            Err(error) => Fact::UndoFailed { step, attempts, error: describe(&error) },
        }
    }

    /// Returns the context of one run.
    pub fn context(&self, saga: &str, attempt: u32, now_us: i64) -> StepContext {
        let idempotency_key = format!("{saga}/{}", self.name);
        StepContext { saga: saga.to_owned(), step: self.name, attempt, idempotency_key, now_us }
    }

    /// Returns the context of one undo.
    pub fn undo_context(&self, saga: &str, attempt: u32, now_us: i64) -> StepContext {
        let idempotency_key = format!("{saga}/{}/undo", self.name);
        StepContext { saga: saga.to_owned(), step: self.name, attempt, idempotency_key, now_us }
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signal = match &self.work {
            Work::Run(_) => None,
            Work::Wait { signal, .. } => Some(signal),
        };
        f.debug_struct("Step").field("name", &self.name).field("signal", &signal).finish_non_exhaustive()
    }
}

/// Returns the pause before the run that follows `attempt`.
pub fn back_off(attempt: u32) -> Duration {
    let doubled = BACK_OFF_MS_MIN.saturating_mul(1 << attempt.saturating_sub(1).min(20));
    Duration::from_millis(doubled.min(SAGA_BACK_OFF_MS_MAX))
}

/// Finds the list that a saga was started with.
pub fn find<'a>(definitions: &'a [SagaDefinition], name: &str, version: u32) -> Option<&'a SagaDefinition> {
    definitions.iter().find(|definition| definition.name == name && definition.version == version)
}

/// Finds the newest list of a name: what a new saga is started with.
pub fn newest<'a>(definitions: &'a [SagaDefinition], name: &str) -> Option<&'a SagaDefinition> {
    definitions.iter().filter(|definition| definition.name == name).max_by_key(|definition| definition.version)
}

/// Checks that every list can be told apart, and every step of a list.
///
/// # Panics
/// When two lists share name and version, or two steps of a list a name: a mistake of the build.
pub fn assert_distinct(definitions: &[SagaDefinition]) {
    for (index, definition) in definitions.iter().enumerate() {
        let SagaDefinition { name, version, steps } = definition;
        assert!(find(&definitions[..index], name, *version).is_none(), "saga {name} version {version} is given twice");
        for (index, step) in steps.iter().enumerate() {
            let twice = steps[..index].iter().any(|other| other.name == step.name);
            assert!(!twice, "saga {name} version {version} has two steps {}", step.name);
        }
    }
}

fn read<S: DeserializeOwned>(state: &Value) -> Result<S, String> {
    S::deserialize(state).map_err(|error| format!("saga's state cannot be read: {error}"))
}

fn write<S: Serialize>(state: &S) -> Result<Value, String> {
    let value = serde_json::to_value(state).map_err(|error| format!("saga's state cannot be written: {error}"))?;
    let len_bytes = value.to_string().len();
    if len_bytes > SAGA_VALUE_BYTES_MAX {
        return Err(format!("saga's state has {len_bytes} bytes, {SAGA_VALUE_BYTES_MAX} allowed"));
    }
    Ok(value)
}

/// Returns an error with its causes, in one bounded line.
fn describe(error: &StageError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text.chars().take(ERROR_CHARS_MAX).collect()
}
