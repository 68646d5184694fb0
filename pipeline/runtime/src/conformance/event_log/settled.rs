//! What settling promises: offset and outputs together, records set aside, given up, or handed back.

use std::time::Duration;

use mcsp_domain::limits::EVENT_BYTES_MAX;
use mcsp_events::{Message, Topic, TopicName};

use super::{
    Fleet, INPUT, OUTPUT, all_in, complete, group, handle, join, message, messages, nothing_more, number, numbers, ok,
    soon, take,
};
use crate::{Completion, LogError, now_us};

pub(super) async fn a_partition_waits_for_its_records(fleet: Fleet) {
    let process = fleet.open().await;
    let subscription = join(&process, "readers", &[INPUT]).await;
    let empty = ok("next", subscription.next(8, 8, Duration::ZERO).await);
    assert!(empty.is_empty(), "nothing was appended");
    ok("append", process.log.append(messages(INPUT, "film", 0..5)).await);
    let first = take(&*subscription, 8, 2).await;
    assert_eq!(numbers(&first), [0, 1]);
    assert!(first.iter().all(|record| record.attempt == 1 && subscription.owns(record)));
    nothing_more(&*subscription, "records of the partition are out").await;
    complete(&*subscription, &first[..1]).await;
    nothing_more(&*subscription, "one record of the partition is out").await;
    complete(&*subscription, &first[1..]).await;
    assert_eq!(numbers(&take(&*subscription, 1, 8).await), [2], "at most as many as were asked for");
    let never_given = Completion { records: vec![first[0].clone()], outputs: Vec::new() };
    assert!(matches!(subscription.complete(never_given).await, Err(LogError::Misused { .. })), "settled twice");
    ok("close", subscription.close().await);
}

pub(super) async fn outputs_and_offset_together(fleet: Fleet) {
    let process = fleet.open().await;
    let subscription = join(&process, "readers", &[INPUT]).await;
    ok("append", process.log.append(messages(INPUT, "film", 0..2)).await);
    let records = take(&*subscription, 1, 1).await;
    let mut oversized = message(OUTPUT, "user", 1);
    oversized.payload = vec![b' '; EVENT_BYTES_MAX + 1];
    let outputs = vec![message(OUTPUT, "user", 0), oversized];
    let refused = subscription.complete(Completion { records: records.clone(), outputs }).await;
    assert!(matches!(refused, Err(LogError::Refused(_))), "{refused:?}");
    assert!(
        all_in(&process, &OUTPUT.into()).await.is_empty(),
        "what follows from an aborted completion is not visible"
    );
    assert!(subscription.owns(&records[0]), "the record is still out");

    let done = Completion { records, outputs: messages(OUTPUT, "user", 0..3) };
    ok("complete", subscription.complete(done).await);
    assert_eq!(numbers(&all_in(&process, &OUTPUT.into()).await), [0, 1, 2]);
    drop(subscription);
    drop(process);
    let other = fleet.open().await;
    let subscription = join(&other, "readers", &[INPUT]).await;
    assert_eq!(numbers(&take(&*subscription, 8, 8).await), [1], "the offset moved with the outputs");
}

pub(super) async fn a_retried_record_lets_others_pass(fleet: Fleet) {
    let process = fleet.open().await;
    let subscription = join(&process, "readers", &[INPUT]).await;
    ok("append", process.log.append(messages(INPUT, "film", 0..2)).await);
    let first = take(&*subscription, 8, 1).await;
    let not_before_us = soon();
    ok("retry", subscription.retry_later(&first[0], not_before_us, "not yet").await);
    let second = take(&*subscription, 8, 1).await;
    assert_eq!((number(&second[0]), second[0].attempt), (1, 1), "its neighbour goes on");
    complete(&*subscription, &second).await;
    let again = take(&*subscription, 8, 1).await;
    assert!(now_us() >= not_before_us, "it came before its time");
    assert_eq!((number(&again[0]), again[0].attempt, again[0].offset), (0, 2, first[0].offset));
    assert_eq!(again[0].headers, first[0].headers);
    ok("retry", subscription.retry_later(&again[0], now_us(), "again").await);
    let last = take(&*subscription, 8, 1).await;
    assert_eq!((number(&last[0]), last[0].attempt), (0, 3));
    complete(&*subscription, &last).await;
    nothing_more(&*subscription, "everything is settled").await;
}

