//! How the service is reached: in memory from the same process, over a Unix socket or the loopback address from another
//! one. The client is the same generated one each time.
//!
//! Keys cross these connections in the clear and callers are not asked who they are, so that a socket serves this machine
//! alone: `serve` refuses other addresses. A Unix socket is open to those who may write to it; give it a folder of mode 700.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use mcsp_domain::limits;
use mcsp_grpc::licence::v1::licence_client::LicenceClient as Generated;
use mcsp_grpc::licence::v1::licence_server::LicenceServer;
use tokio::io::DuplexStream;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::wrappers::{ReceiverStream, TcpListenerStream, UnixListenerStream};
use tonic::transport::server::Router;
use tonic::transport::{Endpoint, Server};

use super::{LicenceClient, LicenceService};

/// Bytes in flight one way in memory: some answers.
const MEMORY_PIPE_BYTES: usize = 64 << 10;
/// Connections in memory that wait to be taken up: a client opens one, and another after a failure.
const MEMORY_CONNECTIONS_MAX: usize = 8;
/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer may take: the catalog's longest wait, and more.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Why the service could not be served or reached.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The socket is open to other machines.
    #[error(
        "licence service would listen on {address}: keys travel in the clear, so only loopback addresses are allowed"
    )]
    NotLoopback {
        /// Where it would listen.
        address: SocketAddr,
    },
    /// A socket that does not tell its address.
    #[error("could not read the address of the licence service's socket")]
    Socket(#[source] io::Error),
    /// A URL that is none.
    #[error("licence url {url:?} is not of the form http://<host>:<port> or unix:<path>")]
    Url {
        /// The URL.
        url: String,
    },
    /// The server failed.
    #[error("licence service stopped serving")]
    Transport(#[from] tonic::transport::Error),
}

/// Where another process reaches the service.
pub enum Listener {
    /// A loopback address.
    Tcp(TcpListener),
    /// A file.
    Unix(UnixListener),
}

/// Returns a client of a service in this process, over a connection in memory. Clones share it; the server ends with the
/// last of them. Must be called inside a runtime.
pub fn client(service: LicenceService) -> LicenceClient {
    let (connections, incoming) = mpsc::channel::<io::Result<DuplexStream>>(MEMORY_CONNECTIONS_MAX);
    tokio::spawn(async move {
        let served = router(service).await.serve_with_incoming(ReceiverStream::new(incoming)).await;
        if let Err(error) = served {
            tracing::error!(error = crate::chain(&error), "licence service in memory ended");
        }
    });
    let connect = move |_| {
        let connections = connections.clone();
        async move {
            let (ours, theirs) = tokio::io::duplex(MEMORY_PIPE_BYTES);
            let ended = |_| io::Error::new(io::ErrorKind::BrokenPipe, "licence service in memory has ended");
            connections.send(Ok(theirs)).await.map_err(ended)?;
            Ok::<_, io::Error>(TokioIo::new(ours))
        }
    };
    // The name is never looked up.
    let endpoint = Endpoint::from_static("http://licence.memory").timeout(ANSWER_TIMEOUT);
    limited(endpoint.connect_with_connector_lazy(tower::service_fn(connect)))
}

/// Returns a client of a service in another process, at `http://<host>:<port>` or `unix:<path>`. It connects when it is
/// first used, and again when it must.
///
/// # Errors
/// When the URL is none of these.
pub fn connect(url: &str) -> Result<LicenceClient, ServeError> {
    let fault = || ServeError::Url { url: url.chars().take(200).collect() };
    if !(url.starts_with("http://") || url.starts_with("unix:")) {
        return Err(fault());
    }
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|_| fault())?;
    let endpoint = endpoint.connect_timeout(CONNECT_TIMEOUT).timeout(ANSWER_TIMEOUT).tcp_nodelay(true);
    Ok(limited(endpoint.connect_lazy()))
}

/// Serves other processes of this machine until `stop` is ready; requests that are being answered are finished. The
/// gRPC health service (`grpc.health.v1`) stands beside it.
///
/// # Errors
/// When the address is no loopback address, or the socket fails.
pub async fn serve(
    service: LicenceService,
    listener: Listener,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let router = router(service).await;
    match listener {
        Listener::Tcp(listener) => {
            let address = listener.local_addr().map_err(ServeError::Socket)?;
            if !address.ip().is_loopback() {
                return Err(ServeError::NotLoopback { address });
            }
            router.serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop).await?;
        }
        Listener::Unix(listener) => {
            router.serve_with_incoming_shutdown(UnixListenerStream::new(listener), stop).await?;
        }
    }
    Ok(())
}

async fn router(service: LicenceService) -> Router {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<LicenceServer<LicenceService>>().await;
    let licence = LicenceServer::new(service).max_decoding_message_size(limits::LICENCE_REQUEST_BYTES_MAX);
    Server::builder().add_service(licence).add_service(health)
}

fn limited(channel: tonic::transport::Channel) -> LicenceClient {
    Generated::new(channel).max_decoding_message_size(limits::LICENCE_REQUEST_BYTES_MAX)
}
