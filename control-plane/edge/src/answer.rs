//! One answer: who asks is checked, the object is found, its bytes go out piece by piece.

use std::ops::Range;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use mcsp_domain::ObjectKey;
use mcsp_runtime::{ObjectMeta, ObjectStore, StoreError, now_us};
use mcsp_token::EdgeLease;

use crate::path::{Kind, PackagePath, split};
use crate::problem::Problem;
use crate::range::{Selection, names_tag, select};
use crate::{Edge, EdgeSettings};

/// Bytes in memory for one answer: one read of the store.
const READ_BYTES: u64 = 1 << 20;
/// Bytes of one manifest: a playlist of 24 h of half-second segments, twice over.
const MANIFEST_BYTES_MAX: u64 = 16 << 20;
/// Where a manifest tells that it is final: an HLS playlist at its end, a DASH one at its beginning.
const MARK_BYTES: usize = 4096;
/// Reads of an object that is replaced between being looked at and being read: manifests grow while a film is made.
const LOOKS_MAX: u32 = 3;

/// What may keep an answer, and for how long. Shared caches may not: their key would hold the token.
enum Keep {
    /// For ever: a segment never changes under its name.
    Immutable,
    /// For so many seconds.
    Seconds(u32),
    /// Asked again each time by its tag, since it still grows.
    Ask,
}

/// An object that may be read.
struct Found {
    store: Arc<dyn ObjectStore>,
    key: ObjectKey,
    meta: ObjectMeta,
    /// The whole of a manifest, which was read to see whether it is final.
    bytes: Option<Bytes>,
    keep: Keep,
}

/// Answers one request.
pub(crate) async fn answer(edge: &Edge, asked: &Parts) -> Result<Response, Problem> {
    if !matches!(asked.method, Method::GET | Method::HEAD) {
        return Err(Problem::Method);
    }
    let (token, text) = split(asked.uri.path()).ok_or(Problem::NotFound)?;
    let now_s = now_us().div_euclid(1_000_000);
    let lease = EdgeLease::verify(&edge.keys, token, now_s)?;
    let path = PackagePath::parse(text).ok_or(Problem::NotFound)?;
    match path.kind {
        Kind::Manifest => lease.check_manifest(now_s)?,
        Kind::Segment | Kind::Other => lease.check_media(now_s)?,
    }
    let found = find(edge, &lease, &path).await?;
    let tag = format!("\"{}\"", found.meta.etag);
    let mut response = select_bytes(&found, asked, &tag).await?;
    describe(&mut response, &found, &path, &tag);
    Ok(response)
}

/// Looks an object up; a manifest is read as well.
async fn find(edge: &Edge, lease: &EdgeLease, path: &PackagePath) -> Result<Found, Problem> {
    let key = lease.folder.join(&path.key).map_err(|_| Problem::NotFound)?;
    assert!(key.inside(&lease.folder).as_ref() == Some(&path.key), "a joined key lies in its folder");
    let Some(store) = edge.stores.get(&lease.bucket) else {
        tracing::error!(bucket = lease.bucket.as_str(), "a lease names a bucket that this node does not have");
        return Err(Problem::Unavailable);
    };
    for _ in 0..LOOKS_MAX {
        let meta = store.head(&key).await.map_err(|error| refused(&error))?.ok_or(Problem::NotFound)?;
        let found = |bytes, keep| Found { store: Arc::clone(store), key: key.clone(), meta: meta.clone(), bytes, keep };
        match path.kind {
            Kind::Segment => return Ok(found(None, Keep::Immutable)),
            Kind::Other => return Ok(found(None, Keep::Seconds(3600))),
            Kind::Manifest if meta.len_bytes > MANIFEST_BYTES_MAX => {
                tracing::error!(%key, len_bytes = meta.len_bytes, "a manifest is longer than any of ours");
                return Err(Problem::Unavailable);
            }
            Kind::Manifest => match store.get_range(&key, 0..meta.len_bytes, Some(&meta.etag)).await {
                Ok(bytes) => return Ok(found(Some(bytes.clone()), keep_manifest(&bytes, edge.settings))),
                Err(StoreError::Replaced { .. }) => {}
                Err(error) => return Err(refused(&error)),
            },
        }
    }
    Err(Problem::Unavailable)
}

