//! Which Postgres server holds the catalog, who we are there, and how the connection is protected.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;
use zeroize::Zeroizing;

use crate::{BUSY_TIMEOUT, CatalogError};

/// The port of Postgres (postgresql.org/docs/current/runtime-config-connection.html).
const PORT: u16 = 5432;
/// Connections of one process, where nothing else is said.
const CONNECTIONS: u32 = 10;
/// How long opening waits for a server that is starting, where nothing else is said.
const OPEN_WAIT: Duration = Duration::from_secs(10);

/// A database of a Postgres server, and how to get there. `Debug` does not show the password.
///
/// The program talks to the server itself or to a proxy that keeps sessions: statements are prepared, and sessions listen.
#[derive(Clone)]
pub struct PostgresOptions {
    /// The server's name or address, or the folder of its socket.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The database: it is there, in UTF-8, and the catalog's alone.
    pub database: String,
    /// Who we are; this user owns the database, or may make tables in its schema.
    pub user: String,
    /// The user's password; none where the server asks for none, or takes the certificate.
    pub password: Option<Zeroizing<String>>,
    /// How the connection is protected.
    pub tls: PostgresTls,
    /// Connections at most, 3 or more; one of them listens, a fifth of them write.
    pub connections_max: u32,
    /// How long a write waits for other transactions.
    pub busy_timeout: Duration,
    /// How long opening waits for a server that is not there yet.
    pub open_wait: Duration,
}

/// How a connection is protected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PostgresTls {
    /// Not at all: for a server on the same machine, or in a network that nobody else hears.
    #[default]
    Off,
    /// By TLS, or there is no connection.
    On {
        /// What the server must show.
        trust: PostgresTrust,
        /// A PEM file of an authority that is believed beside those of the system.
        authorities: Option<PathBuf>,
        /// What we show, where the server asks for it.
        certificate: Option<PostgresCertificate>,
    },
}

/// What a server must show to be believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PostgresTrust {
    /// A certificate of an authority that is believed, with the host's name in it.
    #[default]
    Host,
    /// A certificate of an authority that is believed, whatever its name: for one authority with one server.
    Authority,
}

/// A client's certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresCertificate {
    /// A PEM file with the certificate, then its chain.
    pub chain: PathBuf,
    /// A PEM file with the private key.
    pub key: PathBuf,
}

impl PostgresOptions {
    /// Names a database of a server; no password, no TLS, 10 connections.
    pub fn new(host: &str, port: u16, database: &str, user: &str) -> Self {
        Self {
            host: host.to_owned(),
            port,
            database: database.to_owned(),
            user: user.to_owned(),
            password: None,
            tls: PostgresTls::Off,
            connections_max: CONNECTIONS,
            busy_timeout: BUSY_TIMEOUT,
            open_wait: OPEN_WAIT,
        }
    }

    /// Reads `postgres://<user>@<host>:<port>/<database>`; without them, the user is `postgres` and the port 5432.
    ///
    /// # Errors
    /// When it is no such URL, or holds a password.
    pub fn of_url(text: &str) -> Result<Self, CatalogError> {
        let fault = || {
            let shown = if text.contains('@') { "postgres" } else { text };
            CatalogError::Url { url: shown.chars().take(100).collect() }
        };
        let url = Url::parse(text).map_err(|_| fault())?;
        if url.password().is_some() {
            return Err(CatalogError::PasswordInUrl { scheme: url.scheme().to_owned() });
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(fault)?;
        let database = url.path().strip_prefix('/').unwrap_or_default();
        let is_plain = |name: &str| !name.contains(['%', '/']);
        let is_ours = matches!(url.scheme(), "postgres" | "postgresql") && url.query().is_none();
        if !is_ours || database.is_empty() || !is_plain(database) || !is_plain(url.username()) {
            return Err(fault());
        }
        let user = if url.username().is_empty() { "postgres" } else { url.username() };
        // An IPv6 address stands in brackets in a URL alone.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Ok(Self::new(host, url.port().unwrap_or(PORT), database, user))
    }

    /// Returns the catalog's name in errors.
    pub(crate) fn at(&self) -> String {
        let Self { host, port, database, user, .. } = self;
        format!("postgres://{user}@{host}:{port}/{database}")
    }
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions").field("at", &self.at()).field("tls", &self.tls).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_user_host_port_and_database() {
        let at = |url: &str| PostgresOptions::of_url(url).unwrap().at();
        assert_eq!(at("postgres://mcsp@db.internal:6432/catalog"), "postgres://mcsp@db.internal:6432/catalog");
        assert_eq!(at("postgresql://db/catalog"), "postgres://postgres@db:5432/catalog");
        assert_eq!(PostgresOptions::of_url("postgres://[::1]/c").unwrap().host, "::1");
        let urls = ["postgres:", "postgres://", "postgres://db", "postgres://db/", "postgres://db/c?sslmode=off"];
        for url in urls.into_iter().chain(["mysql://db/c", "postgres://db/a/b", "postgres://db/a%20b"]) {
            assert!(matches!(PostgresOptions::of_url(url), Err(CatalogError::Url { .. })), "{url}");
        }
    }

    #[test]
    fn a_password_belongs_into_no_url_and_no_log() {
        let message = PostgresOptions::of_url("postgres://mcsp:hunter2@db/c").unwrap_err().to_string();
        assert_eq!(message, "catalog url of scheme postgres holds a password, which must be given apart from it");
        let password = Some(Zeroizing::new("hunter2".to_owned()));
        let shown = format!("{:?}", PostgresOptions { password, ..PostgresOptions::new("db", 1, "c", "mcsp") });
        assert!(shown.contains("mcsp@db:1/c") && !shown.contains("hunter2"), "{shown}");
    }
}
