//! What crosses the wire to Temporal and back, and stands in its histories for as long as a saga lives: the workflow's
//! input, the calls of steps, the status that a query answers, and the memo. A field may be added with a default, none may
//! change its meaning.

#![allow(unreachable_pub, reason = "the workflow's macros make traits of these types")]

use std::time::Duration;

use mcsp_runtime::saga::{Fact, Journal};
use mcsp_runtime::{SagaState, SagaStatus, StepState, WaitsFor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use temporalio_common::{Memo, MemoValues};

/// The type of the one workflow.
pub(super) const WORKFLOW: &str = "saga";
/// What an undo's activity has behind the name of its step.
pub(super) const UNDO: &str = "/undo";

const MEMO_DEFINITION: &str = "definition";
const MEMO_VERSION: &str = "version";
const MEMO_STATE: &str = "state";

/// What a run of the workflow begins with.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Input {
    /// The list that the saga is started with; none where only a signal or a cancel came.
    pub(super) start: Option<StartWith>,
    /// What happened in the run before, where this one continues it.
    #[serde(default)]
    pub(super) journal: Journal,
    pub(super) pace: Pace,
}

/// A start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StartWith {
    pub(super) definition: String,
    pub(super) version: u32,
    pub(super) state: Value,
}

/// Times that a saga keeps for life: they are part of its history, so that a process with other options replays it.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Pace {
    /// How long a step may say nothing before it is given to another process.
    pub(super) lease_ms: u64,
    /// A silence of all engines that is longer does not count towards any deadline.
    pub(super) idle_ms: u64,
}

impl Pace {
    pub(super) fn lease(self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    pub(super) fn idle_us(self) -> i64 {
        i64::try_from(self.idle_ms.saturating_mul(1000)).unwrap_or(i64::MAX)
    }
}

/// What a step's activity is called with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepCall {
    pub(super) step: String,
    pub(super) undo: bool,
    /// The saga's state as the last step left it.
    pub(super) state: Value,
}

/// What a step's activity answers: how its last attempt ended, and what it met before, which the server alone saw.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    pub(super) fact: Fact,
    /// The number of the last attempt that failed, and why.
    #[serde(default)]
    pub(super) failed: Option<(u32, String)>,
}

/// Returns the name of a step's activity, its type and its id in one.
pub(super) fn activity_name(step: &str, undo: bool) -> String {
    if undo { format!("{step}{UNDO}") } else { step.to_owned() }
}

/// Returns the task queue of a list: only processes that know the list take its sagas up.
pub(super) fn list_queue(task_queue: &str, definition: &str, version: u32) -> String {
    format!("{task_queue}/{definition}/{version}")
}

/// What a memo tells of a saga without asking any process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) definition: Option<(String, u32)>,
    pub(super) state: SagaState,
}

impl Note {
    pub(super) fn write(&self) -> MemoValues {
        let mut values = MemoValues::new();
        values.insert(MEMO_STATE, state_text(self.state).to_owned());
        if let Some((name, version)) = &self.definition {
            values.insert(MEMO_DEFINITION, name.clone()).insert(MEMO_VERSION, *version);
        }
        values
    }

    /// Reads a memo; what is missing or not ours is a saga that has not been started.
    pub(super) fn read(memo: &Memo) -> Self {
        let text = |key| memo.get::<String>(key).ok().flatten();
        let version = memo.get::<u32>(MEMO_VERSION).ok().flatten();
        let state = text(MEMO_STATE).and_then(|state| state_of(&state)).unwrap_or(SagaState::NotStarted);
        Self { definition: text(MEMO_DEFINITION).zip(version), state }
    }
}

/// Returns the memo's change when a saga comes to another state.
pub(super) fn state_memo(state: SagaState) -> (&'static str, &'static str) {
    (MEMO_STATE, state_text(state))
}

const STATES: [(SagaState, &str); 5] = [
    (SagaState::NotStarted, "not_started"),
    (SagaState::Running, "running"),
    (SagaState::Undoing, "undoing"),
    (SagaState::Completed, "completed"),
    (SagaState::RolledBack, "rolled_back"),
];

fn state_text(state: SagaState) -> &'static str {
    STATES.iter().find(|(known, _)| *known == state).map_or("not_started", |(_, text)| text)
}

fn state_of(text: &str) -> Option<SagaState> {
    STATES.iter().find(|(_, known)| *known == text).map(|(state, _)| *state)
}

/// A status as the workflow tells it: in answer to a query, and as its result.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct View {
    definition: Option<(String, u32)>,
    state: String,
    step: Option<String>,
    /// Signal and deadline.
    waits_for: Option<(String, i64)>,
    attempts: u32,
    reason: Option<String>,
    last_error: Option<String>,
    steps: Vec<StepLine>,
    updated_us: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct StepLine {
    name: String,
    #[serde(with = "StepWord")]
    state: StepState,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "StepState", rename_all = "snake_case")]
enum StepWord {
    Ahead,
    InHand,
    Done,
    ToUndo,
    Undone,
    Skipped,
}

impl From<SagaStatus> for View {
    fn from(status: SagaStatus) -> Self {
        Self {
            definition: status.definition,
            state: state_text(status.state).to_owned(),
            step: status.step,
            waits_for: status.waits_for.map(|wait| (wait.signal, wait.deadline_us)),
            attempts: status.attempts,
            reason: status.reason,
            last_error: status.last_error,
            steps: status.steps.into_iter().map(|(name, state)| StepLine { name, state }).collect(),
            updated_us: status.updated_us,
        }
    }
}

impl View {
    pub(super) fn into_status(self, id: &str) -> SagaStatus {
        SagaStatus {
            id: id.to_owned(),
            definition: self.definition,
            state: state_of(&self.state).unwrap_or(SagaState::NotStarted),
            step: self.step,
            waits_for: self.waits_for.map(|(signal, deadline_us)| WaitsFor { signal, deadline_us }),
            attempts: self.attempts,
            reason: self.reason,
            last_error: self.last_error,
            steps: self.steps.into_iter().map(|line| (line.name, line.state)).collect(),
            updated_us: self.updated_us,
        }
    }
}
