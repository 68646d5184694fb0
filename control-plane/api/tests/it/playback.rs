//! Playback and licences over HTTP: what a player sends and gets.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use mcsp_catalog::{ContentRow, PackageRow, PublicationRow};
use mcsp_domain::{
    Bucket, ContentId, ContentState, Digest, KeyId, ObjectKey, Placement, PlanId, Revision, SubscriptionTier, Tier,
    TrackClass, UserId, UserRole, Visibility,
};
use mcsp_grpc::licence::v1::{self, GetOrCreateKeysRequest};
use mcsp_runtime::now_us;
use mcsp_token::DrmGrant;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Answer, World, send, token_keys};

fn content(number: u8) -> ContentId {
    ContentId::from_bytes([number; 16])
}

fn user(number: u8) -> UserId {
    UserId::from_bytes([number; 16])
}

/// Adds a published film of user 1 with its keys.
async fn film(world: &World, number: u8, visibility: Visibility, tier: SubscriptionTier) -> Vec<KeyId> {
    let (content, plan) = (content(number), PlanId::from_bytes([number; 16]));
    let request = GetOrCreateKeysRequest {
        plan_id: plan.to_string(),
        content_id: content.to_string(),
        plan_fingerprint: Digest::of(&[&[number]]).as_bytes().to_vec(),
        scheme: v1::Scheme::Cenc.into(),
        track_classes: TrackClass::ALL.map(|class| v1::TrackClass::from(class).into()).to_vec(),
    };
    let keys = world.licence.clone().get_or_create_keys(request).await.unwrap().into_inner().keys;
    let placement = Placement { region: "eu".to_owned(), bucket: Bucket::parse("media-eu").unwrap(), tier: Tier::Hot };
    let folder = ObjectKey::package(content, Revision::FIRST, plan);
    let package = PackageRow {
        plan,
        hls: folder.join(&ObjectKey::multivariant_playlist()).unwrap(),
        dash: folder.join(&ObjectKey::mpd()).unwrap(),
        folder,
        scheme: Some("cenc".to_owned()),
        kids: Vec::new(),
        bytes: 1,
        duration_ms: 600_000,
    };
    let mut tx = world.catalog.begin().await.unwrap();
    let row = ContentRow {
        id: content,
        owner: user(1),
        title: String::new(),
        description: String::new(),
        visibility,
        tier,
        state: ContentState::Published,
        reason: None,
        revision: Revision::FIRST,
        published_revision: Some(Revision::FIRST),
        placement,
        version: 1,
        created_us: 1,
        updated_us: 1,
    };
    let publication = PublicationRow {
        content,
        revision: Revision::FIRST,
        session: None,
        file_name: String::new(),
        source: None,
        plan: Some(plan),
        package: Some(package),
        duration_ms: None,
        created_us: 1,
        published_us: Some(1),
    };
    tx.insert_content(&row).await.unwrap();
    tx.insert_publication(&publication).await.unwrap();
    tx.commit().await.unwrap();
    keys.iter().map(|key| KeyId::from_bytes(key.key_id.as_slice().try_into().unwrap())).collect()
}

async fn play(world: &World, token: &str, number: u8, body: Value) -> Answer {
    let path = format!("/api/v1/playback/{}", content(number));
    send(world.request(Method::POST, &path).bearer_auth(token).json(&body)).await
}

async fn tell(world: &World, token: &str, playback: &Value, body: Value) -> Answer {
    let path = format!("/api/v1/playback/{}/position", playback.as_str().unwrap());
    send(world.request(Method::PUT, &path).bearer_auth(token).json(&body)).await
}

async fn licence(world: &World, token: Option<&str>, body: &str) -> Answer {
    let request = world.request(Method::POST, "/licence/clearkey").header("origin", "http://player.example");
    let request = token.map_or(request.try_clone().unwrap(), |token| request.bearer_auth(token));
    send(request.body(body.to_owned())).await
}

fn asked(kid: &KeyId) -> String {
    json!({ "kids": [BASE64_URL_SAFE_NO_PAD.encode(kid.as_bytes())], "type": "temporary" }).to_string()
}

#[tokio::test]
async fn a_player_gets_addresses_keys_and_goes_on_where_it_stopped() {
    let world = World::new().await;
    let kids = film(&world, 1, Visibility::Public, SubscriptionTier::Free).await;
    let token = world.token(user(2), UserRole::Viewer);
    let answer = play(&world, &token, 1, json!({ "format": "dash", "drm": "clear_key" })).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let first = answer.json();
    assert_eq!(first["manifest_url"], first["dash_url"]);
    assert_eq!(first["license_server_url"], "http://desk.example/licence/clearkey");
    assert_eq!(
        (&first["position_ms"], &first["duration_ms"], &first["preview"]),
        (&json!(0), &json!(600_000), &json!(false))
    );

    let answer = licence(&world, first["drm_token"].as_str(), &asked(&kids[0])).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!((answer.header("access-control-allow-origin"), answer.header("cache-control")), ("*", "no-store"));
    assert_eq!(answer.json()["keys"].as_array().unwrap().len(), 1);

    let playback = &first["playback_id"];
    let told = tell(&world, &token, playback, json!({ "position_ms": 42_000, "seq": 1, "event": "pause" })).await;
    assert_eq!(told.status, StatusCode::OK, "{}", told.text);
    assert_eq!(told.json(), json!({ "position_ms": 42_000, "seq": 1, "taken": true }));
    let late = tell(&world, &token, playback, json!({ "position_ms": 1, "seq": 1 })).await.json();
    assert_eq!(late, json!({ "position_ms": 42_000, "seq": 1, "taken": false }));
    let next = play(&world, &token, 1, json!({})).await.json();
    assert_eq!((&next["position_ms"], &next["manifest_url"]), (&json!(42_000), &next["hls_url"]));

    let other = tell(&world, &world.token(user(3), UserRole::Admin), playback, json!({ "position_ms": 1 })).await;
    assert_eq!(
        (other.status, other.problem().as_str()),
        (StatusCode::NOT_FOUND, "not-found"),
        "it is another viewer's"
    );
}

