//! The client of one bucket, and the look at it when it is opened.

use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Config, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    StalledStreamProtectionConfig,
};
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use url::Url;

use super::error::{Fault, S3Error};
use super::{Addressing, S3Options};
use crate::authorities::read_authorities;

/// How long a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long an answer may take, the bytes that are sent included.
const ANSWER_MAX: Duration = Duration::from_secs(120);
/// Tries of a call that may be repeated.
pub(super) const TRIES_MAX: u32 = 3;
/// The pause between two tries at open.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Makes a client for an address; nothing is sent yet.
pub(super) fn client(options: &S3Options, endpoint: Option<&str>) -> Result<Client, S3Error> {
    let shown = || options.address();
    if options.tls.certificate.is_some() {
        return Err(S3Error::ClientCertificate { endpoint: shown() });
    }
    let trust = match &options.tls.authorities {
        Some(path) => {
            let pem = read_authorities(path).map_err(|source| S3Error::Tls { endpoint: shown(), source })?;
            TrustStore::empty().with_pem_certificate(pem)
        }
        None => TrustStore::default(),
    };
    let Ok(context) = TlsContext::builder().with_trust_store(trust).build() else {
        unreachable!("a trust store is all that a context is made of");
    };
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(context)
        .build_https();
    let login = &options.login;
    let credentials = Credentials::new(&login.user, login.password.as_str(), None, None, "configured");
    let mut config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(options.region.clone()))
        .credentials_provider(credentials)
        .force_path_style(options.addressing == Addressing::Path)
        .http_client(http)
        // By default a CRC32 is added to every call, and to presigned addresses, which their users would have to send.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        // Bodies that stall are watched where they are read.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_MAX).read_timeout(ANSWER_MAX).build())
        .retry_config(RetryConfig::standard().with_max_attempts(TRIES_MAX));
    if let Some(endpoint) = endpoint {
        config = config.endpoint_url(endpoint.trim_end_matches('/'));
    }
    Ok(Client::from_conf(config.build()))
}

/// What a call changes where S3's own repetition would hide what became of it.
pub(super) fn once() -> aws_sdk_s3::config::Builder {
    Config::builder().retry_config(RetryConfig::disabled())
}

/// Refuses addresses that hold more than a host, and logins in them above all.
pub(super) fn check_address(endpoint: &str) -> Result<(), S3Error> {
    let shown = endpoint.rsplit('@').next().unwrap_or_default();
    let refuse = || S3Error::Address { endpoint: shown.to_owned() };
    let url = Url::parse(endpoint).map_err(|_| refuse())?;
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.path() == "/";
    if matches!(url.scheme(), "http" | "https") && url.host_str().is_some() && plain && url.fragment().is_none() {
        return Ok(());
    }
    Err(refuse())
}

/// Looks whether the bucket is there and the key pair fits; an S3 that is not there yet is waited for.
pub(super) async fn look(client: &Client, options: &S3Options) -> Result<(), S3Error> {
    let begin = Instant::now();
    loop {
        // A list and no `HEAD`, whose answers have no body and so no reason.
        let bucket = options.bucket.as_str();
        let answer = client.list_objects_v2().bucket(bucket).prefix("probes/").max_keys(1).send().await;
        let Err(error) = answer else { return Ok(()) };
        let error = sort(Fault::from(error), options);
        if !error.may_pass() || begin.elapsed() >= options.open_wait {
            return Err(error);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn sort(fault: Fault, options: &S3Options) -> S3Error {
    let (endpoint, bucket) = (options.address(), options.bucket.clone());
    let Fault { status, code, text } = fault;
    match (status, code.as_str()) {
        (_, "NoSuchBucket") => S3Error::NoBucket { endpoint, bucket },
        (_, "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException")
        | (Some(301 | 307), _) => S3Error::Region { endpoint, bucket, region: options.region.clone(), code },
        (Some(401 | 403), _) => S3Error::Login { endpoint, bucket, access_key: options.login.user.clone(), code },
        (None, _) => S3Error::Unreachable { endpoint, bucket, problem: text },
        (Some(status), _) if status >= 500 || status == 429 => S3Error::Unreachable { endpoint, bucket, problem: text },
        _ => S3Error::Refused { endpoint, bucket, answer: text },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hosts_and_never_hold_a_login() {
        for good in ["http://127.0.0.1:8333", "https://s3.example.org", "https://s3.example.org/"] {
            check_address(good).unwrap();
        }
        for bad in ["s3.example.org", "ftp://s3", "http://", "http://s3/bucket", "http://s3?x=1", "http://me:secret@s3"]
        {
            let error = check_address(bad).unwrap_err().to_string();
            assert!(error.starts_with("S3 endpoint") && !error.contains("secret"), "{error}");
        }
    }
}
