//! Notices: each once, in order, to their user, whoever wrote them; and what a sweep leaves.

use std::time::Duration;

use mcsp_catalog::{Catalog, NoticeSpan};
use mcsp_domain::{ContentId, UserId};
use serde_json::json;

use crate::support::World;

crate::support::on_each_engine! {
    each_user_reads_his_own_in_the_order_of_commits_from_where_he_was,
    what_is_rolled_back_leaves_no_gap,
    a_commit_wakes_its_user_and_nobody_else,
    a_sweep_takes_the_oldest_and_says_how_far_it_went,
}

fn user(number: u8) -> UserId {
    UserId::from_bytes([number; 16])
}

async fn write(catalog: &Catalog, to: UserId, number: i64) {
    let mut tx = catalog.begin().await.unwrap();
    let content = Some(ContentId::from_bytes([9; 16]));
    tx.notice(to, "content.state", content, &json!({ "number": number }), number).await.unwrap();
    tx.commit().await.unwrap();
}

async fn numbers(catalog: &Catalog, of: UserId, after: u64, limit: usize) -> Vec<(u64, i64)> {
    let notices = catalog.notices_after(of, after, limit).await.unwrap();
    notices.iter().map(|notice| (notice.position, notice.body["number"].as_i64().unwrap())).collect()
}

async fn each_user_reads_his_own_in_the_order_of_commits_from_where_he_was(world: World) {
    let (catalog, other) = (world.open().await, world.open().await);
    write(&catalog, user(1), 10).await;
    write(&other, user(2), 20).await;
    write(&other, user(1), 11).await;
    write(&catalog, user(1), 12).await;
    assert_eq!(numbers(&catalog, user(1), 0, 10).await, [(1, 10), (3, 11), (4, 12)]);
    assert_eq!(numbers(&catalog, user(1), 1, 1).await, [(3, 11)]);
    assert_eq!(numbers(&other, user(2), 0, 10).await, [(2, 20)]);
    assert_eq!(numbers(&catalog, user(3), 0, 10).await, []);
    let notice = catalog.notices_after(user(1), 0, 1).await.unwrap().remove(0);
    assert_eq!((notice.kind.as_str(), notice.at_us), ("content.state", 10));
    assert_eq!(notice.content, Some(ContentId::from_bytes([9; 16])));
}

async fn what_is_rolled_back_leaves_no_gap(world: World) {
    let catalog = world.open().await;
    write(&catalog, user(1), 1).await;
    let mut tx = catalog.begin().await.unwrap();
    tx.notice(user(1), "content.state", None, &json!({}), 2).await.unwrap();
    drop(tx);
    write(&catalog, user(1), 3).await;
    assert_eq!(numbers(&catalog, user(1), 0, 10).await, [(1, 1), (2, 3)]);
}

async fn a_commit_wakes_its_user_and_nobody_else(world: World) {
    let catalog = world.open().await;
    let (mut mine, mut others) = (catalog.notices_changed(user(1)), catalog.notices_changed(user(2)));
    let mut tx = catalog.begin().await.unwrap();
    tx.notice(user(1), "content.state", None, &json!({}), 1).await.unwrap();
    tokio::time::timeout(Duration::from_millis(20), mine.changed()).await.unwrap_err();
    tx.commit().await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), mine.changed()).await.unwrap();
    tokio::time::timeout(Duration::from_millis(20), others.changed()).await.unwrap_err();
}

async fn a_sweep_takes_the_oldest_and_says_how_far_it_went(world: World) {
    let catalog = world.open().await;
    assert_eq!(catalog.sweep_notices(100).await.unwrap(), 0);
    // The third was written by a clock that is behind: it stays behind the second, which is young.
    for at_us in [1, 50, 2, 60] {
        write(&catalog, user(1), at_us).await;
    }
    assert_eq!(catalog.sweep_notices(10).await.unwrap(), 1);
    assert_eq!(numbers(&catalog, user(1), 0, 10).await, [(2, 50), (3, 2), (4, 60)]);
    assert_eq!(catalog.notice_span().await.unwrap(), NoticeSpan { last: 4, swept: 1 });
    assert_eq!(catalog.sweep_notices(100).await.unwrap(), 3);
    write(&catalog, user(1), 200).await;
    assert_eq!(numbers(&catalog, user(1), 0, 10).await, [(5, 200)], "positions are used once");
    assert_eq!(catalog.notice_span().await.unwrap(), NoticeSpan { last: 5, swept: 4 });
}
