//! How a client proves who it is to an engine, and finds out whom it talks to.

use std::path::PathBuf;

use zeroize::Zeroizing;

/// A name and its password. It has no `Debug`: it must not reach a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user, or an access key.
    pub user: String,
    /// The password, or a secret key.
    pub password: Zeroizing<String>,
}

/// TLS to an engine (RFC 8446).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// A PEM file of the authorities that are believed; without one, those of the system.
    pub authorities: Option<PathBuf>,
    /// What the client shows, where the engine asks for it.
    pub certificate: Option<ClientCertificate>,
}

/// A client's certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// A PEM file with the certificate, then its chain.
    pub chain: PathBuf,
    /// A PEM file with the private key.
    pub key: PathBuf,
}
