//! A folder with a catalog and a master key in it, and the licence service on them. Where `MCSP_POSTGRES` names a server, the
//! catalog is a database of its own there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mcsp_catalog::{Catalog, PostgresOptions, ScratchDatabase};
use mcsp_domain::{ContentId, Digest, KeyId, PlanId, Protection, Scheme, TrackClass};
use mcsp_grpc::licence::v1::{self, GetOrCreateKeysRequest};
use mcsp_services::licence::{LicenceClient, LicenceService, MasterKey, MasterKeys, client};
use sqlx::{ConnectOptions, SqliteConnection};
use tokio::sync::OnceCell;
use tonic::Status;

/// How long a write waits for others, so that a test of that is short.
const BUSY_TIMEOUT: Duration = Duration::from_millis(500);

/// A folder of its own.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    /// None where the catalog is a file.
    database: OnceCell<Option<ScratchDatabase>>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), database: OnceCell::new() }
    }

    /// The catalog is a file, whatever server is named: for tests that look into it, or hold it.
    pub(crate) fn on_file() -> Self {
        Self { database: OnceCell::new_with(Some(None)), ..Self::new() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("catalog.db")
    }

    pub(crate) async fn catalog(&self) -> Catalog {
        let database = self.database.get_or_init(async || ScratchDatabase::make().await.unwrap()).await;
        open(&self.path(), database.as_ref()).await
    }

    pub(crate) fn master(&self) -> MasterKey {
        MasterKey::read_or_make(&self.folder.path().join("secrets/master.key")).unwrap()
    }

    pub(crate) async fn service(&self) -> LicenceService {
        LicenceService::open(self.catalog().await, MasterKeys::new(self.master(), Vec::new())).await.unwrap()
    }

    pub(crate) async fn client(&self) -> LicenceClient {
        client(self.service().await)
    }

    /// Runs a statement past the catalog, as another program would.
    pub(crate) async fn run(&self, sql: &'static str) {
        match self.database.get().and_then(Option::as_ref) {
            Some(database) => database.run(sql).await.unwrap(),
            None => drop(sqlx::query(sql).execute(&mut self.connection().await).await.unwrap()),
        }
    }

    /// Opens the file past the catalog, as another program would.
    pub(crate) async fn connection(&self) -> SqliteConnection {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(self.path());
        options.disable_statement_logging().connect().await.unwrap()
    }
}

/// Opens a catalog in a folder, or in a database of its own that lives as long as what is returned with it.
pub(crate) async fn catalog_in(folder: &Path) -> (Catalog, Option<ScratchDatabase>) {
    let database = ScratchDatabase::make().await.unwrap();
    (open(&folder.join("catalog.db"), database.as_ref()).await, database)
}

async fn open(path: &Path, database: Option<&ScratchDatabase>) -> Catalog {
    match database {
        Some(database) => {
            let options = PostgresOptions { busy_timeout: BUSY_TIMEOUT, ..database.options() };
            Catalog::open_postgres(options).await.unwrap()
        }
        None => Catalog::open_within(&format!("sqlite:{}", path.display()), BUSY_TIMEOUT).await.unwrap(),
    }
}

/// Asks for the keys of a plan that a number names.
pub(crate) fn request(plan: u8) -> GetOrCreateKeysRequest {
    GetOrCreateKeysRequest {
        plan_id: plan_id(plan).to_string(),
        content_id: ContentId::from_bytes([plan; 16]).to_string(),
        plan_fingerprint: fingerprint(plan).as_bytes().to_vec(),
        scheme: v1::Scheme::Cenc.into(),
        track_classes: TrackClass::ALL.map(|class| v1::TrackClass::from(class).into()).to_vec(),
    }
}

pub(crate) fn plan_id(plan: u8) -> PlanId {
    PlanId::from_bytes([plan; 16])
}

pub(crate) fn fingerprint(plan: u8) -> Digest {
    Digest::of(&[&[plan]])
}

pub(crate) async fn protection(
    client: &mut LicenceClient,
    request: GetOrCreateKeysRequest,
) -> Result<Protection, Status> {
    let answer = client.get_or_create_keys(request).await?;
    Ok(answer.into_inner().into_protection(Scheme::Cenc).unwrap())
}

/// A protection as values that compare.
pub(crate) fn values(protection: &Protection) -> Vec<(KeyId, [u8; 16], [u8; 16])> {
    let keys = TrackClass::ALL.map(|class| protection.key(class));
    keys.iter().map(|key| (key.kid, *key.key.expose(), key.iv)).collect()
}
