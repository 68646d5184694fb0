//! What a node can do: one line a role.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use mcsp_runtime::chain;
use mcsp_runtime::stage::{Backoff, CancelLookup, Runner, RunnerOptions, Stage};
use mcsp_sandbox::Sandbox;
use mcsp_services::Relay;
use mcsp_services::content::ContentFacts;
use mcsp_services::idempotency::Answers;
use mcsp_services::moderation::ReviewQueue;
use mcsp_services::notify::Notification;
use mcsp_services::search::{Indexer, SearchIndexer};
use mcsp_services::upload::StoredObject;
use mcsp_stages::{
    BulkTranscoder, CopyrightScanner, DrmPackager, IngestPolicy, Moderator, Orchestrator, PlanSettings, Rules, Stores,
    ThumbnailGenerator, Transcoder, UploadIngestor,
};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::desk::Desk;
use super::engines::{Engines, open_licence, open_licence_service};
use super::upkeep::Upkeep;
use super::worker_name;
use crate::config::{Config, ObjectsEngine, Role};

/// How often what has expired is removed.
const UPKEEP_EVERY: Duration = Duration::from_secs(300);
/// A day, for clocks that differ.
const DAY_US: i64 = 24 * 3600 * 1_000_000;

/// Running roles; each ends when told to stop, or with its fault.
pub(crate) type Running = JoinSet<(Role, anyhow::Result<()>)>;

/// Starts the node's roles.
pub(crate) struct Starter<'a> {
    pub(crate) config: &'a Config,
    pub(crate) engines: &'a Arc<Engines>,
    /// The desk's services.
    pub(crate) desk: Desk,
    pub(crate) shutdown: &'a CancellationToken,
    pub(crate) running: &'a mut Running,
    /// Where the S3 endpoint listens, until its role takes it.
    pub(crate) objects: Option<TcpListener>,
    /// The HTTP routes of the roles that were started.
    pub(crate) routes: Router,
}

impl Starter<'_> {
    /// Starts one role.
    ///
    /// # Errors
    /// When what it needs cannot be opened.
    pub(crate) async fn start(&mut self, role: Role) -> anyhow::Result<()> {
        match role {
            Role::Api => self.routes(self.desk.api(self.shutdown).await?),
            Role::Edge => self.routes(self.desk.edge()?),
            Role::Ingest => self.ingest()?,
            Role::Copyright => {
                let library = self.engines.library(self.config)?;
                self.stage(role, CopyrightScanner::new(self.stores(), self.sandbox()?, library));
            }
            Role::Moderate => self.moderate().await?,
            Role::Thumbnails => {
                self.stage(role, ThumbnailGenerator::new(self.stores(), self.sandbox()?.in_background()))
            }
            Role::Content => self.content().await?,
            Role::Search => {
                let catalog = self.engines.catalog(self.config).await?;
                self.stage(role, Indexer::new(catalog.clone()));
                self.stage(role, SearchIndexer::new(catalog));
            }
            Role::Notify => self.notify().await?,
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
                let packager = DrmPackager::new(self.stores(), open_licence(self.config, self.engines).await?);
                // The beginning of one film must not wait for the whole of another.
                self.stage_with(role, packager, self.config.worker.slots + 1);
            }
            Role::Licence => self.licence().await?,
            Role::Relay => self.relay().await?,
            Role::Objects => self.objects().await?,
            Role::Upkeep => self.upkeep().await?,
        }
        Ok(())
    }

    fn routes(&mut self, routes: Router) {
        self.routes = std::mem::take(&mut self.routes).merge(routes);
    }

    fn ingest(&mut self) -> anyhow::Result<()> {
        let desk = &self.config.desk;
        let (len_bytes_max, duration_s_max) = (desk.upload_bytes_max, desk.upload_duration_max.as_secs());
        let policy = IngestPolicy { len_bytes_max, duration_s_max, ..IngestPolicy::default() };
        self.stage(Role::Ingest, UploadIngestor::new(self.stores(), self.sandbox()?, policy));
        Ok(())
    }

    async fn moderate(&mut self) -> anyhow::Result<()> {
        let rules = match &self.config.desk.words {
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
                Rules::parse(&text).with_context(|| path.display().to_string())?
            }
            None => Rules::default(),
        };
        self.stage(Role::Moderate, Moderator::new(self.stores(), self.sandbox()?.in_background(), rules));
        self.stage(Role::Moderate, ReviewQueue::new(self.engines.catalog(self.config).await?));
        Ok(())
    }

    /// Hears facts, drives publications, and does in the background what was put off.
    async fn content(&mut self) -> anyhow::Result<()> {
        let service = self.desk.content().await?;
        self.stage(Role::Content, ContentFacts::new(service.clone()));
        let stop = self.shutdown.clone();
        self.running.spawn(async move {
            service.run(stop.cancelled_owned()).await;
            (Role::Content, Ok(()))
        });
        Ok(())
    }

    async fn notify(&mut self) -> anyhow::Result<()> {
        self.stage(Role::Notify, Notification::new(self.engines.catalog(self.config).await?));
        let (sender, stop) = (self.desk.sender().await?, self.shutdown.clone());
        self.running.spawn(async move {
            sender.run(stop.cancelled_owned()).await;
            (Role::Notify, Ok(()))
        });
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
        let Some(listener) = self.objects.take() else { return Ok(()) };
        if let ObjectsEngine::S3(_) = &self.config.objects {
            let (router, stop) = (super::notices::router(self.desk.uploads().await?), self.shutdown.clone());
            self.running.spawn(async move {
                let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
                (Role::Objects, served.context("notices of stored objects"))
            });
            return Ok(());
        }
        let endpoint = self.engines.endpoint(self.config).await?;
        let router = endpoint.router();
        let (uploads, told) = (self.desk.uploads().await?, self.shutdown.clone());
        self.running.spawn(async move {
            let deliver = endpoint.deliver(|created| {
                let uploads = uploads.clone();
                async move {
                    let stored = StoredObject { bucket: created.bucket, key: created.key };
                    uploads.object_created(&stored).await.map_err(|error| chain(&error))
                }
            });
            let delivered = tokio::select! {
                delivered = deliver => delivered.context("announcements of stored objects"),
                () = told.cancelled() => Ok(()),
            };
            (Role::Objects, delivered)
        });
        let stop = self.shutdown.clone();
        self.running.spawn(async move {
            let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
            (Role::Objects, served.context("S3 endpoint"))
        });
        Ok(())
    }

    /// Removes what has expired, now and then.
    async fn upkeep(&mut self) -> anyhow::Result<()> {
        let upkeep = Upkeep {
            engines: Arc::clone(self.engines),
            answers: Answers::new(self.engines.catalog(self.config).await?),
            catalog: self.engines.catalog(self.config).await?,
            uploads: self.desk.uploads().await?,
            content: self.desk.content().await?,
            inbox_keep_us: inbox_keep_us(self.config),
        };
        let stop = self.shutdown.clone();
        self.running.spawn(async move {
            while !stop.is_cancelled() {
                tokio::select! {
                    () = upkeep.round() => {}
                    () = stop.cancelled() => break,
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
