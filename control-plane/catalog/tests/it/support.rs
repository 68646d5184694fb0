//! A catalog in a folder or in a database of its own, and messages to send.

use std::path::PathBuf;
use std::time::Duration;

use mcsp_catalog::{Catalog, CatalogError, PostgresOptions, ScratchDatabase};
use mcsp_domain::EventId;
use mcsp_events::{Headers, Message, Topic};
use sqlx::{ConnectOptions, Executor, SqliteConnection};

/// How long a write waits for others, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(30);

/// A place for one catalog.
pub(crate) enum World {
    Folder(tempfile::TempDir),
    Server(Box<ScratchDatabase>),
}

/// Runs tests that take a `World` on a file, and on a server where one is named.
macro_rules! on_each_engine {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::support::World::sqlite()).await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(world) = crate::support::World::postgres().await {
                    super::$name(world).await;
                }
            })*
        }
    };
}
pub(crate) use on_each_engine;

impl World {
    pub(crate) fn sqlite() -> Self {
        Self::Folder(tempfile::tempdir().unwrap())
    }

    /// None where no server is named.
    pub(crate) async fn postgres() -> Option<Self> {
        ScratchDatabase::make().await.unwrap().map(|database| Self::Server(Box::new(database)))
    }

    /// The file of a catalog in a folder.
    pub(crate) fn path(&self) -> PathBuf {
        let Self::Folder(folder) = self else { panic!("a database has no file") };
        folder.path().join("catalog.db")
    }

    pub(crate) async fn open(&self) -> Catalog {
        match self {
            Self::Folder(_) => {
                Catalog::open_within(&format!("sqlite:{}", self.path().display()), PATIENCE).await.unwrap()
            }
            Self::Server(database) => {
                let options = PostgresOptions { busy_timeout: PATIENCE, ..database.options() };
                Catalog::open_postgres(options).await.unwrap()
            }
        }
    }

    /// Opens with a short busy time-out, for tests that run into it.
    pub(crate) async fn open_hasty(&self) -> Result<Catalog, String> {
        let busy_timeout = Duration::from_millis(200);
        let opened = match self {
            Self::Folder(_) => Catalog::open_within(&format!("sqlite:{}", self.path().display()), busy_timeout).await,
            Self::Server(database) => {
                let options = PostgresOptions { busy_timeout, open_wait: busy_timeout, ..database.options() };
                Catalog::open_postgres(options).await
            }
        };
        opened.map_err(|error| self.shown(&error))
    }

    /// An error's text, with the place of the catalog left out.
    pub(crate) fn shown(&self, error: &CatalogError) -> String {
        let at = match self {
            Self::Folder(_) => self.path().display().to_string(),
            Self::Server(database) => {
                let PostgresOptions { user, host, port, database, .. } = database.options();
                format!("postgres://{user}@{host}:{port}/{database}")
            }
        };
        error.to_string().replace(&at, "AT")
    }

    /// Runs a statement past the catalog, as another program would.
    pub(crate) async fn run(&self, sql: &'static str) {
        match self {
            Self::Folder(_) => drop(self.connection().await.execute(sql).await.unwrap()),
            Self::Server(database) => database.run(sql).await.unwrap(),
        }
    }

    /// Opens the file past the catalog, as another program would.
    pub(crate) async fn connection(&self) -> SqliteConnection {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(self.path()).create_if_missing(true);
        options.disable_statement_logging().connect().await.unwrap()
    }
}

/// Returns a message that no other number has.
pub(crate) fn message(number: u32) -> Message {
    let headers = Headers {
        id: event(number),
        kind: "media.published".to_owned(),
        version: 1,
        source: "content".to_owned(),
        time_us: i64::from(number),
        traceparent: None,
        cause: Some(event(number + 1_000_000)),
        worker: None,
        attempt: None,
        started_us: None,
        dead: None,
    };
    let payload = format!("{{\"number\":{number}}}").into_bytes();
    Message { topic: Topic::Published.into(), key: format!("content-{number}"), spread: number, headers, payload }
}

pub(crate) fn event(number: u32) -> EventId {
    EventId::derived(&[b"catalog test", &number.to_be_bytes()])
}
