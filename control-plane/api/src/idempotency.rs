//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header) on every POST but those that sign in or out: what made
//! something is answered again for 24 h, word for word; what made nothing may be tried again.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use mcsp_runtime::now_us;
use mcsp_services::idempotency::{
    ANSWER_BYTES_MAX, Begun, Claim, IdempotencyError, KEY_CHARS_MAX, KeptAnswer, RequestIdentity,
};
use tracing::Instrument;

use crate::auth::{Caller, Refusal};
use crate::body::too_large;
use crate::{BODY_BYTES_MAX, Desk, Problem};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// They answer with tokens that are good once: repeating them is either harmless or a theft.
const NEVER_KEPT: [&str; 3] = ["/api/v1/auth/login", "/api/v1/auth/refresh", "/api/v1/auth/logout"];

/// Returns whether a POST to a path, or to a template of paths, takes a key.
pub(crate) fn takes_key(path: &str) -> bool {
    path.starts_with("/api/v1/") && !NEVER_KEPT.contains(&path)
}

/// Returns the key of a request that has one and takes one.
pub(crate) fn key_of(request: &Request) -> Result<Option<String>, Problem> {
    if request.method() != Method::POST || !takes_key(request.uri().path()) {
        return Ok(None);
    }
    let Some(value) = request.headers().get(KEY) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    if (1..=KEY_CHARS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(Some(text.to_owned()));
    }
    Err(Problem::malformed(format!("Idempotency-Key must have 1 to {KEY_CHARS_MAX} visible ASCII characters")))
}

/// Runs a request unless it was run before. It goes on when its client leaves, so that the answer is there when he comes
/// again.
pub(crate) async fn once<R, F>(desk: &Arc<Desk>, caller: &Caller, key: String, request: Request, run: R) -> Response
where
    R: FnOnce(Request) -> F + Send + 'static,
    F: Future<Output = Response> + Send,
{
    let who = match &caller.viewer {
        Ok(viewer) => viewer.user.to_string(),
        Err(Refusal::NoToken) => "nobody".to_owned(),
        // A bad token is the handler's to refuse; nothing is kept for it.
        Err(_) => return run(request).await,
    };
    let (parts, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, BODY_BYTES_MAX).await else { return too_large().into_response() };
    let scope = format!("{who} POST {}", parts.uri.path());
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    let identity = RequestIdentity { scope: &scope, key: &key, parts: &[query, &bytes] };
    let claim = match desk.answers.begin(&identity, now_us()).await {
        Ok(Begun::Fresh(claim)) => claim,
        Ok(Begun::Answered(answer)) => return replay(answer),
        Ok(Begun::InFlight) => return in_flight().into_response(),
        Ok(Begun::OtherRequest) => return other_request().into_response(),
        Err(error) => return fault(&error).into_response(),
    };
    let request = Request::from_parts(parts, Body::from(bytes));
    let desk = Arc::clone(desk);
    let task = async move { settle(&desk, &claim, run(request).await).await };
    match tokio::spawn(task.in_current_span()).await {
        Ok(response) => response,
        Err(error) => Problem::internal("the request", &error).into_response(),
    }
}

/// Keeps an answer that made something, and gives the request back otherwise.
async fn settle(desk: &Desk, claim: &Claim, response: Response) -> Response {
    if !response.status().is_success() {
        if let Err(error) = desk.answers.give_back(claim).await {
            tracing::warn!(error = mcsp_runtime::chain(&error), "a request could not be given back");
        }
        return response;
    }
    let (parts, body) = response.into_parts();
    let bytes = match to_bytes(body, ANSWER_BYTES_MAX).await {
        Ok(bytes) => bytes,
        Err(error) => return Problem::internal("the answer", &error).into_response(),
    };
    let headers = parts.headers.iter().filter(|(name, _)| **name != header::CONTENT_LENGTH);
    let headers = headers.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
    let answer = KeptAnswer { status: parts.status.as_u16(), headers, body: bytes.to_vec() };
    if let Err(error) = desk.answers.keep(claim, answer, now_us()).await {
        // What was made is made: the client gets its answer now, and may get a second one later.
        tracing::error!(error = mcsp_runtime::chain(&error), "an answer could not be kept");
    }
    Response::from_parts(parts, Body::from(bytes))
}

fn replay(answer: KeptAnswer) -> Response {
    let mut response = Response::new(Body::from(Bytes::from(answer.body)));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(&value)) {
            response.headers_mut().append(name, value);
        }
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

fn in_flight() -> Problem {
    let problem = Problem::conflict("request-in-flight", "a request with this Idempotency-Key is being answered");
    problem.with(header::RETRY_AFTER, 1_u64.into())
}

fn other_request() -> Problem {
    let detail = "this Idempotency-Key stood on another request: its body or query differ";
    // Not 422, as the draft of the header has it: the request itself is sound, and would be taken under another key.
    Problem::conflict("idempotency-key-reused", detail)
}

fn fault(error: &IdempotencyError) -> Problem {
    match error {
        IdempotencyError::Catalog(cause) if cause.may_pass() => Problem::unavailable("the catalog", error),
        _ => Problem::internal("the kept answers", error),
    }
}
