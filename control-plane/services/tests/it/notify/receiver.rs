//! An address that somebody else runs: it keeps what it is sent, and answers as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use mcsp_token::{WebhookSecret, verify_webhook};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) id: String,
    pub(crate) timestamp_s: i64,
    pub(crate) signatures: String,
    pub(crate) body: String,
}

#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    answers: Arc<Mutex<VecDeque<u16>>>,
    got: watch::Sender<Vec<Got>>,
}

impl Receiver {
    /// Answers with these statuses, then with 204.
    pub(crate) async fn new(answers: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            url: format!("http://{}/hook", listener.local_addr().unwrap()),
            answers: Arc::new(Mutex::new(answers.iter().copied().collect())),
            got: watch::Sender::new(Vec::new()),
        };
        let router = Router::new().route("/hook", post(take)).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        receiver
    }

    /// Waits until it has got so many requests.
    pub(crate) async fn wait(&self, count: usize) -> Vec<Got> {
        let mut got = self.got.subscribe();
        let waited = tokio::time::timeout(Duration::from_secs(30), got.wait_for(|got| got.len() >= count)).await;
        waited.unwrap().unwrap().clone()
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.borrow().clone()
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> StatusCode {
    let text = |name: &str| headers.get(name).unwrap().to_str().unwrap().to_owned();
    assert_eq!(text("content-type"), "application/json");
    let got = Got {
        id: text("webhook-id"),
        timestamp_s: text("webhook-timestamp").parse().unwrap(),
        signatures: text("webhook-signature"),
        body,
    };
    let status = receiver.answers.lock().unwrap().pop_front().unwrap_or(204);
    receiver.got.send_modify(|all| all.push(got));
    StatusCode::from_u16(status).unwrap()
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Tells whether a secret signed it.
    pub(crate) fn is_signed_by(&self, secret: &str) -> bool {
        let secret = WebhookSecret::parse(secret).unwrap();
        let body = self.body.as_bytes();
        verify_webhook(&secret, &self.id, self.timestamp_s, body, &self.signatures, self.timestamp_s).is_ok()
    }
}
