//! The saga engine: drives sagas to their end over crashes and restarts. Embedded: a journal table. Distributed: Temporal,
//! where one generic workflow drives the same `saga::next`.
//!
//! What every engine promises (`conformance::saga_engine` holds it to that): a started saga ends, completed or undone, as
//! long as some process that knows its list runs; one process at a time drives it; the step in hand of a process that died
//! is repeated by another; what a call has taken is on the disk when the call returns.

use async_trait::async_trait;
use serde_json::Value;

/// Drives sagas. Ids are the caller's, and taken once for ever.
#[async_trait]
pub trait SagaEngine: Send + Sync {
    /// Starts a saga with the newest list of that name. A second start of an id changes nothing and says so.
    ///
    /// # Errors
    /// When the name is not registered, id or input is over its limit, or the engine fails.
    async fn start(&self, id: &str, definition: &str, input: Value) -> Result<Start, SagaError>;

    /// Gives a saga a signal. One that comes before its wait or before the start is kept, a repeated one (same name and
    /// payload) changes nothing, one after the end is ignored.
    ///
    /// # Errors
    /// When id or payload is over its limit, the journal is full, or the engine fails.
    async fn signal(&self, id: &str, signal: &str, payload: Value) -> Result<(), SagaError>;

    /// Has a saga undone. The first reason counts; a cancel before the start waits for it; one after completion is
    /// ignored: what is done is undone by another saga.
    ///
    /// # Errors
    /// When the id is over its limit or the engine fails.
    async fn cancel(&self, id: &str, reason: &str) -> Result<(), SagaError>;

    /// Returns what is known of a saga.
    ///
    /// # Errors
    /// When the engine fails.
    async fn status(&self, id: &str) -> Result<Option<SagaStatus>, SagaError>;

    /// Returns sagas whose ids follow `after`, in rising order, at most `SAGA_LIST_MAX`.
    ///
    /// # Errors
    /// When the engine fails.
    async fn list(&self, after: Option<&str>) -> Result<Vec<SagaSummary>, SagaError>;
}

/// What a start came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The saga is started.
    Started,
    /// It was started before; nothing has changed.
    AlreadyThere,
}

/// One line of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SagaSummary {
    /// Its id.
    pub id: String,
    /// Name and version of its list, once it is started.
    pub definition: Option<(String, u32)>,
    /// How far it is.
    pub state: SagaState,
}

/// How far a saga is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SagaState {
    /// Signals or a cancel came, the start has not.
    NotStarted,
    /// Its steps are being done.
    Running,
    /// Its steps are being undone.
    Undoing,
    /// Every step is done.
    Completed,
    /// Everything is undone.
    RolledBack,
}

impl SagaState {
    /// Returns whether nothing more happens.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Completed | Self::RolledBack)
    }
}

/// What is known of a saga.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SagaStatus {
    /// Its id.
    pub id: String,
    /// Name and version of its list, once it is started.
    pub definition: Option<(String, u32)>,
    /// How far it is.
    pub state: SagaState,
    /// The step that is run, waited in or undone.
    pub step: Option<String>,
    /// What that step waits for.
    pub waits_for: Option<WaitsFor>,
    /// Runs or failed undos of that step so far.
    pub attempts: u32,
    /// Why it is or was undone.
    pub reason: Option<String>,
    /// The last thing that went wrong, or why this build cannot drive it.
    pub last_error: Option<String>,
    /// Every step and how far it is, in order; empty where this build does not know the list.
    pub steps: Vec<(String, StepState)>,
    /// When its journal last grew, microseconds since 1970.
    pub updated_us: i64,
}

/// What a saga waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitsFor {
    /// The signal.
    pub signal: String,
    /// When the wait ends, microseconds since 1970.
    pub deadline_us: i64,
}

/// How far one step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepState {
    /// Not reached.
    Ahead,
    /// It is run or waited in.
    InHand,
    /// Done.
    Done,
    /// Its effect is known or feared, and to be undone.
    ToUndo,
    /// Undone.
    Undone,
    /// Left out: the saga ended before it, or it has nothing to undo.
    Skipped,
}

/// Why a saga engine could not answer.
#[derive(Debug, thiserror::Error)]
pub enum SagaError {
    /// No list of that name.
    #[error("saga {name:?} is not registered")]
    UnknownDefinition {
        /// The name.
        name: String,
    },
    /// Something is too long.
    #[error("{what} of saga {id:?} has {len_bytes} bytes, {max} allowed")]
    Oversized {
        /// `id`, `input`, `signal`, `payload` or `reason`.
        what: &'static str,
        /// The id, cut at 100 characters.
        id: String,
        /// Its length.
        len_bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The journal takes no more signals.
    #[error("journal of saga {id:?} has {entries} entries and takes no more signals")]
    Full {
        /// The id.
        id: String,
        /// Its entries.
        entries: u64,
    },
    /// The engine failed; time may help.
    #[error("saga engine failed to {action}")]
    Engine {
        /// What was tried.
        action: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
