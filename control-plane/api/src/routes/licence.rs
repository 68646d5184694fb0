//! ClearKey licences for browsers (W3C Encrypted Media Extensions section 9.1). Who asks shows the DRM token of a playback; a
//! player on any page may ask, without cookies.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::options;
use mcsp_services::licence::{LicenceRefusal, clear_key_licence};
use serde::{Deserialize, Serialize};
use tower_http::cors::{Any, CorsLayer};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::{Desk, Problem};

/// Returns the routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Arc<Desk>> {
    // `*` would not stand for Authorization (Fetch, CORS-preflight fetch): it must be named.
    let headers = [header::AUTHORIZATION, header::CONTENT_TYPE];
    let cors = CorsLayer::new().allow_origin(Any).allow_methods([Method::POST]).allow_headers(headers);
    // The layer answers preflights, and stands around handlers alone: without one for OPTIONS it would never see them.
    let preflight = options(async || StatusCode::NO_CONTENT);
    OpenApiRouter::default().routes(routes!(clear_key)).route("/licence/clearkey", preflight).layer(cors)
}

/// The kind of session that keys are for.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum SessionType {
    /// Nothing is stored for offline use.
    Temporary,
}

/// A licence request as a browser makes it, section 9.1.3.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the document's shape: the licence service reads the bytes")]
struct LicenceRequest {
    /// Ids of keys, 16 bytes each in base64url without padding.
    #[schema(min_items = 1, max_items = 64, pattern = "^[A-Za-z0-9_-]{21}[AQgw]$")]
    kids: Vec<String>,
    /// The kind of session.
    #[serde(rename = "type")]
    session_type: Option<SessionType>,
}

/// A key, as a JSON Web Key of octets (RFC 7517).
#[derive(Serialize, ToSchema)]
struct LicenceKey {
    /// `oct`.
    kty: String,
    /// Its id, 16 bytes in base64url.
    kid: String,
    /// The key, 16 bytes in base64url.
    k: String,
}

/// A licence, section 9.1.4.
#[derive(Serialize, ToSchema)]
struct Licence {
    /// The keys that were asked for.
    keys: Vec<LicenceKey>,
    /// The kind of session.
    #[serde(rename = "type")]
    session_type: SessionType,
}

/// Gives a player the keys that its playback was granted.
///
/// The token is the `drm_token` of a playback, and works as often as the player asks, until it expires.
#[utoipa::path(
    post, path = "/licence/clearkey", operation_id = "licence_clearkey", tag = "playback", security(("bearer" = [])),
    request_body(content = LicenceRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "The keys.", body = Licence),
        (status = 400, description = "The body is no licence request."),
        (status = 401, description = "There is no DRM token, or it is damaged or expired."),
        (status = 403, description = "The token does not grant a key that was asked for, or the keys were revoked."),
    ),
)]
async fn clear_key(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let token = token(&headers)
        .ok_or_else(|| Problem::signed_out("this needs the drm_token of a playback: Authorization: Bearer <token>"))?;
    let body = body.map_err(|refusal| match refusal.status() {
        StatusCode::PAYLOAD_TOO_LARGE => crate::body::too_large(),
        _ => Problem::malformed(refusal.body_text()),
    })?;
    // What goes out is wiped by nobody: it is on its way to the viewer anyway.
    let mut response = clear_key_licence(&desk.licence, token, &body).await?.into_response();
    let told = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    for (name, value) in told {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

fn token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

impl From<LicenceRefusal> for Problem {
    fn from(refusal: LicenceRefusal) -> Self {
        let text = refusal.to_string();
        match &refusal {
            LicenceRefusal::Token { .. } => Self::signed_out(text),
            LicenceRefusal::Challenge { .. } => Self::malformed(text),
            LicenceRefusal::NotGranted { .. } => Self::new(StatusCode::FORBIDDEN, "key-not-granted", text),
            LicenceRefusal::Revoked { .. } => Self::new(StatusCode::FORBIDDEN, "keys-revoked", text),
            LicenceRefusal::Unavailable(_) => Self::unavailable("licence", &refusal),
            LicenceRefusal::Fault(_) => Self::internal("licence", &refusal),
        }
    }
}
