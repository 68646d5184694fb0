//! The engines of a node, picked by the configuration. Only here are engines named; everything above sees ports.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use mcsp_catalog::Catalog;
use mcsp_distributed::{S3Store, TemporalEngine};
use mcsp_domain::{Bucket, ObjectKey};
use mcsp_embedded::{
    Durability, FileStore, JournalEngine, JournalOptions, LogOptions, Presigner, S3Credentials, S3Endpoint, S3Options,
    SqliteLog, TopicOverride,
};
use mcsp_events::TopicName;
use mcsp_runtime::saga::SagaDefinition;
use mcsp_runtime::{Buckets, EventLog, ObjectStore, PutIf, SagaEngine, StoreError, TtlStore, chain};
use mcsp_services::licence::{LicenceClient, LicenceService, MasterKey, MasterKeys};
use mcsp_services::read_or_make_token_keys;

use tokio::sync::OnceCell;

use super::place::{self, Place};
use super::{credentials, servers};
use crate::config::{
    CatalogEngine, Config, LedgerEngine, LicenceEngine, LogEngine, ObjectsEngine, Role, S3, SagasEngine,
};

/// What every role stands on.
pub(crate) struct Engines {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) ledger: Arc<dyn TtlStore>,
    pub(crate) buckets: Buckets,
    /// Opened by nodes whose roles keep relational state.
    catalog: OnceCell<Catalog>,
    /// The folders behind the buckets, where they are folders: what the endpoint serves.
    folders: Vec<(Bucket, FileStore)>,
    /// The buckets themselves, where they are a server's.
    s3: Vec<S3Store>,
    /// Opened by nodes that drive publications on a server.
    temporal: OnceCell<Arc<TemporalEngine>>,
    /// What stands behind each port, as people read it.
    names: Names,
    /// Held for as long as the log is open.
    _place: Option<Place>,
}

/// What stands behind each port, where it is a server: `log (kafka://a:9092)`.
struct Names {
    log: String,
    ledger: String,
    objects: String,
    catalog: String,
    sagas: String,
}

impl Names {
    fn of(config: &Config) -> Self {
        let named = |port: &str, server: Option<&crate::config::Server>| match server {
            Some(server) => format!("{port} ({})", server.shown),
            None => port.to_owned(),
        };
        let log = match &config.log.engine {
            LogEngine::Kafka(kafka) => Some(&*kafka.server),
            LogEngine::Sqlite(_) => None,
        };
        let ledger = match &config.ledger {
            LedgerEngine::Redis(redis) => Some(&*redis.server),
            LedgerEngine::Sqlite(_) => None,
        };
        let objects = match &config.objects {
            ObjectsEngine::S3(s3) => Some(&*s3.server),
            ObjectsEngine::Files(_) => None,
        };
        let catalog = match &config.catalog {
            CatalogEngine::Postgres(server) => Some(server),
            CatalogEngine::Sqlite(_) => None,
        };
        let sagas = match &config.desk.sagas {
            SagasEngine::Temporal(server) => Some(server),
            SagasEngine::Journal(_) => None,
        };
        Self {
            log: named("log", log),
            ledger: named("ledger", ledger),
            objects: named("objects", objects),
            catalog: named("catalog", catalog),
            sagas: named("sagas", sagas),
        }
    }
}

impl Engines {
    /// Opens what every role stands on.
    ///
    /// # Errors
    /// When an engine is not built in, or does not open: the message names it and what it was given.
    pub(crate) async fn open(config: &Config) -> anyhow::Result<Self> {
        make_private_folder(&config.data)?;
        let opened = open_log(config).await?;
        let (folders, s3) = match &config.objects {
            ObjectsEngine::Files(root) => (open_folders(config, root)?, Vec::new()),
            ObjectsEngine::S3(s3) => (Vec::new(), open_buckets(config, s3).await?),
        };
        let of_folders = folders.iter().map(|(bucket, store)| {
            let store: Arc<dyn ObjectStore> = Arc::new(store.clone());
            (bucket.clone(), store)
        });
        let of_s3 = config.placement.values().zip(&s3).map(|(bucket, store)| {
            let store: Arc<dyn ObjectStore> = Arc::new(store.clone());
            (bucket.clone(), store)
        });
        let buckets = Buckets::new(of_folders.chain(of_s3));
        let (catalog, temporal, names) = (OnceCell::new(), OnceCell::new(), Names::of(config));
        let Opened { log, ledger, place } = opened;
        Ok(Self { log, ledger, buckets, catalog, folders, s3, temporal, names, _place: place })
    }

    /// Returns the catalog, which is opened by the first call.
    ///
    /// # Errors
    /// When it is not built in or does not open.
    pub(crate) async fn catalog(&self, config: &Config) -> anyhow::Result<Catalog> {
        self.catalog.get_or_try_init(|| open_catalog(config)).await.cloned()
    }

