//! Errors as `application/problem+json` (RFC 9457): one shape for every refusal, with a `type` that programs may rely on.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// What the `type` of every problem begins with.
const TYPE_BASE: &str = "https://mcsp.dev/problems/";
/// Characters of a detail: it may repeat what a client sent.
const DETAIL_CHARS_MAX: usize = 400;

/// One refusal. Convert every service's errors into it in the route file that meets them.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    slug: &'static str,
    detail: String,
    field: Option<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// A problem as it is written.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// Names the kind of problem, for ever.
    #[serde(rename = "type")]
    #[schema(format = "uri")]
    kind: String,
    /// What the status means.
    title: &'static str,
    /// The status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What was wrong with this request.
    detail: String,
    /// The field of the request that was wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

impl Problem {
    /// Returns a problem; its `type` ends in `slug`, which never changes its meaning.
    pub fn new(status: StatusCode, slug: &'static str, detail: impl Into<String>) -> Self {
        let detail = detail.into().chars().take(DETAIL_CHARS_MAX).collect();
        Self { status, slug, detail, field: None, headers: Vec::new() }
    }

    /// 400: the request cannot be read.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed-request", detail)
    }

    /// 401: nobody is signed in, or no longer.
    pub fn signed_out(detail: impl Into<String>) -> Self {
        let challenge = HeaderValue::from_static("Bearer realm=\"mcsp\"");
        Self::new(StatusCode::UNAUTHORIZED, "signed-out", detail).with(header::WWW_AUTHENTICATE, challenge)
    }

    /// 403: who is signed in may not do it.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// 404: there is no such thing, or none that this account may know of.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    /// 409: the thing is not in the state for it.
    pub fn conflict(slug: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, slug, detail)
    }

    /// 412: the thing was changed since it was read.
    pub fn changed_since(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "changed-since", detail)
    }

    /// 422: a field breaks a rule.
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        let mut problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-field", detail);
        problem.field = Some(field.into());
        problem
    }

    /// 429: too often; `retry_after_s` says when the next try counts.
    pub fn too_often(slug: &'static str, detail: impl Into<String>, retry_after_s: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, slug, detail).with(header::RETRY_AFTER, retry_after_s.into())
    }

    /// 503: time may help. The cause is logged, here, and not told.
    pub fn unavailable(what: &str, cause: &(dyn std::error::Error + 'static)) -> Self {
        tracing::warn!(error = mcsp_runtime::chain(cause), what, "could not answer for now");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", format!("{what} cannot answer for now"))
            .with(header::RETRY_AFTER, 1_u64.into())
    }

    /// 500: a fault of ours. The cause is logged, here, and not told.
    pub fn internal(what: &str, cause: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = mcsp_runtime::chain(cause), what, "could not answer");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", format!("{what} failed"))
    }

    /// Returns the problem with a header on its answer.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = ProblemBody {
            kind: format!("{TYPE_BASE}{}", self.slug),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: self.detail,
            field: self.field,
        };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in self.headers {
            headers.insert(name, value);
        }
        response
    }
}
