//! Who is let in, and with what.

use std::time::{Duration, Instant};

use mcsp_domain::{ContentState, SubscriptionTier, UserRole, Visibility};
use mcsp_runtime::now_us;
use mcsp_services::licence::connect;
use mcsp_services::playback::{ManifestFormat, PlaybackError, Watcher};
use mcsp_token::{DrmGrant, EdgeLease};
use tokio::net::TcpListener;

use super::world::{FILM, Film, World, content, folder, keys, plan, service, user, viewer};

/// The name of the reason that somebody is not let in.
fn word(refused: Result<mcsp_services::playback::Play, PlaybackError>) -> String {
    match refused {
        Ok(play) if play.is_preview => "preview".to_owned(),
        Ok(_) => "plays".to_owned(),
        Err(error) => format!("{error:?}").split([' ', '(', '{']).next().unwrap().to_owned(),
    }
}

#[tokio::test]
async fn a_published_film_plays_for_a_viewer() {
    let world = World::new().await;
    let film = world.film(1, user(1), FILM).await;
    let before_us = now_us();
    let play = world.play(viewer(2), film).await.unwrap();
    assert_eq!((play.position_ms, play.duration_ms, play.is_preview), (0, Some(600_000), false));

    let path = play.manifest_url.strip_prefix("http://edge.example/t/").unwrap();
    let (token, file) = path.split_once('/').unwrap();
    assert_eq!((file, &play.addresses.media_url), ("master.m3u8", &format!("http://edge.example/t/{token}/")));
    let lease = EdgeLease::verify(&keys(1), token, before_us / 1_000_000).unwrap();
    assert_eq!((lease.content, lease.playback, &lease.folder), (film, play.playback, &folder(1)));
    let lasts_s = |exp_s: i64| exp_s - before_us / 1_000_000;
    assert!((3600..3610).contains(&lasts_s(lease.manifest_exp_s)));
    assert!((1500..1510).contains(&lasts_s(lease.media_exp_s)), "one and a half times ten minutes, and ten");

    let drm = play.drm.unwrap();
    assert_eq!(drm.licence_url, "http://desk.example/licence/clearkey");
    let grant = DrmGrant::verify(&keys(2), &drm.token, before_us / 1_000_000).unwrap();
    assert_eq!((grant.user, grant.plan, grant.playback, grant.kids.len()), (user(2), plan(1), play.playback, 3));
    assert!((295..=305).contains(&lasts_s(grant.exp_s)));
    let row = world.catalog.playback(play.playback).await.unwrap().unwrap();
    assert_eq!((row.user, row.content, row.plan, row.seq), (user(2), film, plan(1), 0));

    let dash = world.playback.play(viewer(2), film, ManifestFormat::Dash).await.unwrap();
    assert!(dash.manifest_url.ends_with("/manifest.mpd") && dash.playback != play.playback);
}

#[tokio::test]
async fn visibility_and_state_decide_who_knows_of_it() {
    let world = World::new().await;
    let of = |role| Watcher { user: user(9), role };
    let owner = Watcher { user: user(1), role: UserRole::Creator };
    let others = [of(UserRole::Viewer), of(UserRole::Creator), of(UserRole::Moderator), of(UserRole::Admin)];
    let unpublished = |state| Film { state, published: false, ..FILM };
    for (number, film, want) in [
        (1, FILM, "plays plays plays plays plays"),
        (2, Film { visibility: Visibility::Unlisted, ..FILM }, "plays plays plays plays plays"),
        (3, Film { visibility: Visibility::Private, ..FILM }, "plays NoContent NoContent plays plays"),
        (4, Film { state: ContentState::Processing, ..FILM }, "plays plays plays plays plays"),
        (5, unpublished(ContentState::Review), "preview NoContent NoContent preview preview"),
        (6, unpublished(ContentState::Blocked), "NotPlayable NoContent NoContent preview preview"),
        (7, Film { state: ContentState::Deleted, ..FILM }, "NoContent NoContent NoContent NoContent NoContent"),
    ] {
        let film = world.film(number, user(1), film).await;
        let mut words = Vec::new();
        for watcher in std::iter::once(owner).chain(others) {
            words.push(word(world.play(watcher, film).await));
        }
        assert_eq!(words.join(" "), want, "film {number}");
    }
    assert_eq!(word(world.play(owner, content(99)).await), "NoContent");
    let blocked = world.play(owner, content(6)).await.unwrap_err().to_string();
    assert!(blocked.ends_with("is BLOCKED: it is not yours"), "{blocked}");
}

