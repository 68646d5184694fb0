//! Heartbeats: positions, resuming, events.

use mcsp_domain::PlaybackId;
use mcsp_events::{EngagementAction, Topic, TopicName, UserEngagement};
use mcsp_runtime::EventLog;
use mcsp_services::engagement::{Beat, EngagementError, EngagementService, Recorded};

use super::world::{FILM, World, user, viewer};

fn beat(viewer: u8, playback: PlaybackId, seq: u64, position_ms: u64) -> Beat {
    Beat { user: user(viewer), playback, seq: Some(seq), position_ms, action: EngagementAction::Heartbeat }
}

async fn record(world: &World, beat: Beat) -> Recorded {
    world.engagement.record(beat).await.unwrap()
}

/// Returns what the log holds, in its order.
async fn said(log: &dyn EventLog) -> Vec<UserEngagement> {
    let topic = TopicName::from(Topic::UserEngagement);
    let mut said = Vec::new();
    for span in log.partitions(&topic).await.unwrap() {
        for record in log.read(&topic, span.partition, span.begin_offset, 10_000).await.unwrap() {
            assert_eq!(record.headers.source, "engagement");
            said.push(serde_json::from_slice(&record.payload).unwrap());
        }
    }
    said
}

#[tokio::test]
async fn the_next_playback_goes_on_where_the_last_one_stopped() {
    let world = World::new().await;
    let (film, other) = (world.film(1, user(1), FILM).await, world.film(2, user(1), FILM).await);
    let first = world.play(viewer(2), film).await.unwrap().playback;
    record(&world, beat(2, first, 1, 30_000)).await;
    record(&world, beat(2, first, 2, 90_000)).await;
    let resumed = async |number: u8, film| world.play(viewer(number), film).await.unwrap().position_ms;
    assert_eq!(resumed(2, film).await, 90_000);
    assert_eq!(resumed(2, other).await, 0, "another film");
    assert_eq!(resumed(3, film).await, 0, "another viewer");
    record(&world, beat(2, first, 3, 595_000)).await;
    assert_eq!(resumed(2, film).await, 0, "five seconds before the end it was seen");
    record(&world, beat(2, first, 4, 100_000)).await;
    assert_eq!(resumed(2, film).await, 100_000);
    record(&world, Beat { action: EngagementAction::Finish, ..beat(2, first, 5, 300_000) }).await;
    assert_eq!(resumed(2, film).await, 0, "the player said that it ended");
}

#[tokio::test]
async fn a_beat_that_comes_late_or_again_changes_and_says_nothing() {
    let world = World::new().await;
    let film = world.film(1, user(1), FILM).await;
    let playback = world.play(viewer(2), film).await.unwrap().playback;
    let taken = record(&world, beat(2, playback, 5, 50_000)).await;
    assert!(taken.is_news && taken.before.seq == 0);
    for late in [beat(2, playback, 5, 1), beat(2, playback, 4, 40_000)] {
        let late = record(&world, late).await;
        assert_eq!((late.is_news, late.seq, late.position_ms), (false, 5, 50_000));
    }
    // A player that does not count is taken in its order.
    let uncounted = Beat { seq: None, ..beat(2, playback, 0, 60_000) };
    assert_eq!(record(&world, uncounted).await.seq, 6);
    let said = said(world.log.as_ref()).await;
    let positions: Vec<_> = said.iter().map(|event| event.position_ms.unwrap()).collect();
    assert_eq!(positions, [50_000, 60_000]);
    assert!(said.iter().all(|event| event.user == user(2) && event.content == film));
}

#[tokio::test]
async fn another_viewers_playback_is_not_found() {
    let world = World::new().await;
    let film = world.film(1, user(1), FILM).await;
    let playback = world.play(viewer(2), film).await.unwrap().playback;
    for beat in [beat(3, playback, 1, 1), beat(1, playback, 1, 1), beat(2, PlaybackId::from_bytes([9; 16]), 1, 1)] {
        let refused = world.engagement.record(beat).await.unwrap_err();
        assert!(matches!(refused, EngagementError::NoPlayback { .. }), "{refused:?}");
    }
    assert_eq!(said(world.log.as_ref()).await, []);
    assert_eq!(world.catalog.playback(playback).await.unwrap().unwrap().seq, 0);
}

#[tokio::test]
async fn many_at_once_are_written_together_and_none_is_lost() {
    let world = World::new().await;
    let film = world.film(1, user(1), FILM).await;
    let mut playbacks = Vec::new();
    for number in 2..12 {
        playbacks.push((number, world.play(viewer(number), film).await.unwrap().playback));
    }
    let mut beats = Vec::new();
    for seq in 1..=30 {
        for (number, playback) in &playbacks {
            let (engagement, beat) = (world.engagement.clone(), beat(*number, *playback, seq, seq * 1000));
            beats.push(tokio::spawn(async move { engagement.record(beat).await.unwrap().is_news }));
        }
    }
    let mut news = 0;
    for beat in beats {
        news += usize::from(beat.await.unwrap());
    }
    assert!(news >= playbacks.len());
    for (number, playback) in &playbacks {
        let row = world.catalog.playback(*playback).await.unwrap().unwrap();
        assert_eq!((row.seq, row.position_ms), (30, 30_000));
        assert_eq!(world.catalog.resume_position(user(*number), film).await.unwrap(), Some(30_000));
    }
    assert!(said(world.log.as_ref()).await.len() >= news, "what was taken was said");
}

#[tokio::test]
async fn a_beat_that_comes_again_after_a_failure_is_said_once() {
    let world = World::new().await;
    let film = world.film(1, user(1), FILM).await;
    let playback = world.play(viewer(2), film).await.unwrap().playback;
    record(&world, beat(2, playback, 1, 10_000)).await;
    // The catalog forgets what the log has: as after a death between the two.
    world.base.run("UPDATE playback SET seq = 0").await;
    let again = EngagementService::new(world.catalog.clone(), world.log.clone());
    assert!(again.record(beat(2, playback, 1, 10_000)).await.unwrap().is_news);
    assert_eq!(said(world.log.as_ref()).await.len(), 1);
}