    /// Returns the bucket of the library of references: that of the first region.
    ///
    /// # Errors
    /// When the region has no bucket here.
    pub(crate) fn library(&self, config: &Config) -> anyhow::Result<Arc<dyn ObjectStore>> {
        let region = config.placement.keys().next().map(String::as_str);
        Ok(self.buckets.of(&config.placement(region)?)?)
    }

    /// Returns the engine that drives sagas of these lists.
    ///
    /// # Errors
    /// When it does not open.
    pub(crate) async fn sagas(
        &self,
        config: &Config,
        definitions: Vec<SagaDefinition>,
    ) -> anyhow::Result<Arc<dyn SagaEngine>> {
        match &config.desk.sagas {
            SagasEngine::Journal(path) => {
                make_folder_of(path)?;
                let options = JournalOptions { lease: config.log.lease, ..JournalOptions::default() };
                Ok(Arc::new(JournalEngine::open(path, definitions, options).await.context("sagas.url")?))
            }
            SagasEngine::Temporal(server) => {
                let open = async { servers::temporal(server, config.log.lease, definitions).await.map(Arc::new) };
                let engine: Arc<dyn SagaEngine> = Arc::clone(self.temporal.get_or_try_init(|| open).await?) as _;
                Ok(engine)
            }
        }
    }

    /// Gives up uploads that nobody touched for `older_than`, in every folder.
    ///
    /// # Errors
    /// When a folder cannot be read or written to.
    pub(crate) async fn sweep_folders(&self, older_than: Duration) -> std::io::Result<()> {
        for (_, store) in &self.folders {
            store.sweep(older_than).await?;
        }
        Ok(())
    }

    /// Gives up uploads that nobody touched for `older_than`, in every bucket of a server.
    ///
    /// # Errors
    /// When the server fails to list them.
    pub(crate) async fn sweep_buckets(&self, older_than: Duration) -> Result<usize, StoreError> {
        let mut removed = 0;
        for store in &self.s3 {
            removed += store.sweep(older_than).await?;
        }
        Ok(removed)
    }

    /// Returns each engine that does not answer, with why.
    pub(crate) async fn faults(&self, answer_max: Duration) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut note = |engine: &str, answer: Result<Result<(), String>, tokio::time::error::Elapsed>| match answer {
            Ok(Ok(())) => {}
            Ok(Err(error)) => faults.push((engine.to_owned(), error)),
            Err(_) => faults.push((engine.to_owned(), format!("no answer within {answer_max:?}"))),
        };
        let log = async { self.log.groups().await.map(drop).map_err(|error| chain(&error)) };
        note(&self.names.log, tokio::time::timeout(answer_max, log).await);
        let ledger = async { self.ledger.get("ready").await.map(drop).map_err(|error| chain(&error)) };
        note(&self.names.ledger, tokio::time::timeout(answer_max, ledger).await);
        for (bucket, store) in self.buckets.iter() {
            // Only a write tells of a disk that is full, read-only or gone.
            let probe = async {
                let key = ObjectKey::probe(&super::worker_name()).map_err(|error| error.to_string())?;
                store.put(&key, "ready?".into(), PutIf::Always).await.map_err(|error| chain(&error))?;
                store.delete(&key).await.map_err(|error| chain(&error))
            };
            note(&format!("{} {bucket}", self.names.objects), tokio::time::timeout(answer_max, probe).await);
        }
        if let Some(catalog) = self.catalog.get() {
            let id = async { catalog.id().await.map(drop).map_err(|error| chain(&error)) };
            note(&self.names.catalog, tokio::time::timeout(answer_max, id).await);
        }
        if let Some(temporal) = self.temporal.get() {
            let check = async { temporal.check().await.map_err(|error| chain(&error)) };
            note(&self.names.sagas, tokio::time::timeout(answer_max, check).await);
        }
        faults
    }

    /// Sets up the S3-compatible endpoint over the same folders.
    ///
    /// # Errors
    /// When the objects are no folders, or the endpoint cannot be set up.
    pub(crate) async fn endpoint(&self, config: &Config) -> anyhow::Result<S3Endpoint> {
        let Some(endpoint) = &config.endpoint else { bail!("objects.endpoint.listen names no address") };
        let pair = credentials::read_or_make(&endpoint.credentials)?;
        let mut cors_origins = endpoint.cors_origins.clone();
        // The studio's own page uploads to it.
        cors_origins.push(config.public_http());
        let options = S3Options { cors_origins, announce: true, ..S3Options::default() };
        Ok(S3Endpoint::new(self.folders.clone(), vec![pair], options).await?)
    }
}

/// Opens the catalog.
///
/// # Errors
/// When it is not built in or does not open.
async fn open_catalog(config: &Config) -> anyhow::Result<Catalog> {
    match &config.catalog {
        CatalogEngine::Sqlite(path) => {
            make_folder_of(path)?;
            Ok(Catalog::open(&format!("sqlite:{}", path.display())).await?)
        }
        CatalogEngine::Postgres(server) => servers::postgres(server).await,
    }
}

