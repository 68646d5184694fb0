//! What an S3 server tells of objects that were stored in it: bucket notifications, and events of SeaweedFS's filer.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::post;
use mcsp_distributed::completions_of;
use mcsp_runtime::chain;
use mcsp_services::upload::{StoredObject, UploadService};

/// Bytes of one notice: a bucket notification holds few records.
const NOTICE_BYTES_MAX: usize = 1 << 20;

/// Returns the route that takes notices. They are hints: what they name is looked for in the store before it counts, so that a
/// false one changes nothing.
pub(super) fn router(uploads: UploadService) -> Router {
    Router::new().route("/notices", post(take)).layer(DefaultBodyLimit::max(NOTICE_BYTES_MAX)).with_state(uploads)
}

/// Takes a notice; an answer of 503 has the server tell it again.
async fn take(State(uploads): State<UploadService>, body: Bytes) -> (StatusCode, String) {
    let stored = match completions_of(&body) {
        Ok(stored) => stored,
        Err(error) => return (StatusCode::BAD_REQUEST, chain(&error)),
    };
    for notice in stored {
        let object = StoredObject { bucket: notice.bucket, key: notice.key };
        if let Err(error) = uploads.object_created(&object).await {
            tracing::warn!(key = %object.key, error = chain(&error), "a notice of a stored object is to come again");
            return (StatusCode::SERVICE_UNAVAILABLE, "tell it again\n".to_owned());
        }
    }
    (StatusCode::NO_CONTENT, String::new())
}
