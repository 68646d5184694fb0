//! What a dead or busy process leaves behind: open transactions, records in long work, replays in its absence.

use std::time::{Duration, Instant};

use mcsp_events::GroupName;
use mcsp_runtime::{Completion, EventLog, LogError, ReplayFrom};

use super::{
    INPUT, OUTPUT, PATIENCE, all_in, eventually, half_way, join, message, messages, namespace, number, numbers,
};
use super::{open, servers, take};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_transaction_of_a_dead_producer_is_invisible_and_ends() {
    let Some(servers) = servers() else { return };
    let namespace = namespace();
    let log = open(&servers, &namespace, "reader").await;
    let topic = format!("{namespace}{}", INPUT.name());
    let (address, id) = (servers.clone(), format!("{namespace}dead"));
    let dead = tokio::task::spawn_blocking(move || half_way(&address, &id, &topic, Duration::from_secs(4)));
    drop(dead.await.unwrap());
    // Behind it, in its partition: held back as long as the brokers cannot know what becomes of it.
    let mut behind = message(INPUT, "film", 1);
    behind.key = (0..).map(|n| format!("film {n}")).find(|key| message(INPUT, key, 0).partition(8) == 0).unwrap();
    log.append(vec![behind]).await.unwrap();
    assert!(all_in(&log, INPUT).await.is_empty(), "nothing of it and nothing behind it is visible");
    eventually("the brokers end it", || async { !all_in(&log, INPUT).await.is_empty() }).await;
    assert_eq!(numbers(&all_in(&log, INPUT).await), [1], "it never happened");
    let member = join(&log, "readers", "one").await;
    assert_eq!(numbers(&take(&*member, 8, 8).await), [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_work_keeps_its_partition_while_others_go_on() {
    let Some(servers) = servers() else { return };
    let namespace = namespace();
    let log = open(&servers, &namespace, "worker").await;
    let member = join(&log, "workers", "one").await;
    log.append(messages(INPUT, "long", 0..2)).await.unwrap();
    let long = take(&*member, 1, 1).await;
    let partition = long[0].partition;
    let other =
        (0..).map(|n| format!("film {n}")).find(|key| message(INPUT, key, 0).partition(8) != partition).unwrap();
    // The brokers throw a member out that does not poll for 4 s: twice as long, and more waits than is kept in memory.
    let (begin, mut handled) = (Instant::now(), 0);
    log.append(messages(INPUT, "long", 2..3_000)).await.unwrap();
    while begin.elapsed() < Duration::from_secs(9) {
        log.append(vec![message(INPUT, &other, handled)]).await.unwrap();
        let records = take(&*member, 1, 1).await;
        assert_eq!((records[0].key.as_str(), number(&records[0])), (other.as_str(), handled), "its neighbours go on");
        member.complete(Completion { records, outputs: Vec::new() }).await.unwrap();
        assert!(member.owns(&long[0]), "lost after {:?}", begin.elapsed());
        handled += 1;
    }
    member.complete(Completion { records: long, outputs: messages(OUTPUT, "user", 0..1) }).await.unwrap();
    let mut rest = Vec::new();
    while rest.len() < 2_999 {
        let records = take(&*member, 500, 500).await;
        member.complete(Completion { records: records.clone(), outputs: Vec::new() }).await.unwrap();
        rest.extend(records);
    }
    assert_eq!(numbers(&rest), (1..3_000).collect::<Vec<u64>>(), "what waited comes whole and in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_counts_for_partitions_that_nobody_has() {
    let Some(servers) = servers() else { return };
    let namespace = namespace();
    let log = open(&servers, &namespace, "one").await;
    let (readers, member) = (GroupName::parse("readers").unwrap(), join(&log, "readers", "one").await);
    log.append(messages(INPUT, "film", 0..4)).await.unwrap();
    let records = take(&*member, 8, 8).await;
    member.retry_later(&records[3], mcsp_runtime::now_us() + 3_600_000_000, "in an hour").await.unwrap();
    let outputs = messages(OUTPUT, "user", 0..1);
    member.complete(Completion { records: records[..3].to_vec(), outputs }).await.unwrap();
    member.close().await.unwrap();
    let offset = records[1].offset;
    let from = ReplayFrom::Offset { partition: records[1].partition, offset };
    assert_eq!(log.replay(&readers, &INPUT.into(), from).await.unwrap(), 1);
    drop(log);
    let log = open(&servers, &namespace, "two").await;
    assert_eq!(log.lag(&readers).await.unwrap().iter().map(|lag| lag.records).sum::<u64>(), 3);
    let member = join(&log, "readers", "two").await;
    let again = take(&*member, 8, 8).await;
    assert_eq!(
        (numbers(&again), member.epoch()),
        (vec![1, 2, 3], 1),
        "what was set aside behind it comes with the rest"
    );
    assert!(again.iter().all(|record| record.attempt == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_of_the_same_name_takes_over_and_the_old_one_is_fenced() {
    let Some(servers) = servers() else { return };
    let namespace = namespace();
    let zombie_log = open(&servers, &namespace, "worker").await;
    let zombie = join(&zombie_log, "workers", "one").await;
    zombie_log.append(messages(INPUT, "film", 0..2)).await.unwrap();
    let held = take(&*zombie, 1, 1).await;
    zombie_log.stall();
    // The process comes again, as after a crash that was none.
    let log = open(&servers, &namespace, "worker").await;
    let heir = join(&log, "workers", "one").await;
    let again = take(&*heir, 1, 1).await;
    assert_eq!(again, held);
    let outputs = messages(OUTPUT, "user", 0..1);
    let fenced = zombie.complete(Completion { records: held, outputs: outputs.clone() }).await;
    assert!(matches!(fenced, Err(LogError::Fenced { .. })), "{fenced:?}");
    heir.complete(Completion { records: again, outputs }).await.unwrap();
    assert_eq!(numbers(&all_in(&log, OUTPUT).await), [0], "one effect");
    let begin = Instant::now();
    assert_eq!(numbers(&take(&*heir, 1, 1).await), [1]);
    assert!(begin.elapsed() < PATIENCE);
}
