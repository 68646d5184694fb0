//! `SagaEngine` on Temporal: one generic workflow drives `saga::next`, a saga's id is its workflow's id, a list's name and
//! version name the task queue of the processes that know it.
//!
//! A step that runs is an activity of its own name, repeated by the server, a wait is a signal with a timer. A signal or a
//! cancel before the start begins the workflow, which continues on the list's queue when the start comes. Ids are taken
//! once for as long as the namespace keeps what has ended: its retention is the `for ever` of the port.

mod connect;
mod replay;
mod sight;
mod steps;
mod wire;
mod worker;
mod workflow;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use mcsp_domain::limits::{ERROR_CHARS_MAX, SAGA_ID_BYTES_MAX, SAGA_LIST_MAX, SAGA_VALUE_BYTES_MAX};
use mcsp_runtime::saga::{SagaDefinition, assert_distinct, newest};
use mcsp_runtime::{SagaEngine, SagaError, SagaState, SagaStatus, SagaSummary, Start};
use serde_json::Value;
use sha2::{Digest, Sha256};
use temporalio_client::errors::{WorkflowInteractionError, WorkflowStartError, WorkflowUpdateError};
use temporalio_client::tonic::Code;
use temporalio_client::{
    Client, WorkflowExecuteUpdateOptions, WorkflowIdConflictPolicy, WorkflowIdReusePolicy, WorkflowListOptions,
    WorkflowSignalOptions, WorkflowStartOptions,
};
use temporalio_common::{HasWorkflowDefinition, SignalDefinition};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::{Login, Tls};
pub use connect::TemporalError;
pub use replay::{ReplayError, replay};
use wire::{Input, Note, Pace, StartWith, WORKFLOW, list_queue};
use workflow::Saga;

/// Events of a history above which a saga takes no more signals, about two thousand of them. Temporal refuses a workflow's
/// 10,001st signal, and ends a workflow of 51,200 events.
const HISTORY_EVENTS_MAX: u64 = 9600;
/// Bytes of a history above which a saga takes no more signals: whoever takes it up reads it whole. Temporal warns of
/// 10 MB and ends a workflow of 50 MB.
const HISTORY_BYTES_MAX: u64 = 8 << 20;
/// How long a worker may take to answer a start that was preceded by signals.
const ANSWER: Duration = Duration::from_secs(30);
/// Looks at a saga that others move meanwhile.
const LOOKS_MAX: u32 = 5;

/// Where Temporal is, and how an engine drives on it.
#[derive(Clone)]
pub struct TemporalOptions {
    /// The frontend, `host:port`.
    pub address: String,
    /// The namespace; it must be there. Its sagas are all of this platform.
    pub namespace: String,
    /// What the names of all task queues begin with.
    pub task_queue: String,
    /// An API key as the password; the user is what Temporal shows of this client beside its process id.
    pub login: Option<Login>,
    /// TLS, with the client's own certificate where the server asks for one.
    pub tls: Option<Tls>,
    /// How long a process that says nothing keeps the steps that it runs. Kept by each saga from its start on.
    pub lease: Duration,
    /// A silence of all engines that is longer does not count towards any deadline. Kept by each saga from its start on.
    pub idle: Duration,
    /// Steps of one list that this process runs at once.
    pub steps_max: usize,
    /// How long a server that does not answer is waited for.
    pub wait: Duration,
    /// How long the namespace should keep what has ended; a shorter retention is warned of.
    pub keep: Duration,
}

impl TemporalOptions {
    /// Returns the usual options for a server and a namespace, without TLS and login.
    pub fn new(address: impl Into<String>, namespace: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            namespace: namespace.into(),
            task_queue: "mcsp-sagas".to_owned(),
            login: None,
            tls: None,
            lease: Duration::from_secs(15),
            idle: Duration::from_secs(300),
            steps_max: 64,
            wait: Duration::from_secs(10),
            keep: Duration::from_secs(30 * 24 * 3600),
        }
    }

    fn pace(&self) -> Pace {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Pace { lease_ms: millis(self.lease).max(1), idle_ms: millis(self.idle) }
    }
}

