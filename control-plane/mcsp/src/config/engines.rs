//! The engine of each port, picked by its URL's scheme.

use std::path::{Path, PathBuf};

use super::server::{Access, Server, TlsFiles};
use super::settings::{Addressing, Link, OnEmpty, Proof, Settings};

/// Where events are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogEngine {
    /// A file.
    Sqlite(PathBuf),
    /// Brokers.
    Kafka(Kafka),
}

/// Brokers, and what is kept there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kafka {
    /// The brokers.
    pub(crate) server: Box<Server>,
    /// How a login is proved.
    pub(crate) proof: Proof,
    /// What begins the name of every topic, group and transaction.
    pub(crate) namespace: String,
    /// Copies of each partition of topics that are made.
    pub(crate) replication: u16,
}

/// Where the ledger, sessions and heartbeats are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LedgerEngine {
    /// The log's file.
    Sqlite(PathBuf),
    /// A server.
    Redis(Redis),
}

/// A Redis, and what is kept there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Redis {
    /// The server.
    pub(crate) server: Box<Server>,
    /// What begins every key.
    pub(crate) prefix: String,
    /// What becomes of a Redis that holds no ledger.
    pub(crate) on_empty: OnEmpty,
}

/// Where objects are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ObjectsEngine {
    /// A folder, one within it for each bucket.
    Files(PathBuf),
    /// A server.
    S3(S3),
}

/// An S3, and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct S3 {
    /// The server; none is AWS.
    pub(crate) server: Box<Server>,
    /// The region that calls are signed for.
    pub(crate) region: String,
    /// The address that clients reach it by, where that is another.
    pub(crate) public_url: Option<String>,
    /// Where a bucket's name stands.
    pub(crate) addressing: Addressing,
}

impl S3 {
    /// Returns the server's address; none for AWS.
    pub(crate) fn endpoint(&self) -> Option<String> {
        let scheme = if self.server.tls.is_some() { "https" } else { "http" };
        (!self.server.hosts.is_empty()).then(|| format!("{scheme}://{}", self.server.hosts))
    }
}

/// Where relational state is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CatalogEngine {
    /// A file.
    Sqlite(PathBuf),
    /// A server.
    Postgres(Server),
}

/// Where publications are driven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SagasEngine {
    /// A file.
    Journal(PathBuf),
    /// A server; its path is the namespace.
    Temporal(Server),
}

/// Where content keys are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LicenceEngine {
    /// In this process.
    InProcess,
    /// In another process of this machine, at this socket.
    Unix(PathBuf),
}

/// What URLs leave open: the files of embedded engines, and how servers are asked.
pub(super) struct Places<'a> {
    /// The data folder.
    pub(super) data: &'a Path,
    /// All that was said.
    pub(super) settings: &'a Settings,
}

