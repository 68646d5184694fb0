//! Transactions: handled once, all or nothing, and what may be sent.

use std::collections::BTreeSet;

use mcsp_catalog::Receipt;
use mcsp_domain::limits;
use mcsp_events::TopicName;

use crate::support::{World, event, message};

crate::support::on_each_engine! {
    an_event_is_handled_once_by_16_transactions_over_two_handles,
    groups_and_epochs_handle_the_same_event_each,
    a_transaction_that_is_dropped_leaves_neither_inbox_nor_outbox,
    what_no_log_would_take_is_refused_at_the_door,
    a_sweep_forgets_what_is_older,
    a_lease_has_one_owner_until_its_time_has_passed,
}

async fn an_event_is_handled_once_by_16_transactions_over_two_handles(world: World) {
    let handles = [world.open().await, world.open().await];
    let tasks: Vec<_> = (0..16_u32)
        .map(|number| {
            let catalog = handles[number as usize % 2].clone();
            tokio::spawn(async move {
                let mut tx = catalog.begin().await.unwrap();
                let receipt = tx.receive("billing.0", event(7), 1).await.unwrap();
                if receipt == Receipt::Fresh {
                    tx.send(message(number)).unwrap();
                }
                tx.commit().await.unwrap();
                receipt
            })
        })
        .collect();
    let mut fresh = 0;
    for task in tasks {
        fresh += usize::from(task.await.unwrap() == Receipt::Fresh);
    }
    assert_eq!(fresh, 1);
    assert_eq!(handles[0].outbox_after(0, 100).await.unwrap().len(), 1, "one effect");
}

async fn groups_and_epochs_handle_the_same_event_each(world: World) {
    let catalog = world.open().await;
    let mut tx = catalog.begin().await.unwrap();
    let mut receipts = Vec::new();
    for namespace in ["a.0", "b.0", "a.1", "a.0"] {
        receipts.push(tx.receive(namespace, event(1), 1).await.unwrap());
    }
    assert_eq!(receipts, [Receipt::Fresh, Receipt::Fresh, Receipt::Fresh, Receipt::Seen]);
}

async fn a_transaction_that_is_dropped_leaves_neither_inbox_nor_outbox(world: World) {
    let catalog = world.open().await;
    let mut tx = catalog.begin().await.unwrap();
    assert_eq!(tx.receive("content.0", event(1), 1).await.unwrap(), Receipt::Fresh);
    tx.send(message(1)).unwrap();
    drop(tx);

    assert_eq!(catalog.outbox_after(0, 10).await.unwrap(), []);
    assert_eq!(catalog.outbox_position().await.unwrap(), 0);
    let mut tx = catalog.begin().await.unwrap();
    assert_eq!(tx.receive("content.0", event(1), 1).await.unwrap(), Receipt::Fresh, "handled by nobody");
}

async fn what_no_log_would_take_is_refused_at_the_door(world: World) {
    let mut tx = world.open().await.begin().await.unwrap();
    let mut long = message(1);
    long.payload = vec![b' '; limits::EVENT_BYTES_MAX + 1];
    assert!(tx.send(long).unwrap_err().to_string().contains("983041"), "names the length");
    let mut unknown = message(1);
    unknown.topic = TopicName::parse("media.nothing").unwrap();
    assert_eq!(tx.send(unknown).unwrap_err().to_string(), "topic media.nothing is not in the catalogue");
    let mut heavy = message(1);
    heavy.headers.worker = Some("w".repeat(limits::EVENT_HEADERS_BYTES_MAX));
    assert!(tx.send(heavy).unwrap_err().to_string().contains("at most 16 KiB"));
    let mut large = message(1);
    large.payload = vec![b' '; limits::EVENT_BYTES_MAX];
    let mut sent = 0;
    let error = loop {
        match tx.send(large.clone()) {
            Ok(()) => sent += 1,
            Err(error) => break error.to_string(),
        }
    };
    assert_eq!(sent, limits::OUTBOX_TRANSACTION_BYTES_MAX / limits::EVENT_BYTES_MAX);
    assert!(error.ends_with("payload bytes, 67108864 allowed"), "{error}");
}

async fn a_sweep_forgets_what_is_older(world: World) {
    let catalog = world.open().await;
    let mut tx = catalog.begin().await.unwrap();
    for number in 0..100 {
        tx.receive("content.0", event(number), i64::from(number)).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert_eq!(catalog.sweep_inbox(60).await.unwrap(), 60);
    assert_eq!(catalog.sweep_inbox(60).await.unwrap(), 0);
    let mut tx = catalog.begin().await.unwrap();
    let mut seen = BTreeSet::new();
    for number in 0..100 {
        if tx.receive("content.0", event(number), 1).await.unwrap() == Receipt::Seen {
            seen.insert(number);
        }
    }
    assert_eq!(seen, (60..100).collect());
}

async fn a_lease_has_one_owner_until_its_time_has_passed(world: World) {
    let handles = [world.open().await, world.open().await];
    let claim = |index: usize, now_us| {
        let (catalog, owner) = (handles[index].clone(), ["one", "two"][index]);
        async move { catalog.claim_lease("relay", owner, now_us, now_us + 100).await.unwrap() }
    };
    assert!(claim(0, 0).await);
    assert!(!claim(1, 99).await, "held");
    assert!(claim(0, 50).await, "renewed");
    assert!(!claim(1, 149).await, "held on");
    assert!(claim(1, 150).await, "ran out");
    assert!(!claim(0, 200).await);
    handles[0].release_lease("relay", "one").await.unwrap();
    assert_eq!(handles[0].lease("relay").await.unwrap(), Some(("two".to_owned(), 250)), "not one's to release");
    handles[1].release_lease("relay", "two").await.unwrap();
    assert!(claim(0, 200).await, "given back");
}
