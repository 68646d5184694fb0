//! Playbacks: later heartbeats win, the resume position survives its playback.

use mcsp_catalog::{Catalog, PlaybackRow, PositionUpdate};
use mcsp_domain::{ContentId, PlanId, PlaybackId, Revision, UserId};

use crate::support::World;

crate::support::on_each_engine! {
    later_heartbeats_win_whenever_they_come,
    the_playback_heard_of_last_tells_where_to_go_on,
    a_sweep_forgets_playbacks_and_keeps_positions,
}

fn row(number: u8, user: u8) -> PlaybackRow {
    PlaybackRow {
        id: PlaybackId::from_bytes([number; 16]),
        user: UserId::from_bytes([user; 16]),
        content: ContentId::from_bytes([7; 16]),
        revision: Revision::FIRST,
        plan: PlanId::from_bytes([8; 16]),
        seq: 0,
        position_ms: 0,
        started_us: 10,
        seen_us: 10,
        renew_us: 100,
    }
}

async fn begin(catalog: &Catalog, row: &PlaybackRow) {
    let mut tx = catalog.begin().await.unwrap();
    tx.insert_playback(row).await.unwrap();
    tx.commit().await.unwrap();
}

async fn put(catalog: &Catalog, row: &PlaybackRow, seq: u64, position_ms: u64, at_us: i64) -> bool {
    let update = PositionUpdate {
        playback: row.id,
        user: row.user,
        content: row.content,
        seq,
        position_ms,
        resume_ms: position_ms,
        at_us,
    };
    let mut tx = catalog.begin().await.unwrap();
    let written = tx.put_position(&update).await.unwrap();
    tx.commit().await.unwrap();
    written
}

async fn later_heartbeats_win_whenever_they_come(world: World) {
    let catalog = world.open().await;
    let mine = row(1, 1);
    begin(&catalog, &mine).await;
    assert_eq!(catalog.playback(mine.id).await.unwrap(), Some(mine));
    assert_eq!(catalog.resume_position(mine.user, mine.content).await.unwrap(), None);

    assert!(put(&catalog, &mine, 2, 2000, 20).await);
    assert!(!put(&catalog, &mine, 1, 1000, 30).await, "a late one of before");
    assert!(!put(&catalog, &mine, 2, 9000, 30).await, "the same one again");
    let read = catalog.playback(mine.id).await.unwrap().unwrap();
    assert_eq!((read.seq, read.position_ms, read.seen_us), (2, 2000, 20));
    assert_eq!(catalog.resume_position(mine.user, mine.content).await.unwrap(), Some(2000));
    assert!(!put(&catalog, &row(9, 1), 1, 5000, 40).await, "no such playback");
    assert_eq!(catalog.resume_position(mine.user, mine.content).await.unwrap(), Some(2000));
}

async fn the_playback_heard_of_last_tells_where_to_go_on(world: World) {
    let catalog = world.open().await;
    let (first, second, other) = (row(1, 1), row(2, 1), row(3, 2));
    for row in [&first, &second, &other] {
        begin(&catalog, row).await;
    }
    assert!(put(&catalog, &second, 1, 500, 50).await);
    assert!(put(&catalog, &first, 1, 400, 40).await, "it is written, and does not count");
    assert!(put(&catalog, &other, 1, 900, 60).await);
    assert_eq!(catalog.resume_position(first.user, first.content).await.unwrap(), Some(500));
    assert_eq!(catalog.resume_position(other.user, first.content).await.unwrap(), Some(900));
}

async fn a_sweep_forgets_playbacks_and_keeps_positions(world: World) {
    let catalog = world.open().await;
    let (old, young) = (row(1, 1), PlaybackRow { seen_us: 90, ..row(2, 1) });
    begin(&catalog, &old).await;
    begin(&catalog, &young).await;
    put(&catalog, &old, 1, 700, 20).await;
    let mut tx = catalog.begin().await.unwrap();
    tx.renew_playback(young.id, 500).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(catalog.sweep_playbacks(50).await.unwrap(), 1);
    assert_eq!(catalog.playback(old.id).await.unwrap(), None);
    assert_eq!(catalog.playback(young.id).await.unwrap(), Some(PlaybackRow { renew_us: 500, ..young }));
    assert_eq!(catalog.resume_position(old.user, old.content).await.unwrap(), Some(700));
}
