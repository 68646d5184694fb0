//! What comes again and what does not: lag, replay, retention, and what a dead member leaves behind.

use super::{
    BEGIN_US, Fleet, INPUT, all_in, complete, group, handle, join, lag_of, message, messages, nothing_more, number,
    numbers, ok, take,
};
use crate::{Completion, LogError, ReplayFrom, now_us};

/// A hundred years.
const CENTURY_US: i64 = 100 * 365 * 24 * 3600 * 1_000_000;

pub(super) async fn lag_counts_what_is_left(fleet: Fleet) {
    let process = fleet.open().await;
    assert!(ok("lag", process.log.lag(&group("readers")).await).is_empty(), "nobody joined");
    let subscription = join(&process, "readers", &[INPUT]).await;
    assert_eq!(ok("groups", process.log.groups().await), [group("readers")]);
    let lag = ok("lag", process.log.lag(&group("readers")).await);
    assert_eq!(lag.len(), 8, "each partition is told of");
    assert!(lag.iter().all(|lag| lag.records == 0 && lag.oldest_us.is_none()));
    ok("append", process.log.append(messages(INPUT, "film", 0..5)).await);
    let partition = message(INPUT, "film", 0).partition(INPUT.spec().partitions);
    assert_eq!(lag_of(&process, "readers").await, [(partition, (5, Some(BEGIN_US)))].into());
    let records = take(&*subscription, 8, 3).await;
    complete(&*subscription, &records[..1]).await;
    assert_eq!(lag_of(&process, "readers").await, [(partition, (4, Some(BEGIN_US + 1)))].into());
    ok("retry", subscription.retry_later(&records[1], now_us() + CENTURY_US, "in a hundred years").await);
    complete(&*subscription, &records[2..]).await;
    let expected = (3, Some(BEGIN_US + 1));
    assert_eq!(lag_of(&process, "readers").await, [(partition, expected)].into(), "one is set aside, two are fresh");
}

pub(super) async fn a_replay_raises_the_epoch(fleet: Fleet) {
    let process = fleet.open().await;
    let readers = group("readers");
    let never = process.log.replay(&readers, &INPUT.into(), ReplayFrom::Beginning).await;
    assert!(matches!(never, Err(LogError::Misused { .. })), "{never:?}");
    assert_eq!(ok("epoch", process.log.epoch(&readers).await), 0);
    let subscription = join(&process, "readers", &[INPUT]).await;
    assert_eq!(subscription.epoch(), 0);
    ok("append", process.log.append(messages(INPUT, "film", 0..6)).await);
    let records = handle(&*subscription, 6).await;

    let epoch = ok("replay", process.log.replay(&readers, &INPUT.into(), ReplayFrom::Beginning).await);
    assert_eq!((epoch, ok("epoch", process.log.epoch(&readers).await)), (1, 1));
    assert_eq!(numbers(&handle(&*subscription, 6).await), [0, 1, 2, 3, 4, 5]);
    assert_eq!(subscription.epoch(), 1, "what is handed out again is of the new epoch");

    let from = ReplayFrom::TimeUs(BEGIN_US + 3);
    assert_eq!(ok("replay", process.log.replay(&readers, &INPUT.into(), from).await), 2);
    assert_eq!(numbers(&handle(&*subscription, 3).await), [3, 4, 5]);
    let (partition, offset) = (records[5].partition, records[5].offset);
    let from = ReplayFrom::Offset { partition, offset };
    assert_eq!(ok("replay", process.log.replay(&readers, &INPUT.into(), from).await), 3);
    assert_eq!(numbers(&handle(&*subscription, 1).await), [5]);
    let ahead = ReplayFrom::TimeUs(BEGIN_US + 100);
    ok("replay", process.log.replay(&readers, &INPUT.into(), ahead).await);
    nothing_more(&*subscription, "a replay from the end").await;
    assert_eq!(ok("epoch", process.log.epoch(&readers).await), 4);
    ok("append", process.log.append(messages(INPUT, "film", 6..7)).await);
    assert_eq!(numbers(&handle(&*subscription, 1).await), [6]);
    assert_eq!(subscription.epoch(), 4);
}

pub(super) async fn a_replay_fences(fleet: Fleet) {
    let (process, desk) = (fleet.open().await, fleet.open().await);
    let subscription = join(&process, "readers", &[INPUT]).await;
    ok("append", process.log.append(messages(INPUT, "film", 0..2)).await);
    let held = take(&*subscription, 1, 1).await;
    ok("replay", desk.log.replay(&group("readers"), &INPUT.into(), ReplayFrom::Beginning).await);
    let outputs = vec![message(super::OUTPUT, "user", 1)];
    let fenced = subscription.complete(Completion { records: held.clone(), outputs }).await;
    assert!(matches!(fenced, Err(LogError::Fenced { .. })), "{fenced:?}");
    assert!(!subscription.owns(&held[0]));
    assert!(all_in(&process, &super::OUTPUT.into()).await.is_empty(), "a fenced completion is not visible");
    ok("release", subscription.release(&held).await);
    assert_eq!(numbers(&handle(&*subscription, 2).await), [0, 1]);
    assert_eq!(subscription.epoch(), 1);
}

