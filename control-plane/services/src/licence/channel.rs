//! How the service is reached: in memory from the same process, over a Unix socket or the loopback address from another
//! one. The client is the same generated one each time.
//!
//! Keys cross these connections in the clear and callers are not asked who they are. Nodes use Unix sockets: `bind_unix` makes
//! one that its own user alone can reach. A loopback address is open to every user of the machine, and `serve` refuses those
//! that are open to other machines.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use mcsp_domain::limits;
use mcsp_grpc::licence::v1::licence_client::LicenceClient as Generated;
use mcsp_grpc::licence::v1::licence_server::LicenceServer;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tonic::codegen::tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::transport::server::Router;
use tonic::transport::{Endpoint, Server};

use super::{LicenceClient, LicenceService};
use crate::channel::{ANSWER_TIMEOUT, in_memory};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// A socket that cannot be made or named.
    #[error("licence socket {} cannot be used", path.display())]
    Path {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A folder whose sockets other users reach.
    #[error("licence socket {} would lie in a folder of mode {mode:o}: others may enter it, mode 700 is wanted", path.display())]
    OpenFolder {
        /// The socket.
        path: PathBuf,
        /// The folder's permissions.
        mode: u32,
    },
    /// A URL that is none.
    #[error("licence url {url:?} is not of the form http://<host>:<port>")]
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
    limited(in_memory("licence", router(service)))
}

/// Returns a client of a service in another process of this machine, at a Unix socket. It connects when it is first used,
/// and again when it must.
///
/// # Errors
/// When no socket can have this path.
pub fn connect_unix(path: &Path) -> Result<LicenceClient, ServeError> {
    let fault = |source| ServeError::Path { path: path.to_owned(), source };
    std::os::unix::net::SocketAddr::from_pathname(path).map_err(fault)?;
    let path = path.to_owned();
    let connect = move |_| {
        let path = path.clone();
        async move { Ok::<_, io::Error>(TokioIo::new(UnixStream::connect(&path).await?)) }
    };
    // The name is never looked up.
    let endpoint =
        Endpoint::from_static("http://licence.unix").connect_timeout(CONNECT_TIMEOUT).timeout(ANSWER_TIMEOUT);
    Ok(limited(endpoint.connect_with_connector_lazy(tower::service_fn(connect))))
}

/// Makes a Unix socket for `serve`, in a folder that this user alone may enter; a folder that is missing is made so. What a
/// dead process left at the path is replaced. Must be called inside a runtime.
///
/// # Errors
/// When others may enter the folder, a living process listens there, or the socket cannot be made.
pub fn bind_unix(path: &Path) -> Result<UnixListener, ServeError> {
    let fault = |source| ServeError::Path { path: path.to_owned(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(fault)?;
    let mode = fs::metadata(folder).map_err(fault)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(ServeError::OpenFolder { path: path.to_owned(), mode });
    }
    let left = fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    if left {
        match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => return Err(fault(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there"))),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(fault)?,
            Err(error) => return Err(fault(error)),
        }
    }
    let listener = UnixListener::bind(path).map_err(fault)?;
    fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(fault)?;
    Ok(listener)
}

/// Returns a client of a service in another process, at `http://<host>:<port>`. It connects when it is first used, and again
/// when it must.
///
/// # Errors
/// When the URL is none.
pub fn connect(url: &str) -> Result<LicenceClient, ServeError> {
    let fault = || ServeError::Url { url: url.chars().take(200).collect() };
    if !url.starts_with("http://") {
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