/// Returns the client of the licence service: of another node, or of this process on the catalog of the data folder.
///
/// # Errors
/// When the service's key or catalog cannot be opened, or the address is none.
pub(crate) async fn open_licence(config: &Config, engines: &Engines) -> anyhow::Result<LicenceClient> {
    match &config.licence {
        LicenceEngine::Unix(path) => Ok(mcsp_services::licence::connect_unix(path)?),
        LicenceEngine::InProcess => Ok(mcsp_services::licence::client(open_licence_service(config, engines).await?)),
    }
}

/// Opens the licence service itself, beside the catalog and the master key.
///
/// # Errors
/// As `open_licence`.
pub(crate) async fn open_licence_service(config: &Config, engines: &Engines) -> anyhow::Result<LicenceService> {
    let catalog = engines.catalog(config).await?;
    let tokens = read_or_make_token_keys(&secret(config, "drm-keys.json")?)?;
    Ok(LicenceService::open(catalog, master_keys(config)?).await?.with_tokens(tokens))
}

/// Returns the keys that seal what the catalog keeps secret.
///
/// # Errors
/// When a file cannot be read or made.
pub(crate) fn master_keys(config: &Config) -> anyhow::Result<MasterKeys> {
    let master = MasterKey::read_or_make(&secret(config, "master.key")?)?;
    let older = config.licence_older_keys.iter().map(|path| MasterKey::read(path)).collect::<Result<Vec<_>, _>>()?;
    Ok(MasterKeys::new(master, older))
}

/// Returns the path of a file in the folder of secrets, which is made where it is missing.
///
/// # Errors
/// When the folder cannot be made.
pub(crate) fn secret(config: &Config, name: &str) -> anyhow::Result<PathBuf> {
    let secrets = config.data.join("secrets");
    make_private_folder(&secrets)?;
    Ok(secrets.join(name))
}

/// The log with its ledger.
struct Opened {
    log: Arc<dyn EventLog>,
    ledger: Arc<dyn TtlStore>,
    place: Option<Place>,
}

async fn open_log(config: &Config) -> anyhow::Result<Opened> {
    match (&config.log.engine, &config.ledger) {
        (LogEngine::Sqlite(path), LedgerEngine::Sqlite(_)) => open_log_file(config, path).await,
        (LogEngine::Kafka(kafka), LedgerEngine::Redis(redis)) => {
            let place = place::take(&config.data)?;
            let (log, ledger) = tokio::try_join!(
                servers::kafka(config, kafka, place.name.clone()),
                servers::redis(redis, config.log.lease)
            )?;
            Ok(Opened { log: Arc::new(log), ledger: Arc::new(ledger), place: Some(place) })
        }
        _ => bail!("log.url and ledger.url: both are embedded, or both are servers"),
    }
}

async fn open_log_file(config: &Config, path: &Path) -> anyhow::Result<Opened> {
    make_folder_of(path)?;
    let mut options = LogOptions { process: super::worker_name(), ..LogOptions::default() };
    for (topic, wanted) in &config.log.topics {
        let days = u64::from(wanted.retention_days);
        let own = TopicOverride {
            partitions: Some(wanted.partitions),
            durability: Some(wanted.durability),
            retention: Some(Duration::from_secs(days * 24 * 3600)),
        };
        options.overrides.insert(TopicName::from(*topic), own);
    }
    let log = SqliteLog::open(path, options).await?;
    let ledger: Arc<dyn TtlStore> = Arc::new(log.ttl());
    Ok(Opened { log: Arc::new(log), ledger, place: None })
}

/// One store a bucket, in the order of the regions.
async fn open_buckets(config: &Config, s3: &S3) -> anyhow::Result<Vec<S3Store>> {
    let mut stores = Vec::new();
    for bucket in config.placement.values() {
        stores.push(servers::bucket(s3, bucket).await?);
    }
    Ok(stores)
}

fn open_folders(config: &Config, root: &Path) -> anyhow::Result<Vec<(Bucket, FileStore)>> {
    // Only a node that answers the endpoint, or signs addresses of it, holds its keys.
    let presigner = match &config.endpoint {
        Some(endpoint) if config.roles.iter().any(|role| matches!(role, Role::Objects | Role::Api)) => {
            let pair: S3Credentials = credentials::read_or_make(&endpoint.credentials)?;
            Some((endpoint.url(), pair))
        }
        _ => None,
    };
    let mut folders = Vec::new();
    for bucket in config.placement.values() {
        let folder = root.join(bucket.as_str());
        let store = FileStore::open(&folder, Durability::Object)
            .with_context(|| format!("bucket folder {} cannot be opened", folder.display()))?;
        let store = match &presigner {
            Some((url, pair)) => store.with_presigner(Presigner::new(url, bucket.clone(), pair.clone())?),
            None => store,
        };
        folders.push((bucket.clone(), store));
    }
    Ok(folders)
}

fn make_folder_of(file: &Path) -> anyhow::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).with_context(|| format!("folder {} cannot be made", folder.display()))
}

/// Makes a folder that only its owner can look into: clear chunks and keys lie there.
fn make_private_folder(folder: &Path) -> anyhow::Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("folder {} cannot be made", folder.display()))
}
