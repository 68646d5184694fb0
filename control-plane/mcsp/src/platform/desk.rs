//! The desk's services as this node has them: each is set up when the first role asks for it, and shared by those after.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use mcsp_edge::EdgeSettings;
use mcsp_runtime::{chain, now_us};
use mcsp_services::content::{ContentService, ContentSettings, Effects};
use mcsp_services::engagement::EngagementService;
use mcsp_services::idempotency::Answers;
use mcsp_services::identity::{AuthService, TryLimits, UserService, read_or_make_keys, users_client};
use mcsp_services::moderation::ModerationService;
use mcsp_services::notify::{
    LiveEvents, LiveTimes, SenderSettings, TargetPolicy, WebhookSender, WebhookService, progress_of,
};
use mcsp_services::playback::{PlaybackService, PlaybackSettings};
use mcsp_services::read_or_make_token_keys;
use mcsp_services::search::SearchService;
use mcsp_services::upload::{ResidencyPolicy, UploadService, UploadSettings};
use mcsp_token::HmacKeys;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::engines::{Engines, master_keys, open_licence, secret};
use super::{credentials, worker_name};
use crate::config::Config;

/// How often it is looked whether the key that signs has grown old.
const KEYS_EVERY: Duration = Duration::from_secs(300);

/// The services of one node.
pub(crate) struct Desk {
    config: Config,
    engines: Arc<Engines>,
    content: OnceCell<ContentService>,
    uploads: OnceCell<UploadService>,
}

impl Desk {
    /// Sets nothing up yet.
    pub(crate) fn new(config: &Config, engines: &Arc<Engines>) -> Self {
        let (config, engines) = (config.clone(), Arc::clone(engines));
        Self { config, engines, content: OnceCell::new(), uploads: OnceCell::new() }
    }

    /// Returns the content service, and with it the engine of its sagas.
    ///
    /// # Errors
    /// When the catalog, the licence service or the journal cannot be opened.
    pub(crate) async fn content(&self) -> anyhow::Result<ContentService> {
        let open = async {
            let (config, engines) = (&self.config, &self.engines);
            let licence = open_licence(config, engines).await?;
            let effects = Effects::new(engines.catalog(config).await?, engines.buckets.clone(), licence);
            let engine = engines.sagas(config, vec![effects.publish()]).await?;
            anyhow::Ok(ContentService::new(effects, engine, ContentSettings::default()))
        };
        self.content.get_or_try_init(|| open).await.cloned()
    }

    /// Returns the upload service.
    ///
    /// # Errors
    /// When the catalog cannot be opened or the residency policy cannot be read.
    pub(crate) async fn uploads(&self) -> anyhow::Result<UploadService> {
        let open = async {
            let (config, engines) = (&self.config, &self.engines);
            let regions = config.placement.clone();
            let residency = match &config.desk.residency {
                Some(path) => {
                    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
                    ResidencyPolicy::parse(&text, regions).with_context(|| path.display().to_string())?
                }
                None => {
                    // Without a policy the first region takes all.
                    let first = regions.keys().next().cloned().unwrap_or_default();
                    ResidencyPolicy::without_rules(&first, regions)?
                }
            };
            let settings = UploadSettings {
                size_bytes_max: config.desk.upload_bytes_max,
                open_sessions_max: usize::try_from(config.desk.uploads_open_max).unwrap_or(usize::MAX),
                session_life: config.desk.upload_session,
                worker: worker_name(),
                ..UploadSettings::default()
            };
            let (ledger, buckets) = (Arc::clone(&engines.ledger), engines.buckets.clone());
            anyhow::Ok(UploadService::new(engines.catalog(config).await?, ledger, buckets, residency, settings))
        };
        self.uploads.get_or_try_init(|| open).await.cloned()
    }

