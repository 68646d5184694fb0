//! Steps as activities: each has its own name, known at run time alone, and all come to one place, which runs the step on
//! the runtime of the process and says meanwhile that it lives.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use mcsp_domain::limits::SAGA_STEP_MS_MAX;
use mcsp_runtime::saga::{Fact, SagaDefinition, Step};
use mcsp_runtime::{StageError, now_us};
use temporalio_client::WorkflowDescribeOptions;
use temporalio_common::protos::temporal::api::enums::v1::PendingActivityState;
use temporalio_common::protos::temporal::api::workflow::v1::PendingActivityInfo;
use temporalio_sdk::ApplicationFailure;
use temporalio_sdk::activities::{
    ActivityContext, ActivityDefinitions, ActivityError, ActivityImplementer, ExecutableActivity,
};
use tokio::runtime::Handle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::wire::{Answer, StepCall, activity_name};
use super::workflow::{Saga, StepActivity};

thread_local! {
    /// The name under which a step is being registered.
    static NAME: RefCell<String> = const { RefCell::new(String::new()) };
}

/// The steps of one list.
pub(super) struct Steps {
    pub(super) list: Arc<SagaDefinition>,
    /// Where steps run: their connections belong to the process and outlive this worker.
    pub(super) home: Handle,
    /// Cancelled when the engine is dropped. From then on no step moves.
    pub(super) dead: CancellationToken,
}

impl ActivityImplementer for Steps {
    fn register_all(self: Arc<Self>, definitions: &mut ActivityDefinitions) {
        for step in &self.list.steps {
            for undo in [false, true] {
                // Registration asks `definition` for the name at once, on this thread.
                NAME.with(|name| *name.borrow_mut() = activity_name(step.name(), undo));
                definitions.register_activity::<StepActivity>(self.clone());
            }
        }
    }
}

impl ExecutableActivity for StepActivity {
    type Implementer = Steps;
    const REQUIRES_INSTANCE: bool = true;

    fn definition() -> Self {
        Self(NAME.with(|name| name.borrow().clone()))
    }

    fn execute(
        steps: Option<Arc<Steps>>,
        cx: ActivityContext,
        call: StepCall,
    ) -> BoxFuture<'static, Result<Answer, ActivityError>> {
        let Some(steps) = steps else { unreachable!("steps are registered with their list") };
        perform(steps, cx, call).boxed()
    }
}

/// Runs or undoes a step once. Success is a fact, and so is a final failure; an error asks for another attempt.
async fn perform(steps: Arc<Steps>, cx: ActivityContext, call: StepCall) -> Result<Answer, ActivityError> {
    let attempt = cx.info().attempt;
    let Some(step) = steps.list.steps.iter().find(|step| step.name() == call.step).cloned() else {
        return Err(failure(format!("saga {} has no step {}", steps.list.name, call.step)));
    };
    if let (false, Some(failed)) = (call.undo, step.spent(attempt.saturating_sub(1))) {
        return Ok(answer(&cx, failed).await);
    }
    let saga = cx.info().workflow_id.clone().unwrap_or_default();
    let dead = steps.dead.clone();
    let undo = call.undo;
    let work = async move {
        tokio::select! {
            biased;
            () = dead.cancelled() => std::future::pending().await,
            fact = once(step, saga, attempt, call) => fact,
        }
    };
    let mut work = AbortOnDropHandle::new(steps.home.spawn(work));
    let mut beat = beat(&cx);
    let fact = loop {
        tokio::select! {
            ended = &mut work => break ended.map_err(|error| failure(panicked(error)))?,
            _ = beat.tick() => {
                cx.record_heartbeat(()).await?;
                if cx.is_cancelled() && !is_ours(&cx).await {
                    return Err(ActivityError::cancelled());
                }
            }
        }
    };
    match fact {
        Fact::AttemptFailed { step, error, .. } | Fact::UndoFailed { step, error, .. } => {
            let saga = cx.info().workflow_id.as_deref();
            tracing::warn!(saga, step, attempt, undo, error, "step failed, to be tried again");
            Err(failure(error))
        }
        fact => Ok(answer(&cx, fact).await),
    }
}

/// Adds the failure that the last attempt mended. It is told to operators alone: one that cannot be looked up is left out.
async fn answer(cx: &ActivityContext, fact: Fact) -> Answer {
    let mut failed = None;
    if let Some(before @ 1..) = cx.info().attempt.checked_sub(1) {
        let pending = pending(cx).await;
        failed = pending.and_then(|pending| pending.last_failure).map(|failure| (before, failure.message));
    }
    Answer { fact, failed }
}

async fn once(step: Step, saga: String, attempt: u32, call: StepCall) -> Fact {
    let limit = Duration::from_millis(SAGA_STEP_MS_MAX);
    let out_of_time = || StageError::Retry(format!("no end after {SAGA_STEP_MS_MAX} ms"), None);
    if !call.undo {
        let run = step.act(call.state, step.context(&saga, attempt, now_us()));
        return tokio::time::timeout(limit, run).await.unwrap_or_else(|_| step.failed(attempt, &out_of_time()));
    }
    let undo = step.revert(call.state, step.undo_context(&saga, attempt, now_us()));
    tokio::time::timeout(limit, undo).await.unwrap_or_else(|_| {
        let (step, error) = (step.name().to_owned(), out_of_time().to_string());
        Fact::UndoFailed { step, attempts: attempt, error }
    })
}

/// Three signs of life in each lease; the SDK sends as many of them as the server needs.
fn beat(cx: &ActivityContext) -> tokio::time::Interval {
    let lease = cx.info().heartbeat_timeout.unwrap_or(Duration::from_secs(15));
    let mut beat = tokio::time::interval((lease / 3).max(Duration::from_millis(10)));
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat
}

/// Returns whether an activity that is told to stop is still this process's. After a cancel of the saga it is, and may come
/// to its end, so that its undo knows what there is. After a lease that ran out it is another's: there must not be two.
async fn is_ours(cx: &ActivityContext) -> bool {
    pending(cx).await.is_some_and(|pending| {
        let begun = matches!(pending.state(), PendingActivityState::Started | PendingActivityState::CancelRequested);
        begun && u32::try_from(pending.attempt) == Ok(cx.info().attempt)
    })
}

/// Returns what the server knows of this activity; nothing where it has ended, or the server does not answer.
async fn pending(cx: &ActivityContext) -> Option<PendingActivityInfo> {
    let handle = cx.workflow_handle::<Saga>()?;
    let description = handle.describe(WorkflowDescribeOptions::default()).await.ok()?;
    let mut activities = description.into_raw().pending_activities.into_iter();
    activities.find(|activity| activity.activity_id == cx.info().activity_id)
}

fn failure(text: String) -> ActivityError {
    ActivityError::application(ApplicationFailure::new(text))
}

fn panicked(error: tokio::task::JoinError) -> String {
    if error.is_panic() { "step panicked".to_owned() } else { "step was cut off".to_owned() }
}