#[tokio::test]
async fn a_tier_lets_in_those_who_pay_for_it() {
    let world = World::new().await;
    for (number, tier) in (1..).zip(SubscriptionTier::ALL) {
        world.film(number, user(1), Film { tier: *tier, ..FILM }).await;
    }
    for has in SubscriptionTier::ALL {
        let account = world.account(&format!("{has}@example.org"), *has).await;
        let watcher = Watcher { user: account, role: UserRole::Viewer };
        for (number, needed) in (1..).zip(SubscriptionTier::ALL) {
            match world.play(watcher, content(number)).await {
                Ok(_) => assert!(has >= needed, "{has} saw {needed}"),
                Err(PlaybackError::Tier { needed: told, has: mine }) => {
                    assert!(has < needed && told == *needed && mine == *has);
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
    let premium = content(3);
    for watcher in [
        Watcher { user: user(1), role: UserRole::Creator },
        Watcher { user: user(9), role: UserRole::Moderator },
        Watcher { user: user(9), role: UserRole::Admin },
    ] {
        assert_eq!(word(world.play(watcher, premium).await), "plays");
    }
    assert_eq!(word(world.play(viewer(9), premium).await), "Unavailable", "an account that is gone is let in nowhere");
}

#[tokio::test]
async fn an_owner_sees_a_film_as_soon_as_its_first_segments_are_there() {
    let world = World::new().await;
    let film = Film { state: ContentState::Processing, published: false, packaged: false, ..FILM };
    let owner = Watcher { user: user(1), role: UserRole::Creator };
    let film = world.film(1, user(1), film).await;
    let early = world.play(owner, film).await.unwrap_err().to_string();
    assert!(early.ends_with("is PROCESSING: nothing of it is playable yet"), "{early}");
    world.put_early_manifest(1).await;
    let play = world.play(owner, film).await.unwrap();
    assert!(play.is_preview && play.drm.is_some() && play.duration_ms.is_none());
    assert_eq!(word(world.play(viewer(2), film).await), "NoContent");
    assert_eq!(word(world.playback.play(owner, film, ManifestFormat::Dash).await), "NotPlayable");
}

#[tokio::test]
async fn clear_films_need_no_licence_and_revoked_ones_do_not_play() {
    let world = World::new().await;
    let clear = world.film(1, user(1), Film { clear: true, ..FILM }).await;
    assert_eq!(world.play(viewer(2), clear).await.unwrap().drm, None);
    let gone = world.film(2, user(1), FILM).await;
    let revoke = mcsp_grpc::licence::v1::RevokeKeysRequest::of(plan(2));
    world.licence.clone().revoke_keys(revoke).await.unwrap();
    let refused = world.play(viewer(2), gone).await.unwrap_err().to_string();
    assert!(refused.ends_with("its keys were revoked"), "{refused}");
}

#[tokio::test]
async fn a_licence_service_that_does_not_answer_lets_nobody_in() {
    let world = World::new().await;
    let film = world.film(1, user(1), FILM).await;
    // Connections are taken up, and nothing ever comes back.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    for url in [url, closed] {
        let playback = service(&world.catalog, &world.users, &connect(&url).unwrap(), &world.store);
        let began = Instant::now();
        let refused = playback.play(viewer(2), film, ManifestFormat::Hls).await.unwrap_err();
        assert!(matches!(refused, PlaybackError::Unavailable { service: "licence", .. }), "{refused:?}");
        assert!(refused.may_pass() && began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    }
}
