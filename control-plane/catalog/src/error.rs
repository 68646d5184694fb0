//! Why the catalog could not answer.

/// Why the catalog could not answer. `may_pass` tells whether time may help.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// A URL that names no engine, no file or no database.
    #[error("catalog url {url:?} is not of the form sqlite:<path> or postgres://<user>@<host>:<port>/<database>")]
    Url {
        /// The URL, or its scheme alone where it may hold a password.
        url: String,
    },
    /// A URL that holds a password: URLs are shown, passwords are not.
    #[error("catalog url of scheme {scheme} holds a password, which must be given apart from it")]
    PasswordInUrl {
        /// The URL's scheme.
        scheme: String,
    },
    /// An engine that this program was built without.
    #[error("catalog engine {scheme} is not built into this program: use sqlite:<path>")]
    NotBuiltIn {
        /// The URL's scheme.
        scheme: String,
    },
    /// The file or database is not ours.
    #[error("{at} is not a catalog: {found}")]
    Foreign {
        /// Which catalog.
        at: String,
        /// What it is instead.
        found: String,
    },
    /// A newer program made it.
    #[error(
        "catalog {at} has schema version {found}, this program knows versions up to {known}: start the newer program"
    )]
    NewerSchema {
        /// Which catalog.
        at: String,
        /// Its version.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// It was made by other migrations than this program's.
    #[error(
        "catalog {at} has migration {version} as {found:?}, which is not the one that this program knows as {known:?}"
    )]
    OtherMigration {
        /// Which catalog.
        at: String,
        /// The migration's number.
        version: i64,
        /// Its name there.
        found: String,
        /// Its name in the program.
        known: String,
    },
    /// Others held it for longer than the busy time-out; time may help.
    #[error("catalog {at} is held by another process: could not {action}")]
    Busy {
        /// Which catalog.
        at: String,
        /// What was tried.
        action: &'static str,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// The disk is full; space may help.
    #[error("no space left for catalog {at}: could not {action}, nothing was changed")]
    Full {
        /// Which catalog.
        at: String,
        /// What was tried.
        action: &'static str,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// The file or its folder may not be written, or the server only reads.
    #[error("catalog {at} may not be written: could not {action}")]
    ReadOnly {
        /// Which catalog.
        at: String,
        /// What was tried.
        action: &'static str,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// The file cannot be opened: its folder is missing or closed to us.
    #[error("catalog {at} cannot be opened: its folder is missing, or closed to this user")]
    CannotOpen {
        /// Which catalog.
        at: String,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// The server is not reached, is starting, or is full; time may help.
    #[error("catalog {at} is not reachable: could not {action}")]
    Unreachable {
        /// Which catalog.
        at: String,
        /// What was tried.
        action: &'static str,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// The server does not let this user in.
    #[error("catalog {at} refuses the login: {what}")]
    Login {
        /// Which catalog.
        at: String,
        /// What the server says.
        what: String,
    },
    /// The server has no such database.
    #[error("catalog {at} is missing: {what}; it must be made before the program starts")]
    Missing {
        /// Which catalog.
        at: String,
        /// What the server says.
        what: String,
    },
    /// The user may not do what a catalog needs.
    #[error("catalog {at} could not {action}, its user lacks a right: {what}")]
    Rights {
        /// Which catalog.
        at: String,
        /// What was tried.
        action: &'static str,
        /// What the server says.
        what: String,
    },
    /// The connection cannot be encrypted as it must: the server offers no TLS, shows a certificate that is not believed, or
    /// a file of ours is not readable.
    #[error("catalog {at} could not be reached by TLS")]
    Tls {
        /// Which catalog.
        at: String,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// A row that we could not have written.
    #[error("catalog {at} holds a damaged row: {what}")]
    Damaged {
        /// Which catalog.
        at: String,
        /// Which row, and what it says.
        what: String,
    },
    /// A message that no log would take.
    #[error(transparent)]
    Refused(#[from] mcsp_events::EventError),
    /// A message to a topic that is not in the catalogue of events.
    #[error("topic {topic} is not in the catalogue")]
    UnknownTopic {
        /// Its name.
        topic: String,
    },
    /// More messages than one transaction sends.
    #[error("one transaction sends {what}, {max} allowed")]
    TooMuch {
        /// How many of what.
        what: String,
        /// The limit.
        max: usize,
    },
    /// A transaction was used after a call of it had failed.
    #[error("the transaction has ended with an earlier error")]
    Ended,
    /// The engine failed; time may help.
    #[error("catalog {at} could not {action}")]
    Engine {
        /// Which catalog.
        at: String,
        /// What was tried.
        action: &'static str,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
}

impl CatalogError {
    /// Returns whether time may help.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Full { .. } | Self::Unreachable { .. } | Self::Engine { .. })
    }
}
