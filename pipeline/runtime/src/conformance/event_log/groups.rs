//! What groups promise: each sees everything; a record is in the hands of one member at a time; members come, go, die and
//! hang, and every record is handled once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use mcsp_domain::EventId;

use super::super::eventually::eventually;
use super::{
    Fleet, INPUT, LEASE, LogProcess, OUTPUT, all_in, complete, handle, join, join_for, lag_of, message, messages,
    number, numbers, ok, take,
};
use crate::{Completion, LogError, Subscription};

pub(super) async fn each_group_sees_everything(fleet: Fleet) {
    let process = fleet.open().await;
    ok("append", process.log.append(messages(INPUT, "film", 0..3)).await);
    let early = join(&process, "early", &[INPUT]).await;
    assert_eq!(numbers(&handle(&*early, 3).await), [0, 1, 2]);
    let late = join(&process, "late", &[INPUT, OUTPUT]).await;
    assert_eq!(numbers(&handle(&*late, 3).await), [0, 1, 2], "a group begins at the beginning");
    ok("append", process.log.append(messages(OUTPUT, "user", 9..10)).await);
    assert_eq!(numbers(&handle(&*late, 1).await), [9]);
    assert_eq!(lag_of(&process, "early").await, BTreeMap::new(), "a topic that it did not ask for is none of its lag");
}

/// A member that writes one event for each record that it handles, under an id of its own, so that a record that counts
/// twice is seen twice.
struct Worker {
    stop: Arc<AtomicBool>,
    handled: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<Box<dyn Subscription>>,
}

/// Records that a feed is ahead of its members at most: a member that completes one by one is slower than a feed in batches.
const AHEAD_MAX: u64 = 24 * 16;

fn work(name: &'static str, subscription: Box<dyn Subscription>, total: &Arc<AtomicU64>) -> Worker {
    let stop = Arc::new(AtomicBool::new(false));
    let handled = Arc::new(AtomicU64::new(0));
    let (stopped, count, total) = (stop.clone(), handled.clone(), total.clone());
    let task = tokio::spawn(async move {
        while !stopped.load(Ordering::SeqCst) {
            let records = ok("next", subscription.next(16, 4, Duration::from_millis(50)).await);
            for record in records {
                let mut effect = message(OUTPUT, &record.key, number(&record));
                let nth = count.load(Ordering::SeqCst).to_be_bytes();
                effect.headers.id = EventId::derived(&[name.as_bytes(), &nth]);
                let done = Completion { records: vec![record], outputs: vec![effect] };
                match subscription.complete(done).await {
                    Ok(_) => {
                        total.fetch_add(1, Ordering::SeqCst);
                        count.fetch_add(1, Ordering::SeqCst)
                    }
                    Err(LogError::Fenced { .. }) => 0,
                    Err(error) => panic!("{name}: {error:?}"),
                };
            }
        }
        subscription
    });
    Worker { stop, handled, task }
}

impl Worker {
    async fn stop(self) -> Box<dyn Subscription> {
        self.stop.store(true, Ordering::SeqCst);
        ok("the worker's task", self.task.await)
    }

    async fn has_handled(&self, more: u64) {
        let before = self.handled.load(Ordering::SeqCst);
        let handled = || async { self.handled.load(Ordering::SeqCst) >= before + more };
        eventually("each member gets its share", handled).await;
    }
}

/// Appends records of many keys, little by little, until told to stop. Returns how many.
async fn feed(process: &LogProcess, stop: &AtomicBool, handled: &AtomicU64) -> u64 {
    let mut batch = 0;
    while !stop.load(Ordering::SeqCst) {
        if batch * 24 > handled.load(Ordering::SeqCst) + AHEAD_MAX {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        }
        let keys = (0..24).map(|key| message(INPUT, &format!("key {key}"), batch));
        ok("append", process.log.append(keys.collect()).await);
        batch += 1;
    }
    batch * 24
}

