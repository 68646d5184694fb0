//! How far a saga is, as a caller sees it: its workflow's own words, and what the server alone knows, the step's attempts.

use mcsp_runtime::saga::{Fact, Journal, SagaDefinition, find, status};
use mcsp_runtime::{SagaState, SagaStatus};
use serde_json::Value;
use temporalio_client::errors::WorkflowInteractionError;
use temporalio_client::{
    Client, WorkflowDescribeOptions, WorkflowExecutionDescription, WorkflowExecutionStatus, WorkflowGetResultOptions,
    WorkflowHandle, WorkflowQueryOptions,
};
use temporalio_common::protos::temporal::api::enums::v1::PendingActivityState;
use temporalio_common::protos::temporal::api::workflow::v1::PendingActivityInfo;

use super::wire::{Note, activity_name};
use super::workflow::Saga;

/// A saga's workflow, and how Temporal describes it.
pub(super) struct Sight {
    pub(super) handle: WorkflowHandle<Client, Saga>,
    description: WorkflowExecutionDescription,
}

/// Any error of the client, with its causes.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Looks at a saga; nothing where there is none.
pub(super) async fn look(client: &Client, id: &str) -> Result<Option<Sight>, Cause> {
    let handle = client.get_workflow_handle::<Saga>(id);
    match handle.describe(WorkflowDescribeOptions::default()).await {
        Ok(description) => Ok(Some(Sight { handle, description })),
        Err(WorkflowInteractionError::NotFound(_)) => Ok(None),
        Err(error) => Err(Box::new(error)),
    }
}

impl Sight {
    /// Returns whether nothing more happens.
    pub(super) fn is_closed(&self) -> bool {
        !matches!(self.description.status(), WorkflowExecutionStatus::Running)
    }

    /// Returns whether it has been started.
    pub(super) fn is_started(&self) -> bool {
        self.note().definition.is_some()
    }

    /// Returns events and bytes of its history.
    pub(super) fn history(&self) -> (u64, u64) {
        let info = self.description.raw().workflow_execution_info.as_ref();
        let counted = |count: i64| u64::try_from(count).unwrap_or(0);
        info.map_or((0, 0), |info| (counted(info.history_length), counted(info.history_size_bytes)))
    }

    fn note(&self) -> Note {
        Note::read(&self.description.memo())
    }

    /// Returns the saga's status.
    pub(super) async fn status(&self, id: &str, lists: &[SagaDefinition]) -> Result<SagaStatus, Cause> {
        let note = self.note();
        let known = note.definition.as_ref().is_none_or(|(name, version)| find(lists, name, *version).is_some());
        let state = self.description.status();
        match state {
            WorkflowExecutionStatus::Running if known => self.ask(id).await,
            WorkflowExecutionStatus::Running => Ok(remembered(id, lists, &note)),
            WorkflowExecutionStatus::Completed => {
                let result = self.handle.get_result(WorkflowGetResultOptions::default()).await;
                Ok(result?.into_status(id))
            }
            ended => {
                let mut status = remembered(id, lists, &note);
                status.state = note.state;
                status.last_error =
                    Some(format!("workflow was ended in temporal ({ended:?}): nothing drives this saga"));
                Ok(status)
            }
        }
    }

    async fn ask(&self, id: &str) -> Result<SagaStatus, Cause> {
        let view = self.handle.query(Saga::view, (), WorkflowQueryOptions::default()).await;
        let mut status = view?.into_status(id);
        overlay(&mut status, &self.description.raw().pending_activities);
        Ok(status)
    }
}

/// Returns what the memo alone tells: this build does not know the list.
fn remembered(id: &str, lists: &[SagaDefinition], note: &Note) -> SagaStatus {
    let mut journal = Journal::default();
    if let Some((definition, version)) = note.definition.clone() {
        journal.push(0, Fact::Started { definition, version, state: Value::Null });
    }
    status(id, lists, &journal, 0)
}

/// Adds the attempts at the step in hand: the server repeats them without a word to the workflow.
fn overlay(status: &mut SagaStatus, pending: &[PendingActivityInfo]) {
    let Some(step) = status.step.clone() else { return };
    let undo = status.state == SagaState::Undoing;
    let Some(activity) = pending.iter().find(|activity| activity.activity_id == activity_name(&step, undo)) else {
        return;
    };
    let attempt = u32::try_from(activity.attempt).unwrap_or(0);
    let failed = attempt.saturating_sub(1);
    let waits = activity.state() == PendingActivityState::Scheduled;
    status.attempts = if undo || waits { failed } else { attempt };
    if let Some(failure) = &activity.last_failure {
        let of = if undo { "undo of step" } else { "step" };
        status.last_error = Some(format!("{of} {step}: {}", failure.message));
    }
}

#[cfg(test)]
mod tests {
    use temporalio_common::protos::temporal::api::failure::v1::Failure;

    use super::*;

    fn seen(state: SagaState, id: &str, activity: PendingActivityState, attempt: i32) -> (u32, Option<String>) {
        let mut status = remembered("id", &[], &Note { definition: None, state });
        (status.state, status.step, status.attempts) = (state, Some("b".to_owned()), 1);
        let last_failure = Some(Failure { message: "busy".to_owned(), ..Default::default() });
        let activity_id = id.to_owned();
        let pending =
            PendingActivityInfo { activity_id, state: activity.into(), attempt, last_failure, ..Default::default() };
        overlay(&mut status, &[pending]);
        (status.attempts, status.last_error)
    }

    #[test]
    fn attempts_are_those_that_began_and_of_undos_those_that_failed() {
        let (scheduled, started) = (PendingActivityState::Scheduled, PendingActivityState::Started);
        let failed = Some("step b: busy".to_owned());
        assert_eq!(seen(SagaState::Running, "b", scheduled, 3), (2, failed.clone()));
        assert_eq!(seen(SagaState::Running, "b", started, 3), (3, failed));
        let failed = Some("undo of step b: busy".to_owned());
        assert_eq!(seen(SagaState::Undoing, "b/undo", scheduled, 3), (2, failed.clone()));
        assert_eq!(seen(SagaState::Undoing, "b/undo", started, 3), (2, failed));
        assert_eq!(seen(SagaState::Undoing, "b", started, 3), (1, None), "of another activity");
    }
}
