//! From settings to a checked configuration: URLs become engines, texts become addresses and paths, and what contradicts
//! itself is found.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mcsp_domain::{Bucket, Grid, Plan, Preset, Scheme};
use mcsp_events::{Durability, Topic};
use mcsp_runtime::telemetry;
use mcsp_sandbox::child::Isolation;

use super::engines::{self, CatalogEngine, LedgerEngine, LogEngine, ObjectsEngine, Places};
use super::finding::{Finding, Origin};
use super::settings::{self, Lines, Protection, Role, Settings};
use super::show::toml_of;
use super::sources::Layer;
use super::{Config, Desk, Endpoint, Log, PlanPolicy, Retry, Telemetry, TopicOptions, Worker, keys};

/// The one region where the configuration names none, and its bucket.
const LOCAL: (&str, &str) = ("local", "mcsp-local");

/// Checks settings as a whole.
pub(super) fn resolve(settings: Settings, layers: Vec<Layer>) -> Result<Config, Vec<Finding>> {
    let mut check = Check { layers: &layers, findings: Vec::new() };
    let config = check.config(&settings);
    let findings = check.findings;
    match config {
        Some(config) if findings.is_empty() => Ok(config.finish(settings, layers)),
        _ => Err(findings),
    }
}

/// A configuration without the memory of where it came from.
struct Resolved {
    log: Log,
    ledger: LedgerEngine,
    objects: ObjectsEngine,
    endpoint: Option<Endpoint>,
    placement: BTreeMap<String, Bucket>,
    catalog: CatalogEngine,
    licence: engines::LicenceEngine,
    licence_listen: Option<PathBuf>,
    licence_older_keys: Vec<PathBuf>,
    retry: Retry,
    plan: PlanPolicy,
    http: SocketAddr,
    public_url: Option<String>,
    desk: Desk,
    telemetry: Telemetry,
}

impl Resolved {
    fn finish(self, settings: Settings, layers: Vec<Layer>) -> Config {
        let isolation = match settings.worker.isolation {
            settings::Isolation::Strict => Isolation::Strict,
            settings::Isolation::Reduced => Isolation::Reduced,
        };
        let slots = usize::try_from(settings.worker.slots).unwrap_or(1);
        let roles = Role::ALL.into_iter().filter(|role| settings.roles.contains(role)).collect();
        Config {
            data: PathBuf::from(&settings.data),
            roles,
            drain: Duration::from_secs(settings.drain_s.into()),
            log: self.log,
            ledger: self.ledger,
            objects: self.objects,
            endpoint: self.endpoint,
            placement: self.placement,
            catalog: self.catalog,
            licence: self.licence,
            licence_listen: self.licence_listen,
            licence_older_keys: self.licence_older_keys,
            worker: Worker { slots, isolation },
            retry: self.retry,
            plan: self.plan,
            http: self.http,
            public_url: self.public_url,
            desk: self.desk,
            telemetry: self.telemetry,
            settings,
            layers,
        }
    }
}

/// Collects what is wrong; a value that is wrong is nothing, so that one run tells everything.
pub(super) struct Check<'a> {
    layers: &'a [Layer],
    findings: Vec<Finding>,
}

