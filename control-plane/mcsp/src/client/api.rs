//! Calls of the REST interface: signed in, refreshed where the token ran out, refusals in the platform's own words.

use std::time::Duration;

use anyhow::{Context, anyhow};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;

use super::account::{self, Session};

/// How long the platform may take to answer a call; uploads of parts have no such bound.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// How long a connection may take to come about.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Bytes of an answer that are taken.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// A signed-in caller.
pub(super) struct Api {
    pub(super) client: reqwest::Client,
    session: tokio::sync::Mutex<Session>,
}

impl Api {
    /// Takes the kept session.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn open() -> anyhow::Result<Self> {
        Ok(Self { client: client()?, session: tokio::sync::Mutex::new(account::session()?) })
    }

    /// Calls `/api/v1/<path>` and returns the answer's JSON; null where it has none.
    ///
    /// # Errors
    /// When the platform refuses, in its words, or cannot be reached.
    pub(super) async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let key = uuid::Uuid::now_v7().to_string();
        for is_last in [false, true] {
            let session = self.session.lock().await.clone();
            let url = format!("{}/api/v1/{path}", session.server);
            let mut request = self.client.request(method.clone(), url).timeout(ANSWER_MAX);
            request = request.bearer_auth(&session.access_token).header("idempotency-key", &key);
            if let Some(body) = body {
                request = request.json(body);
            }
            match answer(request).await {
                Err(error) if !is_last && is_unauthorized(&error) => {
                    let mut current = self.session.lock().await;
                    if current.access_token == session.access_token {
                        *current = account::refresh(&self.client, &session).await?;
                    }
                }
                answered => return answered,
            }
        }
        unreachable!("the second try returns what it gets")
    }

    /// Reads with `GET`.
    ///
    /// # Errors
    /// As `call`.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::GET, path, None).await
    }

    /// Writes with `POST`.
    ///
    /// # Errors
    /// As `call`.
    pub(super) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Returns the platform's address.
    pub(super) async fn server(&self) -> String {
        self.session.lock().await.server.clone()
    }
}

/// What the platform refused, by RFC 9457.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct Refused {
    /// The HTTP status.
    pub(super) status: StatusCode,
    text: String,
}

fn is_unauthorized(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refused>().is_some_and(|refused| refused.status == StatusCode::UNAUTHORIZED)
}

/// Returns the HTTP client of all calls.
///
/// # Errors
/// When TLS cannot be set up.
pub(super) fn client() -> anyhow::Result<reqwest::Client> {
    let built = reqwest::Client::builder().connect_timeout(CONNECT_MAX).user_agent("mcsp-cli").build();
    built.context("the HTTP client cannot be set up")
}

/// Sends a request and reads its answer.
///
/// # Errors
/// When it is refused, in the platform's words, or cannot be sent.
pub(super) async fn answer(request: RequestBuilder) -> anyhow::Result<Value> {
    let mut response = request.send().await.context("the platform does not answer")?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.context("the answer broke off")? {
        anyhow::ensure!(
            body.len() + piece.len() <= ANSWER_BYTES_MAX,
            "the answer is larger than {ANSWER_BYTES_MAX} bytes"
        );
        body.extend_from_slice(&piece);
    }
    let value: Value = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap_or_default() };
    if status.is_success() {
        return Ok(value);
    }
    let part = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let text = match (part("title"), part("detail")) {
        (title, detail) if title.is_empty() && detail.is_empty() => status.to_string(),
        (title, detail) if detail.is_empty() => title,
        (title, detail) => format!("{title}: {detail}"),
    };
    Err(anyhow!(Refused { status, text }))
}