pub(super) async fn a_sweep_keeps_what_is_needed(fleet: Fleet) {
    let process = fleet.open().await;
    let subscription = join(&process, "readers", &[INPUT]).await;
    ok("append", process.log.append(messages(INPUT, "film", 0..6)).await);
    let records = take(&*subscription, 8, 4).await;
    ok("retry", subscription.retry_later(&records[1], now_us() + 1, "set aside").await);
    complete(&*subscription, &records[..1]).await;
    complete(&*subscription, &records[2..]).await;
    assert_eq!(ok("sweep", process.log.sweep(now_us()).await), 0, "nothing is old");
    ok("sweep", process.log.sweep(now_us() + CENTURY_US).await);
    let left = all_in(&process, &INPUT.into()).await;
    assert!(numbers(&left).ends_with(&[4, 5]), "what the group has before it is kept: {left:?}");
    let mut rest: Vec<(u64, u32)> = handle(&*subscription, 3).await.iter().map(|r| (number(r), r.attempt)).collect();
    rest.sort_unstable();
    assert_eq!(rest, [(1, 2), (4, 1), (5, 1)], "also what it had set aside");
    ok("sweep", process.log.sweep(now_us() + CENTURY_US).await);
    assert!(all_in(&process, &INPUT.into()).await.is_empty(), "the rest goes when it is handled");
    ok("append", process.log.append(messages(INPUT, "film", 6..7)).await);
    let again = handle(&*subscription, 1).await;
    assert_eq!(number(&again[0]), 6);
    assert!(again[0].offset >= records[0].offset + 6, "offsets go on, though marks of transactions may take some");
}

pub(super) async fn nothing_settled_comes_again(fleet: Fleet) {
    let process = fleet.open().await;
    let subscription = join(&process, "readers", &[INPUT]).await;
    ok("append", process.log.append(messages(INPUT, "film", 0..5)).await);
    let records = take(&*subscription, 8, 5).await;
    complete(&*subscription, &records[2..3]).await;
    ok("retry", subscription.retry_later(&records[0], now_us(), "later").await);
    ok("dead", subscription.dead(&records[4], "bad", Vec::new()).await);
    drop(subscription);
    drop(process);

    let heir = fleet.open().await;
    let subscription = join(&heir, "readers", &[INPUT]).await;
    let handled = handle(&*subscription, 3).await;
    let mut came: Vec<(u64, u32)> = handled.iter().map(|record| (number(record), record.attempt)).collect();
    came.sort_unstable();
    assert_eq!(came, [(0, 2), (1, 1), (3, 1)], "what was out comes again, what was settled does not");
    nothing_more(&*subscription, "everything is settled").await;
    assert_eq!(lag_of(&heir, "readers").await, [].into());
}

pub(super) async fn a_group_is_forgotten(fleet: Fleet) {
    let process = fleet.open().await;
    let gone = group("gone");
    let never = process.log.forget_group(&gone).await;
    assert!(matches!(never, Err(LogError::Misused { .. })), "it never joined: {never:?}");
    let subscription = join(&process, "gone", &[INPUT]).await;
    ok("append", process.log.append(messages(INPUT, "film", 0..3)).await);
    let records = take(&*subscription, 2, 2).await;
    complete(&*subscription, &records[..1]).await;
    ok("retry", subscription.retry_later(&records[1], now_us() + CENTURY_US, "in a hundred years").await);
    let from = ReplayFrom::Offset { partition: records[1].partition, offset: records[1].offset + 1 };
    assert_eq!(ok("replay", process.log.replay(&gone, &INPUT.into(), from).await), 1);
    let living = process.log.forget_group(&gone).await;
    assert!(matches!(living, Err(LogError::Misused { .. })), "a member lives: {living:?}");
    assert_eq!(lag_of(&process, "gone").await.values().map(|(count, _)| *count).sum::<u64>(), 2, "nothing was removed");
    ok("close", subscription.close().await);
    ok("sweep", process.log.sweep(now_us() + CENTURY_US).await);
    assert_eq!(numbers(&all_in(&process, &INPUT.into()).await), [2], "it holds retention back");

    ok("forget", process.log.forget_group(&gone).await);
    assert_eq!(ok("groups", process.log.groups().await), []);
    assert!(ok("lag", process.log.lag(&gone).await).is_empty());
    assert_eq!(ok("epoch", process.log.epoch(&gone).await), 0);
    ok("sweep", process.log.sweep(now_us() + CENTURY_US).await);
    assert!(all_in(&process, &INPUT.into()).await.is_empty(), "nobody is waited for");
    ok("append", process.log.append(messages(INPUT, "film", 3..4)).await);
    let subscription = join(&process, "gone", &[INPUT]).await;
    assert_eq!((numbers(&handle(&*subscription, 1).await), subscription.epoch()), (vec![3], 0), "it begins anew");
    nothing_more(&*subscription, "what was set aside is forgotten").await;
}
