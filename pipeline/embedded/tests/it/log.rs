//! The event log on SQLite keeps its port's promises, and what is its own: what it refuses to open, and what happens over
//! several processes of the operating system.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

mod faults;
mod processes;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mcsp_domain::EventId;
use mcsp_embedded::{LogOptions, SqliteLog};
use mcsp_events::{GroupName, Headers, Message, Topic};
use mcsp_runtime::conformance::{self, LogProcess};
use mcsp_runtime::{EventLog, LogError, SubscribeOptions, Subscription, now_us};

async fn process(path: PathBuf) -> LogProcess {
    let log = Arc::new(SqliteLog::open(&path, LogOptions::default()).await.unwrap());
    let stalled = Arc::downgrade(&log);
    let stall = Box::new(move || stalled.upgrade().unwrap().stall());
    LogProcess { log, stall, shares_ids: true }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_its_ports_promises() {
    let folder = tempfile::tempdir().unwrap();
    let count = AtomicU32::new(0);
    conformance::event_log(|| {
        let path = folder.path().join(count.fetch_add(1, Ordering::Relaxed).to_string()).join("events.db");
        async move { move || process(path.clone()) }
    })
    .await;
}

async fn open(path: &Path) -> Result<SqliteLog, LogError> {
    SqliteLog::open(path, LogOptions::default()).await
}

/// Returns an error with its causes, as an operator reads it.
fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn message(topic: Topic, number: u64, payload_bytes: usize) -> Message {
    let headers = Headers {
        id: EventId::derived(&[topic.name().as_bytes(), &number.to_be_bytes()]),
        kind: topic.name().to_owned(),
        version: 1,
        source: "test".to_owned(),
        time_us: now_us(),
        traceparent: None,
        cause: None,
        worker: None,
        attempt: None,
        started_us: None,
        dead: None,
    };
    let payload = vec![b'x'; payload_bytes];
    Message { topic: topic.into(), key: format!("key {}", number % 7), spread: 0, headers, payload }
}

async fn join(log: &SqliteLog, group: &str, topic: Topic) -> Box<dyn Subscription> {
    let options = SubscribeOptions { member: "test".to_owned(), lease: Duration::from_secs(10) };
    log.subscribe(&GroupName::parse(group).unwrap(), &[topic.into()], options).await.unwrap()
}