/// Sagas in a Temporal namespace. Dropping the engine is like a death: its steps are repeated elsewhere when their leases
/// run out.
pub struct TemporalEngine {
    client: Client,
    options: Arc<TemporalOptions>,
    definitions: Vec<SagaDefinition>,
    stopping: CancellationToken,
    dead: CancellationToken,
    end: Option<oneshot::Receiver<()>>,
}

impl TemporalEngine {
    /// Connects and drives the sagas of the given lists. Steps run on the current Tokio runtime.
    ///
    /// # Errors
    /// When the server does not answer in time, refuses the login or lacks the namespace.
    ///
    /// # Panics
    /// When two lists share name and version, or two steps of a list a name.
    pub async fn open(options: TemporalOptions, definitions: Vec<SagaDefinition>) -> Result<Self, TemporalError> {
        assert_distinct(&definitions);
        for step in definitions.iter().flat_map(|list| &list.steps) {
            // Else the activity of one step could be the undo of another.
            assert!(!step.name().ends_with(wire::UNDO), "a step's name does not end with {}", wire::UNDO);
        }
        let client = connect::connect(&options).await?;
        let options = Arc::new(options);
        let (stopping, dead) = (CancellationToken::new(), CancellationToken::new());
        let mut engine = Self {
            client,
            options: options.clone(),
            definitions,
            stopping: stopping.clone(),
            dead: dead.clone(),
            end: None,
        };
        let lists = engine.definitions.iter().cloned().map(Arc::new).collect();
        let home = tokio::runtime::Handle::current();
        engine.end = Some(worker::spawn(worker::Crew { options, lists, home, stopping, dead }).await?);
        Ok(engine)
    }

    /// Checks that the server answers, knows the namespace and lets us in.
    ///
    /// # Errors
    /// When it does not.
    pub async fn check(&self) -> Result<(), TemporalError> {
        connect::check(&self.client, &self.options).await.map(|_| ())
    }

    /// Stops: no step begins any more, those in hand may end within `grace`. What did not is repeated by another process.
    pub async fn stop(mut self, grace: Duration) {
        self.stopping.cancel();
        let Some(end) = self.end.take() else { return };
        if tokio::time::timeout(grace, end).await.is_err() {
            tracing::warn!(?grace, "sagas did not come to rest in time: their steps will be repeated");
        }
    }

