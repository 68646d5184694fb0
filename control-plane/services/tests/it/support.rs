//! A folder with a catalog and a master key in it, and the licence service on them.

use std::path::PathBuf;
use std::time::Duration;

use mcsp_catalog::Catalog;
use mcsp_domain::{ContentId, Digest, KeyId, PlanId, Protection, Scheme, TrackClass};
use mcsp_grpc::licence::v1::{self, GetOrCreateKeysRequest};
use mcsp_services::licence::{LicenceClient, LicenceService, MasterKey, MasterKeys, client};
use sqlx::{ConnectOptions, SqliteConnection};
use tonic::Status;

/// A folder of its own.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("catalog.db")
    }

    pub(crate) async fn catalog(&self) -> Catalog {
        let url = format!("sqlite:{}", self.path().display());
        Catalog::open_within(&url, Duration::from_millis(500)).await.unwrap()
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

    /// Opens the file past the catalog, as another program would.
    pub(crate) async fn connection(&self) -> SqliteConnection {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(self.path());
        options.disable_statement_logging().connect().await.unwrap()
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
