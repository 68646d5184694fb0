//! A creator who does not give up: every call is made again until the platform answers.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use std::sync::Arc;

use super::Upload;

const EMAIL: &str = "chaos@example.org";
const PASSWORD: &str = "chaos is not a ladder";
/// Tries of one call: nodes are away for seconds at most.
const TRIES_MAX: u32 = 600;
const BETWEEN: Duration = Duration::from_millis(200);

/// A signed-in creator. Clones share the session.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    api: String,
    token: Arc<Mutex<String>>,
}

impl Client {
    /// Makes an account, signs in, and asks for webhooks.
    pub(super) async fn sign_in(api: &str, webhook: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).build()?;
        let client = Self { http, api: api.to_owned(), token: Arc::default() };
        let account = json!({ "email": EMAIL, "password": PASSWORD, "display_name": "Chaos", "role": "creator" });
        let (status, answer) = client.persist(Method::POST, "auth/register", Some(&account)).await?;
        // A first try may have made the account and lost its answer.
        ensure!(status.is_success() || status == StatusCode::CONFLICT, "register answered {status}: {answer}");
        client.log_in().await?;
        client.call(Method::PUT, "webhook", Some(&json!({ "url": webhook }))).await?;
        Ok(client)
    }

    async fn log_in(&self) -> anyhow::Result<()> {
        let (status, answer) =
            self.persist(Method::POST, "auth/login", Some(&json!({ "email": EMAIL, "password": PASSWORD }))).await?;
        ensure!(status.is_success(), "login answered {status}: {answer}");
        *self.token.lock().await = answer["access_token"].as_str().context("no token")?.to_owned();
        Ok(())
    }

    /// Makes a call until it is answered; signs in again where the token ran out.
    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        for _ in 0..2 {
            let (status, answer) = self.persist(method.clone(), path, body).await?;
            match status {
                StatusCode::UNAUTHORIZED => self.log_in().await?,
                status if status.is_success() => return Ok(answer),
                status => bail!("{method} {path} answered {status}: {answer}"),
            }
        }
        bail!("{method} {path}: signed in, and yet refused")
    }

    /// Makes a call again while nobody answers, or the platform says that time may help.
    async fn persist(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<(StatusCode, Value)> {
        let key = format!("{:032x}", fastrand::u128(..));
        let mut last = String::new();
        for _ in 0..TRIES_MAX {
            let mut request = self.http.request(method.clone(), format!("{}/api/v1/{path}", self.api));
            request = request.header("idempotency-key", &key).bearer_auth(self.token.lock().await.as_str());
            if let Some(body) = body {
                request = request.json(body);
            }
            match request.send().await {
                Ok(answer) if may_pass(answer.status()) => last = answer.status().to_string(),
                Ok(answer) => {
                    let status = answer.status();
                    match answer.bytes().await {
                        Ok(bytes) => {
                            let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
                            // The node that had the request may be dead: its claim runs out.
                            let is_held =
                                value["type"].as_str().is_some_and(|kind| kind.ends_with("/request-in-flight"));
                            if !is_held {
                                return Ok((status, value));
                            }
                            last = "the request is being answered".to_owned();
                        }
                        Err(error) => last = error.to_string(),
                    }
                }
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(BETWEEN).await;
        }
        bail!("{method} {path} was not answered in {TRIES_MAX} tries: {last}")
    }

    /// Uploads a file in whatever parts the platform asks for; returns its content.
    pub(super) async fn upload(&self, upload: &Upload) -> anyhow::Result<String> {
        let body = json!({
            "file_name": upload.name, "size_bytes": upload.bytes.len(),
            "title": format!("Upload {}", upload.number), "visibility": "public",
        });
        let opened = self.call(Method::POST, "uploads/session", Some(&body)).await?;
        let text = |name: &str| opened[name].as_str().map(str::to_owned).with_context(|| format!("no {name}"));
        let (session, content) = (text("session_id")?, text("content_id")?);
        let url = text("presigned_url")?;
        let headers = opened["headers"].clone();
        // Out of order: said before anything is there.
        let path = format!("uploads/{session}/complete");
        let body = json!({});
        let (status, answer) = self.persist(Method::POST, &path, Some(&body)).await?;
        // A token that has just run out is renewed by the next call.
        let is_refused = status == StatusCode::CONFLICT || status == StatusCode::UNAUTHORIZED;
        ensure!(is_refused, "the completion of an empty upload answered {status}: {answer}");
        self.put(&url, &headers, &upload.bytes).await?;
        // Both at once, beside what the store itself says.
        let (one, two) =
            tokio::join!(self.call(Method::POST, &path, Some(&body)), self.call(Method::POST, &path, Some(&body)));
        one.and(two)?;
        Ok(content)
    }

    async fn put(&self, url: &str, headers: &Value, bytes: &[u8]) -> anyhow::Result<()> {
        let mut last = String::new();
        for _ in 0..TRIES_MAX {
            let mut request = self.http.put(url);
            for (name, value) in headers.as_object().into_iter().flatten() {
                if !name.eq_ignore_ascii_case("content-length") && !name.eq_ignore_ascii_case("host") {
                    request = request.header(name, value.as_str().unwrap_or_default());
                }
            }
            match request.body(bytes.to_vec()).send().await {
                // A first try may have stored it and lost its answer.
                Ok(answer) if answer.status().is_success() || answer.status() == StatusCode::PRECONDITION_FAILED => {
                    return Ok(());
                }
                Ok(answer) if may_pass(answer.status()) => last = answer.status().to_string(),
                Ok(answer) => bail!("the store answered {}: {}", answer.status(), answer.text().await?),
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(BETWEEN).await;
        }
        bail!("the store took nothing in {TRIES_MAX} tries: {last}")
    }

    /// Waits until every content ended; returns their states and reasons, in order.
    pub(super) async fn settled(&self, contents: &[String]) -> anyhow::Result<Vec<(String, String)>> {
        let mut states = Vec::new();
        for content in contents {
            loop {
                let timeline = self.call(Method::GET, &format!("content/{content}/timeline"), None).await?;
                let state = timeline["state"].as_str().unwrap_or_default().to_owned();
                if ["PUBLISHED", "BLOCKED", "FAILED", "REVIEW"].contains(&state.as_str()) {
                    states.push((state, timeline["reason"].as_str().unwrap_or_default().to_owned()));
                    break;
                }
                tokio::time::sleep(BETWEEN).await;
            }
        }
        Ok(states)
    }

    /// Deletes the first good content and waits until it is gone.
    pub(super) async fn delete_one_and_wait(&self, contents: &[String], uploads: &[Upload]) -> anyhow::Result<()> {
        let good = uploads.iter().position(|upload| upload.is_good).context("no good upload")?;
        let path = format!("content/{}", contents[good]);
        self.call(Method::DELETE, &path, None).await?;
        let (status, _) = self.persist(Method::GET, &path, None).await?;
        ensure!(status == StatusCode::NOT_FOUND || status == StatusCode::GONE, "a deleted content answers {status}");
        Ok(())
    }
}

fn may_pass(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}
