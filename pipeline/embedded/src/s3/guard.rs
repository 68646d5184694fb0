//! What stands before the signature check: a bound on calls at work, and refusals of what the check would let through.
//!
//! A presigned address must allow what it was made for and no more. The signature covers the headers that it names, so a
//! client could add one that S3 acts on, such as `x-amz-copy-source`; like S3 itself, we refuse `x-amz-` headers that are not
//! signed. The query is decoded before it is looked at, as the signature check does, or an escaped name would hide from us. A
//! call is signed in one place: one that carries two signatures is refused, since only one would be checked.
//!
//! Forms (POST policies) would be held in memory, and signature version 2 rests on SHA-1: neither is served. A chunk of a body
//! in `aws-chunked` coding is held until it is whole, whether it is signed or not, and may be as long as the body: so the
//! bodies are bounded, `STREAMING-UNSIGNED-PAYLOAD-TRAILER` like the others.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Query, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body::{Frame, SizeHint};
use mcsp_domain::limits::PRESIGN_S_MAX;
use s3s::{S3Error, S3ErrorCode, s3_error};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of a body in `aws-chunked` coding, decoded; clients send larger ones in parts.
const CHUNKED_BYTES_MAX: u64 = 64 << 20;
/// Bytes of such a body on the wire: S3 wants chunks of 8 KiB at least, whose framing is a hundredth.
const CHUNKED_WIRE_BYTES_MAX: u64 = CHUNKED_BYTES_MAX + (4 << 20);
/// The one scheme of signatures in headers.
const SIGNATURE_4: &str = "AWS4-HMAC-SHA256 ";

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
    if let Err(refusal) = check(request.method(), request.uri(), request.headers()) {
        return answer(refusal);
    }
    let Ok(call) = guard.calls.try_acquire_owned() else {
        return answer(s3_error!(SlowDown, "too many calls are at work"));
    };
    next.run(request).await.map(|body| Body::new(AtWork { body, _call: call }))
}

/// A response's body, whose call is at work until the last byte is sent or the client is gone.
struct AtWork {
    body: Body,
    _call: OwnedSemaphorePermit,
}

impl HttpBody for AtWork {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
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

/// The parameters of a query, decoded as the signature check decodes them.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn of(uri: &Uri) -> Result<Self, S3Error> {
        match Query::try_from_uri(uri) {
            Ok(Query(pairs)) => Ok(Self(pairs)),
            Err(error) => Err(s3_error!(InvalidRequest, "the query cannot be read: {error}")),
        }
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn check(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), S3Error> {
    if *method == Method::POST && text(headers, &CONTENT_TYPE).to_ascii_lowercase().starts_with("multipart/form-data") {
        return Err(S3Error::with_message(S3ErrorCode::NotImplemented, "forms are not served, presign a PUT instead"));
    }
    let parameters = Parameters::of(uri)?;
    let version_2 = parameters.has("Signature") || parameters.has("AWSAccessKeyId");
    if version_2 || text(headers, &AUTHORIZATION).starts_with("AWS ") {
        return Err(s3_error!(AccessDenied, "signature version 2 is not served"));
    }
    let too_long = |seconds: &str| seconds.parse::<u32>().map_or(true, |seconds| seconds > PRESIGN_S_MAX);
    if parameters.all("X-Amz-Expires").any(too_long) {
        return Err(s3_error!(AccessDenied, "an address works for at most {PRESIGN_S_MAX} s"));
    }
    check_chunked(headers)?;
    let signed = if parameters.has("X-Amz-Signature") {
        signed_by_query(&parameters, headers)?
    } else {
        signed_by_header(text(headers, &AUTHORIZATION))
    };
    let unsigned = headers.keys().map(HeaderName::as_str).find(|name| {
        // The hash of the payload binds the caller and nobody else.
        name.starts_with("x-amz-") && *name != "x-amz-content-sha256" && !signed.contains(name)
    });
    match unsigned {
        Some(name) => Err(s3_error!(AccessDenied, "header {name} is not signed")),
        None => Ok(()),
    }
}

fn check_chunked(headers: &HeaderMap) -> Result<(), S3Error> {
    if !text(headers, &HeaderName::from_static("x-amz-content-sha256")).starts_with("STREAMING-") {
        return Ok(());
    }
    let decoded_bytes = match headers.get("x-amz-decoded-content-length") {
        Some(value) => value.to_str().ok().and_then(|text| text.parse().ok()).unwrap_or(u64::MAX),
        // The signature check refuses such a body; until then its length on the wire bounds it.
        None => 0,
    };
    let wire_bytes: u64 = text(headers, &CONTENT_LENGTH).parse().unwrap_or(u64::MAX);
    if decoded_bytes > CHUNKED_BYTES_MAX || wire_bytes > CHUNKED_WIRE_BYTES_MAX {
        return Err(s3_error!(
            EntityTooLarge,
            "a body in chunks has at most {CHUNKED_BYTES_MAX} bytes, upload in parts"
        ));
    }
    Ok(())
}

/// Returns the headers that a presigned address signs.
fn signed_by_query<'a>(parameters: &'a Parameters, headers: &HeaderMap) -> Result<Vec<&'a str>, S3Error> {
    if headers.contains_key(AUTHORIZATION) {
        return Err(s3_error!(InvalidRequest, "a call is signed in its query or in its headers, this one in both"));
    }
    // Who may write one object must not learn another, so copies are for holders of a key.
    if headers.contains_key("x-amz-copy-source") {
        return Err(s3_error!(AccessDenied, "a presigned address copies nothing"));
    }
    let mut lists = parameters.all("X-Amz-SignedHeaders");
    match (lists.next(), lists.next()) {
        (Some(names), None) => Ok(names.split(';').collect()),
        _ => Err(s3_error!(AccessDenied, "a presigned address has one list of signed headers")),
    }
}

