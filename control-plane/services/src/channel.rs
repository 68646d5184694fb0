//! Connections in memory: a gRPC client of services that run in this process, the same generated one as over a network.

use std::io;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Router;
use tonic::transport::{Channel, Endpoint};

/// Bytes in flight one way: some answers.
const PIPE_BYTES: usize = 64 << 10;
/// Connections that wait to be taken up: a client opens one, and another after a failure.
const CONNECTIONS_MAX: usize = 8;
/// How long an answer may take: the catalog's longest wait, and more.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Returns a channel to services in this process; `name` stands in logs. Clones share it; the server ends with the last of
/// them. Must be called inside a runtime.
pub(crate) fn in_memory(name: &'static str, router: impl Future<Output = Router> + Send + 'static) -> Channel {
    let (connections, incoming) = mpsc::channel::<io::Result<DuplexStream>>(CONNECTIONS_MAX);
    tokio::spawn(async move {
        let served = router.await.serve_with_incoming(ReceiverStream::new(incoming)).await;
        if let Err(error) = served {
            tracing::error!(name, error = mcsp_runtime::chain(&error), "service in memory ended");
        }
    });
    let connect = move |_| {
        let connections = connections.clone();
        async move {
            let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
            let ended = |_| io::Error::new(io::ErrorKind::BrokenPipe, format!("{name} service in memory has ended"));
            connections.send(Ok(theirs)).await.map_err(ended)?;
            Ok::<_, io::Error>(TokioIo::new(ours))
        }
    };
    // The address is never looked up.
    let endpoint = Endpoint::from_static("http://service.memory").timeout(ANSWER_TIMEOUT);
    endpoint.connect_with_connector_lazy(tower::service_fn(connect))
}
