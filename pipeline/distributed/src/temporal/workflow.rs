//! The one workflow: a saga's journal in memory, driven by `saga::next`. Temporal replays it from its history on any
//! process, so it must say the same each time: its clock is `workflow_time`, its pauses are timers of the context, and
//! nothing in this file looks at the machine. `clippy.toml` bans what would; the recorded histories find the rest.
//!
//! What happens at which command stands in histories for months. A change of the order or number of timers, activities or
//! memo updates goes behind `ctx.patched`, until the last saga that was begun without it has ended.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]
#![allow(unreachable_pub, missing_docs, reason = "what the macros write out is as public as they want it")]

use std::pin::pin;
use std::slice;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use mcsp_domain::limits::{SAGA_BACK_OFF_MS_MAX, SAGA_STEP_MS_MAX};
use mcsp_runtime::saga::{Entry, Fact, Journal, Next, SagaDefinition, Step, back_off, next, state, status};
use mcsp_runtime::{SagaState, chain};
use serde_json::Value;
use temporalio_common::{ActivityDefinition, MemoValue, RetryPolicy};
use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::{
    ActivityCancellationType, ActivityExecutionError, ActivityOptions, CancellableFuture, ContinueAsNewOptions,
    SyncWorkflowContext, TimerOptions, WaitConditionOptions, WorkflowCancellationToken, WorkflowContext,
    WorkflowContextView, WorkflowResult, workflows::select,
};

use super::wire::{Answer, Input, Note, Pace, StartWith, StepCall, View, activity_name, list_queue, state_memo};

/// What a step's own limit of time is given on top, so that the step says itself that it has no end.
const MARGIN: Duration = Duration::from_secs(30);
/// The pieces of a wait: as many times it looks whether any engine ran meanwhile.
const TICKS: i64 = 64;

/// An activity whose type is a step's name.
pub(super) struct StepActivity(pub(super) String);

impl ActivityDefinition for StepActivity {
    type Input = StepCall;
    type Output = Answer;

    fn name(&self) -> &str {
        &self.0
    }
}

/// A saga in progress.
#[workflow]
pub struct Saga {
    /// The list that this worker drives; none where it holds what is not started.
    list: Option<Arc<SagaDefinition>>,
    journal: Journal,
    /// Whether a cancel by Temporal's own means stands in the journal.
    cancel_noted: bool,
}

impl Saga {
    pub(super) fn new(list: Option<Arc<SagaDefinition>>) -> Self {
        Self { list, journal: Journal::default(), cancel_noted: false }
    }

    fn steps(&self) -> &[Step] {
        self.list.as_ref().map_or(&[], |list| &list.steps)
    }

    fn next(&self, now_us: i64) -> Next {
        next(self.steps(), &self.journal, now_us)
    }

    /// Adds to the journal; a signal that stands there already changes nothing.
    fn note(&mut self, at_us: i64, fact: Fact) {
        let repeated = matches!(fact, Fact::Signalled { .. }) && self.journal.entries.iter().any(|e| e.fact == fact);
        if !repeated {
            // Entries never go back in time, whatever the clocks of the servers say.
            let last_us = self.journal.entries.last().map_or(i64::MIN, |entry| entry.at_us);
            self.journal.push(at_us.max(last_us), fact);
        }
    }

    fn shown(&self) -> View {
        // No time has passed since the last entry: a deadline is told here, and enforced in `drive`.
        let at_us = self.journal.entries.last().map_or(0, |entry| entry.at_us);
        let lists = self.list.as_deref().map_or(&[][..], slice::from_ref);
        View::from(status("", lists, &self.journal, at_us))
    }

    fn begin(&mut self, at_us: i64, start: StartWith) -> bool {
        let fresh = self.journal.definition().is_none();
        if fresh {
            let StartWith { definition, version, state } = start;
            self.note(at_us, Fact::Started { definition, version, state });
        }
        fresh
    }
}

#[workflow_methods(factory_only)]
impl Saga {
    /// Drives the saga to its end and returns its last status.
    #[run(name = "saga")]
    pub async fn run(ctx: &mut WorkflowContext<Self>, input: Input) -> WorkflowResult<View> {
        let now_us = now_us(ctx);
        let Input { start, journal, pace } = input;
        ctx.state_mut(|saga| {
            // Signals are handled before the run's first line: they follow what the run before it has seen.
            let early = std::mem::replace(&mut saga.journal, journal);
            early.entries.into_iter().for_each(|Entry { at_us, fact }| saga.note(at_us, fact));
            if let Some(start) = start {
                saga.begin(now_us, start);
            }
        });
        if ctx.state(|saga| saga.list.is_none()) {
            return await_start(ctx, pace).await;
        }
        drive(ctx, pace).await
    }

