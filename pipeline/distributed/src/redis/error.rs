//! What can be wrong with a Redis, in words for whoever runs it. No message holds a password.

use std::time::Duration;

use ::redis::{ErrorKind, RedisError as Cause};

use crate::authorities::TlsFileError;

/// Why a Redis does not serve. `may_pass` tells whether time may help.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// The options do not fit.
    #[error("redis address {url:?} is not redis://host:port/database or rediss://…, without a login")]
    Address {
        /// What was given, without what stands before an `@`.
        url: String,
    },
    /// The prefix does not fit.
    #[error("redis prefix {prefix:?} is not 1 to 64 of a-z, 0-9, '.', '_' and '-'")]
    Prefix {
        /// What was given.
        prefix: String,
    },
    /// A file of TLS does not serve.
    #[error("redis at {address} cannot be reached by TLS")]
    Tls {
        /// Host and port.
        address: String,
        /// The cause.
        #[source]
        source: TlsFileError,
    },
    /// It does not answer, or not yet.
    #[error("redis at {address} does not answer")]
    Unreachable {
        /// Host and port.
        address: String,
        /// The cause.
        #[source]
        source: Cause,
    },
    /// No answer came in time.
    #[error("redis at {address} gave no answer within {waited:?}")]
    Silent {
        /// Host and port.
        address: String,
        /// How long that was.
        waited: Duration,
    },
    /// It does not take the login.
    #[error("redis at {address} refuses {}: {answer}", login(.user.as_deref()))]
    Login {
        /// Host and port.
        address: String,
        /// The user, where one was given.
        user: Option<String>,
        /// What it said.
        answer: String,
    },
    /// It answered with an error.
    #[error("redis at {address} refused")]
    Refused {
        /// Host and port.
        address: String,
        /// The cause.
        #[source]
        source: Cause,
    },
    /// Its settings would lose rows of the ledger one by one, which nobody would notice.
    #[error("redis at {address} may forget: {setting}")]
    Forgetful {
        /// Host and port.
        address: String,
        /// The setting, and what it should be.
        setting: String,
    },
    /// It holds no mark of the platform.
    #[error(
        "redis at {address} holds no mark under {prefix:?}: it is new or was wiped; a new ledger must be begun on purpose"
    )]
    NoMark {
        /// Host and port.
        address: String,
        /// What begins our keys.
        prefix: String,
    },
    /// Its mark is younger than the longest lease: claims from before a loss may still be worked on.
    #[error("redis at {address} has begun a new ledger and gives claims in {left:?}")]
    Settling {
        /// Host and port.
        address: String,
        /// How long that is.
        left: Duration,
    },
}

fn login(user: Option<&str>) -> String {
    match user {
        Some(user) => format!("user {user:?} and its password"),
        None => "a client without a login".to_owned(),
    }
}

impl RedisError {
    /// Sorts an error of the client.
    pub(super) fn of(address: &str, user: Option<&str>, cause: Cause) -> Self {
        let address = address.to_owned();
        let is_login = cause.kind() == ErrorKind::AuthenticationFailed
            || matches!(cause.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM"));
        if is_login {
            let answer = cause.detail().map_or_else(|| cause.category().to_owned(), str::to_owned);
            return Self::Login { address, user: user.map(str::to_owned), answer };
        }
        let is_away = cause.is_io_error()
            || cause.is_connection_dropped()
            || matches!(cause.code(), Some("LOADING" | "BUSY" | "MASTERDOWN" | "TRYAGAIN" | "CLUSTERDOWN"));
        if is_away { Self::Unreachable { address, source: cause } } else { Self::Refused { address, source: cause } }
    }

    /// Returns whether the same call may succeed later without anyone changing a configuration. A Redis that was wiped
    /// waits for somebody: its processes stop and wait with it.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Silent { .. } | Self::NoMark { .. } | Self::Settling { .. } => true,
            Self::Refused { source, .. } => matches!(source.code(), Some("OOM" | "READONLY" | "MISCONF")),
            Self::Address { .. }
            | Self::Prefix { .. }
            | Self::Tls { .. }
            | Self::Login { .. }
            | Self::Forgetful { .. } => false,
        }
    }
}
