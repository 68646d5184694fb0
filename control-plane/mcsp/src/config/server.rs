//! Engines that are servers: where they are, who we are there, how the way is protected.

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::engines::redacted;

/// A server, perhaps with a password, which neither `Debug` nor messages show.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Server {
    /// Its URL for people.
    pub(crate) shown: String,
    /// `host:port`, several with commas between them.
    pub(crate) hosts: String,
    /// What follows them, without its slash: a database, a namespace.
    pub(crate) path: String,
    /// Who we are, where the URL says it.
    pub(crate) user: String,
    /// Its password, where the URL holds one.
    pub(crate) password: Option<Zeroizing<String>>,
    /// The file of the login.
    pub(crate) login: Option<PathBuf>,
    /// TLS, where it is on.
    pub(crate) tls: Option<TlsFiles>,
}

/// What the tables beside a URL say of the way to its server.
pub(super) struct Access {
    pub(super) login: Option<PathBuf>,
    pub(super) tls: Option<TlsFiles>,
}

/// Files of TLS (PEM).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// Who is believed; without it those of the system.
    pub(crate) authority: Option<PathBuf>,
    /// What we show.
    pub(crate) certificate: Option<PathBuf>,
    /// Its key.
    pub(crate) key: Option<PathBuf>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Server {
    /// Reads `SCHEME://[USER[:PASSWORD]@]HOST[:PORT][,…][/PATH]`.
    pub(super) fn parse(url: &str, access: Access) -> Result<Self, String> {
        let rest = url.split_once("://").map(|(_, rest)| rest).unwrap_or_default();
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        // A password may hold '@' itself: what counts is the last one before the host.
        let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = login.split_once(':').map_or((login, None), |(user, password)| (user, Some(password)));
        if hosts.split(',').any(|host| host.is_empty() || host.starts_with(':')) {
            return Err("it names no host".to_owned());
        }
        if let Some(host) = hosts.split(',').find(|host| !has_port_or_none(host)) {
            return Err(format!("{host} is no HOST:PORT"));
        }
        if path.contains(['?', '#', '/']) || hosts.contains(['?', '#', ' ']) {
            return Err("nothing may follow the path, which is one word".to_owned());
        }
        Ok(Self {
            shown: redacted(url),
            hosts: hosts.to_owned(),
            path: path.to_owned(),
            user: user.to_owned(),
            password: password.map(|password| Zeroizing::new(password.to_owned())),
            login: access.login,
            tls: access.tls,
        })
    }

    /// What a cloud's own address is left to.
    pub(super) fn nowhere(access: Access) -> Self {
        let (login, tls) = (access.login, access.tls);
        let none = String::new;
        Self { shown: "AWS".to_owned(), hosts: none(), path: none(), user: none(), password: None, login, tls }
    }

    pub(super) fn has_no_path(&self) -> Result<(), String> {
        if self.path.is_empty() { Ok(()) } else { Err("nothing may follow the port".to_owned()) }
    }

    pub(super) fn has_path(&self, what: &str) -> Result<(), String> {
        if self.path.is_empty() { Err(format!("it names no {what}, /NAME is missing")) } else { Ok(()) }
    }
}

/// Whether `host`, `host:port`, `[v6]` or `[v6]:port`.
fn has_port_or_none(host: &str) -> bool {
    let after = match host.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((_, after)) => after,
        None => host.find(':').and_then(|at| host.get(at..)).unwrap_or_default(),
    };
    after.is_empty() || after.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<Server, String> {
        Server::parse(url, Access { login: None, tls: None })
    }

    #[test]
    fn an_address_comes_apart() {
        let server = read("postgres://ada:p@ss@db:6432/catalog").unwrap();
        assert_eq!((server.hosts.as_str(), server.path.as_str(), server.user.as_str()), ("db:6432", "catalog", "ada"));
        assert_eq!(server.password.as_ref().unwrap().as_str(), "p@ss");
        assert_eq!(format!("{server:?}"), "postgres://ada:***@db:6432/catalog");
        assert_eq!(read("kafka://a:9092,[::1]:9093").unwrap().hosts, "a:9092,[::1]:9093");
        for url in [
            "kafka://",
            "kafka://a,,b",
            "kafka://:9092",
            "kafka://a:no",
            "kafka://a:0",
            "kafka://a:1:2",
            "s3://h/a/b",
            "s3://h?x",
        ] {
            assert!(read(url).is_err(), "{url} was taken");
        }
    }
}
