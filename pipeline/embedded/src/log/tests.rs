//! What a relay may rely on when the disk fails to sync.

use mcsp_domain::EventId;
use mcsp_events::{Headers, Topic};

use super::*;

/// Returns a message of a topic that asks for no sync.
fn message() -> Message {
    let topic = Topic::ALL.iter().find(|topic| topic.spec().durability == Durability::Process).unwrap();
    let headers = Headers {
        id: EventId::derived(&[b"relayed"]),
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
    Message { topic: (*topic).into(), key: "k".to_owned(), spread: 0, headers, payload: b"{}".to_vec() }
}

async fn open(folder: &tempfile::TempDir) -> SqliteLog {
    SqliteLog::open(&folder.path().join("events.db"), LogOptions::default()).await.unwrap()
}

fn assert_unsynced<T: std::fmt::Debug>(answer: Result<T, LogError>) {
    let error = answer.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.starts_with("the disk failed to sync "), "{cause}");
}

#[tokio::test]
async fn an_append_at_is_synced_whatever_its_topics_ask_for() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder).await;
    log.inner.database.fail_syncs().await;
    log.append(vec![message()]).await.unwrap();
    let mut again = message();
    again.headers.id = EventId::derived(&[b"relayed at a position"]);
    assert_unsynced(log.append_at("outbox", 1, vec![again]).await);
}

#[tokio::test]
async fn a_position_that_another_process_noted_is_synced_before_it_counts() {
    let folder = tempfile::tempdir().unwrap();
    let other = open(&folder).await;
    other.append_at("outbox", 7, vec![message()]).await.unwrap();
    let log = open(&folder).await;
    assert_eq!(log.position("outbox").await.unwrap(), Some(7));
    log.append_at("outbox", 7, vec![message()]).await.unwrap();
    log.inner.database.fail_syncs().await;
    assert_unsynced(log.append_at("outbox", 7, vec![message()]).await);
    let log = open(&folder).await;
    log.inner.database.fail_syncs().await;
    assert_unsynced(log.position("outbox").await);
}