pub(super) async fn what_is_due_is_never_forgotten(fleet: Fleet) {
    let process = fleet.open().await;
    let subscription = join(&process, "readers", &[INPUT]).await;
    let partition = |key: &str| message(INPUT, key, 0).partition(INPUT.spec().partitions);
    let other = (0..).map(|n| format!("film {n}")).find(|key| partition(key) != partition("film"));
    let other = other.unwrap_or_default();
    ok("append", process.log.append([messages(INPUT, "film", 0..2), messages(INPUT, &other, 2..3)].concat()).await);
    let mut records = take(&*subscription, 8, 2).await;
    records.sort_by_key(number);
    assert_eq!(numbers(&records), [0, 1, 2]);
    let not_before_us = soon();
    for record in &records {
        ok("retry", subscription.retry_later(record, not_before_us, "later").await);
    }
    // All three are due together. The two older ones, of one partition, fill the call, which may give one of them.
    let mut out = Vec::new();
    while out.len() < 2 {
        out.extend(take(&*subscription, 2, 1).await);
    }
    assert_eq!(numbers(&out), [0, 2], "the oldest of each partition");
    complete(&*subscription, &out).await;
    assert_eq!(numbers(&handle(&*subscription, 1).await), [1]);
}

pub(super) async fn a_dead_letter_tells_and_comes_back(fleet: Fleet) {
    let process = fleet.open().await;
    let readers = group("readers");
    let subscription = join(&process, "readers", &[INPUT]).await;
    ok("append", process.log.append(messages(INPUT, "film", 0..2)).await);
    let record = take(&*subscription, 1, 1).await.remove(0);
    let outputs = vec![message(OUTPUT, "user", 7)];
    ok("dead", subscription.dead(&record, "no such codec", outputs).await);
    assert_eq!(numbers(&all_in(&process, &OUTPUT.into()).await), [7], "what follows from a death is visible with it");
    let letters = all_in(&process, &TopicName::dead(&readers)).await;
    let [letter] = &letters[..] else { panic!("one dead letter, not {letters:?}") };
    let Some(dead) = letter.headers.dead.clone() else { panic!("a dead letter says why: {letter:?}") };
    assert_eq!((dead.position, dead.topic, dead.attempts), (record.position(), record.topic.clone(), 1));
    assert_eq!(dead.error, "no such codec");
    assert_eq!((&letter.payload, letter.headers.id), (&record.payload, record.headers.id));
    assert_eq!(handle(&*subscription, 1).await[0].offset, record.offset + 1, "the partition goes on");

    let stranger = process.log.redeliver(&readers, &record).await;
    assert!(matches!(stranger, Err(LogError::Misused { .. })), "a record that is no dead letter");
    ok("redeliver", process.log.redeliver(&readers, letter).await);
    let again = take(&*subscription, 8, 8).await;
    assert_eq!(again, std::slice::from_ref(&record), "as a first attempt of the event that it was");
    assert!(all_in(&process, &TopicName::dead(&readers)).await.is_empty(), "the letter is taken out");
    let gone = process.log.redeliver(&readers, letter).await;
    assert!(matches!(gone, Err(LogError::Misused { .. })), "a letter is redelivered once");
    ok("dead", subscription.dead(&again[0], &"x".repeat(10_000), Vec::new()).await);
    let letters = all_in(&process, &TopicName::dead(&readers)).await;
    let errors = letters.iter().filter_map(|letter| letter.headers.dead.as_ref()).map(|dead| dead.error.len());
    assert_eq!(errors.collect::<Vec<_>>(), [2000], "it may die again, and its error is cut");
}

pub(super) async fn released_records_come_at_once(fleet: Fleet) {
    let process = fleet.open().await;
    let subscription = join(&process, "readers", &[INPUT]).await;
    ok("append", process.log.append(messages(INPUT, "film", 0..3)).await);
    let records = take(&*subscription, 8, 3).await;
    complete(&*subscription, &records[..1]).await;
    ok("release", subscription.release(&records[1..]).await);
    assert_eq!(take(&*subscription, 8, 3).await, records[1..], "the same records with the same attempt");
}

pub(super) async fn the_oldest_go_first(fleet: Fleet) {
    let process = fleet.open().await;
    let topic = Topic::TranscodeRequestedInteractive;
    let partitions = topic.spec().partitions;
    let film = |key: &str, first: u64| -> Vec<Message> {
        let mut chunks = messages(topic, key, first..first + 10);
        (0..).zip(&mut chunks).for_each(|(spread, chunk)| chunk.spread = spread);
        chunks
    };
    let begin = |key: &str| message(topic, key, 0).partition(partitions);
    let distance = |key: &str| begin(key).abs_diff(begin("older"));
    let apart = (0..).map(|n| format!("younger {n}")).find(|key| (10..=partitions - 10).contains(&distance(key)));
    // Two films on partitions of their own, the younger one appended first: the older one's events come first all the same.
    let chunks = [film(&apart.unwrap_or_default(), 20), film("older", 0)].concat();
    ok("append", process.log.append(chunks).await);
    let subscription = join(&process, "workers", &[topic]).await;
    let mut first = numbers(&take(&*subscription, 4, 1).await);
    first.sort_unstable();
    assert_eq!(first, [0, 1, 2, 3], "oldest events first, then the lowest chunk");
}