impl Places<'_> {
    /// Reads `log.url`.
    pub(super) fn log(&self, url: &str) -> Result<LogEngine, String> {
        match parts(url) {
            ("sqlite", rest) => Ok(LogEngine::Sqlite(self.path(rest, "events.db"))),
            ("kafka", _) => {
                let log = &self.settings.log;
                let replication = u16::try_from(log.replication).unwrap_or(u16::MAX);
                let (server, namespace) = (self.server(url, &log.login, log.tls)?, log.namespace.clone());
                server.has_no_path()?;
                Ok(LogEngine::Kafka(Kafka { server: Box::new(server), proof: log.proof, namespace, replication }))
            }
            _ => Err("sqlite: or kafka:// wanted".to_owned()),
        }
    }

    /// Reads `ledger.url`; without a path of its own the embedded ledger lies in the embedded log's file.
    pub(super) fn ledger(&self, url: &str, log: Option<&LogEngine>) -> Result<LedgerEngine, String> {
        match (parts(url), log) {
            (("sqlite", ""), Some(LogEngine::Sqlite(log))) => Ok(LedgerEngine::Sqlite(log.clone())),
            (("sqlite", rest), _) => Ok(LedgerEngine::Sqlite(self.path(rest, "events.db"))),
            (("redis", _), _) => {
                let ledger = &self.settings.ledger;
                let (server, prefix) = (self.server(url, &ledger.login, ledger.tls)?, ledger.prefix.clone());
                Ok(LedgerEngine::Redis(Redis { server: Box::new(server), prefix, on_empty: ledger.on_empty }))
            }
            _ => Err("sqlite: or redis:// wanted".to_owned()),
        }
    }

    /// Reads `objects.url`.
    pub(super) fn objects(&self, url: &str) -> Result<ObjectsEngine, String> {
        match parts(url) {
            ("file", rest) => Ok(ObjectsEngine::Files(self.path(rest, "objects"))),
            ("s3", rest) => {
                let objects = &self.settings.objects;
                let server = match rest {
                    // AWS is never spoken to in the clear.
                    "" => Server::nowhere(self.access(&objects.login, Link::On)),
                    _ => self.server(url, &objects.login, objects.tls)?,
                };
                server.has_no_path()?;
                let public = objects.public_url.trim_end_matches('/');
                let public_url = (!public.is_empty()).then(|| public.to_owned());
                let (region, addressing) = (objects.region.clone(), objects.addressing);
                Ok(ObjectsEngine::S3(S3 { server: Box::new(server), region, public_url, addressing }))
            }
            _ => Err("file: or s3:// wanted".to_owned()),
        }
    }

    /// Reads `catalog.url`.
    pub(super) fn catalog(&self, url: &str) -> Result<CatalogEngine, String> {
        match parts(url) {
            ("sqlite", rest) => Ok(CatalogEngine::Sqlite(self.path(rest, "catalog.db"))),
            ("postgres", _) => {
                let server = self.server(url, &self.settings.catalog.login, self.settings.catalog.tls)?;
                server.has_path("database").map(|()| CatalogEngine::Postgres(server))
            }
            _ => Err("sqlite: or postgres:// wanted".to_owned()),
        }
    }

    /// Reads `sagas.url`.
    pub(super) fn sagas(&self, url: &str) -> Result<SagasEngine, String> {
        match parts(url) {
            ("journal", rest) => Ok(SagasEngine::Journal(self.path(rest, "sagas.db"))),
            ("temporal", _) => {
                let server = self.server(url, &self.settings.sagas.login, self.settings.sagas.tls)?;
                server.has_path("namespace").map(|()| SagasEngine::Temporal(server))
            }
            _ => Err("journal: or temporal:// wanted".to_owned()),
        }
    }

    fn server(&self, url: &str, login: &str, link: Link) -> Result<Server, String> {
        Server::parse(url, self.access(login, link))
    }

    /// The file of a login, and the files of TLS where it is on.
    fn access(&self, login: &str, link: Link) -> Access {
        let file = |path: &str| (!path.is_empty()).then(|| PathBuf::from(path));
        let tls = &self.settings.tls;
        let files =
            TlsFiles { authority: file(&tls.authority), certificate: file(&tls.certificate), key: file(&tls.key) };
        Access { login: file(login), tls: (link == Link::On).then_some(files) }
    }

    /// Reads `licence.url`.
    pub(super) fn licence(&self, url: &str) -> Result<LicenceEngine, String> {
        if url.is_empty() {
            return Ok(LicenceEngine::InProcess);
        }
        self.socket(url).map(LicenceEngine::Unix)
    }

    /// Reads the address of a Unix socket; a relative path begins in the data folder.
    pub(super) fn socket(&self, url: &str) -> Result<PathBuf, String> {
        let path = match parts(url) {
            ("unix", rest) => rest.strip_prefix("//").unwrap_or(rest),
            _ => "",
        };
        if path.is_empty() || path.ends_with('/') {
            return Err("unix:PATH wanted".to_owned());
        }
        let path = self.data.join(path);
        match std::os::unix::net::SocketAddr::from_pathname(&path) {
            Ok(_) => Ok(path),
            Err(_) => Err(format!("{} is too long for a socket", path.display())),
        }
    }

    fn path(&self, rest: &str, usual: &str) -> PathBuf {
        // `sqlite:///var/events.db` and `sqlite:/var/events.db` are the same file.
        match rest.strip_prefix("//").unwrap_or(rest) {
            "" => self.data.join(usual),
            path => PathBuf::from(path),
        }
    }
}

