//! The watch page and its files, from the binary.

use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};

use super::problem::Problem;

/// Answers `/`.
pub(super) async fn watch() -> Response {
    embedded("watch.html")
}

/// Answers `/assets/NAME`.
pub(super) async fn asset(Path(name): Path<String>) -> Response {
    embedded(&name)
}

/// Answers everything that has no route.
pub(super) async fn not_found(uri: Uri) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("nothing is served at {}", uri.path()))
}

fn embedded(name: &str) -> Response {
    let Some(asset) = mcsp_web::asset(name) else {
        return Problem::new(StatusCode::NOT_FOUND, format!("the page has no file {name:?}")).into_response();
    };
    let mut response = Body::from(asset.bytes).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    response
}