    /// Takes a signal of the saga.
    #[signal(name = "deliver")]
    pub fn deliver(&mut self, ctx: &mut SyncWorkflowContext<Self>, delivered: (String, Value)) {
        let (signal, payload) = delivered;
        self.note(micros(ctx.workflow_time()), Fact::Signalled { signal, payload });
    }

    /// Takes a cancel of the saga. It has a reason, and may come before the start; Temporal's own cancel has neither.
    #[signal(name = "cancel")]
    pub fn cancel(&mut self, ctx: &mut SyncWorkflowContext<Self>, reason: String) {
        self.note(micros(ctx.workflow_time()), Fact::Cancelled { reason });
    }

    /// Starts a saga that signals or a cancel have made known. Returns whether it is this call that did.
    #[update(name = "start")]
    pub fn start(&mut self, ctx: &mut SyncWorkflowContext<Self>, start: StartWith) -> bool {
        // A list's queue is given started sagas alone, and the journal that says so comes with the run's first line, which
        // follows its updates.
        self.list.is_none() && self.begin(micros(ctx.workflow_time()), start)
    }

    /// Tells how far the saga is.
    #[query(name = "view")]
    pub fn view(&self, _ctx: &WorkflowContextView) -> View {
        self.shown()
    }
}

/// Holds signals until the start comes, then continues on the queue of the list that it names.
async fn await_start(ctx: &WorkflowContext<Saga>, pace: Pace) -> WorkflowResult<View> {
    let definition = loop {
        if let Some((name, version)) = ctx.state(|saga| saga.journal.definition().map(|(n, v)| (n.to_owned(), v))) {
            break (name, version);
        }
        grown(ctx, entries(ctx)).await;
    };
    let task_queue = list_queue(ctx.task_queue(), &definition.0, definition.1);
    let memo = Note { definition: Some(definition), state: SagaState::Running }.write();
    let journal = ctx.state(|saga| saga.journal.clone());
    let options = ContinueAsNewOptions::builder().task_queue(task_queue).memo(memo).build();
    match ctx.continue_as_new(Input { start: None, journal, pace }, options)? {}
}

async fn drive(ctx: &WorkflowContext<Saga>, pace: Pace) -> WorkflowResult<View> {
    let mut shown = SagaState::Running;
    loop {
        match ctx.state(|saga| saga.next(now_us(ctx))) {
            Next::Run(index) => act(ctx, pace, index, false).await,
            Next::Undo(index) => {
                show(ctx, &mut shown, SagaState::Undoing)?;
                act(ctx, pace, index, true).await;
            }
            Next::Wait { step, deadline_us, .. } => wait(ctx, pace, step, deadline_us).await,
            Next::Expire(index) => note(ctx, Fact::TimedOut { step: step_name(ctx, index) }),
            Next::Completed => show(ctx, &mut shown, SagaState::Completed)?,
            Next::RolledBack { .. } => show(ctx, &mut shown, SagaState::RolledBack)?,
            Next::NotStarted => unreachable!("a list's queue is given started sagas alone"),
        }
        if shown.is_end() {
            return Ok(ctx.state(Saga::shown));
        }
    }
}

/// Runs or undoes a step. Its repetitions are Temporal's, which adds nothing to the history for them; a cancel ends them,
/// and lets a run in hand come to its end.
async fn act(ctx: &WorkflowContext<Saga>, pace: Pace, index: usize, undo: bool) {
    let step = step_name(ctx, index);
    if !undo {
        note(ctx, Fact::Began { step: step.clone(), attempt: 1 });
    }
    let call = StepCall { step: step.clone(), undo, state: ctx.state(|saga| state(saga.steps(), &saga.journal)) };
    let (name, token) = (activity_name(&step, undo), WorkflowCancellationToken::new());
    let options = activity_options(pace, name.clone(), token.clone());
    let mut run = pin!(ctx.execute_activity(StepActivity(name), call, options));
    let result = loop {
        let seen = entries(ctx);
        select! {
            result = run => break result,
            () = grown(ctx, seen).fuse() => {
                let wanted = if undo { Next::Undo(index) } else { Next::Run(index) };
                if ctx.state(|saga| saga.next(now_us(ctx))) != wanted {
                    token.cancel();
                }
            }
        }
    };
    match result {
        Ok(Answer { fact, failed }) => {
            if let Some((attempt, error)) = failed {
                note(ctx, failure(&step, undo, attempt, error));
            }
            note(ctx, fact);
        }
        // Ended by the cancel that is in the journal: an effect that is feared, and undone.
        Err(ActivityExecutionError::Cancelled(_)) => {}
        Err(error) if undo => {
            let attempts = ctx.state(|saga| saga.journal.failed_undos(&step)).saturating_add(1);
            note(ctx, failure(&step, undo, attempts, reason(&error)));
            // Nothing may be left behind: what Temporal gave up, a new activity tries again.
            ctx.timer(timer_options(back_off(attempts))).await;
        }
        Err(error) => note(ctx, Fact::Failed { step, reason: reason(&error) }),
    }
}

