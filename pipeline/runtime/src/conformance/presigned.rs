//! What every `ObjectStore` engine with an endpoint promises of its presigned addresses. The suite brings no HTTP client:
//! the test that runs it gives one.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use mcsp_domain::Digest;
use mcsp_domain::limits::{PRESIGN_S_MAX, UPLOAD_PART_BYTES_MIN};

use super::eventually::eventually;
use super::object_store::{key, part_bytes};
use crate::{BoundHeaders, Etag, ObjectStore, PartTag, PresignCall, PresignRequest, Presigned, PutIf, StoreError};

/// A call over HTTP.
#[derive(Clone, Debug)]
pub struct HttpCall {
    /// The method.
    pub method: &'static str,
    /// The address.
    pub url: String,
    /// The headers; the client adds `host` and, where it is missing, `content-length`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// An answer over HTTP.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    /// The status.
    pub status: u16,
    /// The `etag` header, without its quotes.
    pub etag: Option<String>,
    /// The body.
    pub body: Bytes,
}

/// Holds an engine's presigned addresses to the port. `make` gives a fresh, empty store whose endpoint answers, `send` makes
/// a call.
pub async fn presigned_urls<F, S>(make: impl Fn() -> F, send: impl Fn(HttpCall) -> S)
where
    F: Future<Output = Arc<dyn ObjectStore>>,
    S: Future<Output = HttpAnswer>,
{
    reads_and_ranges(make().await, &send).await;
    puts_what_was_announced(make().await, &send).await;
    parts_come_past_us(make().await, &send).await;
    tampered_and_expired_are_refused(make().await, &send).await;
}

#[expect(clippy::unwrap_used, reason = "a suite's panic is a test's report")]
async fn presign(store: &Arc<dyn ObjectStore>, call: PresignCall, text: &str, bound: BoundHeaders) -> Presigned {
    store.presign(PresignRequest { call, key: key(text), expires_s: 300, bound }).await.unwrap()
}

fn call(presigned: &Presigned, body: &'static [u8]) -> HttpCall {
    let Presigned { method, url, headers, .. } = presigned.clone();
    HttpCall { method, url, headers, body: Bytes::from_static(body) }
}

#[expect(clippy::unwrap_used, reason = "a suite's panic is a test's report")]
async fn reads_and_ranges<S: Future<Output = HttpAnswer>>(store: Arc<dyn ObjectStore>, send: &impl Fn(HttpCall) -> S) {
    store.put(&key("a/film"), Bytes::from_static(b"three"), PutIf::Always).await.unwrap();
    let etag = store.head(&key("a/film")).await.unwrap().unwrap().etag;
    let presigned = presign(&store, PresignCall::Get, "a/film", BoundHeaders::default()).await;
    let answer = send(call(&presigned, b"")).await;
    assert_eq!((answer.status, answer.body), (200, Bytes::from_static(b"three")));
    assert_eq!(answer.etag.as_deref(), Some(etag.as_str()), "the endpoint and the port say one tag");
    for (range, expected) in [("bytes=1-2", "hr"), ("bytes=3-99", "ee"), ("bytes=-2", "ee")] {
        let mut ranged = call(&presigned, b"");
        ranged.headers.push(("range".to_owned(), range.to_owned()));
        let answer = send(ranged).await;
        assert_eq!((answer.status, answer.body), (206, Bytes::from_static(expected.as_bytes())), "{range}");
    }
    let nothing = presign(&store, PresignCall::Get, "a/nothing", BoundHeaders::default()).await;
    assert_eq!(send(call(&nothing, b"")).await.status, 404);
}

