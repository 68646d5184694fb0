//! What a node says of itself: `/healthz` (the process lives), `/readyz` (its engines answer, or which does not), `/metrics`
//! (Prometheus text; lag is asked for when somebody scrapes, never in between), beside the routes of its roles.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use mcsp_runtime::now_us;
use mcsp_runtime::telemetry::metrics::{Handle, LAG_RECORDS, LAG_SECONDS};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::engines::Engines;
use super::records;

/// How long an engine may take to answer before it counts as not ready.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// What the handlers need.
pub(crate) struct Node {
    pub(crate) engines: Arc<Engines>,
    pub(crate) metrics: Handle,
    pub(crate) roles: Vec<String>,
    pub(crate) shutdown: CancellationToken,
}

/// Binds the address.
///
/// # Errors
/// When it is taken or not of this machine.
pub(crate) async fn bind(address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("http.listen {address}"))?;
    let local = listener.local_addr()?;
    Ok((listener, local))
}

/// Answers until told to stop; `routes` are those of the node's roles.
///
/// # Errors
/// When the listener fails.
pub(crate) async fn serve(listener: TcpListener, node: Arc<Node>, routes: Router) -> anyhow::Result<()> {
    let stop = node.shutdown.clone();
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(node)
        .merge(routes)
        .into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await.context("http server")
}

async fn healthz() -> &'static str {
    "alive\n"
}

async fn readyz(State(node): State<Arc<Node>>) -> impl IntoResponse {
    let mut faults = Vec::new();
    for (engine, fault) in node.engines.faults(ANSWER_MAX).await {
        faults.push(json!({ "engine": engine, "error": fault }));
    }
    let draining = node.shutdown.is_cancelled();
    let ready = faults.is_empty() && !draining;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": ready, "draining": draining, "roles": &node.roles, "not_ready": faults })))
}

async fn metrics(State(node): State<Arc<Node>>) -> impl IntoResponse {
    if let Err(error) = record_lag(&node.engines).await {
        tracing::warn!(%error, "lag could not be read");
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], node.metrics.render())
}

/// Asks how far each group is behind.
async fn record_lag(engines: &Engines) -> Result<(), mcsp_runtime::LogError> {
    for group in engines.log.groups().await? {
        for (topic, (records, oldest_us)) in records::lag_by_topic(engines.log.as_ref(), &group).await? {
            let labels = [("group", group.to_string()), ("topic", topic)];
            let age_s = oldest_us.map_or(0.0, |oldest_us| now_us().saturating_sub(oldest_us).max(0) as f64 / 1e6);
            metrics::gauge!(LAG_RECORDS, &labels).set(records as f64);
            metrics::gauge!(LAG_SECONDS, &labels).set(age_s);
        }
    }
    Ok(())
}
