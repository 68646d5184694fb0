//! One process's view of the data folder.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mcsp_catalog::Catalog;
use mcsp_embedded::{Durability, FileStore, LogOptions, SqliteLog};
use mcsp_runtime::stage::{Backoff, Runner, RunnerOptions};
use mcsp_runtime::{EventLog, ObjectStore, TtlStore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::load::Load;
use crate::stages::{Desk, Ingest, Join, Split, Work, bare_consumer};

/// The engines of one data folder.
pub(crate) struct World {
    pub(crate) worker: String,
    pub(crate) lease: Duration,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) ledger: Arc<dyn TtlStore>,
    pub(crate) objects: Arc<dyn ObjectStore>,
    pub(crate) catalog: Catalog,
}

impl World {
    pub(crate) async fn open(data: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(data)?;
        let log = SqliteLog::open(&data.join("events.db"), LogOptions::default()).await?;
        let ledger: Arc<dyn TtlStore> = Arc::new(log.ttl());
        let log: Arc<dyn EventLog> = Arc::new(log);
        let objects: Arc<dyn ObjectStore> = Arc::new(FileStore::open(&data.join("objects"), Durability::Object)?);
        let catalog = Catalog::open(&format!("sqlite:{}", data.join("catalog.db").display())).await?;
        let worker = format!("chaos-{}", std::process::id());
        Ok(Self { worker, lease: Duration::from_millis(1500), log, ledger, objects, catalog })
    }

    /// Runs every stage until told to stop; a worker process's whole life.
    pub(crate) async fn work(self, load: Load, shutdown: CancellationToken) -> anyhow::Result<()> {
        let options = RunnerOptions {
            lease: self.lease,
            slots: 4,
            backoff: Backoff { first: Duration::from_millis(50), max: Duration::from_millis(400) },
            drain: Duration::from_secs(2),
            // A worker that is killed in mid-run costs no attempt, but seeded failures do.
            ..RunnerOptions::new(self.worker.clone())
        };
        let runner = Runner::new(Arc::clone(&self.log), Arc::clone(&self.ledger), options);
        let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
        macro_rules! stage {
            ($stage:expr) => {{
                let (runner, stage, shutdown) = (runner.clone(), Arc::new($stage), shutdown.clone());
                tasks.spawn(async move { Ok(runner.run(stage, shutdown).await?) });
            }};
        }
        stage!(Ingest(load));
        stage!(Split);
        stage!(Work(load, Arc::clone(&self.objects)));
        stage!(Join(Arc::clone(&self.objects)));
        stage!(Desk(self.catalog.clone()));
        let relay = mcsp_services::Relay::new(self.catalog.clone(), Arc::clone(&self.log), self.worker.clone());
        let stop = shutdown.clone();
        tasks.spawn(async move {
            relay.run(stop.cancelled_owned()).await;
            Ok(())
        });
        tasks.spawn(async move { bare_consumer(&self, shutdown).await });
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(())
    }
}
