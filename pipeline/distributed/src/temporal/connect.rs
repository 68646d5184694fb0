//! The way to a Temporal server, and what can be wrong with it: each a clear error that names server and namespace.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mcsp_runtime::chain;
use temporalio_client::errors::ClientConnectError;
use temporalio_client::tonic::{Code, IntoRequest, Status};
use temporalio_client::{Client, ClientOptions, ClientTlsOptions, Connection, ConnectionOptions, TlsOptions};
use temporalio_common::protos::temporal::api::workflowservice::v1::DescribeNamespaceRequest;
use url::Url;

use super::TemporalOptions;
use crate::Tls;

/// The longest wait for one connection; a server that is there answers in milliseconds.
const CONNECT: Duration = Duration::from_secs(5);
/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(250);

/// Why Temporal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemporalError {
    /// The address is of another form.
    #[error("temporal address {address:?} is not host:port")]
    Address {
        /// The address; nothing of one that holds a password.
        address: String,
    },
    /// A file of keys or certificates cannot be read.
    #[error("file {path} for temporal cannot be read")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Nobody answers, or not in the words of Temporal; time may help.
    #[error("temporal at {address} did not answer in {waited_ms} ms: {reason}")]
    Unreachable {
        /// The server.
        address: String,
        /// How long it was waited for.
        waited_ms: u64,
        /// What the last try came to.
        reason: String,
    },
    /// The server does not let us in.
    #[error("temporal at {address} refuses these credentials for namespace {namespace:?}: {reason}")]
    Refused {
        /// The server.
        address: String,
        /// The namespace.
        namespace: String,
        /// What it says.
        reason: String,
    },
    /// The namespace has to be made first.
    #[error("temporal at {address} has no namespace {namespace:?}")]
    NoNamespace {
        /// The server.
        address: String,
        /// The namespace.
        namespace: String,
    },
    /// The server answers with an error; time may help.
    #[error("temporal at {address} failed to {action}: {reason}")]
    Server {
        /// The server.
        address: String,
        /// What was tried.
        action: &'static str,
        /// What it says.
        reason: String,
    },
}

impl TemporalError {
    /// Returns whether time may help.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Server { .. })
    }
}

/// Connects, waits a bounded time for a server that is not there yet, and checks that the namespace is.
pub(super) async fn connect(options: &TemporalOptions) -> Result<Client, TemporalError> {
    let wanted = connection_options(options).await?;
    let begin = Instant::now();
    let client = loop {
        let error = match Connection::connect(wanted.clone()).await {
            Ok(connection) => match Client::new(connection, ClientOptions::new(&options.namespace).build()) {
                Ok(client) => break client,
                Err(error) => return Err(server(options, "open a client", chain(&error))),
            },
            Err(error) => connect_error(options, begin, error),
        };
        if !error.may_pass() || begin.elapsed() + PAUSE > options.wait {
            return Err(error);
        }
        tokio::time::sleep(PAUSE).await;
    };
    let kept_s = check(&client, options).await?;
    let wanted_s = options.keep.as_secs();
    if kept_s < wanted_s {
        let namespace = &options.namespace;
        tracing::warn!(
            namespace,
            kept_s,
            wanted_s,
            "namespace forgets ended sagas early: then their ids are free again"
        );
    }
    Ok(client)
}

/// Checks that the namespace is there and lets us in. Returns for how many seconds it keeps what has ended.
pub(super) async fn check(client: &Client, options: &TemporalOptions) -> Result<u64, TemporalError> {
    let request = DescribeNamespaceRequest { namespace: options.namespace.clone(), ..Default::default() };
    let answer = client.connection().workflow_service().describe_namespace(request.into_request()).await;
    let answer = answer.map_err(|status| status_error(options, "describe the namespace", &status))?.into_inner();
    let kept = answer.config.and_then(|config| config.workflow_execution_retention_ttl);
    Ok(kept.map_or(0, |kept| u64::try_from(kept.seconds).unwrap_or(0)))
}

async fn connection_options(options: &TemporalOptions) -> Result<ConnectionOptions, TemporalError> {
    let target = target(options)?;
    let tls = match &options.tls {
        Some(tls) => Some(tls_options(tls).await?),
        None => None,
    };
    let user = options.login.as_ref().map_or("mcsp", |login| login.user.as_str());
    let api_key = options.login.as_ref().map(|login| login.password.to_string());
    Ok(ConnectionOptions::new(target)
        .identity(format!("{user}-{}", std::process::id()))
        .connect_timeout(CONNECT.min(options.wait))
        .maybe_tls_options(tls)
        .maybe_api_key(api_key)
        .build())
}

/// Returns where to connect. Who wants a password in an address finds it in no error.
fn target(options: &TemporalOptions) -> Result<Url, TemporalError> {
    let shown = if options.address.contains('@') { String::new() } else { options.address.clone() };
    let wrong = || TemporalError::Address { address: shown.clone() };
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    let url = Url::parse(&format!("{scheme}://{}", options.address)).map_err(|_| wrong())?;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.path() == "/";
    // A default port is dropped from the address: it must be written out to be seen.
    let has_port = options.address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if is_plain && has_port && url.has_host() { Ok(url) } else { Err(wrong()) }
}

async fn tls_options(tls: &Tls) -> Result<TlsOptions, TemporalError> {
    let authorities = match &tls.authorities {
        Some(path) => Some(read(path).await?),
        None => None,
    };
    let client = match &tls.certificate {
        Some(own) => {
            let (chain, key) = (read(&own.chain).await?, read(&own.key).await?);
            Some(ClientTlsOptions::builder().client_cert(chain).client_private_key(key).build())
        }
        None => None,
    };
    Ok(TlsOptions::builder().maybe_server_root_ca_cert(authorities).maybe_client_tls_options(client).build())
}

async fn read(path: &Path) -> Result<Vec<u8>, TemporalError> {
    tokio::fs::read(path).await.map_err(|source| TemporalError::File { path: path.to_owned(), source })
}

fn connect_error(options: &TemporalOptions, begin: Instant, error: ClientConnectError) -> TemporalError {
    if let ClientConnectError::SystemInfoCallError(status) = &error
        && matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied)
    {
        return status_error(options, "connect", status);
    }
    let waited_ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
    let reason = match &error {
        ClientConnectError::SystemInfoCallError(status) => described(status),
        ClientConnectError::TonicTransportError(error) => chain(error),
        error => chain(error),
    };
    TemporalError::Unreachable { address: options.address.clone(), waited_ms, reason }
}

fn status_error(options: &TemporalOptions, action: &'static str, status: &Status) -> TemporalError {
    let (address, namespace) = (options.address.clone(), options.namespace.clone());
    match status.code() {
        Code::NotFound => TemporalError::NoNamespace { address, namespace },
        Code::Unauthenticated | Code::PermissionDenied => {
            TemporalError::Refused { address, namespace, reason: described(status) }
        }
        _ => TemporalError::Server { address, action, reason: described(status) },
    }
}

pub(super) fn server(options: &TemporalOptions, action: &'static str, reason: String) -> TemporalError {
    TemporalError::Server { address: options.address.clone(), action, reason }
}

fn described(status: &Status) -> String {
    let mut text = format!("{:?}: {}", status.code(), status.message());
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
