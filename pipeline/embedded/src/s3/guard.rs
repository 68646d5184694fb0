//! What stands before the signature check: a bound on calls at work, and refusals of what the check would let through.
//!
//! A presigned address must allow what it was made for and no more. The signature covers the headers that it names, so a
//! client could add one that S3 acts on, such as `x-amz-copy-source`; like S3 itself, we refuse `x-amz-` headers that are not
//! signed. Forms (POST policies) would be held in memory, and signature version 2 rests on SHA-1: neither is served. A body in
//! signed chunks is held until its chunk is checked, so it is bounded.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use mcsp_domain::limits::PRESIGN_S_MAX;
use s3s::{S3Error, S3ErrorCode, s3_error};
use tokio::sync::Semaphore;

/// Bytes of a body in `aws-chunked` coding; clients send larger ones in parts.
const CHUNKED_BYTES_MAX: u64 = 64 << 20;

/// The state of the guard.
#[derive(Clone)]
pub(super) struct Guard {
    calls: Arc<Semaphore>,
}

impl Guard {
    pub(super) fn new(calls_max: usize) -> Self {
        Self { calls: Arc::new(Semaphore::new(calls_max)) }
    }
}

/// Lets a call through, or answers it.
pub(super) async fn guard(State(guard): State<Guard>, request: Request<Body>, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    if let Err(refusal) = check(request.method(), query, request.headers()) {
        return answer(refusal);
    }
    let Ok(_call) = guard.calls.try_acquire() else {
        return answer(s3_error!(SlowDown, "too many calls are at work"));
    };
    next.run(request).await
}

fn answer(error: S3Error) -> Response {
    match error.to_http_response() {
        Ok(response) => response.map(Body::new).into_response(),
        Err(error) => {
            tracing::error!(?error, "a refusal could not be written");
            axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn check(method: &Method, query: &str, headers: &HeaderMap) -> Result<(), S3Error> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if *method == Method::POST && text(CONTENT_TYPE).to_ascii_lowercase().starts_with("multipart/form-data") {
        return Err(S3Error::with_message(S3ErrorCode::NotImplemented, "forms are not served, presign a PUT instead"));
    }
    let authorization = text(AUTHORIZATION);
    let parameter = |name: &str| {
        query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let version_2 = parameter("Signature").or(parameter("AWSAccessKeyId")).is_some();
    if version_2 || authorization.starts_with("AWS ") {
        return Err(s3_error!(AccessDenied, "signature version 2 is not served"));
    }
    let expires_s = parameter("X-Amz-Expires").map(|seconds| seconds.parse::<u32>().unwrap_or(u32::MAX));
    if expires_s.is_some_and(|seconds| seconds > PRESIGN_S_MAX) {
        return Err(s3_error!(AccessDenied, "an address works for at most {PRESIGN_S_MAX} s"));
    }
    if text(HeaderName::from_static("x-amz-content-sha256")).starts_with("STREAMING-") {
        let len_bytes = text(CONTENT_LENGTH).parse().unwrap_or(u64::MAX);
        if len_bytes > CHUNKED_BYTES_MAX {
            return Err(s3_error!(
                EntityTooLarge,
                "a body in chunks has at most {CHUNKED_BYTES_MAX} bytes, upload in parts"
            ));
        }
    }
    check_signed_headers(parameter("X-Amz-SignedHeaders"), authorization, headers)
}

fn check_signed_headers(query: Option<&str>, authorization: &str, headers: &HeaderMap) -> Result<(), S3Error> {
    let signed = match query {
        Some(names) => names.replace("%3B", ";").replace("%3b", ";"),
        None => authorization.split("SignedHeaders=").nth(1).unwrap_or_default().to_owned(),
    };
    let signed: Vec<&str> = signed.split([',', ' ']).next().unwrap_or_default().split(';').collect();
    let unsigned = headers.keys().map(|name| name.as_str()).find(|name| {
        // The hash of the payload binds the caller and nobody else.
        name.starts_with("x-amz-") && *name != "x-amz-content-sha256" && !signed.contains(name)
    });
    match unsigned {
        Some(name) => Err(s3_error!(AccessDenied, "header {name} is not signed")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(method: &str, query: &str, headers: &[(&'static str, &str)]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        match check(&method.parse().unwrap(), query, &map) {
            Ok(()) => "passes".to_owned(),
            Err(error) => error.message().unwrap_or_default().to_owned(),
        }
    }

    #[test]
    fn headers_that_s3_acts_on_are_signed() {
        let signed = "X-Amz-SignedHeaders=host%3Bx-amz-acl&X-Amz-Signature=0";
        assert_eq!(verdict("PUT", signed, &[("x-amz-acl", "a"), ("x-amz-content-sha256", "b")]), "passes");
        assert_eq!(verdict("PUT", signed, &[("x-amz-copy-source", "/a/b")]), "header x-amz-copy-source is not signed");
        let header = "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host;x-amz-date, Signature=0";
        assert_eq!(verdict("PUT", "", &[("authorization", header), ("x-amz-date", "1")]), "passes");
        assert_eq!(
            verdict("PUT", "", &[("authorization", header), ("x-amz-acl", "1")]),
            "header x-amz-acl is not signed"
        );
    }

    #[test]
    fn bodies_in_chunks_and_long_lives_are_bounded() {
        let chunked = ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER");
        let refusal = "a body in chunks has at most 67108864 bytes, upload in parts";
        assert_eq!(verdict("PUT", "", &[chunked, ("content-length", "67108864")]), "passes");
        assert_eq!(verdict("PUT", "", &[chunked, ("content-length", "67108865")]), refusal);
        assert_eq!(verdict("PUT", "", &[chunked]), refusal);
        assert_eq!(verdict("GET", "X-Amz-Expires=604801", &[]), "an address works for at most 604800 s");
        assert_eq!(verdict("GET", "X-Amz-Expires=x", &[]), "an address works for at most 604800 s");
        assert_eq!(verdict("GET", "X-Amz-Expires=604800", &[]), "passes");
    }

    #[test]
    fn old_ways_in_are_closed() {
        let form = [("content-type", "Multipart/Form-Data; boundary=a")];
        assert_eq!(verdict("POST", "", &form), "forms are not served, presign a PUT instead");
        assert_eq!(verdict("GET", "AWSAccessKeyId=a&Signature=b", &[]), "signature version 2 is not served");
        assert_eq!(verdict("GET", "", &[("authorization", "AWS a:b")]), "signature version 2 is not served");
    }
}
