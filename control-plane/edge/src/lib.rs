//! The edge: serves packages to whoever carries a token for them. In: `GET` or `HEAD /t/{token}/{path}`. Out: an object of
//! the folder that the token names, by ranges, with the headers that caches want.
//!
//! The token stands in the path, so that the relative addresses inside manifests carry it on. Read in this order: which
//! paths are taken (`path`), which bytes are asked for (`range`), the answer (`answer`), refusals (`problem`).

mod answer;
mod path;
mod problem;
mod range;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use mcsp_domain::Bucket;
use mcsp_runtime::{Buckets, ObjectStore};
use mcsp_token::HmacKeys;
use tower_http::cors::{Any, CorsLayer};

/// What operators may choose.
#[derive(Clone, Copy, Debug)]
pub struct EdgeSettings {
    /// How long a browser may keep a manifest that no longer grows, in seconds.
    pub manifest_age_s: u32,
}

impl Default for EdgeSettings {
    fn default() -> Self {
        Self { manifest_age_s: 60 }
    }
}

/// What the handlers share.
struct Edge {
    settings: EdgeSettings,
    stores: BTreeMap<Bucket, Arc<dyn ObjectStore>>,
    keys: HmacKeys,
}

/// Returns the routes under `/t/`. `keys` are those that playback mints leases with; `buckets` are the stores that leases may
/// name.
#[expect(clippy::needless_pass_by_value, reason = "the router is built once, and owns what it is given")]
pub fn router(settings: EdgeSettings, buckets: Buckets, keys: HmacKeys) -> Router {
    let stores = buckets.iter().map(|(bucket, store)| (bucket.clone(), Arc::clone(store))).collect();
    // A player on any page may read, without cookies: the token is in the address.
    let exposed = [header::CONTENT_LENGTH, header::CONTENT_RANGE, header::ACCEPT_RANGES, header::ETAG];
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::HEAD])
        .allow_headers(Any)
        .expose_headers(exposed);
    Router::new().route("/t/{*rest}", any(serve)).with_state(Arc::new(Edge { settings, stores, keys })).layer(cors)
}

async fn serve(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    // What hyper gave is what was asked for, percent signs and all: axum's own parameters would be decoded.
    let (asked, _) = request.into_parts();
    let answered = answer::answer(&edge, &asked).await;
    let mut response = answered.unwrap_or_else(|problem| problem.into_response());
    let fixed: [(HeaderName, &'static str); 3] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // The address holds a token: it is nobody else's.
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'"),
    ];
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
