//! Recorded histories, replayed without a server: does this build do at every point what the build did that recorded them?
//! One that does not would leave its sagas standing.

use std::sync::Arc;

use mcsp_runtime::saga::SagaDefinition;
use temporalio_client::{WorkflowHistory, WorkflowHistoryError};
use temporalio_sdk::WorkflowRegistrationError;
use temporalio_sdk::workflow_replayer::{WorkflowReplayError, WorkflowReplayer, WorkflowReplayerOptions};

use super::workflow::Saga;

/// Why a history cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It is no history.
    #[error("history cannot be read")]
    Unreadable(#[source] WorkflowHistoryError),
    /// This build would do something else, or the replayer failed.
    #[error("history cannot be followed")]
    Differs(#[source] WorkflowReplayError),
    /// The replayer does not take the workflow.
    #[error("replayer does not take the workflow")]
    Registration(#[source] WorkflowRegistrationError),
}

/// Replays a saga's history, as `TemporalEngine::history` gives it, against its list; against none where the saga was not
/// started.
///
/// # Errors
/// When this build does something else than stands in the history.
pub async fn replay(list: Option<SagaDefinition>, history: &[u8]) -> Result<(), ReplayError> {
    let list = list.map(Arc::new);
    let options = WorkflowReplayerOptions::new()
        .register_workflow_with_factory::<Saga, _>(move || Saga::new(list.clone()))
        .map_err(ReplayError::Registration)?
        .build();
    let replayer = WorkflowReplayer::new(options).map_err(ReplayError::Differs)?;
    let history = WorkflowHistory::from_json(history).map_err(ReplayError::Unreadable)?;
    replayer.replay_workflow(history).await.map_err(ReplayError::Differs)
}
