//! The pages: the studio at `/`, the watch page at `/watch`, what they load from `/assets/`, and the document of the REST
//! interface at `/api/v1/openapi.json`.

use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

use crate::{Problem, openapi};

/// How long a browser may keep what a page loads: a new release's pages must not meet the scripts of the old one.
const KEEP: &str = "no-cache";

/// Returns the pages, and the document of the API for uploads of so many bytes. `connects` are the origins beside their own that pages may connect to: those of object stores that
/// take uploads, and of edges.
pub fn pages(connects: &[String], upload_bytes_max: u64) -> Router {
    let connects = connects.join(" ");
    let policy = format!(
        "default-src 'self'; connect-src 'self' ws: wss: {connects}; media-src 'self' blob:; img-src 'self' blob: data:; \
         frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    );
    let page = |name: &'static str| {
        let policy = policy.clone();
        get(async move || embedded(name, Some(&policy)))
    };
    Router::new()
        .route("/", page("studio.html"))
        .route("/watch", page("watch.html"))
        .route("/api/v1/openapi.json", get(async move || Json(openapi(upload_bytes_max))))
        .route("/assets/{name}", get(async |Path(name): Path<String>| embedded(&name, None)))
}

fn embedded(name: &str, policy: Option<&str>) -> Response {
    let Some(asset) = mcsp_web::asset(name).filter(|asset| policy.is_some() || !asset.path.ends_with(".html")) else {
        return Problem::not_found("no resource has this path").into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, asset.content_type),
        (header::CACHE_CONTROL, KEEP),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    let mut response = (StatusCode::OK, headers, asset.bytes).into_response();
    if let Some(policy) = policy.and_then(|policy| HeaderValue::from_str(policy).ok()) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn pages_load_only_what_is_allowed() {
        let ask = async |path: &str| {
            let request = Request::get(path).body(Body::empty()).unwrap();
            pages(&["http://127.0.0.1:9000".to_owned()], 1 << 30).oneshot(request).await.unwrap()
        };
        let studio = ask("/").await;
        assert_eq!(studio.status(), StatusCode::OK);
        let policy = studio.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("connect-src 'self' ws: wss: http://127.0.0.1:9000;"), "{policy}");
        assert_eq!(ask("/assets/studio.js").await.status(), StatusCode::OK);
        for path in ["/assets/studio.html", "/assets/none.js", "/assets/..%2fstudio.html"] {
            assert_eq!(ask(path).await.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }
}
