//! Live messages: none is lost, none comes twice, wherever a client goes on and whoever wrote them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mcsp_catalog::Catalog;
use mcsp_domain::SessionId;
use mcsp_services::notify::{CONNECTIONS_PER_USER_MAX, LiveEvents, LiveStream, LiveTimes, NotifyError, ProgressLookup};
use mcsp_services::upload::UploadProgress;
use serde_json::json;

use crate::support::World;
use crate::told::{content, user};

fn no_uploads() -> ProgressLookup {
    Arc::new(|_| Box::pin(async { Vec::new() }))
}

fn events(catalog: &Catalog) -> LiveEvents {
    LiveEvents::new(catalog.clone(), no_uploads(), LiveTimes::default())
}

async fn write(catalog: &Catalog, number: u64) {
    let mut tx = catalog.begin().await.unwrap();
    tx.notice(user(1), "content.state", Some(content(1)), &json!({ "number": number }), 1).await.unwrap();
    tx.commit().await.unwrap();
}

/// Returns the next message's kind, number and cursor.
async fn next(stream: &mut LiveStream) -> (String, u64, u64) {
    let message = tokio::time::timeout(Duration::from_secs(20), stream.next()).await.unwrap().unwrap();
    (message.kind, message.body["number"].as_u64().unwrap_or(0), message.cursor.parse().unwrap())
}

#[tokio::test]
async fn a_client_that_goes_on_from_its_cursor_sees_each_notice_once() {
    let world = World::new();
    // The second handle is another process's: its commits wake nobody here.
    let (catalog, other) = (world.catalog().await, world.catalog().await);
    let events = events(&catalog);
    write(&catalog, 1).await;
    let mut stream = events.stream(user(1), None).await.unwrap();
    assert_eq!(next(&mut stream).await, ("events.ready".to_owned(), 0, 1), "it begins now");
    let writer = {
        let (catalog, other) = (catalog.clone(), other.clone());
        tokio::spawn(async move {
            for number in 2..=60 {
                write(if number % 2 == 0 { &catalog } else { &other }, number).await;
            }
        })
    };
    let (mut seen, mut cursor) = (Vec::new(), 1);
    while seen.len() < 59 {
        // Each connection breaks after seven messages.
        let mut stream = events.stream(user(1), Some(cursor)).await.unwrap();
        for _ in 0..7 {
            if seen.len() == 59 {
                break;
            }
            let (kind, number, at) = next(&mut stream).await;
            if kind == "content.state" {
                seen.push(number);
            }
            cursor = at;
        }
    }
    writer.await.unwrap();
    assert_eq!(seen, (2..=60).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_cursor_from_before_the_sweep_is_told() {
    let world = World::new();
    let catalog = world.catalog().await;
    for number in 1..=3 {
        write(&catalog, number).await;
    }
    catalog.sweep_notices(10).await.unwrap();
    write(&catalog, 4).await;
    let events = events(&catalog);
    let mut stream = events.stream(user(1), Some(1)).await.unwrap();
    assert_eq!(next(&mut stream).await, ("events.missed".to_owned(), 0, 3));
    assert_eq!(next(&mut stream).await, ("events.ready".to_owned(), 0, 3));
    assert_eq!(next(&mut stream).await, ("content.state".to_owned(), 4, 4));
    let mut ahead = events.stream(user(1), Some(1000)).await.unwrap();
    assert_eq!(next(&mut ahead).await, ("events.missed".to_owned(), 0, 4), "a catalog that was put back");
    let mut whole = events.stream(user(1), Some(3)).await.unwrap();
    assert_eq!(next(&mut whole).await, ("events.ready".to_owned(), 0, 3));
}

#[tokio::test]
async fn uploads_in_progress_are_told_while_they_move() {
    let world = World::new();
    let catalog = world.catalog().await;
    let bytes = Arc::new(AtomicU64::new(10));
    let known = Arc::clone(&bytes);
    let progress: ProgressLookup = Arc::new(move |_| {
        let (session, content) = (SessionId::from_bytes([5; 16]), content(1));
        let bytes = known.load(Ordering::Relaxed);
        Box::pin(async move { vec![UploadProgress { session, content, bytes, total_bytes: 100 }] })
    });
    let events = LiveEvents::new(catalog.clone(), progress, LiveTimes::default());
    let mut stream = events.stream(user(1), None).await.unwrap();
    assert_eq!(next(&mut stream).await.0, "events.ready");
    for expected in [10, 70] {
        bytes.store(expected, Ordering::Relaxed);
        let message = tokio::time::timeout(Duration::from_secs(20), stream.next()).await.unwrap().unwrap();
        assert_eq!((message.kind.as_str(), message.content), ("upload.progress", Some(content(1))));
        assert_eq!((&message.body["bytes"], &message.body["total_bytes"]), (&expected.into(), &100.into()));
    }
    write(&catalog, 1).await;
    assert_eq!(next(&mut stream).await, ("content.state".to_owned(), 1, 1), "what stands still is told once");
}

#[tokio::test]
async fn a_user_holds_so_many_connections_and_gets_their_places_back() {
    let world = World::new();
    let events = events(&world.catalog().await);
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS_PER_USER_MAX {
        open.push(events.stream(user(1), None).await.unwrap());
    }
    let refused = events.stream(user(1), None).await.err().unwrap();
    assert!(matches!(refused, NotifyError::TooManyConnections { .. }), "{refused}");
    events.stream(user(2), None).await.unwrap();
    open.pop();
    events.stream(user(1), None).await.unwrap();
}
