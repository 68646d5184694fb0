//! Why the catalog could not answer.

use std::path::PathBuf;

/// Why the catalog could not answer. `may_pass` tells whether time may help.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// A URL that names no engine, or no file.
    #[error("catalog url {url:?} is not of the form sqlite:<path>")]
    Url {
        /// The URL, or its scheme alone where it may hold a password.
        url: String,
    },
    /// An engine that this program was built without.
    #[error("catalog engine {scheme} is not built into this program: use sqlite:<path>")]
    NotBuiltIn {
        /// The URL's scheme.
        scheme: String,
    },
    /// The file is not ours.
    #[error("{} is not a catalog: {found}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        found: String,
    },
    /// A newer program made the file.
    #[error(
        "catalog {} has schema version {found}, this program knows versions up to {known}: start the newer program",
        path.display()
    )]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// The file was made by other migrations than this program's.
    #[error(
        "catalog {} has migration {version} as {found:?}, which is not the one that this program knows as {known:?}",
        path.display()
    )]
    OtherMigration {
        /// The file.
        path: PathBuf,
        /// The migration's number.
        version: i64,
        /// Its name in the file.
        found: String,
        /// Its name in the program.
        known: String,
    },
    /// Another connection held the file for longer than the busy time-out; time may help.
    #[error("catalog {} is held by another process: could not {action}", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// The disk is full; space may help.
    #[error("no space left for catalog {}: could not {action}, nothing was changed", path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// The file or its folder may not be written.
    #[error("catalog {} may not be written: could not {action}", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// The file cannot be opened: its folder is missing or closed to us.
    #[error("catalog {} cannot be opened: its folder is missing, or closed to this user", path.display())]
    CannotOpen {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// A row that we could not have written.
    #[error("catalog {} holds a damaged row: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
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
    #[error("catalog {} could not {action}", path.display())]
    Engine {
        /// The file.
        path: PathBuf,
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
        matches!(self, Self::Busy { .. } | Self::Full { .. } | Self::Engine { .. })
    }
}
