//! The stage loop: what a stage is, and the one loop that drives all of them (ARCHITECTURE.md section 6).
//!
//! `receive → claim → handle → complete`. A stage answers with the events to send; the loop gives them ids that repeat
//! themselves, commits them with the record, sets failures aside with a growing delay, and gives up into `dead.<group>`.

mod attempt;
mod backoff;
mod context;
mod error;
mod meter;
mod outcome;
mod pause;
mod redeliver;
mod runner;

use std::future::Future;

use mcsp_events::{Inputs, Outgoing, Topic};

pub use backoff::Backoff;
pub use context::{Beat, Context, Stop};
pub use error::StageError;
pub use pause::{pause, paused, resume};
pub use redeliver::{RedeliverError, redeliver};
pub use runner::{CancelLookup, Runner, RunnerOptions};

/// One kind of work: a record in, events out.
pub trait Stage: Send + Sync + 'static {
    /// Its name: the source of its events, and a metric's label.
    const NAME: &'static str;
    /// Its consumer group; one stage a group.
    const GROUP: &'static str;
    /// What it consumes.
    type Input: Inputs;
    /// The topics of the events that it may answer with.
    const OUTPUTS: &'static [Topic];

    /// Handles one input. It may run again for the same input, even at the same time when its lease ran out unseen: what
    /// it writes must be first-wins or the same bytes.
    ///
    /// # Errors
    /// `Retry` when time may help, `Reject` when it will not.
    fn handle(
        &self,
        input: Self::Input,
        cx: &Context,
    ) -> impl Future<Output = Result<Vec<Outgoing>, StageError>> + Send;
}

/// The same loop over many small records of one partition at once, for engagement and analytics.
pub trait BatchStage: Send + Sync + 'static {
    /// As `Stage::NAME`.
    const NAME: &'static str;
    /// As `Stage::GROUP`.
    const GROUP: &'static str;
    /// As `Stage::Input`.
    type Input: Inputs;
    /// As `Stage::OUTPUTS`.
    const OUTPUTS: &'static [Topic];

    /// Handles up to `BATCH_RECORDS_MAX` inputs in their order; answers with one list of events for each. When it fails
    /// with more than one input, each is handled alone, so that only what is bad is set aside.
    ///
    /// # Errors
    /// As `Stage::handle`.
    fn handle(
        &self,
        inputs: Vec<Self::Input>,
        cx: &Context,
    ) -> impl Future<Output = Result<Vec<Vec<Outgoing>>, StageError>> + Send;
}
