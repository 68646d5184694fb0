//! What a node can do: one line a role.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use mcsp_runtime::now_us;
use mcsp_runtime::stage::{Backoff, CancelLookup, Runner, RunnerOptions, Stage};
use mcsp_sandbox::Sandbox;
use mcsp_services::Relay;
use mcsp_stages::{BulkTranscoder, DrmPackager, Orchestrator, PlanSettings, Stores, Transcoder};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::engines::{Engines, open_licence, open_licence_service};
use super::worker_name;
use crate::config::{Config, Role};

/// How often what has expired is removed.
const UPKEEP_EVERY: Duration = Duration::from_secs(300);
/// A day, for clocks that differ.
const DAY_US: i64 = 24 * 3600 * 1_000_000;
/// The age from which an upload that nobody goes on with is removed.
const UPLOAD_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Running roles; each ends when told to stop, or with its fault.
pub(crate) type Running = JoinSet<(Role, anyhow::Result<()>)>;

/// Starts the node's roles.
pub(crate) struct Starter<'a> {
    pub(crate) config: &'a Config,
    pub(crate) engines: &'a Arc<Engines>,
    pub(crate) shutdown: &'a CancellationToken,
    pub(crate) running: &'a mut Running,
}

impl Starter<'_> {
    /// Starts one role.
    ///
    /// # Errors
    /// When what it needs cannot be opened.
    pub(crate) async fn start(&mut self, role: Role) -> anyhow::Result<()> {
        match role {
            Role::Orchestrate => {
                let orchestrator = Orchestrator::new(self.stores(), self.sandbox()?, self.plans()?);
                // The end of one film must not wait for the analysis of the next.
                self.stage_with(role, orchestrator, self.config.worker.slots + 1);
            }
            Role::Transcode => {
                self.stage(role, Transcoder::new(self.stores(), self.sandbox()?));
                self.stage(role, BulkTranscoder::new(self.stores(), self.sandbox()?));
            }
            Role::Package => {
                self.stage(role, DrmPackager::new(self.stores(), open_licence(self.config, self.engines).await?))
            }
            Role::Licence => self.licence().await?,
            Role::Relay => self.relay().await?,
            Role::Objects => self.objects().await?,
            Role::Upkeep => self.upkeep().await?,
        }
        Ok(())
    }

    fn stage<S: Stage>(&mut self, role: Role, stage: S) {
        self.stage_with(role, stage, self.config.worker.slots);
    }

    fn stage_with<S: Stage>(&mut self, role: Role, stage: S, slots: usize) {
        let (runner, shutdown) = (self.runner(slots), self.shutdown.clone());
        self.running.spawn(async move {
            let ran = runner.run(Arc::new(stage), shutdown).await;
            (role, ran.with_context(|| format!("stage {}", S::NAME)))
        });
    }

    fn runner(&self, slots: usize) -> Runner {
        let config = self.config;
        let options = RunnerOptions {
            lease: config.log.lease,
            slots,
            attempts_max: config.retry.attempts_max,
            backoff: Backoff { first: config.retry.first, max: config.retry.longest },
            drain: config.drain,
            ..RunnerOptions::new(worker_name())
        };
        let stores = self.stores();
        let lookup: CancelLookup = Arc::new(move |asset| {
            let stores = stores.clone();
            Box::pin(async move { stores.is_cancelled(&asset).await })
        });
        Runner::new(Arc::clone(&self.engines.log), Arc::clone(&self.engines.ledger), options).with_cancel_lookup(lookup)
    }

    fn stores(&self) -> Stores {
        Stores::new(self.engines.buckets.clone())
    }

    fn sandbox(&self) -> anyhow::Result<Sandbox> {
        Ok(Sandbox::beside_current_exe(self.config.worker.isolation)?)
    }

    fn plans(&self) -> anyhow::Result<PlanSettings> {
        let plan = &self.config.plan;
        Ok(PlanSettings {
            policy: crate::process::policy(plan.ladder.as_deref())?,
            preset: plan.preset,
            grid: mcsp_domain::Grid::new(plan.segment_ms).context("plan.segment_ms")?,
            chunk_ms: plan.chunk_ms,
            scheme: plan.scheme,
        })
    }

    /// Answers the requests for keys of other processes of this machine, where a socket is named; this process asks itself.
    async fn licence(&mut self) -> anyhow::Result<()> {
        let Some(path) = &self.config.licence_listen else { return Ok(()) };
        let service = open_licence_service(self.config, self.engines).await?;
        let listener = mcsp_services::licence::bind_unix(path).context("licence.listen")?;
        let stop = self.shutdown.clone();
        self.running.spawn(async move {
            let listener = mcsp_services::licence::Listener::Unix(listener);
            let served = mcsp_services::licence::serve(service, listener, stop.cancelled_owned()).await;
            (Role::Licence, served.context("licence service"))
        });
        Ok(())
    }

    async fn relay(&mut self) -> anyhow::Result<()> {
        let relay = Relay::new(self.engines.catalog(self.config).await?, Arc::clone(&self.engines.log), worker_name());
        let stop = self.shutdown.clone();
        self.running.spawn(async move {
            relay.run(stop.cancelled_owned()).await;
            (Role::Relay, Ok(()))
        });
        Ok(())
    }

    async fn objects(&mut self) -> anyhow::Result<()> {
        let Some(endpoint) = &self.config.endpoint else { return Ok(()) };
        let listen = endpoint.listen;
        let listener =
            tokio::net::TcpListener::bind(listen).await.with_context(|| format!("objects.endpoint.listen {listen}"))?;
        let router = self.engines.endpoint(self.config).await?.router();
        let stop = self.shutdown.clone();
        self.running.spawn(async move {
            let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
            (Role::Objects, served.context("S3 endpoint"))
        });
        Ok(())
    }

    /// Removes what has expired, now and then.
    async fn upkeep(&mut self) -> anyhow::Result<()> {
        let (engines, stop) = (Arc::clone(self.engines), self.shutdown.clone());
        let catalog = self.engines.catalog(self.config).await?;
        let inbox_keep_us = inbox_keep_us(self.config);
        self.running.spawn(async move {
            while !stop.is_cancelled() {
                let log = engines.log.sweep(now_us()).await.map_err(|error| error.to_string());
                let ledger = engines.ledger.sweep().await.map_err(|error| error.to_string());
                let inbox = catalog
                    .sweep_inbox(now_us().saturating_sub(inbox_keep_us))
                    .await
                    .map_err(|error| error.to_string());
                for swept in [log, ledger, inbox] {
                    match swept {
                        Ok(rows) => tracing::debug!(rows, "expired rows removed"),
                        Err(error) => tracing::warn!(%error, "expired rows stay for now"),
                    }
                }
                if let Err(error) = engines.sweep_uploads(UPLOAD_AGE_MAX).await {
                    tracing::warn!(%error, "abandoned uploads stay for now");
                }
                tokio::select! {
                    () = tokio::time::sleep(UPKEEP_EVERY) => {}
                    () = stop.cancelled() => {}
                }
            }
            (Role::Upkeep, Ok(()))
        });
        Ok(())
    }
}

/// Returns how long the inbox remembers an event: as long as the log may bring it again.
fn inbox_keep_us(config: &Config) -> i64 {
    let longest = config.log.topics.values().map(|topic| topic.retention_days).max().unwrap_or(0);
    i64::from(longest).saturating_add(1).saturating_mul(DAY_US)
}