#[expect(clippy::unwrap_used, reason = "a suite's panic is a test's report")]
async fn puts_what_was_announced<S: Future<Output = HttpAnswer>>(
    store: Arc<dyn ObjectStore>,
    send: &impl Fn(HttpCall) -> S,
) {
    // SHA-256 of "hello".
    let hello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let digest: Digest = serde_json::from_value(serde_json::Value::String(hello.to_owned())).unwrap();
    let bound = BoundHeaders { absent: true, content_length_bytes: Some(5), checksum_sha256: Some(digest) };
    let presigned = presign(&store, PresignCall::Put, "up", bound).await;
    let other_bytes = send(call(&presigned, b"hallo")).await;
    assert_eq!(other_bytes.status, 400, "{other_bytes:?}");
    let mut longer = call(&presigned, b"hello!");
    longer.headers.retain(|(name, _)| name != "content-length");
    assert_eq!(send(longer).await.status, 403);
    let mut unbound = call(&presigned, b"hello");
    unbound.headers.retain(|(name, _)| name != "if-none-match");
    assert_eq!(send(unbound).await.status, 403);
    assert_eq!(store.head(&key("up")).await.unwrap(), None, "nothing of a refused call is visible");

    let answer = send(call(&presigned, b"hello")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let meta = store.head(&key("up")).await.unwrap().unwrap();
    assert_eq!((answer.etag.as_deref(), meta.len_bytes), (Some(meta.etag.as_str()), 5));
    assert_eq!(store.get_range(&key("up"), 0..9, Some(&meta.etag)).await.unwrap(), "hello");
    assert_eq!(send(call(&presigned, b"hello")).await.status, 412, "the address cannot replace an object");
}

#[expect(clippy::unwrap_used, reason = "a suite's panic is a test's report")]
async fn parts_come_past_us<S: Future<Output = HttpAnswer>>(
    store: Arc<dyn ObjectStore>,
    send: &impl Fn(HttpCall) -> S,
) {
    let film = key("film");
    let upload = store.create_multipart(&film).await.unwrap();
    let bytes = [part_bytes(1, UPLOAD_PART_BYTES_MIN), part_bytes(2, 99)];
    let mut tags = Vec::new();
    for number in [2_u32, 1] {
        let body = bytes[usize::try_from(number).unwrap() - 1].clone();
        let bound = BoundHeaders { content_length_bytes: Some(body.len() as u64), ..BoundHeaders::default() };
        let part = PresignCall::UploadPart { upload: upload.clone(), number };
        let presigned = presign(&store, part, "film", bound).await;
        let answer = send(HttpCall { body, ..call(&presigned, b"") }).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        tags.push(PartTag { number, etag: Etag::parse(&answer.etag.unwrap()).unwrap() });
    }
    tags.reverse();
    let etag = match store.complete_multipart(&film, &upload, &tags, PutIf::Absent).await.unwrap() {
        crate::Put::Stored { etag } => etag,
        crate::Put::Kept => unreachable!("the key was free"),
    };
    let read = presign(&store, PresignCall::Get, "film", BoundHeaders::default()).await;
    let answer = send(call(&read, b"")).await;
    assert_eq!((answer.status, answer.etag.as_deref()), (200, Some(etag.as_str())));
    assert!(answer.body == bytes.concat(), "the parts stand in order");
}

#[expect(clippy::unwrap_used, reason = "a suite's panic is a test's report")]
async fn tampered_and_expired_are_refused<S: Future<Output = HttpAnswer>>(
    store: Arc<dyn ObjectStore>,
    send: &impl Fn(HttpCall) -> S,
) {
    store.put(&key("film"), Bytes::from_static(b"film"), PutIf::Always).await.unwrap();
    store.put(&key("secret"), Bytes::from_static(b"secret"), PutIf::Always).await.unwrap();
    let read = presign(&store, PresignCall::Get, "film", BoundHeaders::default()).await;
    let bare = read.url.split('?').next().unwrap_or_default().to_owned();
    let tampered = [
        ("another key", read.url.replace("/film?", "/secret?")),
        ("a longer life", read.url.replace("X-Amz-Expires=300", "X-Amz-Expires=3000")),
        ("one more parameter", format!("{}&response-content-type=text%2Fhtml", read.url)),
        ("another signature", flip_last(&read.url)),
        ("no signature", bare),
    ];
    for (what, url) in tampered {
        let answer = send(HttpCall { url, ..call(&read, b"") }).await;
        assert_eq!(answer.status, 403, "{what}: {answer:?}");
    }
    let written = send(HttpCall { method: "PUT", ..call(&read, b"x") }).await;
    assert_eq!(written.status, 403, "another method");

    // A header that S3 acts on must be signed: this one would copy another object in.
    let put = presign(&store, PresignCall::Put, "copy", BoundHeaders::default()).await;
    let source = bucket_of(&put.url);
    let mut copying = call(&put, b"");
    copying.headers.push(("x-amz-copy-source".to_owned(), format!("/{source}/secret")));
    let answer = send(copying).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(store.head(&key("copy")).await.unwrap(), None);

    let request = PresignRequest {
        call: PresignCall::Get,
        key: key("film"),
        expires_s: PRESIGN_S_MAX + 1,
        bound: BoundHeaders::default(),
    };
    let too_long = store.presign(request.clone()).await;
    assert!(matches!(too_long, Err(StoreError::Unsupported { .. })), "{too_long:?}");
    let short = store.presign(PresignRequest { expires_s: 1, ..request }).await.unwrap();
    eventually("the address expires", async || send(call(&short, b"")).await.status == 403).await;
    assert_eq!(store.get(&key("film")).await.unwrap(), "film");
}

fn flip_last(url: &str) -> String {
    let (head, last) = url.split_at(url.len() - 1);
    format!("{head}{}", if last == "0" { '1' } else { '0' })
}

/// The bucket of a path-style address.
fn bucket_of(url: &str) -> &str {
    url.split('/').nth(3).unwrap_or_default()
}
