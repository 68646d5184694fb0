//! Drives stages: fetches records for as many slots as there are, hands them to attempts, drains when told to stop.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mcsp_domain::limits;
use mcsp_events::{Asset, GroupName, Inputs, Outgoing, Topic};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Backoff, BatchStage, Context, Stage, StageError};
use crate::{EventLog, LogError, Record, SubscribeOptions, Subscription, TtlStore, chain};

/// How long one fetch waits for records: a pause is seen this late at most.
const FETCH_WAIT: Duration = Duration::from_secs(2);

/// Tells whether a revision was cancelled; asked before a handler runs and every few seconds while it does.
pub type CancelLookup = Arc<dyn Fn(Asset) -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

/// How a process runs its stages.
#[derive(Clone, Debug)]
pub struct RunnerOptions {
    /// The process's name, unique among those of the platform: host and process.
    pub worker: String,
    /// How long the claims and partitions of a process that says nothing are kept.
    pub lease: Duration,
    /// Records of one stage that are handled side by side; a batch counts as one.
    pub slots: usize,
    /// Runs of one record before it is given up.
    pub attempts_max: u32,
    /// The delay between runs.
    pub backoff: Backoff,
    /// How long a handler may go on after the process was told to stop.
    pub drain: Duration,
}

impl RunnerOptions {
    /// Returns the usual options of a process.
    pub fn new(worker: impl Into<String>) -> Self {
        Self {
            worker: worker.into(),
            lease: Duration::from_secs(15),
            slots: 1,
            attempts_max: limits::ATTEMPTS_MAX,
            backoff: Backoff::default(),
            drain: Duration::from_secs(30),
        }
    }
}

/// Runs stages on a log and a ledger.
#[derive(Clone)]
pub struct Runner {
    log: Arc<dyn EventLog>,
    ledger: Arc<dyn TtlStore>,
    options: RunnerOptions,
    cancelled: Option<CancelLookup>,
}

impl Runner {
    /// Makes a runner.
    pub fn new(log: Arc<dyn EventLog>, ledger: Arc<dyn TtlStore>, options: RunnerOptions) -> Self {
        Self { log, ledger, options, cancelled: None }
    }

    /// Has revisions looked up, so that work on cancelled ones stops.
    #[must_use]
    pub fn with_cancel_lookup(mut self, lookup: CancelLookup) -> Self {
        self.cancelled = Some(lookup);
        self
    }

    /// Runs one stage until `shutdown`, then drains: what runs may end within the drain's time, the rest goes back.
    ///
    /// # Errors
    /// When the group cannot be joined, and time will not help.
    pub async fn run<S: Stage>(&self, stage: Arc<S>, shutdown: CancellationToken) -> Result<(), LogError> {
        self.drive(Arc::new(Single(stage)), 1, shutdown).await
    }

    /// Runs one batch stage, as `run`.
    ///
    /// # Errors
    /// As `run`.
    pub async fn run_batch<S: BatchStage>(&self, stage: Arc<S>, shutdown: CancellationToken) -> Result<(), LogError> {
        self.drive(stage, limits::BATCH_RECORDS_MAX, shutdown).await
    }

    async fn drive<S: BatchStage>(
        &self,
        stage: Arc<S>,
        per_partition: usize,
        shutdown: CancellationToken,
    ) -> Result<(), LogError> {
        let group = GroupName::parse(S::GROUP).map_err(|error| LogError::Misused { what: error.to_string() })?;
        let Some(subscription) = self.join::<S>(&group, &shutdown).await? else { return Ok(()) };
        let driver = Arc::new(Driver {
            stage,
            subscription,
            ledger: Arc::clone(&self.ledger),
            options: self.options.clone(),
            group,
            cancelled: self.cancelled.clone(),
            overdue: CancellationToken::new(),
            runs: AtomicU64::new(0),
        });
        tracing::info!(stage = S::NAME, group = S::GROUP, "stage runs");
        let mut running = JoinSet::new();
        driver.fetch_until(&shutdown, per_partition, &mut running).await;
        driver.drain(running).await;
        tracing::info!(stage = S::NAME, "stage has drained");
        Ok(())
    }

