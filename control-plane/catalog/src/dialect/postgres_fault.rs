//! What errors of Postgres mean, by their SQLSTATE (postgresql.org/docs/current/errcodes-appendix.html). What the server says
//! is repeated, which never holds a password.

use std::io::ErrorKind;

use crate::CatalogError;

/// Gives an engine's error its meaning.
pub(super) fn fault(at: &str, action: &'static str, source: sqlx::Error) -> CatalogError {
    let at = at.to_owned();
    match &source {
        // A certificate that is not believed comes as data that is not valid.
        sqlx::Error::Io(error) if error.kind() == ErrorKind::InvalidData => CatalogError::Tls { at, source },
        sqlx::Error::Tls(_) | sqlx::Error::Configuration(_) => CatalogError::Tls { at, source },
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => CatalogError::Unreachable { at, action, source },
        sqlx::Error::Database(error) => {
            let (code, what) = (error.code().unwrap_or_default().into_owned(), error.message().to_owned());
            of_code(&code, what, at, action, source)
        }
        _ => CatalogError::Engine { at, action, source },
    }
}

fn of_code(code: &str, what: String, at: String, action: &'static str, source: sqlx::Error) -> CatalogError {
    match (code, code.get(..2).unwrap_or_default()) {
        // No lock in time, a deadlock, or a transaction that came too late.
        ("55P03" | "40P01" | "40001", _) => CatalogError::Busy { at, action, source },
        // Starting, ending, or with all its connections in use.
        ("57P01" | "57P02" | "57P03" | "53300", _) | (_, "08") => CatalogError::Unreachable { at, action, source },
        ("53100", _) => CatalogError::Full { at, action, source },
        ("25006", _) => CatalogError::ReadOnly { at, action, source },
        ("42501", _) => CatalogError::Rights { at, action, what },
        ("3D000", _) => CatalogError::Missing { at, what },
        (_, "28") => CatalogError::Login { at, what },
        ("XX001" | "XX002", _) => CatalogError::Damaged { at, what: format!("could not {action}: {what}") },
        _ => CatalogError::Engine { at, action, source },
    }
}
