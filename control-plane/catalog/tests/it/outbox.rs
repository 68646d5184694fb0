//! The outbox: order, batches, positions that are used once, and the wake-up.

use std::time::Duration;

use mcsp_catalog::Catalog;
use mcsp_domain::limits;

use crate::support::{World, message};

crate::support::on_each_engine! {
    messages_come_back_as_they_went_in_commit_order_and_in_batches,
    a_position_is_never_used_again,
    a_batch_of_large_messages_is_cut_by_its_bytes,
    a_commit_that_sends_wakes_the_relay_and_another_does_not,
}

async fn send(catalog: &Catalog, numbers: std::ops::Range<u32>) {
    let mut tx = catalog.begin().await.unwrap();
    for number in numbers {
        tx.send(message(number)).unwrap();
    }
    tx.commit().await.unwrap();
}

async fn positions(catalog: &Catalog, after: u64, max: usize) -> Vec<u64> {
    catalog.outbox_after(after, max).await.unwrap().iter().map(|row| row.position).collect()
}

async fn messages_come_back_as_they_went_in_commit_order_and_in_batches(world: World) {
    let catalog = world.open().await;
    let other = world.open().await;
    send(&catalog, 0..3).await;
    send(&other, 3..5).await;
    send(&catalog, 5..6).await;

    let rows = catalog.outbox_after(0, 100).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.position).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert!(rows.iter().zip(0..).all(|(row, number)| row.message == message(number)));
    assert_eq!(positions(&catalog, 2, 2).await, [3, 4]);
    assert_eq!(positions(&catalog, 6, 2).await, [0_u64; 0]);
    assert_eq!(positions(&catalog, u64::MAX, 2).await, [0_u64; 0]);
}

async fn a_position_is_never_used_again(world: World) {
    let catalog = world.open().await;
    send(&catalog, 0..4).await;
    assert_eq!(catalog.outbox_delete_through(3).await.unwrap(), 3);
    assert_eq!(catalog.outbox_delete_through(3).await.unwrap(), 0);
    assert_eq!(catalog.outbox_delete_through(100).await.unwrap(), 1);
    catalog.close().await;

    let catalog = world.open().await;
    send(&catalog, 4..6).await;
    assert_eq!(positions(&catalog, 0, 10).await, [5, 6]);
    assert_eq!(catalog.outbox_position().await.unwrap(), 6);
}

async fn a_batch_of_large_messages_is_cut_by_its_bytes(world: World) {
    let catalog = world.open().await;
    let mut tx = catalog.begin().await.unwrap();
    for number in 0..12 {
        let mut large = message(number);
        large.payload = vec![b' '; limits::EVENT_BYTES_MAX];
        tx.send(large).unwrap();
    }
    tx.commit().await.unwrap();
    let first = positions(&catalog, 0, 100).await;
    assert_eq!(first, (1..=8).collect::<Vec<_>>(), "8 of 960 KiB are below 8 MiB");
    assert_eq!(positions(&catalog, 8, 100).await, [9, 10, 11, 12]);
}

async fn a_commit_that_sends_wakes_the_relay_and_another_does_not(world: World) {
    let catalog = world.open().await;
    send(&catalog, 0..1).await;
    // A commit before the wait counts.
    tokio::time::timeout(Duration::from_secs(30), catalog.outbox_changed()).await.unwrap();
    catalog.begin().await.unwrap().commit().await.unwrap();
    let unwoken = tokio::time::timeout(Duration::from_millis(50), catalog.outbox_changed()).await;
    assert!(unwoken.is_err(), "nothing was sent");
    let (waited, ()) =
        tokio::join!(tokio::time::timeout(Duration::from_secs(30), catalog.outbox_changed()), send(&catalog, 1..2));
    waited.unwrap();
}
