//! ClearKey licences (W3C Encrypted Media Extensions §9.1): key ids in, the keys of this film out. Keys are not logged.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use mcsp_domain::{ContentKey, KeyId};
use serde::{Deserialize, Serialize};

use super::problem::Problem;

/// The keys that licences are made of.
pub(super) struct Keys(HashMap<KeyId, ContentKey>);

/// A licence request, §9.1.3.
#[derive(Deserialize)]
struct LicenceRequest {
    kids: Vec<String>,
    #[serde(rename = "type", default = "temporary")]
    session_type: String,
}

/// A licence, §9.1.4: a JSON Web Key Set (RFC 7517) of octet keys.
#[derive(Serialize)]
struct Licence {
    keys: Vec<JsonWebKey>,
    #[serde(rename = "type")]
    session_type: &'static str,
}

#[derive(Serialize)]
struct JsonWebKey {
    kty: &'static str,
    kid: String,
    k: String,
}

/// The only session type here: nothing is stored for offline use.
const TEMPORARY: &str = "temporary";

fn temporary() -> String {
    TEMPORARY.to_owned()
}

impl Keys {
    /// Takes the keys of one film.
    pub(super) fn new(keys: Vec<(KeyId, ContentKey)>) -> Self {
        Self(keys.into_iter().collect())
    }
}

/// Answers `POST /licence` with every asked key that this film has.
pub(super) async fn issue(
    State(keys): State<Arc<Keys>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = body.map_err(|refusal| Problem::new(refusal.status(), refusal.body_text()))?;
    let licence = licence(&keys, &body)?;
    let json = serde_json::to_vec(&licence)
        .map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let mut response = json.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Answers every other method.
pub(super) async fn wrong_method() -> Response {
    let mut response = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "a licence is asked for by POST").into_response();
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST, OPTIONS"));
    response
}

fn licence(keys: &Keys, body: &[u8]) -> Result<Licence, Problem> {
    let bad_request = |detail: String| Problem::new(StatusCode::BAD_REQUEST, detail);
    let request: LicenceRequest = serde_json::from_slice(body)
        .map_err(|error| bad_request(format!("the body is not a ClearKey licence request: {error}")))?;
    if request.session_type != TEMPORARY {
        return Err(bad_request("only temporary licences are issued".to_owned()));
    }
    if keys.0.is_empty() {
        return Err(Problem::new(StatusCode::NOT_FOUND, "there are no keys: this film is not encrypted"));
    }
    let mut found = Vec::new();
    for text in &request.kids {
        let kid = key_id(text).ok_or_else(|| bad_request("a key id is not 16 bytes in base64url".to_owned()))?;
        if let Some(key) = keys.0.get(&kid) {
            found.push(JsonWebKey { kty: "oct", kid: text.clone(), k: BASE64_URL_SAFE_NO_PAD.encode(key.expose()) });
        }
    }
    if found.is_empty() {
        return Err(Problem::new(StatusCode::NOT_FOUND, "no asked key id belongs to this film"));
    }
    Ok(Licence { keys: found, session_type: TEMPORARY })
}

fn key_id(text: &str) -> Option<KeyId> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    Some(KeyId::from_bytes(bytes.try_into().ok()?))
}
