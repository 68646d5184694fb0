//! How a long playback goes on, and how one ends that may go on no longer.

use mcsp_catalog::PlaybackRow;
use mcsp_domain::{ContentId, SubscriptionTier, UserRole};
use mcsp_grpc::licence::v1::RevokeKeysRequest;
use mcsp_grpc::user::v1::UpdateUserRequest;
use mcsp_services::playback::{PlaybackError, Renewal, Watcher};
use mcsp_token::{DrmGrant, EdgeLease};

use super::world::{FILM, Film, World, keys, plan, user, viewer};

const MINUTE_US: i64 = 60 * 1_000_000;

async fn begun(world: &World, watcher: Watcher, film: ContentId) -> PlaybackRow {
    let playback = world.play(watcher, film).await.unwrap().playback;
    world.catalog.playback(playback).await.unwrap().unwrap()
}

#[tokio::test]
async fn addresses_and_tokens_are_renewed_before_they_end() {
    let world = World::new().await;
    let film = world.film(1, user(1), FILM).await;
    let row = begun(&world, viewer(2), film).await;
    let at = |minutes: i64| row.started_us + minutes * MINUTE_US;
    assert_eq!(world.playback.renew(viewer(2), &row, at(1)).await.unwrap(), Renewal::default());

    // After two and a half minutes the token is half over; the addresses, of 25 minutes, are not.
    let beat = world.playback.renew(viewer(2), &PlaybackRow { seen_us: at(2), ..row }, at(3)).await.unwrap();
    assert_eq!(beat.addresses, None);
    let grant = DrmGrant::verify(&keys(2), &beat.drm.unwrap().token, row.started_us / 1_000_000).unwrap();
    assert_eq!((grant.playback, grant.plan), (row.id, plan(1)));
    let next = world.playback.renew(viewer(2), &PlaybackRow { seen_us: at(3), ..row }, at(4)).await.unwrap();
    assert_eq!(next, Renewal::default());

    let paused = world.playback.renew(viewer(2), &row, at(120)).await.unwrap();
    let addresses = paused.addresses.unwrap();
    let token = addresses.hls_url.split('/').nth(4).unwrap();
    let lease = EdgeLease::verify(&keys(1), token, at(120) / 1_000_000).unwrap();
    assert_eq!((lease.playback, lease.media_exp_s), (row.id, at(120) / 1_000_000 + 1500));
    assert!(paused.drm.is_some());
    let renewed = world.catalog.playback(row.id).await.unwrap().unwrap();
    assert_eq!(renewed.renew_us, addresses.renew_us);
    let seen = PlaybackRow { seen_us: at(120), ..renewed };
    assert_eq!(world.playback.renew(viewer(2), &seen, at(121)).await.unwrap().addresses, None);
}

#[tokio::test]
async fn whoever_may_watch_no_longer_gets_nothing_new() {
    let world = World::new().await;
    let film = world.film(1, user(1), Film { tier: SubscriptionTier::Basic, ..FILM }).await;
    let account = world.account("ada@example.org", SubscriptionTier::Basic).await;
    let watcher = Watcher { user: account, role: UserRole::Viewer };
    let row = begun(&world, watcher, film).await;
    let later_us = row.started_us + 120 * MINUTE_US;
    assert!(world.playback.renew(watcher, &row, later_us).await.unwrap().addresses.is_some());

    let change =
        |tier: &str| UpdateUserRequest { user_id: account.to_string(), role: None, tier: Some(tier.to_owned()) };
    world.users.clone().update_user(change("free")).await.unwrap();
    let refused = world.playback.renew(watcher, &row, later_us).await.unwrap_err();
    assert!(matches!(refused, PlaybackError::Tier { .. }), "{refused:?}");
    world.users.clone().update_user(change("basic")).await.unwrap();

    let mut tx = world.catalog.begin().await.unwrap();
    let mut content = tx.content(film).await.unwrap().unwrap();
    content.published_revision = None;
    assert!(tx.update_content(&content).await.unwrap());
    tx.commit().await.unwrap();
    let refused = world.playback.renew(watcher, &row, later_us).await.unwrap_err();
    assert!(matches!(refused, PlaybackError::NoContent { .. }), "{refused:?}");
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_asked_again_by_the_next_beat() {
    let world = World::new().await;
    let film = world.film(1, user(1), FILM).await;
    let row = begun(&world, viewer(2), film).await;
    let later_us = row.started_us + 120 * MINUTE_US;
    let nobody = mcsp_services::licence::connect_unix(&world.base.folder.path().join("nobody")).unwrap();
    let alone = super::world::service(&world.catalog, &world.users, &nobody, &world.store);
    assert_eq!(alone.renew(viewer(2), &row, later_us).await.unwrap(), Renewal::default());
    assert!(world.playback.renew(viewer(2), &row, later_us).await.unwrap().addresses.is_some());
    world.licence.clone().revoke_keys(RevokeKeysRequest::of(plan(1))).await.unwrap();
    let refused = world.playback.renew(viewer(2), &row, later_us).await.unwrap_err();
    assert!(matches!(refused, PlaybackError::NotPlayable { .. }), "{refused:?}");
}
