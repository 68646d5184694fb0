//! The relay between a real catalog and a real log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mcsp_catalog::Catalog;
use mcsp_domain::EventId;
use mcsp_embedded::{LogOptions, SqliteLog};
use mcsp_events::{Headers, Message, Topic, TopicName};
use mcsp_runtime::EventLog;
use mcsp_services::Relay;

use crate::support::World;

/// Keys that the messages are spread over.
const KEYS: u32 = 5;

fn message(number: u32) -> Message {
    let headers = Headers {
        id: EventId::derived(&[b"relay test", &number.to_be_bytes()]),
        kind: "media.published".to_owned(),
        version: 1,
        source: "content".to_owned(),
        time_us: 1_760_000_000_000_000 + i64::from(number),
        traceparent: None,
        cause: None,
        worker: None,
        attempt: None,
        started_us: None,
        dead: None,
    };
    let (key, payload) = (format!("content-{}", number % KEYS), number.to_string().into_bytes());
    Message { topic: Topic::Published.into(), key, spread: 0, headers, payload }
}

async fn send(catalog: &Catalog, numbers: std::ops::Range<u32>) {
    let mut tx = catalog.begin().await.unwrap();
    for number in numbers {
        tx.send(message(number)).unwrap();
    }
    tx.commit().await.unwrap();
}

/// Returns the numbers that the log holds, by key, in its order.
async fn logged(log: &dyn EventLog) -> BTreeMap<String, Vec<u32>> {
    let topic = TopicName::from(Topic::Published);
    let mut numbers: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for span in log.partitions(&topic).await.unwrap() {
        for record in log.read(&topic, span.partition, span.begin_offset, 10_000).await.unwrap() {
            let number = String::from_utf8(record.payload).unwrap().parse().unwrap();
            numbers.entry(record.key).or_default().push(number);
        }
    }
    numbers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_is_cut_off_at_any_moment_brings_each_message_once_and_in_order() {
    let world = World::new();
    let catalog = world.catalog().await;
    let path = world.folder.path().join("events.db");
    let log: Arc<dyn EventLog> = Arc::new(SqliteLog::open(&path, LogOptions::default()).await.unwrap());
    // The name stays, as it does for a process that starts again before its lease ran out.
    let relay = Relay::new(catalog.clone(), log.clone(), "one".to_owned());
    let mut sent = 0;
    for round in 0..40_u64 {
        send(&catalog, sent..sent + 37).await;
        sent += 37;
        // Dropping the future ends it wherever it is: between two steps, or in one.
        let life = Duration::from_micros(round * 397 % 12_000);
        let cut = tokio::time::timeout(life, relay.run(std::future::pending())).await;
        assert!(cut.is_err(), "it would have run for ever");
    }
    let emptied = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        while !catalog.outbox_after(0, 1).await.unwrap().is_empty() {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), relay.run(emptied)).await.unwrap();

    let expected: BTreeMap<String, Vec<u32>> = (0..KEYS)
        .map(|key| (format!("content-{key}"), (0..sent).filter(|number| number % KEYS == key).collect()))
        .collect();
    assert_eq!(logged(&*log).await, expected);
}
