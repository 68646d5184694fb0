//! A desk in a folder of its own, served on a free port, and requests to it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use mcsp_api::{ApiSettings, Desk, router};
use mcsp_catalog::Catalog;
use mcsp_domain::{Bucket, UserId, UserRole};
use mcsp_embedded::{
    Durability, FileStore, JournalEngine, JournalOptions, LogOptions, Presigner, S3Credentials, S3Endpoint, S3Options,
    SqliteLog, SqliteTtl,
};
use mcsp_runtime::{Buckets, ObjectStore, now_us};
use mcsp_services::content::{ContentService, ContentSettings, Effects};
use mcsp_services::engagement::EngagementService;
use mcsp_services::idempotency::Answers;
use mcsp_services::identity::{AuthService, TryLimits, UserService, read_or_make_keys, users_client};
use mcsp_services::licence::{LicenceClient, LicenceService, MasterKey, MasterKeys};
use mcsp_services::moderation::ModerationService;
use mcsp_services::notify::{LiveEvents, LiveTimes, TargetPolicy, WebhookService, progress_of};
use mcsp_services::playback::{PlaybackService, PlaybackSettings};
use mcsp_services::search::SearchService;
use mcsp_services::upload::{ResidencyPolicy, UploadService, UploadSettings};
use mcsp_token::{ACCESS_TOKEN_S, AccessClaims, HmacKey, HmacKeys, ViewerKeys};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub(crate) const PASSWORD: &str = "correct horse";

/// A served desk.
pub(crate) struct World {
    _folder: tempfile::TempDir,
    pub(crate) catalog: Catalog,
    pub(crate) users: UserService,
    pub(crate) licence: LicenceClient,
    keys: ViewerKeys,
    pub(crate) client: Client,
    url: String,
}

/// An answer, read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(ApiSettings::default(), TryLimits::default()).await
    }

    pub(crate) async fn with(settings: ApiSettings, limits: TryLimits) -> Self {
        Self::build(settings, limits, LiveTimes::default()).await
    }

    /// As `new`, with connections that are as patient as this.
    pub(crate) async fn live(times: LiveTimes) -> Self {
        Self::build(ApiSettings::default(), TryLimits::default(), times).await
    }

    async fn build(settings: ApiSettings, limits: TryLimits, times: LiveTimes) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&format!("sqlite:{}", folder.path().join("catalog.db").display())).await.unwrap();
        let store = Arc::new(SqliteTtl::open(&folder.path().join("ttl.db")).await.unwrap());
        let path = folder.path().join("secrets/viewer-keys.json");
        let read = || read_or_make_keys(&path, now_us() / 1_000_000).unwrap();
        let users = UserService::new(catalog.clone()).unwrap();
        let auth = AuthService::new(users_client(users.clone()), catalog.clone(), store.clone(), read(), limits);
        let uploads = uploads(folder.path(), catalog.clone(), store).await;
        let master = MasterKey::read_or_make(&folder.path().join("secrets/master.key")).unwrap();
        let masters = MasterKeys::new(master, Vec::new());
        let licences = LicenceService::open(catalog.clone(), masters.clone()).await.unwrap();
        let licence = mcsp_services::licence::client(licences.with_tokens(token_keys(2)));
        let log = SqliteLog::open(&folder.path().join("events.db"), LogOptions::default()).await.unwrap();
        let content = content(folder.path(), catalog.clone(), licence.clone()).await;
        let desk = Desk {
            auth,
            content,
            answers: Answers::new(catalog.clone()),
            events: LiveEvents::new(catalog.clone(), progress_of(uploads.clone()), times),
            uploads,
            webhooks: WebhookService::new(catalog.clone(), masters, TargetPolicy::default()),
            search: SearchService::new(catalog.clone()),
            moderation: ModerationService::new(catalog.clone(), "test"),
            playback: PlaybackService::new(
                catalog.clone(),
                users_client(users.clone()),
                licence.clone(),
                token_keys(1),
                Buckets::new([]),
                PlaybackSettings {
                    edge_url: "http://edge.example".to_owned(),
                    licence_url: "http://desk.example/licence/clearkey".to_owned(),
                },
            ),
            engagement: EngagementService::new(catalog.clone(), Arc::new(log)),
            licence: licence.clone(),
        };
        let router = router(Arc::new(desk), settings);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        let keys = read();
        Self { _folder: folder, catalog, users, licence, keys, client: Client::new(), url }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// Returns the address and port that it is served on.
    pub(crate) fn authority(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        send(self.request(Method::GET, path).bearer_auth(token)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        send(self.request(Method::POST, path).json(body)).await
    }

    /// Makes an account and signs in; returns the answer of the sign-in.
    pub(crate) async fn sign_up(&self, email: &str, role: &str) -> Value {
        let made = self.post("/api/v1/auth/register", &registration(email, role)).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
        let answer = self.post("/api/v1/auth/login", &json!({ "email": email, "password": PASSWORD })).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.json()
    }

    /// Mints a token for any account and role, as a sign-in would.
    pub(crate) fn token(&self, user: UserId, role: UserRole) -> String {
        self.token_for(user, role, ACCESS_TOKEN_S)
    }

    /// As `token`, good for so many seconds.
    pub(crate) fn token_for(&self, user: UserId, role: UserRole, seconds: i64) -> String {
        let iat_s = now_us() / 1_000_000;
        let claims = AccessClaims { sub: user, role, iat_s, exp_s: iat_s + seconds, jti: "test".to_owned() };
        self.keys.mint(&claims)
    }
}