    /// Returns the REST interface, its WebSocket, licences and pages.
    ///
    /// # Errors
    /// When a service or a file of keys cannot be opened.
    pub(crate) async fn api(&self, shutdown: &CancellationToken) -> anyhow::Result<Router> {
        let (config, engines) = (&self.config, &self.engines);
        let catalog = engines.catalog(config).await?;
        let accounts = UserService::new(catalog.clone())?;
        self.ensure_admin(&accounts).await?;
        let users = users_client(accounts);
        let key_file = secret(config, "viewer-keys.json")?;
        let keys = read_or_make_keys(&key_file, now_us() / 1_000_000)?;
        let ledger = Arc::clone(&engines.ledger);
        let auth = AuthService::new(users.clone(), catalog.clone(), ledger, keys, TryLimits::default());
        let licence = open_licence(config, engines).await?;
        let (uploads, address) = (self.uploads().await?, config.public_http());
        let playback =
            PlaybackSettings { edge_url: address.clone(), licence_url: format!("{address}/licence/clearkey") };
        let desk = mcsp_api::Desk {
            auth,
            answers: Answers::new(catalog.clone()),
            events: LiveEvents::new(catalog.clone(), progress_of(uploads.clone()), LiveTimes::default()),
            uploads,
            content: self.content().await?,
            webhooks: WebhookService::new(catalog.clone(), master_keys(config)?, self.targets()),
            search: SearchService::new(catalog.clone()),
            moderation: ModerationService::new(catalog.clone(), worker_name()),
            playback: PlaybackService::new(
                catalog.clone(),
                users,
                licence.clone(),
                self.edge_keys()?,
                engines.buckets.clone(),
                playback,
            ),
            engagement: EngagementService::new(catalog, Arc::clone(&engines.log)),
            licence,
        };
        let desk = Arc::new(desk);
        tokio::spawn(follow_keys(Arc::clone(&desk), key_file, shutdown.clone()));
        let stores = config.upload_addresses();
        let minute = |count: u32| mcsp_api::Rate { count, window_s: 60 };
        let settings = mcsp_api::ApiSettings {
            anonymous: minute(config.desk.anonymous_per_min),
            signed_in: minute(config.desk.signed_in_per_min),
            proxies: config.desk.proxies.clone(),
            ..mcsp_api::ApiSettings::default()
        };
        Ok(mcsp_api::router(desk, settings).merge(mcsp_api::pages(&stores, config.desk.upload_bytes_max)))
    }

    /// Returns the edge.
    ///
    /// # Errors
    /// When its keys cannot be read or made.
    pub(crate) fn edge(&self) -> anyhow::Result<Router> {
        Ok(mcsp_edge::router(EdgeSettings::default(), self.engines.buckets.clone(), self.edge_keys()?))
    }

    /// Returns the sender of webhooks.
    ///
    /// # Errors
    /// When the catalog or the keys cannot be opened.
    pub(crate) async fn sender(&self) -> anyhow::Result<WebhookSender> {
        let settings = SenderSettings { policy: self.targets(), ..SenderSettings::default() };
        let catalog = self.engines.catalog(&self.config).await?;
        Ok(WebhookSender::new(catalog, master_keys(&self.config)?, worker_name(), settings)?)
    }

    fn targets(&self) -> TargetPolicy {
        let is_private = self.config.desk.private_webhooks;
        TargetPolicy { allow_http: is_private, allow_private: is_private }
    }

    fn edge_keys(&self) -> anyhow::Result<HmacKeys> {
        Ok(read_or_make_token_keys(&secret(&self.config, "edge-keys.json")?)?)
    }

    /// Makes the administrator's account, where there is none, with a password that lies beside the keys.
    async fn ensure_admin(&self, accounts: &UserService) -> anyhow::Result<()> {
        let Some(email) = &self.config.desk.admin_email else { return Ok(()) };
        let path = secret(&self.config, "admin.password")?;
        let password = credentials::password(&path)?;
        accounts.ensure_admin(email, &password).await.with_context(|| format!("identity.admin_email {email}"))?;
        Ok(())
    }
}

/// Signs with a new key in time.
async fn follow_keys(desk: Arc<mcsp_api::Desk>, key_file: PathBuf, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(KEYS_EVERY) => {}
            () = shutdown.cancelled() => return,
        }
        // A key that has grown old is followed by a new one, here or in another process.
        match read_or_make_keys(&key_file, now_us() / 1_000_000) {
            Ok(keys) => desk.auth.use_keys(keys),
            Err(error) => tracing::warn!(error = chain(&error), "tokens are signed with the key from before"),
        }
    }
}