    /// Returns a saga's history as JSON, which `replay` takes; nothing where there is no such saga.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn history(&self, id: &str) -> Result<Option<Vec<u8>>, SagaError> {
        let failed = |cause| engine_error("read a history", cause);
        let Some(sight) = sight::look(&self.client, id).await.map_err(failed)? else { return Ok(None) };
        let history = sight.handle.fetch_history(Default::default());
        history.to_json().await.map(Some).map_err(|error| failed(Box::new(error)))
    }

    /// Returns how a saga's workflow is begun: an id is taken once.
    fn start_options(
        &self,
        id: &str,
        task_queue: &str,
        conflict: WorkflowIdConflictPolicy,
        note: &Note,
    ) -> WorkflowStartOptions {
        let (name, version) = note.definition.clone().unwrap_or_else(|| ("not started".to_owned(), 0));
        WorkflowStartOptions::new(task_queue, id)
            .id_reuse_policy(WorkflowIdReusePolicy::RejectDuplicate)
            .id_conflict_policy(conflict)
            .memo(note.write())
            .static_summary(format!("{name} {version}"))
            .build()
    }

    /// Starts a saga whose id is known already: signals or a cancel may have come first.
    async fn start_known(&self, id: &str, start: StartWith) -> Result<Start, SagaError> {
        const ACTION: &str = "start a saga that has signals";
        for _ in 0..LOOKS_MAX {
            let sight = sight::look(&self.client, id).await.map_err(|cause| engine_error(ACTION, cause))?;
            let Some(sight) = sight else { break };
            if sight.is_closed() || sight.is_started() {
                return Ok(Start::AlreadyThere);
            }
            let answer =
                sight.handle.execute_update(Saga::start, start.clone(), WorkflowExecuteUpdateOptions::default());
            match tokio::time::timeout(ANSWER, answer).await {
                Ok(Ok(true)) => return Ok(Start::Started),
                Ok(Ok(false)) => return Ok(Start::AlreadyThere),
                // It has gone on to its list's queue meanwhile: look again.
                Ok(Err(WorkflowUpdateError::NotFound(_))) => {}
                Ok(Err(error)) => return Err(engine_error(ACTION, Box::new(error))),
                Err(elapsed) => return Err(engine_error(ACTION, Box::new(elapsed))),
            }
        }
        Err(engine_error(ACTION, "its workflow is gone".into()))
    }

    /// Gives a saga a message, and begins its workflow where there is none. After the end it is ignored.
    async fn tell<S>(&self, ask: Tell<'_, S>, action: &'static str) -> Result<(), SagaError>
    where
        S: SignalDefinition<Workflow = <Saga as HasWorkflowDefinition>::Run>,
        S::Input: Clone + Send,
    {
        let Tell { id, signal, input, request_id, always } = ask;
        let sight = sight::look(&self.client, id).await.map_err(|cause| engine_error(action, cause))?;
        if let Some(sight) = sight {
            if sight.is_closed() {
                return Ok(());
            }
            let (events, bytes) = sight.history();
            if !always && (events >= HISTORY_EVENTS_MAX || bytes >= HISTORY_BYTES_MAX) {
                return Err(SagaError::Full { id: shown(id), entries: events });
            }
            // The server drops a repeated message by its request id, without a trace in the history.
            let options = WorkflowSignalOptions::builder().request_id(request_id).build();
            match sight.handle.signal(signal, input, options).await {
                Ok(()) | Err(WorkflowInteractionError::NotFound(_)) => return Ok(()),
                Err(error) => return Err(engine_error(action, Box::new(error))),
            }
        }
        let note = Note { definition: None, state: SagaState::NotStarted };
        let options = self.start_options(id, &self.options.task_queue, WorkflowIdConflictPolicy::UseExisting, &note);
        let begin = Input { start: None, journal: Default::default(), pace: self.options.pace() };
        match self.client.signal_with_start_workflow(Saga::run, begin, signal, input, options).await {
            Ok(_) | Err(WorkflowStartError::AlreadyStarted { .. }) => Ok(()),
            Err(WorkflowStartError::Rpc(status)) if status.code() == Code::AlreadyExists => Ok(()),
            Err(error) => Err(engine_error(action, Box::new(error))),
        }
    }
}

/// A message to a saga.
struct Tell<'a, S: SignalDefinition> {
    id: &'a str,
    signal: S,
    input: S::Input,
    /// The same for the same message.
    request_id: String,
    /// Whether a saga that is full takes it too.
    always: bool,
}

impl Drop for TemporalEngine {
    fn drop(&mut self) {
        self.dead.cancel();
    }
}

