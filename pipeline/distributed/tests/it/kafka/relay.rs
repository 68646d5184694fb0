//! A relay that dies between any two of its steps repeats nothing and loses nothing.

use std::time::Duration;

use mcsp_runtime::EventLog;

use super::{INPUT, all_in, half_way, messages, namespace, numbers, open, servers};

/// What a relay does, step by step: it asks for its position, reads rows behind it at its source, appends them with the
/// position of the last one, and deletes them at its source. It dies after `steps` of these.
async fn relay_once(log: &dyn EventLog, rows: &mut Vec<u64>, steps: u32) -> bool {
    let position = log.position("outbox").await.unwrap().unwrap_or(0);
    if steps == 0 {
        return false;
    }
    let batch: Vec<u64> = rows.iter().copied().filter(|row| *row > position).take(3).collect();
    if steps == 1 {
        return false;
    }
    let Some(last) = batch.last().copied() else { return true };
    let events = batch.iter().flat_map(|row| messages(INPUT, "film", *row..*row + 1)).collect();
    log.append_at("outbox", last, events).await.unwrap();
    if steps == 2 {
        return false;
    }
    rows.retain(|row| *row > last);
    rows.is_empty()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_killed_between_any_two_steps_repeats_nothing() {
    let Some(servers) = servers() else { return };
    let namespace = namespace();
    let mut rows: Vec<u64> = (1..=20).collect();
    let mut is_done = false;
    for life in 0..40 {
        if is_done {
            break;
        }
        // Every life is another process; each dies at another step.
        let log = open(&servers, &namespace, &format!("relay-{life}")).await;
        is_done = relay_once(&log, &mut rows, life % 4).await;
    }
    assert!(is_done, "{rows:?} are left");
    let log = open(&servers, &namespace, "reader").await;
    assert_eq!(numbers(&all_in(&log, INPUT).await), (1..=20).collect::<Vec<u64>>(), "each row once, in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_relays_of_one_source_do_not_repeat_each_other() {
    let Some(servers) = servers() else { return };
    let namespace = namespace();
    let (one, two) = (open(&servers, &namespace, "one").await, open(&servers, &namespace, "two").await);
    one.append_at("outbox", 3, messages(INPUT, "film", 1..4)).await.unwrap();
    // The second has read the same rows before it heard of the first.
    two.append_at("outbox", 3, messages(INPUT, "film", 1..4)).await.unwrap();
    two.append_at("outbox", 5, messages(INPUT, "film", 4..6)).await.unwrap();
    // The first goes on from where it believes to be: it was fenced, looks again, and leaves out what is there.
    one.append_at("outbox", 5, messages(INPUT, "film", 4..6)).await.unwrap();
    one.append_at("outbox", 6, messages(INPUT, "film", 6..7)).await.unwrap();
    assert_eq!(numbers(&all_in(&one, INPUT).await), [1, 2, 3, 4, 5, 6]);
    assert_eq!(two.position("outbox").await.unwrap(), Some(6));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_relay_left_open_is_gone_when_the_next_one_comes() {
    let Some(servers) = servers() else { return };
    let namespace = namespace();
    let log = open(&servers, &namespace, "first").await;
    log.append_at("outbox", 1, messages(INPUT, "film", 1..2)).await.unwrap();
    drop(log);
    // It died inside of its transaction, which would stand open for ten minutes.
    let id = format!("{namespace}mcsp.relay/outbox");
    let (topic, ten_minutes) = (format!("{namespace}{}", INPUT.name()), Duration::from_secs(600));
    let producer = tokio::task::spawn_blocking({
        let servers = servers.clone();
        move || half_way(&servers, &id, &topic, ten_minutes)
    });
    drop(producer.await.unwrap());
    let log = open(&servers, &namespace, "second").await;
    log.append_at("outbox", 2, messages(INPUT, "film", 2..3)).await.unwrap();
    assert_eq!(numbers(&all_in(&log, INPUT).await), [1, 2], "what it had written is not visible");
    assert_eq!(log.position("outbox").await.unwrap(), Some(2));
}