#[tokio::test]
async fn a_refusal_says_what_is_missing() {
    let world = World::new().await;
    film(&world, 1, Visibility::Private, SubscriptionTier::Free).await;
    film(&world, 2, Visibility::Public, SubscriptionTier::Premium).await;
    let ada = world.users.ensure_admin("ada@example.org", "correct horse").await.unwrap();
    let token = world.token(ada.id, UserRole::Viewer);
    for (number, body, status, problem) in [
        (1, json!({}), 404, "not-found"),
        (9, json!({}), 404, "not-found"),
        (2, json!({}), 403, "tier-required-premium"),
        (2, json!({ "format": "smooth" }), 422, "invalid-field"),
        (2, json!({ "quality": 1 }), 422, "invalid-field"),
        (2, json!([]), 400, "malformed-request"),
    ] {
        let answer = play(&world, &token, number, body).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (status, problem), "{number}");
    }
    let free = play(&world, &world.token(user(1), UserRole::Creator), 1, json!({})).await.json();
    let owner = world.token(user(1), UserRole::Creator);
    for body in [
        json!({}),
        json!({ "position_ms": -1 }),
        json!({ "position_ms": 86_400_001_u64 }),
        json!({ "position_ms": 1, "seq": 0 }),
        json!({ "position_ms": 1, "seq": 9_007_199_254_740_992_u64 }),
        json!({ "position_ms": 1, "event": "rewind" }),
    ] {
        let answer = tell(&world, &owner, &free["playback_id"], body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (422, "invalid-field"), "{body}");
    }
}

#[tokio::test]
async fn a_licence_needs_a_token_of_a_playback() {
    let world = World::new().await;
    let kids = film(&world, 1, Visibility::Public, SubscriptionTier::Free).await;
    let others = film(&world, 2, Visibility::Public, SubscriptionTier::Free).await;
    let access = world.token(user(2), UserRole::Viewer);
    let played = play(&world, &access, 1, json!({})).await.json();
    let token = played["drm_token"].as_str().unwrap();
    let edge = played["media_url"].as_str().unwrap().rsplit('/').nth(1).unwrap();
    let old = DrmGrant::verify(&token_keys(2), token, 0).unwrap();
    let old = DrmGrant { exp_s: now_us() / 1_000_000 - 1, ..old }.mint(&token_keys(2));
    let good = asked(&kids[0]);
    for (what, token, body, status, problem) in [
        ("none", None, good.as_str(), 401, "signed-out"),
        ("an access token", Some(access.as_str()), &good, 401, "signed-out"),
        ("an edge token", Some(edge), &good, 401, "signed-out"),
        ("an expired one", Some(old.as_str()), &good, 401, "signed-out"),
        ("another film's key", Some(token), &asked(&others[0]), 403, "key-not-granted"),
        ("no request", Some(token), "film", 400, "malformed-request"),
        ("a long request", Some(token), &" ".repeat(70_000), 413, "body-too-large"),
    ] {
        let answer = licence(&world, token, body).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (status, problem), "{what}");
    }
    let revoke = v1::RevokeKeysRequest::of(PlanId::from_bytes([1; 16]));
    world.licence.clone().revoke_keys(revoke).await.unwrap();
    assert_eq!(licence(&world, Some(token), &good).await.problem(), "keys-revoked");
    let again = play(&world, &access, 1, json!({})).await;
    assert_eq!((again.status, again.problem().as_str()), (StatusCode::CONFLICT, "not-playable"));
    // An access token is no DRM token, and the other way round.
    assert_eq!(play(&world, token, 2, json!({})).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_player_on_another_page_may_ask_for_a_licence_without_cookies() {
    let world = World::new().await;
    let preflight = world
        .request(Method::OPTIONS, "/licence/clearkey")
        .header("origin", "http://player.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type");
    let answer = send(preflight).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert!(answer.header("access-control-allow-headers").contains("authorization"), "{answer:?}");
    assert_eq!(answer.header("access-control-allow-credentials"), "");
    let refused = licence(&world, None, "").await;
    assert_eq!(refused.header("access-control-allow-origin"), "*", "a page may read why");
}