fn failure(step: &str, undo: bool, attempt: u32, error: String) -> Fact {
    let step = step.to_owned();
    if undo {
        Fact::UndoFailed { step, attempts: attempt, error }
    } else {
        Fact::AttemptFailed { step, attempt, error }
    }
}

/// Waits until the step's signal has come, its deadline has passed or a cancel has come.
async fn wait(ctx: &WorkflowContext<Saga>, pace: Pace, step: usize, deadline_us: i64) {
    let begun_us = now_us(ctx);
    let left_us = deadline_us.saturating_sub(begun_us).max(1000);
    let tick_us = left_us.min(pace.idle_us().max(left_us / TICKS));
    let due_us = begun_us.saturating_add(tick_us);
    let tick = Duration::from_micros(u64::try_from(tick_us).unwrap_or(0));
    let mut timer = pin!(ctx.timer(timer_options(tick)));
    loop {
        let seen = entries(ctx);
        let fired = select! {
            _ = timer => true,
            () = grown(ctx, seen).fuse() => false,
        };
        let now_us = now_us(ctx);
        if fired {
            // A timer fires on time, and its workflow task is begun when some process takes it: what lies between is
            // time in which none ran. A machine that was off for a night must not find its films undone in the morning.
            let idle_us = now_us.saturating_sub(due_us);
            if idle_us > pace.idle_us() {
                note(ctx, Fact::Resumed { idle_us });
            }
            return;
        }
        // A beat of progress moves the deadline and leaves the timer: it is set anew when it fires.
        if !matches!(ctx.state(|saga| saga.next(now_us)), Next::Wait { step: still, .. } if still == step) {
            timer.cancel();
            return;
        }
    }
}

/// Returns once the journal is longer, by a signal or by Temporal's own cancel.
async fn grown(ctx: &WorkflowContext<Saga>, seen: usize) {
    let detached = WaitConditionOptions::builder().cancellation_token(WorkflowCancellationToken::new()).build();
    let mut longer = pin!(ctx.wait_condition_with_options(|saga| saga.journal.entries.len() > seen, detached));
    if ctx.state(|saga| saga.cancel_noted) {
        // The token of this wait is never cancelled.
        let _ = longer.await;
        return;
    }
    select! {
        _ = longer => {}
        reason = ctx.cancelled() => {
            let at_us = now_us(ctx);
            let reason = reason.filter(|reason| !reason.is_empty()).unwrap_or_else(|| "cancelled in temporal".to_owned());
            ctx.state_mut(|saga| {
                saga.cancel_noted = true;
                saga.note(at_us, Fact::Cancelled { reason });
            });
        }
    }
}

fn show(ctx: &WorkflowContext<Saga>, shown: &mut SagaState, state: SagaState) -> WorkflowResult<()> {
    if *shown != state {
        *shown = state;
        let (key, text) = state_memo(state);
        ctx.upsert_memo([(key, Some(MemoValue::new(text.to_owned())))])?;
    }
    Ok(())
}

fn note(ctx: &WorkflowContext<Saga>, fact: Fact) {
    let at_us = now_us(ctx);
    ctx.state_mut(|saga| saga.note(at_us, fact));
}

fn entries(ctx: &WorkflowContext<Saga>) -> usize {
    ctx.state(|saga| saga.journal.entries.len())
}

fn step_name(ctx: &WorkflowContext<Saga>, index: usize) -> String {
    ctx.state(|saga| saga.steps()[index].name().to_owned())
}

fn now_us(ctx: &WorkflowContext<Saga>) -> i64 {
    micros(ctx.workflow_time())
}

fn micros(time: Option<SystemTime>) -> i64 {
    let since = time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// A timer that a cancel of the workflow does not end.
fn timer_options(duration: Duration) -> TimerOptions {
    TimerOptions::builder(duration).cancellation_token(WorkflowCancellationToken::new()).build()
}

fn activity_options(pace: Pace, name: String, token: WorkflowCancellationToken) -> ActivityOptions {
    // The step bounds its own runs and knows which of its failures are final: see `steps`.
    let retries = RetryPolicy::builder()
        .initial_interval(back_off(1))
        .backoff_coefficient(2.0)
        .maximum_interval(Duration::from_millis(SAGA_BACK_OFF_MS_MAX))
        .build();
    ActivityOptions::with_start_to_close_timeout(Duration::from_millis(SAGA_STEP_MS_MAX) + MARGIN)
        .activity_id(name)
        .heartbeat_timeout(pace.lease())
        .cancellation_type(ActivityCancellationType::WaitCancellationCompleted)
        .cancellation_token(token)
        .retry_policy(retries)
        .build()
}

/// Returns why an activity ended without an answer.
fn reason(error: &ActivityExecutionError) -> String {
    error.reason().map_or_else(|| chain(error), |reason| chain(reason))
}