pub(super) async fn members_come_and_go(fleet: Fleet) {
    let (desk, a, b, c) = (fleet.open().await, fleet.open().await, fleet.open().await, fleet.open().await);
    let (stop, total) = (AtomicBool::new(false), Arc::new(AtomicU64::new(0)));
    let scene = async {
        let one = work("one", join_for(&a, "workers", &[INPUT], LEASE).await, &total);
        one.has_handled(20).await;
        let two = work("two", join_for(&b, "workers", &[INPUT], LEASE).await, &total);
        two.has_handled(20).await;
        one.has_handled(20).await;
        let three = work("three", join_for(&c, "workers", &[INPUT], LEASE).await, &total);
        three.has_handled(20).await;
        two.has_handled(20).await;
        one.has_handled(20).await;
        // One leaves, another's process dies while it works.
        ok("close", one.stop().await.close().await);
        two.task.abort();
        let _ = two.task.await;
        drop(b);
        three.has_handled(20).await;
        stop.store(true, Ordering::SeqCst);
        three
    };
    let (three, fed) = tokio::join!(scene, feed(&desk, &stop, &total));
    eventually("the last member handles everything", || async { lag_of(&desk, "workers").await.is_empty() }).await;
    drop(three.stop().await);
    let mut effects: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for effect in all_in(&desk, &OUTPUT.into()).await {
        effects.entry(effect.key.clone()).or_default().push(number(&effect));
    }
    let count: usize = effects.values().map(Vec::len).sum();
    assert_eq!(u64::try_from(count).ok(), Some(fed), "no record lost, no effect doubled");
    for (key, numbers) in effects {
        let expected: Vec<u64> = (0..fed / 24).collect();
        assert_eq!(numbers, expected, "{key} was handled in order, through every change of hands");
    }
}

pub(super) async fn a_zombie_is_fenced(fleet: Fleet) {
    let (a, b) = (fleet.open().await, fleet.open().await);
    let zombie = join_for(&a, "workers", &[INPUT], Duration::from_millis(600)).await;
    ok("append", a.log.append(messages(INPUT, "film", 0..3)).await);
    let held = take(&*zombie, 2, 2).await;
    (a.stall)();
    let heir = join_for(&b, "workers", &[INPUT], LEASE).await;
    let again = take(&*heir, 8, 2).await;
    assert_eq!(again, held, "the heir gets what the zombie held");
    assert!(!zombie.owns(&held[0]), "a member whose lease ran out knows it");
    let outputs = vec![message(OUTPUT, "user", 1)];
    let fenced = zombie.complete(Completion { records: held[..1].to_vec(), outputs }).await;
    assert!(matches!(fenced, Err(LogError::Fenced { .. })), "{fenced:?}");
    let fenced = zombie.retry_later(&held[1], 0, "later").await;
    assert!(matches!(fenced, Err(LogError::Fenced { .. })), "{fenced:?}");
    complete(&*heir, &again).await;
    assert!(all_in(&b, &OUTPUT.into()).await.is_empty(), "what a zombie says is not visible");
    assert_eq!(numbers(&handle(&*heir, 1).await), [2]);
}

pub(super) async fn a_partition_with_records_out_stays(fleet: Fleet) {
    let (a, b) = (fleet.open().await, fleet.open().await);
    let first = join(&a, "workers", &[INPUT]).await;
    let batch: Vec<_> = (0..40).map(|key| message(INPUT, &format!("key {key}"), key)).collect();
    ok("append", a.log.append(batch).await);
    let held = take(&*first, 40, 40).await;
    assert_eq!(held.len(), 40, "the only member has every partition");
    let second = join(&b, "workers", &[INPUT]).await;
    let none = ok("next", second.next(40, 40, Duration::from_millis(300)).await);
    assert!(none.is_empty(), "every partition has records out: {none:?}");
    assert!(held.iter().all(|record| first.owns(record)));
    complete(&*first, &held).await;
    let batch: Vec<_> = (100..140).map(|key| message(INPUT, &format!("key {key}"), key)).collect();
    ok("append", a.log.append(batch).await);
    let share = take(&*second, 40, 40).await;
    assert!(!share.is_empty(), "what is free goes over");
    complete(&*second, &share).await;
    let others = [&*first, &*second];
    eventually("both halves are handled", || async {
        for member in others {
            let records = ok("next", member.next(40, 40, Duration::ZERO).await);
            if !records.is_empty() {
                complete(member, &records).await;
            }
        }
        lag_of(&a, "workers").await.is_empty()
    })
    .await;
}
