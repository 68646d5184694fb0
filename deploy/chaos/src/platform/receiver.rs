//! Receives webhooks, refuses some of them, and keeps what came.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::ensure;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;

/// What came: by content and type, the ids.
pub(super) type Seen = BTreeMap<(String, String), BTreeSet<String>>;

/// A running receiver.
pub(super) struct Receiver {
    pub(super) url: String,
    seen: Arc<Mutex<Seen>>,
}

impl Receiver {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let seen = Arc::new(Mutex::new(Seen::new()));
        let router = Router::new().route("/hook", post(receive)).with_state(Arc::clone(&seen));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { url, seen })
    }

    pub(super) fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until every content was told of.
    pub(super) async fn wait_for(&self, contents: &[String], max: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let seen = self.seen();
            let missing: Vec<_> =
                contents.iter().filter(|content| !seen.keys().any(|(known, _)| known == *content)).collect();
            if missing.is_empty() {
                return Ok(());
            }
            ensure!(began.elapsed() < max, "no webhook told of {missing:?} within {max:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Refuses one of three that come for the first time; they must come again with the same id.
async fn receive(State(seen): State<Arc<Mutex<Seen>>>, headers: HeaderMap, body: String) -> StatusCode {
    let id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
    let body: Value = serde_json::from_str(&body).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let key = (text(&body["data"]["content"]), text(&body["type"]));
    let is_new = seen.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().insert(id);
    if is_new && fastrand::u8(..3) == 0 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::NO_CONTENT }
}
