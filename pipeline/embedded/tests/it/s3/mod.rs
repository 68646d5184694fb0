//! The S3 endpoint, held by software that we did not write: the AWS SDK for S3, and `reqwest` in the place of a browser.
#![expect(clippy::unwrap_used, reason = "a panic in a test is its report, in helpers too")]

mod events;
mod objects;
mod refusals;
mod uploads;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    BehaviorVersion, Config, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart, Delete, ObjectIdentifier,
};
use aws_smithy_http_client::tls;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use mcsp_domain::{Bucket, ObjectKey};
use mcsp_embedded::{CreatedBy, Durability, FileStore, ObjectCreated, Presigner, S3Credentials, S3Endpoint, S3Options};
use mcsp_runtime::ObjectStore;
use mcsp_runtime::conformance::{HttpAnswer, HttpCall};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::net::TcpListener;

const BUCKET: &str = "media-eu";
const PART_BYTES: usize = 5 << 20;

fn credentials() -> S3Credentials {
    S3Credentials { access_key: "studio".to_owned(), secret_key: "only for this test".to_owned() }
}

fn bucket() -> Bucket {
    Bucket::parse(BUCKET).unwrap()
}

/// An endpoint that answers until it is dropped, and the store behind it.
struct Served {
    url: String,
    endpoint: S3Endpoint,
    store: FileStore,
    _folder: Option<TempDir>,
}

async fn serve(root: &Path, options: S3Options) -> Served {
    let store = FileStore::open(root, Durability::Process).unwrap();
    let endpoint = S3Endpoint::new([(bucket(), store.clone())], vec![credentials()], options).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = endpoint.router();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let store = store.with_presigner(Presigner::new(&url, bucket(), credentials()).unwrap());
    Served { url, endpoint, store, _folder: None }
}

async fn serve_fresh(options: S3Options) -> Served {
    let folder = tempfile::tempdir().unwrap();
    let served = serve(folder.path(), options).await;
    Served { _folder: Some(folder), ..served }
}

fn client(url: &str, secret_key: &str, checksums: RequestChecksumCalculation) -> Client {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
        .build_https();
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(url)
        .credentials_provider(Credentials::new("studio", secret_key, None, None, "test"))
        .force_path_style(true)
        .http_client(http)
        .request_checksum_calculation(checksums)
        .response_checksum_validation(ResponseChecksumValidation::WhenSupported)
        .build();
    Client::from_conf(config)
}

fn plain_client(served: &Served) -> Client {
    client(&served.url, &credentials().secret_key, RequestChecksumCalculation::WhenRequired)
}

/// `Ok`, or the status and code of a refusal.
fn refusal<T, E: ProvideErrorMetadata>(answer: Result<T, SdkError<E>>) -> String {
    match answer {
        Ok(_) => "Ok".to_owned(),
        Err(SdkError::ServiceError(error)) => {
            format!("{} {}", error.raw().status().as_u16(), error.err().code().unwrap_or_default())
        }
        Err(error) => format!("no answer: {}", error.as_service_error().and_then(|e| e.code()).unwrap_or_default()),
    }
}

fn sha256(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(Sha256::digest(bytes))
}

fn body(bytes: &[u8]) -> ByteStream {
    ByteStream::from(bytes.to_vec())
}

async fn send(call: HttpCall) -> HttpAnswer {
    let http = reqwest::Client::new();
    let mut request = http.request(call.method.parse().unwrap(), call.url).body(call.body);
    for (name, value) in call.headers.iter().filter(|(name, _)| name != "content-length") {
        request = request.header(name, value);
    }
    let answer = request.send().await.unwrap();
    let etag = answer.headers().get("etag").map(|tag| tag.to_str().unwrap().trim_matches('"').to_owned());
    HttpAnswer { status: answer.status().as_u16(), etag, body: answer.bytes().await.unwrap() }
}

/// Returns once the condition holds.
async fn wait_for(condition: impl Fn() -> bool) {
    let holds = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), holds).await.unwrap();
}

/// The list that completes an upload.
fn completed(parts: &[(i32, String)]) -> CompletedMultipartUpload {
    let part = |(number, etag): &(i32, String)| CompletedPart::builder().part_number(*number).e_tag(etag).build();
    CompletedMultipartUpload::builder().set_parts(Some(parts.iter().map(part).collect())).build()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_port_keeps_its_promises_with_an_endpoint() {
    let folder = tempfile::tempdir().unwrap();
    let count = AtomicU64::new(0);
    let make = || async {
        let root = folder.path().join(count.fetch_add(1, Ordering::Relaxed).to_string());
        Arc::new(serve(&root, S3Options::default()).await.store) as Arc<dyn ObjectStore>
    };
    mcsp_runtime::conformance::object_store(make).await;
    mcsp_runtime::conformance::presigned_urls(make, send).await;
}
