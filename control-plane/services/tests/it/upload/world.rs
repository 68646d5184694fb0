//! A folder with a catalog, a store of sessions and a bucket behind an S3 endpoint, and the upload service on them.

use std::sync::Arc;

use mcsp_catalog::Catalog;
use mcsp_domain::{Bucket, ContentId, ContentState, SessionId, SubscriptionTier, UserId, Visibility};
use mcsp_embedded::{Durability, FileStore, Presigner, S3Credentials, S3Endpoint, S3Options, SqliteTtl};
use mcsp_events::{Topic, UploadInitiated};
use mcsp_runtime::{Buckets, Etag, ObjectStore, PartTag, Presigned, TtlStore};
use mcsp_services::upload::{NewFile, NewUpload, ResidencyPolicy, UploadService, UploadSettings, UploadTicket};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;

use crate::support;

/// Bytes of a part of a small film.
pub(super) const PART_BYTES: usize = 8 << 20;

pub(super) struct World {
    pub(super) folder: tempfile::TempDir,
    _database: Option<mcsp_catalog::ScratchDatabase>,
    pub(super) catalog: Catalog,
    pub(super) store: FileStore,
    pub(super) endpoint: S3Endpoint,
    pub(super) uploads: UploadService,
    sessions: Arc<SqliteTtl>,
    http: reqwest::Client,
}

pub(super) fn bucket() -> Bucket {
    Bucket::parse("media-eu").unwrap()
}

impl World {
    pub(super) async fn new(settings: UploadSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (catalog, database) = support::catalog_in(folder.path()).await;
        let sessions = Arc::new(SqliteTtl::open(&folder.path().join("sessions.db")).await.unwrap());
        let store = FileStore::open(&folder.path().join("media-eu"), Durability::Process).unwrap();
        let pair = S3Credentials { access_key: "studio".to_owned(), secret_key: "for this test".to_owned() };
        let options = S3Options { announce: true, ..S3Options::default() };
        let served = [(bucket(), store.clone())];
        let endpoint = S3Endpoint::new(served, vec![pair.clone()], options).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = endpoint.router();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let store = store.with_presigner(Presigner::new(&url, bucket(), pair).unwrap());
        let shared: Arc<dyn ObjectStore> = Arc::new(store.clone());
        let regions = [("eu".to_owned(), bucket())].into();
        let residency = ResidencyPolicy::without_rules("eu", regions).unwrap();
        let buckets = Buckets::new([(bucket(), shared)]);
        let uploads = UploadService::new(catalog.clone(), sessions.clone(), buckets, residency, settings);
        Self { folder, _database: database, catalog, store, endpoint, uploads, sessions, http: reqwest::Client::new() }
    }

    /// Opens a session for these bytes.
    pub(super) async fn create(&self, bytes: &[u8]) -> UploadTicket {
        self.uploads.create(owner(1), film(bytes.len() as u64)).await.unwrap()
    }

    /// Makes a presigned call, as it says.
    pub(super) async fn put(&self, address: &Presigned, bytes: &[u8]) -> reqwest::Response {
        let mut request = self.http.request(address.method.parse().unwrap(), &address.url).body(bytes.to_vec());
        for (name, value) in address.headers.iter().filter(|(name, _)| name != "content-length") {
            request = request.header(name, value);
        }
        request.send().await.unwrap()
    }

    /// Returns every announcement of an upload that was sent.
    pub(super) async fn initiated(&self) -> Vec<UploadInitiated> {
        let rows = self.catalog.outbox_after(0, 100).await.unwrap();
        let ours = rows.into_iter().filter(|row| row.message.topic == Topic::UploadInitiated.into());
        ours.map(|row| serde_json::from_slice(&row.message.payload).unwrap()).collect()
    }

    pub(super) async fn state(&self, content: ContentId) -> ContentState {
        self.catalog.content(content).await.unwrap().unwrap().state
    }

    /// Loses a session, as a loss of power may take the last writes of their store.
    pub(super) async fn forget_session(&self, session: SessionId) {
        let rows = self.sessions.scan("upload/", None).await.unwrap();
        for (key, _) in rows.iter().filter(|(key, _)| key.ends_with(&session.to_string())) {
            self.sessions.delete(key).await.unwrap();
        }
    }

    /// Returns how many uploads in parts the store keeps open.
    pub(super) fn uploads_open(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("media-eu/.uploads")).map_or(0, Iterator::count)
    }
}

pub(super) fn owner(number: u8) -> UserId {
    UserId::from_bytes([number; 16])
}

/// An announcement of a film of so many bytes.
pub(super) fn film(size_bytes: u64) -> NewUpload {
    let file = NewFile { file_name: "holiday.mp4".to_owned(), size_bytes, sha256: None, addresses_max: 100 };
    NewUpload {
        file,
        title: None,
        description: String::new(),
        visibility: Visibility::Private,
        tier: SubscriptionTier::Free,
        region: None,
        country: None,
    }
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Returns the tag that the store answered.
pub(super) fn etag(answer: &reqwest::Response) -> String {
    answer.headers()["etag"].to_str().unwrap().trim_matches('"').to_owned()
}

pub(super) fn tags(parts: &[(u32, &str)]) -> Vec<PartTag> {
    parts.iter().map(|(number, etag)| PartTag { number: *number, etag: Etag::parse(etag).unwrap() }).collect()
}
