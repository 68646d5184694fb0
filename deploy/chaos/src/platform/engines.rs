//! What the nodes stand on: the embedded engines of their folder, or the five real ones, which `deploy/engines/engines.sh` starts
//! beside them, kills and starts again on the same data.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use mcsp_distributed::{KafkaLog, KafkaOptions, Login, S3Options, S3Store, Tls};
use mcsp_domain::Bucket;
use mcsp_embedded::{Durability, FileStore, LogOptions, SqliteLog};
use mcsp_runtime::{EventLog, ObjectStore};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::say;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../engines/engines.sh");
const NAMES: [&str; 5] = ["kafka", "redis", "postgres", "s3", "temporal"];
/// How often each one is killed.
const KILLS: usize = 3;
const BUCKET: &str = "mcsp-local";

/// Environment that leads a node to its engines.
pub(super) type Settings = BTreeMap<String, String>;

/// The engines of one run.
pub(super) enum Engines {
    Embedded { data: PathBuf },
    Servers(Servers),
}

/// Running servers; they end when this is dropped, and their data stays.
pub(super) struct Servers {
    folder: PathBuf,
    settings: Settings,
    /// Set when they are to end: none is started again then.
    ends: Arc<AtomicBool>,
    /// Held while one is killed and started again.
    busy: Arc<Mutex<()>>,
}

impl Engines {
    /// Those of the folder, which the nodes open themselves.
    pub(super) fn embedded(data: &Path) -> Self {
        Self::Embedded { data: data.to_owned() }
    }

    /// Starts all five on an empty folder within the given one.
    pub(super) fn servers(data: &Path) -> anyhow::Result<Self> {
        let folder = data.join("engines");
        let mut servers = Servers { folder, settings: Settings::new(), ends: Arc::default(), busy: Arc::default() };
        let owner = std::process::id().to_string();
        servers.script(&["up", servers.place()?, "--owner", &owner])?;
        let written = servers.folder.join("mcsp.env");
        let text = std::fs::read_to_string(&written).with_context(|| written.display().to_string())?;
        let lines = text.lines().filter_map(|line| line.split_once('='));
        servers.settings = lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(Self::Servers(servers))
    }

    /// What leads the nodes there.
    pub(super) fn settings(&self) -> Settings {
        match self {
            Self::Embedded { .. } => Settings::new(),
            Self::Servers(servers) => servers.settings.clone(),
        }
    }

    /// Begins to kill each server three times, in an order that follows from the seed, and to start it again.
    pub(super) fn disturb(&self, seed: u64) -> JoinHandle<anyhow::Result<()>> {
        let Self::Servers(servers) = self else { return tokio::spawn(async { Ok(()) }) };
        let (folder, ends, busy) = (servers.folder.clone(), Arc::clone(&servers.ends), Arc::clone(&servers.busy));
        tokio::task::spawn_blocking(move || disturb(&folder, seed, &ends, &busy))
    }

    /// Opens the log, to read what is committed.
    pub(super) async fn log(&self) -> anyhow::Result<Arc<dyn EventLog>> {
        match self {
            Self::Embedded { data } => {
                Ok(Arc::new(SqliteLog::open(&data.join("events.db"), LogOptions::default()).await?))
            }
            Self::Servers(servers) => {
                let options = KafkaOptions {
                    login: Some(servers.login("MCSP__LOG__LOGIN")?),
                    tls: Some(servers.tls()?),
                    ..KafkaOptions::new(servers.address("MCSP__LOG__URL")?, "chaos")
                };
                Ok(Arc::new(KafkaLog::open(options).await?))
            }
        }
    }

    /// Opens the bucket.
    pub(super) async fn objects(&self) -> anyhow::Result<Arc<dyn ObjectStore>> {
        match self {
            Self::Embedded { data } => {
                Ok(Arc::new(FileStore::open(&data.join("objects").join(BUCKET), Durability::Process)?))
            }
            Self::Servers(servers) => {
                let address = format!("https://{}", servers.address("MCSP__OBJECTS__URL")?);
                let login = servers.login("MCSP__OBJECTS__LOGIN")?;
                let options =
                    S3Options { tls: servers.tls()?, ..S3Options::new(&address, Bucket::parse(BUCKET)?, login) };
                Ok(Arc::new(S3Store::open(&options).await?))
            }
        }
    }

    /// Ends them.
    pub(super) fn stop(self) -> anyhow::Result<()> {
        match &self {
            Self::Embedded { .. } => Ok(()),
            Self::Servers(servers) => servers.script(&["down", servers.place()?]),
        }
    }
}

impl Servers {
    fn place(&self) -> anyhow::Result<&str> {
        self.folder.to_str().context("the data folder's name is no text")
    }

    fn script(&self, arguments: &[&str]) -> anyhow::Result<()> {
        script(arguments).with_context(|| format!("see {}", self.folder.display()))
    }

    fn setting(&self, name: &str) -> anyhow::Result<&str> {
        self.settings.get(name).map(String::as_str).with_context(|| format!("mcsp.env does not say {name}"))
    }

    /// What stands after the URL's scheme.
    fn address(&self, name: &str) -> anyhow::Result<&str> {
        let url = self.setting(name)?;
        Ok(url.split_once("://").map_or(url, |(_, address)| address))
    }

    fn login(&self, name: &str) -> anyhow::Result<Login> {
        let path = self.setting(name)?;
        let file: Value = serde_json::from_slice(&std::fs::read(path).with_context(|| path.to_owned())?)?;
        let text = |name: &str| file[name].as_str().map(str::to_owned).with_context(|| format!("{path} has no {name}"));
        Ok(Login { user: text("user")?, password: text("password")?.into() })
    }

    fn tls(&self) -> anyhow::Result<Tls> {
        Ok(Tls { authorities: Some(self.setting("MCSP__TLS__AUTHORITY")?.into()), certificate: None })
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let _one = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that ended are left alone; whoever owns them ends now anyway.
        let _ = self.place().and_then(|place| script(&["down", place]));
    }
}

fn script(arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new(SCRIPT);
    // The node with the endpoint hears of stored objects.
    command.args(arguments).env("ENGINES_S3_HOOK", "mcsp").stdin(Stdio::null()).stdout(Stdio::null());
    let status = command.status().with_context(|| SCRIPT.to_owned())?;
    ensure!(status.success(), "engines.sh {} ended with {status}", arguments.join(" "));
    Ok(())
}

fn disturb(folder: &Path, seed: u64, ends: &AtomicBool, busy: &Mutex<()>) -> anyhow::Result<()> {
    let folder = folder.to_str().context("the data folder's name is no text")?;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut victims = NAMES.repeat(KILLS);
    random.shuffle(&mut victims);
    for name in victims {
        std::thread::sleep(Duration::from_millis(random.u64(500..6000)));
        let _one = busy.lock().unwrap_or_else(PoisonError::into_inner);
        if ends.load(Ordering::Relaxed) {
            break;
        }
        let began = Instant::now();
        script(&["kill", folder, name])?;
        std::thread::sleep(Duration::from_millis(random.u64(..3000)));
        script(&["restart", folder, name])?;
        say(&format!("platform: {name} killed, back after {:.1} s", began.elapsed().as_secs_f64()))?;
    }
    Ok(())
}
