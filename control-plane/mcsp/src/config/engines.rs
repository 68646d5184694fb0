//! The engine of each port, picked by its URL's scheme.

use std::path::{Path, PathBuf};

/// Where events are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogEngine {
    /// A file.
    Sqlite(PathBuf),
    /// Brokers.
    Kafka(ServerUrl),
}

/// Where the ledger, sessions and heartbeats are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LedgerEngine {
    /// The log's file.
    Sqlite(PathBuf),
    /// A server.
    Redis(ServerUrl),
}

/// Where objects are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ObjectsEngine {
    /// A folder, one within it for each bucket.
    Files(PathBuf),
    /// A server.
    S3(ServerUrl),
}

/// Where relational state is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CatalogEngine {
    /// A file.
    Sqlite(PathBuf),
    /// A server.
    Postgres(ServerUrl),
}

/// Where content keys are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LicenceEngine {
    /// In this process.
    InProcess,
    /// In another process of this machine, at this socket.
    Unix(PathBuf),
}

/// Where a server is, perhaps with a password, which neither `Debug` nor messages show.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ServerUrl(String);

impl std::fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&redacted(&self.0))
    }
}

/// Says which engine a build lacks: today it has the embedded ones.
macro_rules! missing {
    ($engine:ident: $built:ident, $lacking:ident = $name:literal) => {
        impl $engine {
            /// Returns the name of the engine when this build has it not.
            pub(super) fn missing(&self) -> Option<&'static str> {
                match self {
                    Self::$built(_) => None,
                    Self::$lacking(_) => Some($name),
                }
            }
        }
    };
}

missing!(LogEngine: Sqlite, Kafka = "kafka");
missing!(LedgerEngine: Sqlite, Redis = "redis");
missing!(ObjectsEngine: Files, S3 = "s3");
missing!(CatalogEngine: Sqlite, Postgres = "postgres");

/// The files that embedded engines keep where their URLs name none.
pub(super) struct Places<'a> {
    /// The data folder.
    pub(super) data: &'a Path,
}

impl Places<'_> {
    /// Reads `log.url`.
    pub(super) fn log(&self, url: &str) -> Result<LogEngine, String> {
        match parts(url) {
            ("sqlite", rest) => Ok(LogEngine::Sqlite(self.path(rest, "events.db"))),
            ("kafka", _) => server(url).map(LogEngine::Kafka),
            _ => Err("sqlite: or kafka:// wanted".to_owned()),
        }
    }

    /// Reads `ledger.url`; without a path of its own the embedded ledger lies in the embedded log's file.
    pub(super) fn ledger(&self, url: &str, log: Option<&LogEngine>) -> Result<LedgerEngine, String> {
        match (parts(url), log) {
            (("sqlite", ""), Some(LogEngine::Sqlite(log))) => Ok(LedgerEngine::Sqlite(log.clone())),
            (("sqlite", rest), _) => Ok(LedgerEngine::Sqlite(self.path(rest, "events.db"))),
            (("redis", _), _) => server(url).map(LedgerEngine::Redis),
            _ => Err("sqlite: or redis:// wanted".to_owned()),
        }
    }

    /// Reads `objects.url`.
    pub(super) fn objects(&self, url: &str) -> Result<ObjectsEngine, String> {
        match parts(url) {
            ("file", rest) => Ok(ObjectsEngine::Files(self.path(rest, "objects"))),
            ("s3", _) => server(url).map(ObjectsEngine::S3),
            _ => Err("file: or s3:// wanted".to_owned()),
        }
    }

    /// Reads `catalog.url`.
    pub(super) fn catalog(&self, url: &str) -> Result<CatalogEngine, String> {
        match parts(url) {
            ("sqlite", rest) => Ok(CatalogEngine::Sqlite(self.path(rest, "catalog.db"))),
            ("postgres", _) => server(url).map(CatalogEngine::Postgres),
            _ => Err("sqlite: or postgres:// wanted".to_owned()),
        }
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

fn server(url: &str) -> Result<ServerUrl, String> {
    let authority = parts(url).1.strip_prefix("//").unwrap_or_default();
    let host = authority.split(['/', '?']).next().unwrap_or_default();
    if host.is_empty() { Err("it names no host".to_owned()) } else { Ok(ServerUrl(url.to_owned())) }
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
        let engine = Places { data: Path::new("data") }.ledger("redis://:secret@host:6379", None).unwrap();
        assert_eq!(format!("{engine:?}"), "Redis(redis://:***@host:6379)");
    }

    #[test]
    fn sockets_lie_in_the_data_folder_or_where_their_path_says() {
        let places = Places { data: Path::new("data") };
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
