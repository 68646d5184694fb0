//! The platform's nodes and what operators do to them: `mcsp up`, `worker`, `submit`, `trace`, `dead`, `group`.

pub(crate) mod args;
mod credentials;
pub(crate) mod dead;
mod desk;
pub(crate) mod engines;
pub(crate) mod groups;
mod http;
mod notices;
mod place;
mod records;
mod roles;
mod servers;
pub(crate) mod submit;
pub(crate) mod trace;
mod up;
mod upkeep;

pub(crate) use up::up;

use mcsp_runtime::telemetry;

use crate::config::Config;

/// Returns the name of this process among those of the platform: host and process.
fn worker_name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}-{}", std::process::id())
}

/// Returns what a node says of itself, and where to.
fn telemetry_options(config: &Config) -> telemetry::Options {
    let own = &config.telemetry;
    let (filter, format, otlp) = (own.filter.clone(), own.format, own.otlp.clone());
    telemetry::Options { service: "mcsp".to_owned(), filter, format, otlp }
}