/// Returns the content service, on a saga engine of its own and no bucket.
async fn content(folder: &Path, catalog: Catalog, licence: LicenceClient) -> ContentService {
    let effects = Effects::new(catalog, Buckets::new([]), licence);
    let options = JournalOptions::default();
    let journal = JournalEngine::open(&folder.join("sagas.db"), vec![effects.publish()], options).await.unwrap();
    ContentService::new(effects, Arc::new(journal), ContentSettings::default())
}

/// Returns the upload service, on a bucket whose endpoint is served on a free port.
async fn uploads(folder: &Path, catalog: Catalog, sessions: Arc<SqliteTtl>) -> UploadService {
    let bucket = Bucket::parse("media-eu").unwrap();
    let pair = S3Credentials { access_key: "studio".to_owned(), secret_key: "for this test".to_owned() };
    let store = FileStore::open(&folder.join("media-eu"), Durability::Process).unwrap();
    let served = [(bucket.clone(), store.clone())];
    let endpoint = S3Endpoint::new(served, vec![pair.clone()], S3Options::default()).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = endpoint.router();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let store: Arc<dyn ObjectStore> =
        Arc::new(store.with_presigner(Presigner::new(&url, bucket.clone(), pair).unwrap()));
    let residency = ResidencyPolicy::without_rules("eu", [("eu".to_owned(), bucket.clone())].into()).unwrap();
    let buckets = Buckets::new([(bucket, store)]);
    UploadService::new(catalog, sessions, buckets, residency, UploadSettings::default())
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {:?}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Returns the end of the problem's type, once it is sure that it is a problem.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        let body = self.json();
        assert_eq!(body["status"], self.status.as_u16());
        assert!(body["title"].is_string() && body["detail"].is_string(), "{body}");
        body["type"].as_str().unwrap().strip_prefix("https://mcsp.dev/problems/").unwrap().to_owned()
    }
}

pub(crate) async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Answer { status, headers, text: response.text().await.unwrap() }
}

pub(crate) fn registration(email: &str, role: &str) -> Value {
    json!({ "email": email, "password": PASSWORD, "display_name": "Ada", "role": role })
}

/// A set of one key, for tokens of playback.
pub(crate) fn token_keys(byte: u8) -> HmacKeys {
    HmacKeys::new(HmacKey::new("k1", [byte; 32]).unwrap(), Vec::new()).unwrap()
}

/// An account that nobody made.
pub(crate) fn nobody() -> UserId {
    UserId::from_bytes([0x77; 16])
}
