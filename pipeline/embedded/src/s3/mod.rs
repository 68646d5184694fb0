//! An S3-compatible endpoint over `FileStore` folders, so that browsers and S3 software put bytes straight into the store:
//! streaming puts and gets, ranges, uploads in parts, checksums, conditions, presigned addresses and CORS.
//!
//! `s3s` parses calls and checks signatures; `api` is the list of calls we serve; `objects`, `uploads` and `lists` do them;
//! `guard` refuses what the signature check lets through. Stored objects are announced to one consumer, and an announcement
//! stays on disk until the consumer is done with it.

mod api;
mod body;
mod checks;
mod errors;
mod events;
mod guard;
mod lists;
mod objects;
mod sigv4;
mod uploads;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::error_handling::HandleError;
use axum::http::{HeaderName, Method, StatusCode, header};
use mcsp_domain::Bucket;
use s3s::auth::{S3Auth, SecretKey};
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{HttpError, S3Result, s3_error};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::file_store::{FileStore, Swept};
use api::Api;
pub use events::ObjectCreated;
use guard::Guard;
pub use sigv4::{DEFAULT_REGION, EndpointUrlError, Presigner, S3Credentials};

/// Bytes of a call's XML: ten thousand parts with their tags and checksums.
const XML_BYTES_MAX: usize = 4 << 20;
/// How long a browser may remember what CORS allows.
const CORS_AGE: Duration = Duration::from_secs(3600);

/// How an endpoint behaves.
#[derive(Clone, Debug)]
pub struct S3Options {
    /// Web pages that may call, such as `https://studio.example.org`; `*` allows all, which presigned addresses make safe.
    pub cors_origins: Vec<String>,
    /// Calls at work at one time; more are told to slow down.
    pub calls_max: usize,
    /// How long a client may send nothing of a body that it owes.
    pub body_stall: Duration,
    /// The age from which an upload in parts that nobody goes on with is given up at start.
    pub upload_age_max: Duration,
    /// Whether objects are announced; `S3Endpoint::deliver` must then run, since uploads stop when too many wait. A folder
    /// whose objects were announced once keeps announcing, so that a restart without a consumer loses none.
    pub announce: bool,
}

impl Default for S3Options {
    fn default() -> Self {
        Self {
            cors_origins: vec!["*".to_owned()],
            calls_max: 256,
            body_stall: Duration::from_secs(60),
            upload_age_max: Duration::from_secs(7 * 24 * 3600),
            announce: false,
        }
    }
}

/// The endpoint of some buckets.
#[derive(Clone)]
pub struct S3Endpoint {
    buckets: Arc<BTreeMap<Bucket, FileStore>>,
    credentials: Arc<[S3Credentials]>,
    options: S3Options,
    cors: Option<CorsLayer>,
}

/// Why an endpoint cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum S3SetupError {
    /// Nobody could sign.
    #[error("S3 endpoint has no credentials")]
    NoCredentials,
    /// An origin for CORS is no header value.
    #[error("S3 endpoint cannot allow CORS origin {0:?}")]
    Origin(String),
    /// A bucket's folder does not serve.
    #[error("S3 endpoint cannot use the folder of bucket {bucket}")]
    Folder {
        /// The bucket.
        bucket: Bucket,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

impl S3Endpoint {
    /// Sets an endpoint up, and gives up the uploads in parts that were abandoned before it.
    ///
    /// # Errors
    /// When a folder cannot be used, or an option does not fit.
    pub async fn new(
        buckets: impl IntoIterator<Item = (Bucket, FileStore)>,
        credentials: Vec<S3Credentials>,
        options: S3Options,
    ) -> Result<Self, S3SetupError> {
        if credentials.is_empty() {
            return Err(S3SetupError::NoCredentials);
        }
        let cors = cors(&options.cors_origins)?;
        let buckets: BTreeMap<Bucket, FileStore> = buckets.into_iter().collect();
        let endpoint = Self { buckets: Arc::new(buckets), credentials: credentials.into(), options, cors };
        for (bucket, store) in endpoint.buckets.iter() {
            let failed = |source| S3SetupError::Folder { bucket: bucket.clone(), source };
            if endpoint.options.announce {
                store.inner.spool.switch_on().map_err(failed)?;
            } else if store.inner.spool.is_on() {
                tracing::warn!(%bucket, "objects are announced in this folder, and this endpoint has no consumer for them");
            }
            store.sweep(endpoint.options.upload_age_max).await.map_err(failed)?;
        }
        Ok(endpoint)
    }

    /// Returns the endpoint as a service for a listener of its own: it answers every path.
    pub fn router(&self) -> Router {
        let guard = Guard::new(self.options.calls_max);
        let service = HandleError::new(self.service(), broken);
        let guarded = axum::middleware::from_fn_with_state(guard, guard::guard);
        let router = Router::new().fallback_service(service).layer(guarded);
        match &self.cors {
            Some(cors) => router.layer(cors.clone()),
            None => router,
        }
    }

    fn service(&self) -> S3Service {
        let mut config = S3Config::default();
        config.xml_max_body_size = XML_BYTES_MAX;
        let mut builder = S3ServiceBuilder::new(Api::new(Arc::clone(&self.buckets), self.options.body_stall));
        builder.set_auth(KeyPairs(Arc::clone(&self.credentials)));
        builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
        builder.build()
    }

    /// Gives up uploads in parts that nobody touched for `older_than`, in every bucket; to be called now and then.
    ///
    /// # Errors
    /// When a folder cannot be read or written to.
    pub async fn sweep(&self, older_than: Duration) -> std::io::Result<Swept> {
        let mut all = Swept::default();
        for store in self.buckets.values() {
            let swept = store.sweep(older_than).await?;
            all.uploads += swept.uploads;
            all.notes += swept.notes;
            all.folders += swept.folders;
        }
        Ok(all)
    }
}

/// Finds the secret of a caller.
struct KeyPairs(Arc<[S3Credentials]>);

#[async_trait::async_trait]
impl S3Auth for KeyPairs {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        match self.0.iter().find(|pair| pair.access_key == access_key) {
            Some(pair) => Ok(SecretKey::from(pair.secret_key.clone())),
            None => Err(s3_error!(InvalidAccessKeyId, "nobody has this access key")),
        }
    }
}

/// What a page may send and see; nothing where no page may call.
fn cors(origins: &[String]) -> Result<Option<CorsLayer>, S3SetupError> {
    if origins.is_empty() {
        return Ok(None);
    }
    let origin = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        let parse = |origin: &String| origin.parse().map_err(|_| S3SetupError::Origin(origin.clone()));
        AllowOrigin::list(origins.iter().map(parse).collect::<Result<Vec<_>, _>>()?)
    };
    let checksums = ["crc32", "crc32c", "crc64nvme", "sha1", "sha256"].map(|name| {
        let name = format!("x-amz-checksum-{name}");
        HeaderName::try_from(name).unwrap_or(header::ETAG)
    });
    let plain =
        [header::ETAG, header::ACCEPT_RANGES, header::CONTENT_LENGTH, header::CONTENT_RANGE, header::LAST_MODIFIED];
    let layer = CorsLayer::new()
        .allow_origin(origin)
        .allow_methods([Method::GET, Method::HEAD, Method::PUT, Method::POST, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(plain.into_iter().chain(checksums).collect::<Vec<_>>())
        .max_age(CORS_AGE);
    Ok(Some(layer))
}

async fn broken(error: HttpError) -> StatusCode {
    tracing::error!(?error, "the S3 endpoint could not answer");
    StatusCode::INTERNAL_SERVER_ERROR
}
