//! `mcsp up` and `mcsp worker`: one node, its roles, until it is told to stop; then it drains.

use std::io::Write;
use std::sync::Arc;

use anyhow::Context;
use mcsp_runtime::telemetry;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::engines::Engines;
use super::http;
use super::roles::{Running, Starter};
use crate::config::Config;

/// Runs a node.
///
/// # Errors
/// When an engine or a role does not start, or a role ends with a fault; the others have drained then.
pub(crate) async fn up(config: &Config) -> anyhow::Result<()> {
    let _telemetry = telemetry::start_with(&super::telemetry_options(config))?;
    let metrics = telemetry::metrics::install()?;
    let engines = Arc::new(Engines::open(config).await?);
    let shutdown = CancellationToken::new();
    let (listener, address) = http::bind(config.http).await?;
    let roles: Vec<String> = config.roles.iter().map(|role| role.name().to_owned()).collect();
    let node = http::Node { engines: Arc::clone(&engines), metrics, roles, shutdown: shutdown.clone() };
    let http = tokio::spawn(http::serve(listener, Arc::new(node)));
    let mut running = Running::new();
    for role in &config.roles {
        let mut starter = Starter { config, engines: &engines, shutdown: &shutdown, running: &mut running };
        starter.start(*role).await.with_context(|| format!("role {}", role.name()))?;
    }
    announce(config, address)?;
    let ended = until_told(&mut running, &shutdown).await;
    shutdown.cancel();
    let drained = drain(&mut running).await;
    http.await.context("http server")??;
    ended.and(drained)
}

/// Waits for a signal, or for a role that ends by itself, which none should.
async fn until_told(running: &mut Running, shutdown: &CancellationToken) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let told = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
        ended = running.join_next(), if !running.is_empty() => {
            let Some(ended) = ended else { return Ok(()) };
            let (role, outcome) = ended.context("a role's task died")?;
            outcome?;
            anyhow::ensure!(shutdown.is_cancelled(), "role {} ended by itself", role.name());
            return Ok(());
        }
    };
    tracing::info!(signal = told, "the node drains; a second signal ends it at once");
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::warn!("the node ends without draining; its leases run out");
        std::process::exit(130);
    });
    Ok(())
}

async fn drain(running: &mut Running) -> anyhow::Result<()> {
    let mut outcome = Ok(());
    while let Some(ended) = running.join_next().await {
        let (_, done) = ended.context("a role's task died")?;
        outcome = outcome.and(done);
    }
    outcome
}

/// Says on stdout where the node is, so that scripts can wait for it.
fn announce(config: &Config, address: std::net::SocketAddr) -> anyhow::Result<()> {
    let roles: Vec<&str> = config.roles.iter().map(|role| role.name()).collect();
    let mut text = format!(
        "mcsp is up: {}\ndata    {}\nhealth  http://{address}/readyz\n",
        roles.join(", "),
        config.data.display()
    );
    if let (Some(endpoint), true) = (&config.endpoint, roles.contains(&"objects")) {
        text.push_str(&format!("objects http://{}\n", endpoint.listen));
    }
    std::io::stdout().lock().write_all(text.as_bytes()).context("could not write to stdout")
}
