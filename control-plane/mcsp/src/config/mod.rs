//! The configuration of a node: defaults, one TOML file, the environment (`MCSP__LOG__URL`), flags, each stronger than the
//! one before. Unknown keys and wrong values are refused with where they stand.

pub(crate) mod command;
mod desk;
mod engines;
mod finding;
mod keys;
mod reference;
mod resolve;
mod server;
mod settings;
mod show;
mod sources;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use figment::Figment;
use mcsp_domain::{Bucket, Placement, Preset, Scheme, Tier};
use mcsp_events::{Durability, Topic};
use mcsp_runtime::telemetry;
use mcsp_sandbox::child::Isolation;

pub(crate) use desk::{Desk, upload_bytes_max_default};
pub(crate) use engines::{
    CatalogEngine, Kafka, LedgerEngine, LicenceEngine, LogEngine, ObjectsEngine, Redis, S3, SagasEngine,
};
pub(crate) use finding::{Finding, Origin};
pub(crate) use server::Server;
pub(crate) use settings::{Addressing, OnEmpty, Proof, Role};
pub(crate) use show::show;
pub(crate) use sources::Sources;

use settings::Settings;
use sources::Layer;

/// What a node is to do and with which engines, checked. It has no `Debug`, since it remembers texts as they were given,
/// passwords included: `show` is for people.
#[derive(Clone)]
pub(crate) struct Config {
    /// The folder of what the embedded engines keep.
    pub(crate) data: PathBuf,
    /// The work of this node, in the order of the roles, each once.
    pub(crate) roles: Vec<Role>,
    /// How long running work may go on after the node was told to stop.
    pub(crate) drain: Duration,
    /// The event log.
    pub(crate) log: Log,
    /// The ledger.
    pub(crate) ledger: LedgerEngine,
    /// The object store.
    pub(crate) objects: ObjectsEngine,
    /// The S3-compatible endpoint of the embedded object store.
    pub(crate) endpoint: Option<Endpoint>,
    /// The bucket of each region; there is at least one.
    pub(crate) placement: BTreeMap<String, Bucket>,
    /// The catalogue.
    pub(crate) catalog: CatalogEngine,
    /// The licence service.
    pub(crate) licence: LicenceEngine,
    /// The socket on which the licence service of this process listens.
    pub(crate) licence_listen: Option<PathBuf>,
    /// Files of older master keys.
    pub(crate) licence_older_keys: Vec<PathBuf>,
    /// The worker.
    pub(crate) worker: Worker,
    /// What becomes of records that fail.
    pub(crate) retry: Retry,
    /// How films are planned.
    pub(crate) plan: PlanPolicy,
    /// Where health, readiness and metrics are served.
    pub(crate) http: SocketAddr,
    /// The address that users reach it by, where it is not that of `http`.
    pub(crate) public_url: Option<String>,
    /// What the desk's services are told.
    pub(crate) desk: Desk,
    /// What the node says of itself, but for its name.
    pub(crate) telemetry: Telemetry,
    settings: Settings,
    layers: Vec<Layer>,
}

/// The event log.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    /// Its engine.
    pub(crate) engine: LogEngine,
    /// How long the partitions and claims of a silent process are kept.
    pub(crate) lease: Duration,
    /// What holds for each topic of the catalogue.
    pub(crate) topics: BTreeMap<Topic, TopicOptions>,
}

/// What holds for a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TopicOptions {
    /// Its partitions.
    pub(crate) partitions: u32,
    /// When an append is safe.
    pub(crate) durability: Durability,
    /// How long events are kept.
    pub(crate) retention_days: u32,
}

/// The S3-compatible endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// The address that clients reach, where it is not that of `listen`.
    pub(crate) public_url: Option<String>,
    /// Origins of pages that may upload.
    pub(crate) cors_origins: Vec<String>,
    /// The file of its keys.
    pub(crate) credentials: PathBuf,
}