impl Check<'_> {
    fn config(&mut self, settings: &Settings) -> Option<Resolved> {
        if settings.data.is_empty() {
            self.fault(&["data"], "", "a folder is wanted");
        }
        self.roles(settings);
        let places = Places { data: Path::new(&settings.data), settings };
        let log = self.url(&["log", "url"], &settings.log.url, |url| places.log(url));
        let ledger = self.url(&["ledger", "url"], &settings.ledger.url, |url| places.ledger(url, log.as_ref()));
        let objects = self.url(&["objects", "url"], &settings.objects.url, |url| places.objects(url));
        let catalog = self.url(&["catalog", "url"], &settings.catalog.url, |url| places.catalog(url));
        let licence = self.url(&["licence", "url"], &settings.licence.url, |url| places.licence(url));
        let licence_listen = match settings.licence.listen.as_str() {
            "" => None,
            listen => self.url(&["licence", "listen"], listen, |listen| places.socket(listen)),
        };
        let licence_older_keys = self.older_keys(&settings.licence.older_keys);
        self.together(settings, log.as_ref(), ledger.as_ref(), catalog.as_ref());
        let topics = self.topics(&settings.log);
        let lease = Duration::from_secs(settings.log.lease_s.into());
        let endpoint = self.endpoint(settings);
        let placement = self.placement(&settings.placement);
        let retry = self.retry(&settings.retry);
        let plan = self.plan(&settings.plan);
        let http = self.address(&["http", "listen"], &settings.http.listen);
        let public_url = self.public_url(&["http", "public_url"], &settings.http.public_url);
        let desk = self.desk(settings, &places);
        self.logins(settings);
        let telemetry = self.telemetry(&settings.telemetry);
        Some(Resolved {
            log: Log { engine: log?, lease, topics },
            ledger: ledger?,
            objects: objects?,
            endpoint,
            placement,
            catalog: catalog?,
            licence: licence?,
            licence_listen,
            licence_older_keys,
            retry,
            plan: plan?,
            http: http?,
            public_url,
            desk: desk?,
            telemetry: telemetry?,
        })
    }

    pub(super) fn fault(&mut self, path: &[&str], value: impl serde::Serialize, rule: impl Into<String>) {
        let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
        let origin = origin(self.layers, &path);
        let value = toml_of(&serde_json::to_value(value).unwrap_or_default());
        self.findings.push(Finding::value(origin, &path, &value, rule.into()));
    }

    /// Holds roles that somebody picked to what they need: a role that silently does nothing is not what was meant. All of them,
    /// which is the default, are those that have something to do.
    fn roles(&mut self, settings: &Settings) {
        let roles = &settings.roles;
        if roles.is_empty() {
            self.fault(&["roles"], roles, "at least one role is wanted");
        }
        if Role::ALL.iter().all(|role| roles.contains(role)) {
            return;
        }
        if roles.contains(&Role::Objects) && settings.objects.endpoint.listen.is_empty() {
            self.fault(&["roles"], roles, "the role objects has nothing to do without objects.endpoint.listen");
        }
        if roles.contains(&Role::Licence) && settings.licence.listen.is_empty() {
            self.fault(&["roles"], roles, "the role licence has nothing to do without licence.listen");
        }
    }

    fn older_keys(&mut self, files: &[String]) -> Vec<PathBuf> {
        for file in files.iter().filter(|file| !Path::new(file).is_file()) {
            self.fault(&["licence", "older_keys"], file, "there is no such file");
        }
        files.iter().map(PathBuf::from).collect()
    }

    /// Reads a URL, and refuses a password where others read it too: files are shared, flags are seen by every user.
    pub(super) fn url<T>(&mut self, path: &[&str], url: &str, read: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let owned: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
        let open = !matches!(origin(self.layers, &owned), Origin::Env);
        if open && engines::has_password(url) {
            let variable = keys::env_name(&owned).unwrap_or_default();
            self.fault(path, url, format!("a password stands in {variable} alone"));
            return None;
        }
        read(url).map_err(|rule| self.fault(path, url, rule)).ok()
    }

    /// Engines that must match: log and ledger are one engine, and embedded ones share a file with nothing else.
    fn together(
        &mut self,
        settings: &Settings,
        log: Option<&LogEngine>,
        ledger: Option<&LedgerEngine>,
        catalog: Option<&CatalogEngine>,
    ) {
        let url = &settings.ledger.url;
        match (log, ledger) {
            (Some(LogEngine::Sqlite(log)), Some(LedgerEngine::Sqlite(ledger))) if log != ledger => {
                self.fault(&["ledger", "url"], url, format!("embedded, it lies in the log's file {}", log.display()));
            }
            (Some(LogEngine::Sqlite(_)), Some(LedgerEngine::Redis(_)))
            | (Some(LogEngine::Kafka(_)), Some(LedgerEngine::Sqlite(_))) => {
                let rule = format!(
                    "log and ledger are both embedded or both not, log.url is {:?}",
                    engines::redacted(&settings.log.url)
                );
                self.fault(&["ledger", "url"], url, rule);
            }
            _ => {}
        }
        let Some(LogEngine::Sqlite(log)) = log else { return };
        if matches!(catalog, Some(CatalogEngine::Sqlite(catalog)) if catalog == log) {
            self.fault(&["catalog", "url"], &settings.catalog.url, "it is the log's file, and must be one of its own");
        }
    }

    /// Files of logins and of TLS are there, and there is one login where there is one.
    fn logins(&mut self, settings: &Settings) {
        let logins = [
            ("log", &settings.log.url, &settings.log.login),
            ("ledger", &settings.ledger.url, &settings.ledger.login),
            ("objects", &settings.objects.url, &settings.objects.login),
            ("catalog", &settings.catalog.url, &settings.catalog.login),
            ("sagas", &settings.sagas.url, &settings.sagas.login),
        ];
        for (table, url, login) in logins {
            if self.file(&[table, "login"], login).is_some() && engines::has_password(url) {
                self.fault(&[table, "login"], login, format!("{table}.url holds a password already"));
            }
        }
        if settings.objects.url.starts_with("s3:")
            && settings.objects.login.is_empty()
            && !engines::has_password(&settings.objects.url)
        {
            self.fault(&["objects", "login"], "", "a file with the access key and the secret key is wanted");
        }
        let tls = &settings.tls;
        for (key, path) in [("authority", &tls.authority), ("certificate", &tls.certificate), ("key", &tls.key)] {
            self.file(&["tls", key], path);
        }
        if tls.certificate.is_empty() != tls.key.is_empty() {
            self.fault(&["tls", "key"], &tls.key, "a certificate and its key belong together");
        }
    }

    fn topics(&mut self, log: &settings::Log) -> BTreeMap<Topic, TopicOptions> {
        for (name, table) in &log.topics {
            let path = ["log".to_owned(), "topics".to_owned(), name.clone()];
            let origin = origin(self.layers, &path);
            match Topic::of(name) {
                None => {
                    let meant = keys::near_miss(name, Topic::ALL.iter().map(|topic| topic.name()));
                    let hint = meant.map(|meant| format!(", did you mean {meant}?")).unwrap_or_default();
                    self.findings.push(Finding::whole(origin, format!("log.topics: unknown topic {name}{hint}")));
                }
                Some(topic)
                    if topic.spec().transactional && table.durability == Some(settings::Durability::Process) =>
                {
                    let rule = "a topic that is written in transactions is synced";
                    self.fault(&["log", "topics", name, "durability"], "process", rule);
                }
                Some(_) => {}
            }
        }
        Topic::ALL.iter().map(|topic| (*topic, options(*topic, log.topics.get(topic.name())))).collect()
    }

    fn endpoint(&mut self, settings: &Settings) -> Option<Endpoint> {
        let endpoint = &settings.objects.endpoint;
        for origin in endpoint.cors_origins.iter().filter(|origin| !is_origin(origin)) {
            self.fault(
                &["objects", "endpoint", "cors_origins"],
                origin,
                "* or an origin such as https://example.org wanted",
            );
        }
        let public_url = self.public_url(&["objects", "endpoint", "public_url"], &endpoint.public_url);
        self.public_url(&["objects", "public_url"], &settings.objects.public_url);
        if endpoint.listen.is_empty() {
            return None;
        }
        let listen = self.address(&["objects", "endpoint", "listen"], &endpoint.listen)?;
        let credentials = match endpoint.credentials.as_str() {
            "" => Path::new(&settings.data).join("secrets/objects.json"),
            path => PathBuf::from(path),
        };
        let cors_origins = endpoint.cors_origins.clone();
        Some(Endpoint { listen, public_url, cors_origins, credentials })
    }

    fn placement(&mut self, regions: &BTreeMap<String, String>) -> BTreeMap<String, Bucket> {
        let local = BTreeMap::from([(LOCAL.0.to_owned(), LOCAL.1.to_owned())]);
        let regions = if regions.is_empty() { &local } else { regions };
        let mut placement: BTreeMap<String, Bucket> = BTreeMap::new();
        for (region, name) in regions {
            match Bucket::parse(name) {
                Ok(bucket) => drop(placement.insert(region.clone(), bucket)),
                Err(error) => self.fault(&["placement", region], name, error.to_string()),
            }
        }
        let mut owners: BTreeMap<&Bucket, &str> = BTreeMap::new();
        for (region, bucket) in &placement {
            if let Some(other) = owners.insert(bucket, region) {
                self.fault(&["placement", region], bucket.as_str(), format!("region {other} has this bucket already"));
            }
        }
        placement
    }

    fn retry(&mut self, retry: &settings::Retry) -> Retry {
        if retry.first_ms > retry.longest_ms {
            let rule = format!("at most retry.longest_ms, which is {}", retry.longest_ms);
            self.fault(&["retry", "first_ms"], retry.first_ms, rule);
        }
        let ms = |ms: u32| Duration::from_millis(ms.into());
        Retry { attempts_max: retry.attempts_max, first: ms(retry.first_ms), longest: ms(retry.longest_ms) }
    }

    fn plan(&mut self, plan: &settings::Plan) -> Option<PlanPolicy> {
        let preset = Preset::ALL.into_iter().find(|preset| preset.name() == plan.preset);
        if preset.is_none() {
            let rule = format!("one of {} wanted", Preset::ALL.map(Preset::name).join(", "));
            self.fault(&["plan", "preset"], &plan.preset, rule);
        }
        let ladder = (!plan.ladder.is_empty()).then(|| PathBuf::from(&plan.ladder));
        if ladder.as_ref().is_some_and(|path| !path.is_file()) {
            self.fault(&["plan", "ladder"], &plan.ladder, "there is no such file");
        }
        let scheme = match plan.scheme {
            Protection::Cbcs => Some(Scheme::Cbcs),
            Protection::Cenc => Some(Scheme::Cenc),
            Protection::Clear => None,
        };
        let chunk_ms = (plan.chunk_ms > 0).then_some(plan.chunk_ms);
        let cuts = Grid::new(plan.segment_ms).map_err(|error| error.to_string());
        let cuts = cuts.and_then(|grid| Plan::check_chunk(grid, chunk_ms).map_err(|error| error.to_string()));
        if let Err(rule) = cuts {
            self.fault(&["plan", "chunk_ms"], plan.chunk_ms, rule);
        }
        Some(PlanPolicy { segment_ms: plan.segment_ms, chunk_ms, scheme, preset: preset?, ladder })
    }

    fn telemetry(&mut self, telemetry: &settings::Telemetry) -> Option<Telemetry> {
        if let Err(error) = telemetry::check_filter(&telemetry.log) {
            self.fault(&["telemetry", "log"], &telemetry.log, error.to_string());
        }
        let format = match telemetry.format {
            Lines::Text => telemetry::Format::Text,
            Lines::Json => telemetry::Format::Json,
        };
        let none = telemetry.otlp.is_empty();
        let otlp = if none { None } else { Some(self.url(&["telemetry", "otlp"], &telemetry.otlp, engines::http)?) };
        Some(Telemetry { otlp, filter: telemetry.log.clone(), format })
    }

    /// Reads the address that others reach a listener by; none where it is that of the listener.
    fn public_url(&mut self, path: &[&str], url: &str) -> Option<String> {
        let trimmed = Some(url.trim_end_matches('/')).filter(|url| !url.is_empty())?;
        if trimmed == "*" || !is_origin(trimmed) {
            self.fault(path, url, "http:// or https:// with a host and no path wanted");
        }
        Some(trimmed.to_owned())
    }

    fn address(&mut self, path: &[&str], text: &str) -> Option<SocketAddr> {
        let address = text.parse().ok();
        if address.is_none() {
            self.fault(path, text, "an address and port such as 127.0.0.1:8090 wanted");
        }
        address
    }
}

