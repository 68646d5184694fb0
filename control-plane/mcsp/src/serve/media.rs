//! The film's files, by byte ranges (RFC 9110 §14). In: a path under `/media/`. Out: a file of the served folder.
//!
//! Only plain names pass: what is checked is what is opened, so no decoding or normalising stands between the two.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tower_http::services::ServeFile;

use super::problem::Problem;

/// The route's prefix.
const PREFIX: &str = "/media/";
/// The only JSON that is for viewers; key files and plans end in `.json` too.
const REPORT: &str = "report.json";
/// Folders and file name of one path: `RENDITION/FILE` needs two.
const PATH_SEGMENTS_MAX: usize = 4;

/// The served folder.
pub(super) struct Root {
    /// Absolute, without links.
    canonical: PathBuf,
}

impl Root {
    /// Takes a folder whose path `canonicalize` returned.
    pub(super) fn new(canonical: PathBuf) -> Self {
        Self { canonical }
    }

    /// Returns the file at a checked path, unless a link leads out of the folder or it is no plain file.
    async fn find(&self, path: &MediaPath<'_>) -> Option<PathBuf> {
        let file = tokio::fs::canonicalize(self.canonical.join(path.relative)).await.ok()?;
        let metadata = tokio::fs::metadata(&file).await.ok()?;
        (file.starts_with(&self.canonical) && metadata.is_file()).then_some(file)
    }
}

/// A relative path of plain names, and the media type that its ending stands for.
#[derive(Debug)]
struct MediaPath<'a> {
    relative: &'a Path,
    content_type: &'static str,
}

impl<'a> MediaPath<'a> {
    /// Checks the text after `/media/` as it came, percent signs and all. The layout needs only letters, digits, `-`,
    /// `_` and `.`, so an escape, an empty name, a hidden name and `..` are refused alike.
    fn parse(text: &'a str) -> Option<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let visible = |name: &str| name.starts_with(|c: char| c != '.') && name.chars().all(plain);
        if text.split('/').count() > PATH_SEGMENTS_MAX || !text.split('/').all(visible) {
            return None;
        }
        Some(Self { relative: Path::new(text), content_type: content_type(text)? })
    }
}

/// Returns the media type of a file that viewers may have.
fn content_type(path: &str) -> Option<&'static str> {
    if path == REPORT {
        return Some("application/json");
    }
    let (_, ending) = path.rsplit_once('.')?;
    match ending {
        "mpd" => Some("application/dash+xml"),
        "m3u8" => Some("application/vnd.apple.mpegurl"),
        "m4s" => Some("video/iso.segment"),
        "mp4" => Some("video/mp4"),
        _ => None,
    }
}

/// Answers `GET` and `HEAD` under `/media/`.
pub(super) async fn file(State(root): State<Arc<Root>>, request: Request<Body>) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "media is read by GET and HEAD");
        let mut response = problem.into_response();
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
        return response;
    }
    let uri = request.uri().clone();
    let not_found = || {
        let detail = format!("the film has no file {}", uri.path());
        Problem::new(StatusCode::NOT_FOUND, detail).into_response()
    };
    let Some(path) = uri.path().strip_prefix(PREFIX).and_then(MediaPath::parse) else { return not_found() };
    let Some(file) = root.find(&path).await else { return not_found() };
    match send(&file, request).await {
        Ok(mut response) => {
            if response.status().is_success() {
                let content_type = HeaderValue::from_static(path.content_type);
                response.headers_mut().insert(header::CONTENT_TYPE, content_type);
            }
            response
        }
        Err(error) => {
            tracing::warn!(file = %file.display(), %error, "a file could not be sent");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the file could not be read").into_response()
        }
    }
}

/// Streams a file, whole or the asked range of it. Several ranges in one request are answered with the whole file.
async fn send(file: &Path, mut request: Request<Body>) -> std::io::Result<Response> {
    let range = request.headers().get(header::RANGE).cloned();
    if let (Some(_), Some(condition)) = (range, request.headers_mut().remove(header::IF_RANGE)) {
        let whole = ServeFile::new(file).try_call(head_of(&request)).await?;
        if !is_current(&condition, whole.headers()) {
            request.headers_mut().remove(header::RANGE);
        }
    }
    let response = ServeFile::new(file).ignore_multi_range_requests(true).try_call(request).await?;
    Ok(response.map(Body::new))
}

/// Returns a `HEAD` request without conditions, which tells the file's validators.
fn head_of(request: &Request<Body>) -> Request<Body> {
    let mut head = Request::new(Body::empty());
    *head.method_mut() = Method::HEAD;
    *head.uri_mut() = request.uri().clone();
    head
}

/// Tells whether an `If-Range` names the file as it is now (RFC 9110 §13.1.5): the same strong tag or the same date.
fn is_current(condition: &HeaderValue, current: &header::HeaderMap) -> bool {
    [header::ETAG, header::LAST_MODIFIED].iter().any(|name| current.get(name) == Some(condition))
}