    /// Joins the group, again and again where the log is away; nothing when the process is told to stop meanwhile.
    async fn join<S: BatchStage>(
        &self,
        group: &GroupName,
        shutdown: &CancellationToken,
    ) -> Result<Option<Arc<dyn Subscription>>, LogError> {
        let mut failures = 0;
        while !shutdown.is_cancelled() {
            let options = SubscribeOptions { member: self.options.worker.clone(), lease: self.options.lease };
            match self.log.subscribe(group, &S::Input::topics(), options).await {
                Ok(subscription) => return Ok(Some(Arc::from(subscription))),
                Err(error) if error.may_pass() => {
                    failures += 1;
                    tracing::warn!(stage = S::NAME, error = %chain(&error), "the group could not be joined");
                    stop_or_wait(shutdown, self.options.backoff.jittered(failures)).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

/// A stage of one input as a batch stage of one.
struct Single<S>(Arc<S>);

impl<S: Stage> BatchStage for Single<S> {
    const NAME: &'static str = S::NAME;
    const GROUP: &'static str = S::GROUP;
    type Input = S::Input;
    const OUTPUTS: &'static [Topic] = S::OUTPUTS;

    async fn handle(&self, inputs: Vec<S::Input>, cx: &Context) -> Result<Vec<Vec<Outgoing>>, StageError> {
        let mut outputs = Vec::new();
        for input in inputs {
            outputs.push(self.0.handle(input, cx).await?);
        }
        Ok(outputs)
    }
}

/// Under which name a run claims, and where.
pub(super) struct Run {
    /// Unique to the run: two runs of one process never share a claim.
    pub(super) owner: String,
    /// `group.epoch`, of the time when the records were received: a replay that raises the epoch meanwhile leaves the claims
    /// of this run where they are.
    pub(super) namespace: String,
}

/// One stage's membership in its group.
pub(super) struct Driver<S> {
    pub(super) stage: Arc<S>,
    pub(super) subscription: Arc<dyn Subscription>,
    pub(super) ledger: Arc<dyn TtlStore>,
    pub(super) options: RunnerOptions,
    pub(super) group: GroupName,
    pub(super) cancelled: Option<CancelLookup>,
    /// Set when the drain's time is over.
    pub(super) overdue: CancellationToken,
    runs: AtomicU64,
}

impl<S: BatchStage> Driver<S> {
    /// Returns a new run's identity.
    pub(super) fn new_run(&self) -> Run {
        let number = self.runs.fetch_add(1, Ordering::Relaxed);
        Run {
            owner: format!("{}/{}/{number}", self.options.worker, S::NAME),
            namespace: format!("{}.{}", self.group, self.subscription.epoch()),
        }
    }

    async fn fetch_until(
        self: &Arc<Self>,
        shutdown: &CancellationToken,
        per_partition: usize,
        running: &mut JoinSet<()>,
    ) {
        let slots = Arc::new(Semaphore::new(self.options.slots.max(1)));
        let mut failures = 0;
        while !shutdown.is_cancelled() {
            while running.try_join_next().is_some() {}
            let Some(mut permits) = free_slots(&slots, shutdown).await else { return };
            if self.is_paused().await {
                stop_or_wait(shutdown, FETCH_WAIT).await;
                continue;
            }
            let max = permits.len().saturating_mul(per_partition);
            let fetched = tokio::select! {
                fetched = self.subscription.next(max, per_partition, FETCH_WAIT) => fetched,
                () = shutdown.cancelled() => return,
            };
            match fetched {
                Ok(records) => {
                    failures = 0;
                    for records in by_partition(records) {
                        // More partitions than slots answered: the rest waits for the next free slot.
                        let permit = match permits.pop() {
                            Some(permit) => Some(permit),
                            None => free_slots(&slots, shutdown).await.and_then(|mut more| {
                                let first = more.pop();
                                permits = more;
                                first
                            }),
                        };
                        let Some(permit) = permit else {
                            self.hand_back_all(&records).await;
                            continue;
                        };
                        let driver = Arc::clone(self);
                        running.spawn(async move {
                            driver.attempt(records).await;
                            drop(permit);
                        });
                    }
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(stage = S::NAME, error = %chain(&error), "records could not be fetched");
                    stop_or_wait(shutdown, self.options.backoff.jittered(failures)).await;
                }
            }
        }
    }

    async fn is_paused(&self) -> bool {
        match super::paused(self.ledger.as_ref(), self.group.as_str()).await {
            Ok(reason) => reason.is_some(),
            Err(error) => {
                // Without the ledger nothing may be handled, so a group whose ledger is down is as good as paused.
                tracing::warn!(stage = S::NAME, error = %chain(&error), "the ledger does not answer");
                true
            }
        }
    }

    async fn drain(&self, mut running: JoinSet<()>) {
        let all = async { while running.join_next().await.is_some() {} };
        if tokio::time::timeout(self.options.drain, all).await.is_err() {
            self.overdue.cancel();
            while running.join_next().await.is_some() {}
        }
        if let Err(error) = self.subscription.close().await {
            tracing::warn!(stage = S::NAME, error = %chain(&error), "partitions go back when their lease runs out");
        }
    }
}

/// Waits for a free slot and takes all that are free; nothing when the process is told to stop.
async fn free_slots(slots: &Arc<Semaphore>, shutdown: &CancellationToken) -> Option<Vec<OwnedSemaphorePermit>> {
    let first = tokio::select! {
        permit = Arc::clone(slots).acquire_owned() => permit.ok()?,
        () = shutdown.cancelled() => return None,
    };
    let mut permits = vec![first];
    while let Ok(permit) = Arc::clone(slots).try_acquire_owned() {
        permits.push(permit);
    }
    Some(permits)
}

/// Waits, or less when the process is told to stop.
pub(super) async fn stop_or_wait(shutdown: &CancellationToken, delay: Duration) {
    tokio::select! {
        () = tokio::time::sleep(delay) => {}
        () = shutdown.cancelled() => {}
    }
}

/// Splits records into runs of one partition, in their order.
fn by_partition(records: Vec<Record>) -> Vec<Vec<Record>> {
    let mut runs: Vec<Vec<Record>> = Vec::new();
    for record in records {
        let same = |run: &&mut Vec<Record>| {
            run.first().is_some_and(|first| first.topic == record.topic && first.partition == record.partition)
        };
        match runs.iter_mut().find(same) {
            Some(run) => run.push(record),
            None => runs.push(vec![record]),
        }
    }
    runs
}