/// A manifest that is final may be kept for a while. A multivariant playlist does not tell, and is asked for each time: that
/// costs a round trip without a body.
fn keep_manifest(bytes: &[u8], settings: EdgeSettings) -> Keep {
    let head = bytes.get(..MARK_BYTES.min(bytes.len())).unwrap_or_default();
    let tail = bytes.get(bytes.len().saturating_sub(MARK_BYTES)..).unwrap_or_default();
    let holds = |part: &[u8], mark: &[u8]| part.windows(mark.len()).any(|window| window == mark);
    if holds(tail, b"#EXT-X-ENDLIST") || holds(head, b"type=\"static\"") {
        Keep::Seconds(settings.manifest_age_s)
    } else {
        Keep::Ask
    }
}

/// Returns status and body: nothing where the client has it, a part where it asked for one, else the whole.
async fn select_bytes(found: &Found, asked: &Parts, tag: &str) -> Result<Response, Problem> {
    let text = |name: HeaderName| asked.headers.get(name).and_then(|value| value.to_str().ok());
    if text(header::IF_NONE_MATCH).is_some_and(|condition| names_tag(condition, tag, true)) {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    let len_bytes = found.meta.len_bytes;
    // A part is only of use beside other parts of the same object.
    let same = text(header::IF_RANGE).is_none_or(|condition| names_tag(condition, tag, false));
    let (status, part) = match select(text(header::RANGE).filter(|_| same), len_bytes) {
        Selection::Whole => (StatusCode::OK, 0..len_bytes),
        Selection::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
        Selection::Unsatisfiable => return Err(Problem::Range { len_bytes }),
    };
    let body = if asked.method == Method::HEAD { Body::empty() } else { body(found, part.clone()).await? };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(part.end - part.start));
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {}-{}/{len_bytes}", part.start, part.end - 1);
        headers.extend(HeaderValue::from_str(&range).ok().map(|range| (header::CONTENT_RANGE, range)));
    }
    Ok(response)
}

/// Adds what is said of every answer.
fn describe(response: &mut Response, found: &Found, path: &PackagePath, tag: &str) {
    let keep = match found.keep {
        Keep::Immutable => "private, max-age=31536000, immutable".to_owned(),
        Keep::Seconds(seconds) => format!("private, max-age={seconds}"),
        Keep::Ask => "private, no-cache".to_owned(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(path.content_type));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    for (name, text) in [(header::CACHE_CONTROL, keep.as_str()), (header::ETAG, tag)] {
        headers.extend(HeaderValue::from_str(text).ok().map(|value| (name, value)));
    }
}

/// Returns a body whose first piece is read already, so that a store that fails is told by a status.
async fn body(found: &Found, part: Range<u64>) -> Result<Body, Problem> {
    if let Some(bytes) = &found.bytes {
        let (Ok(start), Ok(end)) = (usize::try_from(part.start), usize::try_from(part.end)) else {
            unreachable!("a manifest is bounded by MANIFEST_BYTES_MAX");
        };
        return Ok(Body::from(bytes.slice(start..end)));
    }
    let reader = Reader { store: Arc::clone(&found.store), key: found.key.clone(), meta: found.meta.clone() };
    let first_end = part.end.min(part.start.saturating_add(READ_BYTES));
    let first = reader.read(part.start..first_end).await.map_err(|error| refused(&error))?;
    if first_end == part.end {
        return Ok(Body::from(first));
    }
    // The next piece is read when the last one has gone out: a slow client holds one piece.
    let rest = stream::unfold((reader, first_end, Some(first)), move |(reader, next, ready)| async move {
        if let Some(bytes) = ready {
            return Some((Ok(bytes), (reader, next, None)));
        }
        if next >= part.end {
            return None;
        }
        let end = part.end.min(next.saturating_add(READ_BYTES));
        let read = reader.read(next..end).await;
        if let Err(error) = &read {
            tracing::warn!(key = %reader.key, error = mcsp_runtime::chain(error), "an answer was cut off");
        }
        // After an error nothing more is asked for: hyper closes the connection.
        Some((read, (reader, end, None)))
    });
    Ok(Body::from_stream(rest))
}

/// Reads pieces of one object, all of the same bytes.
struct Reader {
    store: Arc<dyn ObjectStore>,
    key: ObjectKey,
    meta: ObjectMeta,
}

impl Reader {
    async fn read(&self, piece: Range<u64>) -> Result<Bytes, StoreError> {
        self.store.get_range(&self.key, piece, Some(&self.meta.etag)).await
    }
}

/// Gives a store's error its meaning. What the client cannot change is logged here, where it is handled.
fn refused(error: &StoreError) -> Problem {
    if matches!(error, StoreError::NotFound { .. }) {
        return Problem::NotFound;
    }
    tracing::warn!(error = mcsp_runtime::chain(error), "the store did not answer");
    Problem::Unavailable
}