#[async_trait]
impl SagaEngine for TemporalEngine {
    async fn start(&self, id: &str, definition: &str, input: Value) -> Result<Start, SagaError> {
        const ACTION: &str = "start a saga";
        check("id", id, id.len(), SAGA_ID_BYTES_MAX)?;
        check("input", id, input.to_string().len(), SAGA_VALUE_BYTES_MAX)?;
        let unknown = || SagaError::UnknownDefinition { name: definition.chars().take(100).collect() };
        let list = newest(&self.definitions, definition).ok_or_else(unknown)?;
        let start = StartWith { definition: list.name.to_owned(), version: list.version, state: input };
        let note = Note { definition: Some((list.name.to_owned(), list.version)), state: SagaState::Running };
        let queue = list_queue(&self.options.task_queue, list.name, list.version);
        let options = self.start_options(id, &queue, WorkflowIdConflictPolicy::Fail, &note);
        let begin = Input { start: Some(start.clone()), journal: Default::default(), pace: self.options.pace() };
        match self.client.start_workflow(Saga::run, begin, options).await {
            Ok(_) => Ok(Start::Started),
            Err(WorkflowStartError::AlreadyStarted { .. }) => self.start_known(id, start).await,
            Err(error) => Err(engine_error(ACTION, Box::new(error))),
        }
    }

    async fn signal(&self, id: &str, signal: &str, payload: Value) -> Result<(), SagaError> {
        check("id", id, id.len(), SAGA_ID_BYTES_MAX)?;
        check("signal", id, signal.len(), SAGA_ID_BYTES_MAX)?;
        check("payload", id, payload.to_string().len(), SAGA_VALUE_BYTES_MAX)?;
        let request_id = hex::encode(Sha256::digest(format!("{}:{signal}{payload}", signal.len())));
        let input = (signal.to_owned(), payload);
        self.tell(Tell { id, signal: Saga::deliver, input, request_id, always: false }, "take a signal").await
    }

    async fn cancel(&self, id: &str, reason: &str) -> Result<(), SagaError> {
        check("id", id, id.len(), SAGA_ID_BYTES_MAX)?;
        let input: String = reason.chars().take(ERROR_CHARS_MAX).collect();
        // The first reason counts: every other cancel is a repeated one.
        let request_id = "cancel".to_owned();
        self.tell(Tell { id, signal: Saga::cancel, input, request_id, always: true }, "take a cancel").await
    }

    async fn status(&self, id: &str) -> Result<Option<SagaStatus>, SagaError> {
        let failed = |cause| engine_error("read a saga", cause);
        let Some(sight) = sight::look(&self.client, id).await.map_err(failed)? else { return Ok(None) };
        sight.status(id, &self.definitions).await.map(Some).map_err(failed)
    }

    /// The list is Temporal's index of workflows, which follows what happens by some milliseconds.
    async fn list(&self, after: Option<&str>) -> Result<Vec<SagaSummary>, SagaError> {
        let mut query = format!("WorkflowType = '{WORKFLOW}' AND ExecutionStatus != 'ContinuedAsNew'");
        if let Some(after) = after {
            query.push_str(&format!(" AND WorkflowId > '{}'", after.replace('\\', "\\\\").replace('\'', "\\'")));
        }
        // The index has no order of its own that every store of it keeps, so the first ids are picked here.
        let mut first = BTreeMap::new();
        let mut found = self.client.list_workflows(query, WorkflowListOptions::default());
        while let Some(workflow) = found.next().await {
            let workflow = workflow.map_err(|error| engine_error("list sagas", Box::new(error)))?;
            let (id, note) = (workflow.id().to_owned(), Note::read(&workflow.memo()));
            if after.is_some_and(|after| id.as_str() <= after) {
                continue;
            }
            first.insert(id.clone(), SagaSummary { id, definition: note.definition, state: note.state });
            if first.len() > SAGA_LIST_MAX {
                first.pop_last();
            }
        }
        Ok(first.into_values().collect())
    }
}

fn check(what: &'static str, id: &str, len_bytes: usize, max: usize) -> Result<(), SagaError> {
    if len_bytes > max {
        return Err(SagaError::Oversized { what, id: shown(id), len_bytes, max });
    }
    Ok(())
}

/// Returns an id as errors show it.
fn shown(id: &str) -> String {
    id.chars().take(100).collect()
}

fn engine_error(action: &'static str, source: Box<dyn std::error::Error + Send + Sync>) -> SagaError {
    SagaError::Engine { action, source }
}
