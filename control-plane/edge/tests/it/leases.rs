//! Who may read what, and until when.

use mcsp_domain::Bucket;
use mcsp_token::{DrmGrant, EdgeLease};

use crate::support::{World, keys, lease};

async fn status(world: &World, token: &str, path: &str) -> (u16, String) {
    let answer = world.ask(&format!("GET /t/{token}/{path}"), &[]).await;
    let text = answer.text();
    let kind = text.split("problems/").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
    (answer.status, kind.to_owned())
}

#[tokio::test]
async fn manifests_end_first_and_segments_go_on() {
    let world = World::new().await;
    let paused = lease(1, -1, 60).mint(&keys(1));
    let expired = (410, "edge-token-expired".to_owned());
    assert_eq!(status(&world, &paused, "master.m3u8").await, expired);
    assert_eq!(status(&world, &paused, "video/00001.m4s").await.0, 200);
    let over = lease(1, -1, -1).mint(&keys(1));
    for path in ["master.m3u8", "video/00001.m4s", "nothing.json"] {
        assert_eq!(status(&world, &over, path).await, expired, "{path}");
    }
    let short = lease(1, 60, -1).mint(&keys(1));
    assert_eq!(status(&world, &short, "master.m3u8").await.0, 200);
    assert_eq!(status(&world, &short, "video/00001.m4s").await, expired);
}

#[tokio::test]
async fn a_lease_opens_its_own_package_alone() {
    let world = World::new().await;
    world.put(2, "video/00002.m4s", b"of the second").await;
    let (first, second) = (lease(1, 60, 60).mint(&keys(1)), lease(2, 60, 60).mint(&keys(1)));
    assert_eq!(status(&world, &first, "video/00002.m4s").await.0, 404);
    assert_eq!(status(&world, &second, "video/00002.m4s").await.0, 200);
}

#[tokio::test]
async fn what_is_no_lease_of_ours_is_refused() {
    let world = World::new().await;
    let good = lease(1, 60, 60);
    let token = good.mint(&keys(1));
    let claims = |lease: &EdgeLease| lease.mint(&keys(1)).split('.').nth(1).unwrap().to_owned();
    let longer = claims(&lease(1, 9999, 9999));
    let [kid, _, tag] = token.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    let grant = DrmGrant {
        user: mcsp_domain::UserId::from_bytes([1; 16]),
        plan: mcsp_domain::PlanId::from_bytes([1; 16]),
        playback: good.playback,
        kids: Vec::new(),
        exp_s: good.media_exp_s,
        jti: [0; 16],
    };
    let refused = (403, "edge-token-refused".to_owned());
    for (what, token) in [
        ("other claims", format!("{kid}.{longer}.{tag}")),
        ("another key of the same id", {
            let key = mcsp_token::HmacKey::new("k1", [9; 32]).unwrap();
            good.mint(&mcsp_token::HmacKeys::new(key, Vec::new()).unwrap())
        }),
        ("another id", good.mint(&keys(2))),
        ("another audience", grant.mint(&keys(1))),
        ("a cut token", token[..token.len() - 1].to_owned()),
        ("no token", "x".to_owned()),
        ("an empty token", String::new()),
        ("a long token", "a".repeat(10_000)),
        ("an escaped token", token.replace('.', "%2e")),
    ] {
        assert_eq!(status(&world, &token, "video/00001.m4s").await, refused, "{what}");
    }
    let elsewhere = EdgeLease { bucket: Bucket::parse("elsewhere").unwrap(), ..good };
    assert_eq!(status(&world, &elsewhere.mint(&keys(1)), "master.m3u8").await.0, 503);
}
