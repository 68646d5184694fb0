//! What appending promises: order per key, ids that are taken once, all or none, positions of relays.

use std::collections::{BTreeMap, BTreeSet};

use mcsp_domain::limits::EVENT_BYTES_MAX;
use mcsp_events::{Topic, TopicName};

use super::{Fleet, INPUT, OUTPUT, all_in, handle, join, message, messages, name_of, number, numbers, ok};
use crate::LogError;

pub(super) async fn keys_stay_in_order(fleet: Fleet) {
    let process = fleet.open().await;
    for batch in 0..10 {
        let keys = (0..20).map(|key| format!("key {key}"));
        let batch = keys.flat_map(|key| messages(INPUT, &key, batch * 4..batch * 4 + 4)).collect();
        ok("append", process.log.append(batch).await);
    }
    let subscription = join(&process, "readers", &[INPUT]).await;
    let mut by_key: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for record in handle(&*subscription, 800).await {
        by_key.entry(record.key.clone()).or_default().push(number(&record));
    }
    assert_eq!(by_key.len(), 20, "every key came");
    for (key, numbers) in by_key {
        assert_eq!(numbers, (0..40).collect::<Vec<u64>>(), "{key} came whole and in order");
    }
}

pub(super) async fn an_id_is_taken_once(fleet: Fleet) {
    let (one, two) = (fleet.open().await, fleet.open().await);
    let twice = [messages(INPUT, "film", 0..3), messages(INPUT, "film", 2..4)].concat();
    ok("append", one.log.append(twice).await);
    let again = if one.shares_ids { &two } else { &one };
    ok("append again", again.log.append(messages(INPUT, "film", 1..6)).await);
    let topic = INPUT.into();
    assert_eq!(numbers(&all_in(&one, &topic).await), [0, 1, 2, 3, 4, 5]);
    assert_eq!(numbers(&all_in(&two, &topic).await), [0, 1, 2, 3, 4, 5], "each process sees it");
}

pub(super) async fn all_or_none(fleet: Fleet) {
    let process = fleet.open().await;
    let mut oversized = message(INPUT, "film", 1);
    oversized.payload = vec![b' '; EVENT_BYTES_MAX + 1];
    let refused = process.log.append(vec![message(INPUT, "film", 0), oversized]).await;
    let Err(error) = refused else { panic!("an oversized event must be refused") };
    assert!(matches!(error, LogError::Refused(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(INPUT.name()) && text.contains(&(EVENT_BYTES_MAX + 1).to_string()), "{text}");

    let mut stranger = message(INPUT, "film", 1);
    stranger.topic = name_of(TopicName::parse("no.such.topic"));
    let refused = process.log.append(vec![message(INPUT, "film", 0), stranger]).await;
    assert!(matches!(refused, Err(LogError::UnknownTopic { topic }) if topic == "no.such.topic"));
    assert!(all_in(&process, &INPUT.into()).await.is_empty(), "what is refused is not visible in part");
    ok("an empty append", process.log.append(Vec::new()).await);
}

pub(super) async fn a_relay_repeats_nothing(fleet: Fleet) {
    let process = fleet.open().await;
    let log = &process.log;
    assert_eq!(ok("position", log.position("outbox").await), None);
    ok("append", log.append_at("outbox", 5, messages(INPUT, "film", 0..2)).await);
    ok("append", log.append_at("outbox", 5, messages(INPUT, "film", 2..4)).await);
    ok("append", log.append_at("outbox", 4, messages(INPUT, "film", 4..6)).await);
    assert_eq!(ok("position", log.position("outbox").await), Some(5));
    let mut oversized = message(INPUT, "film", 9);
    oversized.payload = vec![b' '; EVENT_BYTES_MAX + 1];
    assert!(log.append_at("outbox", 8, vec![message(INPUT, "film", 8), oversized]).await.is_err());
    assert_eq!(ok("position", log.position("outbox").await), Some(5), "position and events go together");
    ok("append", log.append_at("outbox", 7, messages(INPUT, "film", 6..8)).await);
    ok("append", log.append_at("other", 1, Vec::new()).await);
    assert_eq!(ok("position", log.position("outbox").await), Some(7));
    assert_eq!(ok("position", log.position("other").await), Some(1));
    assert_eq!(numbers(&all_in(&process, &INPUT.into()).await), [0, 1, 6, 7]);
}

pub(super) async fn spread_events_lie_apart(fleet: Fleet) {
    let process = fleet.open().await;
    let topic = Topic::TranscodeRequestedInteractive;
    let mut chunks = messages(topic, "film", 0..10);
    for (spread, chunk) in chunks.iter_mut().enumerate() {
        chunk.spread = u32::try_from(spread).unwrap_or(0);
    }
    let expected: Vec<u32> = chunks.iter().map(|chunk| chunk.partition(topic.spec().partitions)).collect();
    ok("append", process.log.append(chunks).await);
    let mut records = all_in(&process, &topic.into()).await;
    records.sort_by_key(number);
    let partitions: Vec<u32> = records.iter().map(|record| record.partition).collect();
    assert_eq!(partitions, expected, "Kafka's partitioner, then the spread");
    assert_eq!(partitions.iter().collect::<BTreeSet<_>>().len(), 10);
    ok("append", process.log.append(vec![message(OUTPUT, "user", 0)]).await);
    assert_eq!(ok("partitions", process.log.partitions(&OUTPUT.into()).await).len(), 8);
}