/// Checks an address of plain HTTP: scheme, host, port, no path.
pub(super) fn http(url: &str) -> Result<String, String> {
    match parts(url) {
        ("http", rest) => {
            let authority = rest.strip_prefix("//").unwrap_or_default();
            let port = authority
                .rsplit_once(':')
                .and_then(|(host, port)| (!host.is_empty()).then(|| port.parse::<u16>().ok()).flatten());
            let plain = !authority.contains(['/', '?', '#', '@', ' ']);
            if plain && port.is_some() { Ok(url.to_owned()) } else { Err("http://HOST:PORT wanted".to_owned()) }
        }
        ("https", _) => Err("TLS between nodes is not built in, http://HOST:PORT wanted".to_owned()),
        _ => Err("http://HOST:PORT wanted".to_owned()),
    }
}

fn parts(url: &str) -> (&str, &str) {
    url.split_once(':').unwrap_or_default()
}

/// Says whether a URL carries a password.
pub(super) fn has_password(url: &str) -> bool {
    redacted(url) != url
}

/// Returns a URL with its password replaced by stars: `redis://:***@host`.
pub(crate) fn redacted(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    // A password may hold '@' itself: what counts is the last one before the host.
    let Some((user, host)) = authority.rsplit_once('@') else { return url.to_owned() };
    let Some((name, _)) = user.split_once(':') else { return url.to_owned() };
    let after = rest.strip_prefix(authority).unwrap_or_default();
    format!("{scheme}://{name}:***@{host}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_hidden() {
        assert_eq!(redacted("redis://:secret@host:6379/0"), "redis://:***@host:6379/0");
        assert_eq!(redacted("postgres://u:p@ss@host/db?x=a@b"), "postgres://u:***@host/db?x=a@b");
        for open in ["sqlite:", "kafka://a:9092,b:9092", "postgres://user@host/db", "http://host/?to=a:b@c"] {
            assert_eq!(redacted(open), open);
            assert!(!has_password(open));
        }
        let places = Places { data: Path::new("data"), settings: &Settings::default() };
        let engine = format!("{:?}", places.ledger("redis://:secret@host:6379", None).unwrap());
        assert!(engine.contains("redis://:***@host:6379") && !engine.contains("secret"), "{engine}");
    }

    #[test]
    fn sockets_lie_in_the_data_folder_or_where_their_path_says() {
        let places = Places { data: Path::new("data"), settings: &Settings::default() };
        for (url, path) in [
            ("unix:keys/socket", "data/keys/socket"),
            ("unix:/run/mcsp/keys", "/run/mcsp/keys"),
            ("unix:///run/mcsp/keys", "/run/mcsp/keys"),
        ] {
            assert_eq!(places.socket(url), Ok(PathBuf::from(path)), "{url}");
            assert_eq!(places.licence(url), Ok(LicenceEngine::Unix(PathBuf::from(path))), "{url}");
        }
        assert_eq!(places.licence(""), Ok(LicenceEngine::InProcess));
        let long = format!("unix:/{}", "x".repeat(108));
        for url in ["unix:", "unix://", "unix:keys/", "keys/socket", "http://127.0.0.1:9001", &long] {
            assert!(places.socket(url).is_err(), "{url} was taken");
        }
    }

    #[test]
    fn addresses_have_host_and_port() {
        for url in ["http://127.0.0.1:4317", "http://collector:4317", "http://[::1]:4317"] {
            assert_eq!(http(url), Ok(url.to_owned()));
        }
        for url in
            ["http://", "http://host", "http://:80", "http://host:port", "http://host:1/x", "https://host:1", "host:1"]
        {
            assert!(http(url).is_err(), "{url} was taken");
        }
    }
}