fn options(topic: Topic, table: Option<&settings::TopicTable>) -> TopicOptions {
    let (spec, table) = (topic.spec(), table.cloned().unwrap_or_default());
    let durability = table.durability.map(|durability| match durability {
        settings::Durability::Process => Durability::Process,
        settings::Durability::Synced => Durability::Synced,
    });
    TopicOptions {
        partitions: table.partitions.unwrap_or(spec.partitions),
        durability: durability.unwrap_or(spec.durability),
        retention_days: table.retention_days.unwrap_or(spec.retention_days),
    }
}

/// Says whether text is `*` or a web origin: scheme and authority, no path (RFC 6454 §6.2).
fn is_origin(text: &str) -> bool {
    let authority = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let plain = |authority: &str| !authority.is_empty() && !authority.contains(['/', '?', '#', '@', ' ']);
    text == "*" || authority.is_some_and(plain)
}

/// Returns the strongest source that says something of a key.
pub(super) fn origin(layers: &[Layer], path: &[String]) -> Origin {
    let says = |layer: &&Layer| {
        let mut parts = path.iter();
        let mut value = parts.next().and_then(|first| layer.dict.get(first));
        for part in parts {
            value = value.and_then(|value| value.as_dict()).and_then(|dict| dict.get(part));
        }
        value.is_some()
    };
    layers.iter().rev().find(says).map_or(Origin::Default, |layer| layer.origin.clone())
}
