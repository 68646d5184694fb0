//! A folder with a catalog in it, and messages to send.

use std::path::PathBuf;
use std::time::Duration;

use mcsp_catalog::Catalog;
use mcsp_domain::EventId;
use mcsp_events::{Headers, Message, Topic};
use sqlx::{ConnectOptions, SqliteConnection};

/// A folder of its own.
pub(crate) struct World {
    folder: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("catalog.db")
    }

    pub(crate) fn url(&self) -> String {
        format!("sqlite:{}", self.path().display())
    }

    pub(crate) async fn open(&self) -> Catalog {
        Catalog::open(&self.url()).await.unwrap()
    }

    /// Opens with a short busy time-out, for tests that run into it.
    pub(crate) async fn open_hasty(&self) -> Result<Catalog, String> {
        let opened = Catalog::open_within(&self.url(), Duration::from_millis(200)).await;
        opened.map_err(|error| error.to_string().replace(&self.path().display().to_string(), "FILE"))
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
