//! The thread on which this process drives sagas: a worker for each list, on a task queue of its own, and one that holds
//! what is not started. Workflows cannot leave their thread; steps run on the runtime that opened the engine.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use mcsp_runtime::chain;
use mcsp_runtime::saga::SagaDefinition;
use temporalio_common::worker::{WorkerDeploymentOptions, WorkerDeploymentVersion};
use temporalio_sdk::runtime::RuntimeOptions;
use temporalio_sdk::runtime::worker_tuner::{FixedSizeSlotSupplier, TunerHolder};
use temporalio_sdk::{Runtime, Worker, WorkerOptions};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::connect::{connect, server};
use super::steps::Steps;
use super::wire::list_queue;
use super::workflow::Saga;
use super::{TemporalError, TemporalOptions};

/// The pause before workers that failed begin again.
const PAUSE: Duration = Duration::from_secs(1);
/// Workflow tasks that one worker does at once: each takes microseconds.
const WORKFLOW_TASKS_MAX: usize = 100;
/// How long a task waits for the process that has its saga in memory.
const STICKY_MS: std::ops::RangeInclusive<u64> = 250..=5000;

/// What the thread works with.
#[derive(Clone)]
pub(super) struct Crew {
    pub(super) options: Arc<TemporalOptions>,
    pub(super) lists: Vec<Arc<SagaDefinition>>,
    pub(super) home: Handle,
    /// No step begins any more.
    pub(super) stopping: CancellationToken,
    /// Nothing moves any more.
    pub(super) dead: CancellationToken,
}

/// Where the first try is told of, once.
type Ready = Option<oneshot::Sender<Result<(), TemporalError>>>;

/// Starts the thread. Returns once its workers take sagas up, with what tells of its end.
pub(super) async fn spawn(crew: Crew) -> Result<oneshot::Receiver<()>, TemporalError> {
    let (say_ready, ready) = oneshot::channel();
    let (ended, end) = oneshot::channel();
    let options = crew.options.clone();
    let thread = std::thread::Builder::new().name("sagas".to_owned()).spawn(move || {
        live(&crew, say_ready);
        // Whoever waits for the end may have gone.
        let _ = ended.send(());
    });
    thread.map_err(|error| server(&options, "begin a thread", error.to_string()))?;
    let gone = |_| Err(server(&options, "begin its workers", "their thread ended".to_owned()));
    ready.await.unwrap_or_else(gone)?;
    Ok(end)
}

/// Works until the engine stops or dies. A failure ends every worker with its connection and its polls, so that no task is
/// handed to what nobody listens to any more; then all begin again.
fn live(crew: &Crew, say_ready: oneshot::Sender<Result<(), TemporalError>>) {
    let mut ready = Some(say_ready);
    while !crew.dead.is_cancelled() && !crew.stopping.is_cancelled() {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                let error = server(&crew.options, "begin a runtime", error.to_string());
                return say(&mut ready, Err(error));
            }
        };
        runtime.block_on(async {
            let work = async {
                if let Err(error) = work(crew, &mut ready).await {
                    report(&mut ready, error);
                    tokio::time::sleep(PAUSE).await;
                }
            };
            tokio::select! {
                biased;
                () = crew.dead.cancelled() => {}
                () = work => {}
            }
        });
        runtime.shutdown_background();
    }
}

fn say(ready: &mut Ready, result: Result<(), TemporalError>) {
    if let Some(ready) = ready.take() {
        // An opener that was dropped drops the engine, which is told by `dead`.
        let _ = ready.send(result);
    }
}

fn report(ready: &mut Ready, error: TemporalError) {
    if ready.is_some() {
        return say(ready, Err(error));
    }
    tracing::error!(error = chain(&error), "sagas cannot be driven");
}

async fn work(crew: &Crew, ready: &mut Ready) -> Result<(), TemporalError> {
    let options = &*crew.options;
    let client = connect(options).await?;
    let telemetry = RuntimeOptions::builder().heartbeat_interval(None).build();
    let telemetry = telemetry.map_err(|error| server(options, "set its worker up", error))?;
    let runtime = Runtime::from_current_tokio(telemetry);
    let runtime = runtime.map_err(|error| server(options, "set its worker up", chain(&error)))?;
    let mut workers = Vec::with_capacity(crew.lists.len() + 1);
    for list in crew.lists.iter().map(Some).chain([None]) {
        let made = worker_options(crew, list).map(|wanted| Worker::new(&runtime, client.clone(), wanted));
        let worker = made?.map_err(|error| server(options, "set its worker up", chain(&error)))?;
        workers.push(worker);
    }
    let stops: Vec<_> = workers.iter().map(Worker::shutdown_handle).collect();
    say(ready, Ok(()));
    let runs = try_join_all(workers.iter_mut().map(Worker::run));
    let stop = async {
        crew.stopping.cancelled().await;
        stops.iter().for_each(|stop| stop());
        std::future::pending::<()>().await
    };
    tokio::select! {
        ended = runs => ended.map(|_| ()).map_err(|error| server(options, "run its workers", chain(&error))),
        () = stop => Ok(()),
    }
}

fn worker_options(crew: &Crew, list: Option<&Arc<SagaDefinition>>) -> Result<WorkerOptions, TemporalError> {
    let options = &*crew.options;
    let task_queue = match list {
        Some(list) => list_queue(&options.task_queue, list.name, list.version),
        None => options.task_queue.clone(),
    };
    let lease_ms = u64::try_from(options.lease.as_millis()).unwrap_or(u64::MAX);
    let sticky_ms = (lease_ms / 3).clamp(*STICKY_MS.start(), *STICKY_MS.end());
    let tuner = TunerHolder::builder()
        .workflow_task_slot_supplier(FixedSizeSlotSupplier::new(WORKFLOW_TASKS_MAX))
        .activity_task_slot_supplier(FixedSizeSlotSupplier::new(options.steps_max.max(1)))
        .local_activity_task_slot_supplier(FixedSizeSlotSupplier::new(1))
        .nexus_task_slot_supplier(FixedSizeSlotSupplier::new(1))
        .build();
    // The SDK would name the build by a hash of the whole binary.
    let version =
        WorkerDeploymentVersion::builder().deployment_name("mcsp").build_id(env!("CARGO_PKG_VERSION")).build();
    let wanted = WorkerOptions::new(task_queue)
        .deployment_options(WorkerDeploymentOptions::new(version).build())
        .tuner(tuner)
        .sticky_queue_schedule_to_start_timeout(Duration::from_millis(sticky_ms));
    let wanted = match list {
        Some(list) => {
            let (list, home, dead) = (list.clone(), crew.home.clone(), crew.dead.clone());
            wanted.register_activities(Steps { list, home, dead })
        }
        None => wanted,
    };
    let list = list.cloned();
    let wanted = wanted.register_workflow_with_factory::<Saga, _>(move || Saga::new(list.clone()));
    Ok(wanted.map_err(|error| server(options, "register its workflow", chain(&error)))?.build())
}
