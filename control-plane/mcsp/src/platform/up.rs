//! `mcsp up` and `mcsp worker`: one node, its roles, until it is told to stop; then it drains.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use mcsp_runtime::telemetry;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::desk::Desk;
use super::engines::Engines;
use super::http;
use super::roles::{Running, Starter};
use crate::config::{Config, ObjectsEngine, Role};

/// How much longer than the drain a node waits for what is not a stage.
const DRAIN_MARGIN: Duration = Duration::from_secs(5);
/// How often samples are folded into their buckets where nobody scrapes.
const FOLD_EVERY: Duration = Duration::from_secs(15);

/// Folds samples into buckets, so that a node that nobody scrapes does not keep them all.
async fn look_after(metrics: telemetry::metrics::Handle) {
    loop {
        tokio::time::sleep(FOLD_EVERY).await;
        metrics.upkeep();
    }
}

/// Runs a node.
///
/// # Errors
/// When an engine or a role does not start, or a role ends with a fault; the others have drained then.
pub(crate) async fn up(config: &Config) -> anyhow::Result<()> {
    let telemetry = telemetry::start_with(&super::telemetry_options(config))?;
    let metrics = telemetry::metrics::install()?;
    // Addresses are bound first: where a port was to be free, everything after speaks of the one that was taken.
    let mut config = config.clone();
    let (listener, address) = http::bind(config.http).await?;
    config.http = address;
    let objects = objects_listener(&mut config).await?;
    let config = &config;
    let engines = Arc::new(Engines::open(config).await?);
    let shutdown = CancellationToken::new();
    let working: Vec<Role> = config.roles.iter().copied().filter(|role| config.has_work(*role)).collect();
    let roles: Vec<String> = working.iter().map(|role| role.name().to_owned()).collect();
    tokio::spawn(look_after(metrics.clone()));
    let node = http::Node { engines: Arc::clone(&engines), metrics, roles, shutdown: shutdown.clone() };
    let mut running = Running::new();
    let desk = Desk::new(config, &engines);
    let mut starter = Starter {
        config,
        engines: &engines,
        desk,
        shutdown: &shutdown,
        running: &mut running,
        objects,
        routes: Router::new(),
    };
    for role in &working {
        starter.start(*role).await.with_context(|| format!("role {}", role.name()))?;
    }
    let routes = starter.routes;
    let http = tokio::spawn(http::serve(listener, Arc::new(node), routes));
    announce(config, &working, address)?;
    let ended = until_told(&mut running, &shutdown).await;
    shutdown.cancel();
    // Stages keep to the drain themselves; a client that neither reads nor hangs up does not.
    let drained = tokio::time::timeout(config.drain + DRAIN_MARGIN, drain(&mut running)).await;
    let drained = drained.unwrap_or_else(|_| {
        tracing::warn!("roles are cut off that did not end within the drain's time");
        Ok(())
    });
    running.abort_all();
    http.abort();
    // Its last spans are sent, which may take seconds.
    tokio::task::block_in_place(|| drop(telemetry));
    ended.and(drained)
}

/// Binds the address of the S3 endpoint, where this node answers it, and notes which port it got.
async fn objects_listener(config: &mut Config) -> anyhow::Result<Option<TcpListener>> {
    let is_wanted = config.roles.contains(&Role::Objects);
    let Some(endpoint) = config.endpoint.as_mut().filter(|_| is_wanted) else { return Ok(None) };
    let listen = endpoint.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("objects.endpoint.listen {listen}"))?;
    endpoint.listen = listener.local_addr()?;
    Ok(Some(listener))
}

/// Waits for a signal, or for a role that ends by itself, which none should. From then on a further signal ends the process
/// at once.
async fn until_told(running: &mut Running, shutdown: &CancellationToken) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let told = tokio::select! {
        _ = terminate.recv() => {
            tracing::info!("SIGTERM: the node drains; a second signal ends it at once");
            Ok(())
        }
        _ = interrupt.recv() => {
            tracing::info!("SIGINT: the node drains; a second signal ends it at once");
            Ok(())
        }
        ended = running.join_next(), if !running.is_empty() => match ended {
            Some(ended) => ended_by_itself(ended, shutdown),
            None => Ok(()),
        },
    };
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::warn!("the node ends without draining; its leases run out");
        std::process::exit(130);
    });
    told
}

fn ended_by_itself(
    ended: Result<(Role, anyhow::Result<()>), tokio::task::JoinError>,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let (role, outcome) = ended.context("a role's task died")?;
    outcome?;
    anyhow::ensure!(shutdown.is_cancelled(), "role {} ended by itself", role.name());
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
fn announce(config: &Config, roles: &[Role], address: std::net::SocketAddr) -> anyhow::Result<()> {
    let roles: Vec<&str> = roles.iter().map(|role| role.name()).collect();
    let mut text = format!(
        "mcsp is up: {}\ndata    {}\nhealth  http://{address}/readyz\n",
        roles.join(", "),
        config.data.display()
    );
    if let (Some(endpoint), true) = (&config.endpoint, roles.contains(&"objects")) {
        let place = match &config.objects {
            ObjectsEngine::Files(_) => format!("objects http://{}\n", endpoint.listen),
            ObjectsEngine::S3(_) => format!("notices http://{}/notices\n", endpoint.listen),
        };
        text.push_str(&place);
    }
    std::io::stdout().lock().write_all(text.as_bytes()).context("could not write to stdout")
}
