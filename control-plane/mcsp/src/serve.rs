//! `mcsp serve DIR`: one folder that `mcsp process` made, over HTTP to this machine's browser.
//!
//! In: the folder, its content keys, the address. Out: the watch page on `/`, its files on `/assets`, the film on
//! `/media`, and ClearKey licences on `/licence`. EME wants a secure context, which plain HTTP is on loopback only.

mod licence;
mod media;
mod page;
mod problem;

use std::future::Future;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{any, get, post};
use mcsp_domain::{ContentKey, KeyId, limits};
use tokio::net::TcpListener;
use tower_http::cors::{Any, CorsLayer};

/// How long open downloads may take to end after the shutdown signal.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);

/// The manifests of which a folder must hold at least one.
const MANIFESTS: [&str; 2] = ["manifest.mpd", "master.m3u8"];

/// What the page may load: its own files, and licences from this machine (`?licence=` may name another local port).
/// Players hand media to the browser through `blob:` URLs; hls.js runs without its worker, so no script is a blob.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     media-src 'self' blob:; connect-src 'self' http://127.0.0.1:* http://localhost:*; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";

/// What to serve, where, and with which keys.
pub(crate) struct ServeOptions {
    /// The folder that holds the manifests.
    pub(crate) dir: PathBuf,
    /// The address to listen on; port 0 takes a free one.
    pub(crate) listen: SocketAddr,
    /// Whether other machines may connect: they can then fetch the film and its keys.
    pub(crate) allow_remote: bool,
    /// The content keys of the film; none for clear content.
    pub(crate) keys: Vec<(KeyId, ContentKey)>,
}

/// A server that listens and does not answer yet.
pub(crate) struct Server {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
}

/// Serves until `shutdown` resolves, and says on stdout where to watch.
///
/// # Errors
/// When the options are refused, the address is taken, or stdout is closed.
pub(crate) async fn serve(
    options: ServeOptions,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let server = bind(options).await?;
    writeln!(std::io::stdout(), "watch at http://{}/", server.address())?;
    server.run(shutdown).await
}

/// Checks the options and takes the address.
///
/// # Errors
/// When the address is not loopback and remote access was not asked for, the folder holds no manifest, or the address
/// cannot be taken.
pub(crate) async fn bind(options: ServeOptions) -> anyhow::Result<Server> {
    let ServeOptions { dir, listen, allow_remote, keys } = options;
    if !listen.ip().is_loopback() && !allow_remote {
        bail!(
            "address {listen} is reachable from other machines: it gives them film and keys, and needs --allow-remote"
        );
    }
    let root =
        tokio::fs::canonicalize(&dir).await.with_context(|| format!("folder {} cannot be read", dir.display()))?;
    if !MANIFESTS.iter().any(|name| root.join(name).is_file()) {
        bail!("folder {} holds neither {} nor {}", dir.display(), MANIFESTS[0], MANIFESTS[1]);
    }
    let listener = TcpListener::bind(listen).await.with_context(|| format!("address {listen} cannot be taken"))?;
    let address = listener.local_addr().context("the listener has no address")?;
    Ok(Server { listener, address, router: router(root, keys) })
}

impl Server {
    /// Returns the address that was taken, with its real port.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown` resolves and open downloads have had a moment to end.
    ///
    /// # Errors
    /// When the listener fails.
    pub(crate) async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) -> anyhow::Result<()> {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let signal = async move {
            shutdown.await;
            // The receiver is gone only when serving has ended already.
            let _ = stop.send(());
        };
        let serving = axum::serve(self.listener, self.router).with_graceful_shutdown(signal);
        let deadline = async move {
            if stopped.await.is_ok() {
                tokio::time::sleep(SHUTDOWN_GRACE).await;
            } else {
                std::future::pending().await
            }
        };
        tokio::select! {
            result = serving => result.context("the listener failed"),
            () = deadline => Ok(()),
        }
    }
}

/// Returns every route under the headers that all answers carry.
fn router(root: PathBuf, keys: Vec<(KeyId, ContentKey)>) -> Router {
    let film = Router::new()
        .route("/media/{*path}", any(media::file))
        .with_state(Arc::new(media::Root::new(root)))
        .layer(cors([Method::GET, Method::HEAD]));
    let licences = Router::new()
        .route("/licence", post(licence::issue).fallback(licence::wrong_method))
        .with_state(Arc::new(licence::Keys::new(keys)))
        .layer(DefaultBodyLimit::max(limits::LICENCE_REQUEST_BYTES_MAX))
        .layer(cors([Method::POST]));
    Router::new()
        .route("/", get(page::watch))
        .route("/assets/{name}", get(page::asset))
        .merge(film)
        .merge(licences)
        .fallback(page::not_found)
        .layer(middleware::from_fn(with_strict_headers))
}

/// Returns the cross-origin rule of a route: a player on any page may use it with `methods`, without cookies.
fn cors<const N: usize>(methods: [Method; N]) -> CorsLayer {
    let exposed = [header::CONTENT_LENGTH, header::CONTENT_RANGE, header::ACCEPT_RANGES, header::ETAG];
    CorsLayer::new().allow_origin(Any).allow_methods(methods).allow_headers(Any).expose_headers(exposed)
}

/// Adds the headers that keep a browser from guessing, framing and telling others.
async fn with_strict_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let fixed: [(HeaderName, &'static str); 4] = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    // Every answer is checked again before it is used: the folder may be made anew under the same names.
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
    response
}

#[cfg(test)]
mod tests;
