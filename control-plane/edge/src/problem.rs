//! Refusals as `application/problem+json` (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mcsp_token::TokenError;

/// Why nothing, or not what was asked for, is served.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("packages are read by GET and HEAD")]
    Method,
    #[error("the package has no such file")]
    NotFound,
    #[error("the token is not one of ours")]
    Token,
    #[error("the token has expired: ask for a new one with a heartbeat, or play again")]
    Expired,
    #[error("the file has {len_bytes} bytes")]
    Range { len_bytes: u64 },
    #[error("the store does not answer now")]
    Unavailable,
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Expired { .. } => Self::Expired,
            _ => Self::Token,
        }
    }
}

impl Problem {
    fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found"),
            Self::Token => (StatusCode::FORBIDDEN, "edge-token-refused"),
            Self::Expired => (StatusCode::GONE, "edge-token-expired"),
            Self::Range { .. } => (StatusCode::RANGE_NOT_SATISFIABLE, "range-not-satisfiable"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, slug) = self.kind();
        let title = status.canonical_reason().unwrap_or("error");
        // Nothing that was asked for is repeated, so there is nothing to escape.
        let body = format!(
            r#"{{"type":"https://mcsp.dev/problems/{slug}","title":"{title}","status":{},"detail":"{self}"}}"#,
            status.as_u16()
        );
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self {
            Self::Method => {
                headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
            }
            Self::Unavailable => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::Range { len_bytes } => {
                let range = HeaderValue::from_str(&format!("bytes */{len_bytes}"));
                headers.extend(range.ok().map(|range| (header::CONTENT_RANGE, range)));
            }
            _ => {}
        }
        response
    }
}
