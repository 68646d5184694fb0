//! Grants and ClearKey licences over the generated client.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use mcsp_domain::{KeyId, Scheme, TrackClass};
use mcsp_grpc::licence::v1::{IssueRequest, PreAuthorizeRequest, RevokeKeysRequest};
use mcsp_runtime::now_us;
use mcsp_services::licence::{LicenceClient, LicenceRefusal, clear_key_licence};
use mcsp_token::DrmGrant;
use serde_json::{Value, json};
use tonic::Code;

use super::world::{FILM, World, keys, plan, user};
use crate::support::{self, request};

fn asked(kids: &[KeyId]) -> Vec<u8> {
    let kids: Vec<String> = kids.iter().map(|kid| BASE64_URL_SAFE_NO_PAD.encode(kid.as_bytes())).collect();
    json!({ "kids": kids, "type": "temporary" }).to_string().into_bytes()
}

async fn grant(client: &LicenceClient, number: u8, ttl_s: u32) -> (String, Vec<KeyId>) {
    let playback = mcsp_domain::PlaybackId::from_bytes([5; 16]);
    let request = PreAuthorizeRequest::of(plan(number), user(2), playback, ttl_s);
    let answer = client.clone().pre_authorize(request).await.unwrap().into_inner();
    let kids = answer.kids().unwrap();
    (answer.drm_token, kids)
}

fn word(refused: Result<Vec<u8>, LicenceRefusal>) -> String {
    format!("{:?}", refused.unwrap_err()).split([' ', '(', '{']).next().unwrap().to_owned()
}

#[tokio::test]
async fn a_player_gets_the_keys_that_it_was_granted_as_often_as_it_asks() {
    let world = World::new().await;
    world.film(1, user(1), FILM).await;
    let (token, kids) = grant(&world.licence, 1, 300).await;
    assert_eq!(kids.len(), 3);
    for _ in 0..2 {
        let licence = clear_key_licence(&world.licence, &token, &asked(&kids[..2])).await.unwrap();
        let licence: Value = serde_json::from_slice(&licence).unwrap();
        assert_eq!(licence["type"], "temporary");
        let got = licence["keys"].as_array().unwrap();
        assert_eq!(got.len(), 2);
        // The keys are those that the packager gets.
        let made = world.licence.clone().get_or_create_keys(request(1)).await.unwrap().into_inner();
        let protection = made.into_protection(Scheme::Cenc).unwrap();
        for key in got {
            let kid = BASE64_URL_SAFE_NO_PAD.decode(key["kid"].as_str().unwrap()).unwrap();
            let track = TrackClass::ALL.map(|class| protection.key(class));
            let track = track.iter().find(|track| track.kid.as_bytes()[..] == kid[..]).unwrap();
            assert_eq!(key["k"], BASE64_URL_SAFE_NO_PAD.encode(track.key.expose()));
            assert_eq!(key["kty"], "oct");
        }
    }
}

#[tokio::test]
async fn what_was_not_granted_is_refused() {
    let world = World::new().await;
    world.film(1, user(1), FILM).await;
    world.film(2, user(1), FILM).await;
    let (token, mine) = grant(&world.licence, 1, 300).await;
    let (_, others) = grant(&world.licence, 2, 300).await;
    let licence = async |token: &str, challenge: &[u8]| clear_key_licence(&world.licence, token, challenge).await;
    assert_eq!(word(licence(&token, &asked(&others[..1])).await), "NotGranted", "a key of another film");
    assert_eq!(word(licence(&token, &asked(&[mine[0], others[0]])).await), "NotGranted", "one of two is enough");
    assert_eq!(word(licence(&token, &asked(&[KeyId::from_bytes([9; 16])])).await), "NotGranted");
    assert_eq!(word(licence(&token, b"{}").await), "Challenge");
    assert_eq!(word(licence(&token, &vec![b' '; 60_000]).await), "Challenge");

    let now_s = now_us() / 1_000_000;
    let old = DrmGrant {
        user: user(2),
        plan: plan(1),
        playback: mcsp_domain::PlaybackId::from_bytes([5; 16]),
        kids: mine.clone(),
        exp_s: now_s - 1,
        jti: [0; 16],
    };
    let forged = DrmGrant { exp_s: now_s + 60, ..old.clone() }.mint(&keys(9));
    let edge = world.play(super::world::viewer(2), super::world::content(1)).await.unwrap().addresses.media_url;
    let edge = edge.rsplit('/').nth(1).unwrap().to_owned();
    for (what, token) in
        [("expired", old.mint(&keys(2))), ("forged", forged), ("for the edge", edge), ("empty", String::new())]
    {
        assert_eq!(word(licence(&token, &asked(&mine)).await), "Token", "{what}");
    }
    let moved = DrmGrant { exp_s: now_s + 60, kids: others.clone(), ..old }.mint(&keys(2));
    assert_eq!(word(licence(&moved, &asked(&others)).await), "Revoked", "the plan has no such keys");
}

#[tokio::test]
async fn a_revoked_plan_gives_nothing_even_to_old_grants() {
    let world = World::new().await;
    world.film(1, user(1), FILM).await;
    let (token, kids) = grant(&world.licence, 1, 300).await;
    world.licence.clone().revoke_keys(RevokeKeysRequest::of(plan(1))).await.unwrap();
    assert_eq!(word(clear_key_licence(&world.licence, &token, &asked(&kids)).await), "Revoked");
    let playback = mcsp_domain::PlaybackId::from_bytes([5; 16]);
    let again = PreAuthorizeRequest::of(plan(1), user(2), playback, 300);
    assert_eq!(world.licence.clone().pre_authorize(again).await.unwrap_err().code(), Code::FailedPrecondition);
    let unknown = PreAuthorizeRequest::of(plan(77), user(2), playback, 300);
    assert_eq!(world.licence.clone().pre_authorize(unknown).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn grants_are_short_and_requests_are_checked() {
    let world = World::new().await;
    world.film(1, user(1), FILM).await;
    let now_s = now_us() / 1_000_000;
    for (ttl_s, want) in [(10, 10), (300, 300), (86_400, 300)] {
        let (token, _) = grant(&world.licence, 1, ttl_s).await;
        let lasts_s = DrmGrant::verify(&keys(2), &token, now_s).unwrap().exp_s - now_s;
        assert!((want..want + 10).contains(&lasts_s), "{ttl_s}: {lasts_s}");
    }
    let playback = mcsp_domain::PlaybackId::from_bytes([5; 16]);
    let mut client = world.licence.clone();
    let no_time = PreAuthorizeRequest::of(plan(1), user(2), playback, 0);
    assert_eq!(client.pre_authorize(no_time).await.unwrap_err().code(), Code::InvalidArgument);
    let nobody =
        PreAuthorizeRequest { user_id: "me".to_owned(), ..PreAuthorizeRequest::of(plan(1), user(2), playback, 9) };
    let refused = client.pre_authorize(nobody).await.unwrap_err();
    assert_eq!(refused.message(), "field user_id is \"me\", expected a UUID");
    let other = IssueRequest { drm_token: String::new(), system: 7, challenge: Vec::new() };
    assert_eq!(client.issue(other).await.unwrap_err().code(), Code::Unimplemented);
    // A service for packagers alone grants nothing.
    let mut packagers = support::World::new().client().await;
    let asked = PreAuthorizeRequest::of(plan(1), user(2), playback, 9);
    assert_eq!(packagers.pre_authorize(asked).await.unwrap_err().code(), Code::Unimplemented);
}