/// Returns the headers that an `Authorization` of version 4 signs; none where it is something else, or has two lists.
fn signed_by_header(authorization: &str) -> Vec<&str> {
    let fields = authorization.strip_prefix(SIGNATURE_4).unwrap_or_default().split(',');
    let mut lists = fields.filter_map(|field| field.trim().strip_prefix("SignedHeaders="));
    match (lists.next(), lists.next()) {
        (Some(names), None) => names.split(';').collect(),
        _ => Vec::new(),
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
        let uri = format!("/media-eu/a?{query}").parse().unwrap();
        match check(&method.parse().unwrap(), &uri, &map) {
            Ok(()) => "passes".to_owned(),
            Err(error) => error.message().unwrap_or_default().to_owned(),
        }
    }

    #[test]
    fn headers_that_s3_acts_on_are_signed() {
        let signed = "X-Amz-SignedHeaders=host%3Bx-amz-acl&X-Amz-Signature=0";
        assert_eq!(verdict("PUT", signed, &[("x-amz-acl", "a"), ("x-amz-content-sha256", "b")]), "passes");
        assert_eq!(verdict("PUT", signed, &[("x-amz-meta-a", "b")]), "header x-amz-meta-a is not signed");
        let header = "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host;x-amz-date, Signature=0";
        assert_eq!(verdict("PUT", "", &[("authorization", header), ("x-amz-date", "1")]), "passes");
        assert_eq!(
            verdict("PUT", "", &[("authorization", header), ("x-amz-acl", "1")]),
            "header x-amz-acl is not signed"
        );
    }

    #[test]
    fn a_presigned_address_copies_nothing_however_it_is_spelt() {
        let copy = ("x-amz-copy-source", "/media-eu/other");
        let forged = ("authorization", "AWS4-HMAC-SHA256 SignedHeaders=x-amz-copy-source");
        let both = "a call is signed in its query or in its headers, this one in both";
        for (names, signature) in [
            ("X-Amz-SignedHeaders", "X-Amz-Signature"),
            ("X%2DAmz-SignedHeaders", "X-Amz-Signature"),
            ("X-Amz-SignedHeaders", "X%2dAmz%2DSignature"),
            ("%58-Amz-Signed%48eaders", "%58-Amz-%53ignature"),
        ] {
            let query = format!("{names}=host&{signature}=0");
            assert_eq!(verdict("PUT", &query, &[copy, forged]), both, "{query}");
            assert_eq!(verdict("PUT", &query, &[copy]), "a presigned address copies nothing", "{query}");
            assert_eq!(verdict("PUT", &query, &[("x-amz-acl", "a")]), "header x-amz-acl is not signed", "{query}");
            assert_eq!(verdict("PUT", &query, &[]), "passes", "{query}");
        }
        let signed = "X-Amz-SignedHeaders=host%3Bx-amz-copy-source&X-Amz-Signature=0";
        assert_eq!(verdict("PUT", signed, &[copy]), "a presigned address copies nothing");
        let twice = "X-Amz-SignedHeaders=host&X%2DAmz-SignedHeaders=host;x-amz-acl&X-Amz-Signature=0";
        let one = "a presigned address has one list of signed headers";
        assert_eq!(verdict("PUT", twice, &[("x-amz-acl", "a")]), one);
    }

    #[test]
    fn other_authorizations_sign_nothing() {
        for authorization in [
            "x SignedHeaders=x-amz-acl",
            "SignedHeaders=x-amz-acl Credential=a/b, SignedHeaders=host, Signature=0",
            "AWS4-HMAC-SHA256 SignedHeaders=x-amz-acl, SignedHeaders=host, Signature=0",
        ] {
            let headers = [("authorization", authorization), ("x-amz-acl", "a")];
            assert_eq!(verdict("PUT", "", &headers), "header x-amz-acl is not signed", "{authorization}");
        }
    }

    #[test]
    fn bodies_in_chunks_are_bounded_by_what_they_hold() {
        let header = "AWS4-HMAC-SHA256 Credential=a/b,SignedHeaders=host;x-amz-decoded-content-length,Signature=0";
        let refusal = "a body in chunks has at most 67108864 bytes, upload in parts";
        let put = |coding: &str, decoded: &str, wire: Option<&str>| {
            let mut headers = vec![("authorization", header), ("x-amz-content-sha256", coding)];
            headers.push(("x-amz-decoded-content-length", decoded));
            headers.extend(wire.map(|wire| ("content-length", wire)));
            verdict("PUT", "", &headers)
        };
        for coding in ["STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"] {
            assert_eq!(put(coding, "67108864", Some("67200000")), "passes", "a part of 64 MiB, framed");
            assert_eq!(put(coding, "67108865", Some("67200000")), refusal);
            assert_eq!(put(coding, "1", Some("71303169")), refusal);
            assert_eq!(put(coding, "1", None), refusal);
            assert_eq!(put(coding, "-1", Some("1")), refusal);
            let bare = [("x-amz-content-sha256", coding), ("content-length", "71303169")];
            assert_eq!(verdict("PUT", "", &bare), refusal);
        }
    }

    #[test]
    fn long_lives_are_refused() {
        let refusal = "an address works for at most 604800 s";
        assert_eq!(verdict("GET", "X-Amz-Expires=604801", &[]), refusal);
        assert_eq!(verdict("GET", "X%2DAmz-Expires=604801", &[]), refusal);
        assert_eq!(verdict("GET", "X-Amz-Expires=x", &[]), refusal);
        assert_eq!(verdict("GET", "X-Amz-Expires=604800", &[]), "passes");
    }

    #[test]
    fn old_ways_in_are_closed() {
        let form = [("content-type", "Multipart/Form-Data; boundary=a")];
        assert_eq!(verdict("POST", "", &form), "forms are not served, presign a PUT instead");
        for query in ["AWSAccessKeyId=a&Signature=b", "%53ignature=b", "AWSAccessKey%49d=a"] {
            assert_eq!(verdict("GET", query, &[]), "signature version 2 is not served", "{query}");
        }
        assert_eq!(verdict("GET", "", &[("authorization", "AWS a:b")]), "signature version 2 is not served");
    }
}