impl Endpoint {
    /// Returns the address that clients reach it by.
    pub(crate) fn url(&self) -> String {
        self.public_url.clone().unwrap_or_else(|| format!("http://{}", self.listen))
    }
}

/// The worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Worker {
    /// Records of one stage that are handled side by side.
    pub(crate) slots: usize,
    /// How far a decoding child must be confined.
    pub(crate) isolation: Isolation,
}

/// What becomes of records that fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retry {
    /// Runs of one record.
    pub(crate) attempts_max: u32,
    /// The delay after the first failure.
    pub(crate) first: Duration,
    /// The longest delay.
    pub(crate) longest: Duration,
}

/// How films are planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlanPolicy {
    /// Length of a segment.
    pub(crate) segment_ms: u32,
    /// Length of a chunk, or the ramp.
    pub(crate) chunk_ms: Option<u32>,
    /// How samples are protected.
    pub(crate) scheme: Option<Scheme>,
    /// The encoder's trade.
    pub(crate) preset: Preset,
    /// The file of the ladder, where it is not the built-in one.
    pub(crate) ladder: Option<PathBuf>,
}

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Telemetry {
    /// Where spans are sent.
    pub(crate) otlp: Option<String>,
    /// Which lines are logged.
    pub(crate) filter: String,
    /// How they look.
    pub(crate) format: telemetry::Format,
}

impl Config {
    /// Says whether a role has anything to do: those that answer others need an address.
    pub(crate) fn has_work(&self, role: Role) -> bool {
        match role {
            Role::Licence => self.licence_listen.is_some(),
            Role::Objects => self.endpoint.is_some(),
            _ => true,
        }
    }

    /// Returns the address that users reach the node's HTTP listener by.
    pub(crate) fn public_http(&self) -> String {
        self.public_url.clone().unwrap_or_else(|| format!("http://{}", self.http))
    }

    /// Returns the addresses that clients send bytes of uploads to.
    pub(crate) fn upload_addresses(&self) -> Vec<String> {
        match &self.objects {
            ObjectsEngine::Files(_) => self.endpoint.iter().map(Endpoint::url).collect(),
            ObjectsEngine::S3(s3) => s3.public_url.clone().or_else(|| s3.endpoint()).into_iter().collect(),
        }
    }

    /// Returns where a region's bytes may live; without a name, the only region there is.
    ///
    /// # Errors
    /// When there is no such region, or several to choose from.
    pub(crate) fn placement(&self, region: Option<&str>) -> anyhow::Result<Placement> {
        let names = || self.placement.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let found = match region {
            Some(region) => self.placement.get_key_value(region),
            None if self.placement.len() == 1 => self.placement.iter().next(),
            None => anyhow::bail!("which region? There are {}", names()),
        };
        let (region, bucket) = found.with_context(|| format!("there is no such region, only {}", names()))?;
        Ok(Placement { region: region.clone(), bucket: bucket.clone(), tier: Tier::Hot })
    }
}

/// Reads and checks the configuration.
///
/// # Errors
/// When something is wrong with it: every finding, a line each.
pub(crate) fn load(sources: &Sources) -> anyhow::Result<Config> {
    read(sources).map_err(|findings| {
        let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
        anyhow::anyhow!("configuration: {}", lines.join("\n"))
    })
}

/// Returns what is wrong with the configuration.
pub(crate) fn check(sources: &Sources) -> Vec<Finding> {
    read(sources).err().unwrap_or_default()
}

fn read(sources: &Sources) -> Result<Config, Vec<Finding>> {
    let mut findings = Vec::new();
    let layers = sources::read(sources, &mut findings);
    if !findings.is_empty() {
        return Err(findings);
    }
    let merged = layers.iter().fold(Figment::new(), |figment, layer| figment.merge(layer));
    // Every key has been checked to be known and of its kind; what is left is a fault of the merge.
    let settings: Settings =
        merged.extract().map_err(|error| vec![Finding::whole(Origin::Default, error.to_string())])?;
    resolve::resolve(settings, layers)
}

#[cfg(test)]
mod tests;
