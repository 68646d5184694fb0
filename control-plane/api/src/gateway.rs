//! What every request passes, in this order: a span that carries on its trace, headers that browsers obey, panics caught,
//! who asks, rate limits, kept answers, the time-out, and then its route. What has no route is a problem, too.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use mcsp_events::TraceParent;
use mcsp_runtime::telemetry::set_parent;
use tracing::{Instrument, Span};

use crate::auth::Caller;
use crate::idempotency;
use crate::rate::{Buckets, Left};
use crate::{ApiSettings, BODY_BYTES_MAX, Desk, Problem};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: &str = "traceparent";
/// Characters of a request's id that a client chose.
const REQUEST_ID_CHARS_MAX: usize = 64;

/// What answers that set nothing themselves say to browsers: no guessing of types, no frames, no address of ours to others,
/// nothing loaded by what is no page, and nothing stored.
const SECURE: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::CACHE_CONTROL, "no-store"),
];

/// What the gateway holds between requests.
pub(crate) struct Gate {
    desk: Arc<Desk>,
    timeout: Duration,
    proxies: Vec<IpAddr>,
    anonymous: Buckets,
    signed_in: Buckets,
}

/// Puts the gateway around routes.
pub(crate) fn guard(routes: Router<Arc<Desk>>, desk: Arc<Desk>, settings: ApiSettings) -> Router {
    let gate = Arc::new(Gate {
        desk: Arc::clone(&desk),
        timeout: settings.timeout,
        proxies: settings.proxies,
        anonymous: Buckets::new("client", settings.anonymous),
        signed_in: Buckets::new("account", settings.signed_in),
    });
    routes
        .fallback(async || Problem::not_found("no resource has this path"))
        .layer(from_fn_with_state(gate, pass))
        .layer(axum::extract::DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(desk)
}

async fn pass(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let span = span(&request, &id);
    let mut response = answer(&gate, request, next).instrument(span.clone()).await;
    span.record("status", response.status().as_u16());
    let headers = response.headers_mut();
    for (name, value) in SECURE {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

async fn answer(gate: &Arc<Gate>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let caller = Caller::of(&gate.desk, &parts, &gate.proxies);
    let (left, refusal) = gate.take(&caller);
    let told = |mut response: Response| {
        left.tell(response.headers_mut());
        response
    };
    if let Some(refusal) = refusal {
        return told(refusal.into_response());
    }
    if declared_bytes(&parts.headers).is_some_and(|bytes| bytes > BODY_BYTES_MAX as u64) {
        return told(crate::body::too_large().into_response());
    }
    parts.extensions.insert(caller.clone());
    let request = Request::from_parts(parts, body);
    let timeout = gate.timeout;
    let run = move |request: Request| run(request, next, timeout);
    told(match idempotency::key_of(&request) {
        Ok(None) => run(request).await,
        Ok(Some(key)) => idempotency::once(&gate.desk, &caller, key, request, run).await,
        Err(problem) => problem.into_response(),
    })
}

/// Answers within the time, whatever the handler does.
async fn run(request: Request, next: Next, timeout: Duration) -> Response {
    let caught = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(timeout, caught).await {
        Ok(Ok(response)) if response.status() == StatusCode::METHOD_NOT_ALLOWED => other_method(&response),
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            // The panic's own words went to the process's panic hook.
            tracing::error!("a handler panicked");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the request failed").into_response()
        }
        Err(_) => {
            let detail = format!("the request took more than {} s", timeout.as_secs());
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timed-out", detail);
            problem.with(header::RETRY_AFTER, 1_u64.into()).into_response()
        }
    }
}

/// Says in our words what the router says with an empty body, and keeps its list of methods. A fallback of the router
/// would take the place of layers around single routes, such as the one that answers a browser's preflight.
fn other_method(response: &Response) -> Response {
    let detail = "the resource has no such method; the Allow header lists those it has";
    let mut problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail);
    if let Some(allow) = response.headers().get(header::ALLOW) {
        problem = problem.with(header::ALLOW, allow.clone());
    }
    problem.into_response()
}

impl Gate {
    fn take(&self, caller: &Caller) -> (Left, Option<Problem>) {
        match &caller.viewer {
            Ok(viewer) => self.signed_in.take(&viewer.user.to_string()),
            Err(_) => self.anonymous.take(&caller.client.0),
        }
    }
}

/// Opens the request's span. Its path is the route's, so that no id and no token of a path stands in a trace.
fn span(request: &Request, id: &str) -> Span {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str);
    let method = request.method().as_str();
    let span = tracing::info_span!("request", method, route, request_id = id, status = tracing::field::Empty);
    let parent = request.headers().get(TRACEPARENT).and_then(|value| TraceParent::parse(value.to_str().ok()?));
    set_parent(&span, parent.as_ref());
    span
}

/// Returns the client's id of the request where it is a plain word, or a random one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_plain = given.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if is_plain && (1..=REQUEST_ID_CHARS_MAX).contains(&given.len()) {
        return given.to_owned();
    }
    let mut bytes = [0; 16];
    // Without randomness a request goes on without a name of its own.
    let _ = getrandom::fill(&mut bytes);
    hex::encode(bytes)
}

fn declared_bytes(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
