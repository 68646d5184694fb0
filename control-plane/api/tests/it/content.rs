//! Contents over HTTP, by two users: what each sees, entity tags, and every call on another's content.

use mcsp_domain::{
    Bucket, ContentId, ContentState, Placement, Revision, SessionId, SubscriptionTier, Tier, UserId, UserRole,
    Visibility,
};
use mcsp_events::SourceObject;
use mcsp_services::content::{self, NewDraft};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Answer, World, send};

fn user(number: u8) -> UserId {
    UserId::from_bytes([number; 16])
}

fn owner() -> UserId {
    user(1)
}

fn other() -> UserId {
    user(2)
}

fn id(number: u8) -> ContentId {
    ContentId::from_bytes([number; 16])
}

/// Announces a content of the owner's.
async fn draft(world: &World, number: u8, visibility: Visibility) {
    let placement = Placement { region: "eu".into(), bucket: Bucket::parse("media-eu").unwrap(), tier: Tier::Hot };
    let mut tx = world.catalog.begin().await.unwrap();
    let new = NewDraft {
        id: id(number),
        owner: owner(),
        title: format!("Film {number}"),
        description: String::new(),
        visibility,
        tier: SubscriptionTier::Free,
        placement,
        session: SessionId::from_bytes([number; 16]),
        file_name: "film.mp4".into(),
        now_us: 1_760_000_000_000_000,
    };
    content::draft(&mut tx, new).await.unwrap();
    tx.commit().await.unwrap();
}

/// Has viewers see a content, as the publish saga would.
async fn publish(world: &World, number: u8) {
    let mut tx = world.catalog.begin().await.unwrap();
    let mut row = tx.content(id(number)).await.unwrap().unwrap();
    row.state = ContentState::Published;
    row.published_revision = Some(Revision::FIRST);
    assert!(tx.update_content(&row).await.unwrap());
    let mut publication = tx.publication(id(number), Revision::FIRST).await.unwrap().unwrap();
    let key = mcsp_domain::ObjectKey::upload(id(number), SessionId::from_bytes([number; 16]));
    publication.source = Some(SourceObject { key, etag: "e".into(), len_bytes: 4 });
    publication.published_us = Some(1);
    tx.update_publication(&publication).await.unwrap();
    tx.commit().await.unwrap();
}

struct Calls<'a> {
    world: &'a World,
    token: String,
}

impl Calls<'_> {
    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let request = self.world.request(method, &format!("/api/v1/{path}")).bearer_auth(&self.token);
        send(if let Some(body) = body { request.json(&body) } else { request }).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    async fn patch(&self, path: &str, tag: &str, body: &Value) -> Answer {
        let request = self.world.request(Method::PATCH, &format!("/api/v1/{path}")).bearer_auth(&self.token);
        send(request.header("if-match", tag).json(body)).await
    }
}

fn calls(world: &World, user: UserId) -> Calls<'_> {
    Calls { world, token: world.token(user, UserRole::Creator) }
}

#[tokio::test]
async fn a_content_changes_only_from_the_version_that_was_read() {
    let world = World::new().await;
    draft(&world, 1, Visibility::Private).await;
    let owner = calls(&world, owner());
    let path = format!("content/{}", id(1));
    let shown = owner.get(&path).await;
    assert_eq!((shown.status, shown.json()["state"].as_str()), (StatusCode::OK, Some("DRAFT")));
    let tag = shown.header("etag").to_owned();
    assert_eq!(tag, format!("\"{}\"", shown.json()["version"]));

    let body = json!({ "title": "Große Reise", "visibility": "public", "tier": "basic" });
    let untagged = owner.call(Method::PATCH, &path, Some(body.clone())).await;
    assert_eq!(
        (untagged.status, untagged.problem().as_str()),
        (StatusCode::PRECONDITION_REQUIRED, "if-match-required")
    );
    for stale in ["\"0\"", "1", "W/\"1\"", "\"x\", \"99\"", ""] {
        let answer = owner.patch(&path, stale, &body).await;
        assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::PRECONDITION_FAILED, "changed-since"));
    }
    let changed = owner.patch(&path, &tag, &body).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text);
    assert_eq!(changed.json()["title"], "Große Reise");
    assert_ne!(changed.header("etag"), tag);
    assert_eq!(owner.patch(&path, &tag, &body).await.status, StatusCode::PRECONDITION_FAILED);
    let again = owner.patch(&path, changed.header("etag"), &json!({ "description": "a\nb" })).await;
    assert_eq!((&again.json()["title"], &again.json()["description"]), (&json!("Große Reise"), &json!("a\nb")));
    for bad in
        [json!({ "title": "" }), json!({ "title": "a\u{0}" }), json!({ "tier": "gold" }), json!({ "state": "X" })]
    {
        let answer = owner.patch(&path, "*", &bad).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{bad} {}", answer.text);
    }
}

#[tokio::test]
async fn another_users_content_is_refused_everywhere() {
    let world = World::new().await;
    draft(&world, 1, Visibility::Private).await;
    draft(&world, 2, Visibility::Public).await;
    publish(&world, 2).await;
    let (owner, other) = (calls(&world, owner()), calls(&world, other()));
    for (number, refusal) in [(1, StatusCode::NOT_FOUND), (2, StatusCode::FORBIDDEN)] {
        let path = format!("content/{}", id(number));
        assert_eq!(other.patch(&path, "*", &json!({ "title": "mine" })).await.status, refusal);
        assert_eq!(other.call(Method::DELETE, &path, None).await.status, refusal);
        assert_eq!(other.get(&format!("{path}/timeline")).await.status, refusal);
        for action in ["cancel", "retry", "renditions/video-360p/retry"] {
            let answer = other.call(Method::POST, &format!("{path}/{action}"), None).await;
            assert_eq!(answer.status, refusal, "{action} {}", answer.text);
        }
        let reprocess = Some(json!({ "from": "transcode" }));
        let answer = other.call(Method::POST, &format!("{path}/reprocess"), reprocess).await;
        assert_eq!(answer.status, refusal, "{}", answer.text);
    }
    assert_eq!(other.get(&format!("content/{}", id(1))).await.status, StatusCode::NOT_FOUND);
    let seen = other.get(&format!("content/{}", id(2))).await;
    assert_eq!((seen.status, seen.json()["state"].as_str()), (StatusCode::OK, Some("PUBLISHED")));
    assert_eq!(other.get("content").await.json()["items"], json!([]));
    let mine = owner.get("content?limit=1").await.json();
    assert_eq!(mine["items"][0]["id"], id(2).to_string());
    let cursor = mine["next_cursor"].as_str().unwrap();
    let next = owner.get(&format!("content?limit=1&cursor={cursor}")).await.json();
    assert_eq!((next["items"][0]["id"].as_str(), next["next_cursor"].as_str()), (Some(&*id(1).to_string()), None));
    let moderator = Calls { world: &world, token: world.token(user(2), UserRole::Moderator) };
    assert_eq!(moderator.get(&format!("content/{}/timeline", id(1))).await.status, StatusCode::OK);
    let admin = Calls { world: &world, token: world.token(user(2), UserRole::Admin) };
    assert_eq!(admin.call(Method::DELETE, &format!("content/{}", id(1)), None).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_timeline_tells_steps_and_a_deleted_content_is_gone() {
    let world = World::new().await;
    draft(&world, 1, Visibility::Public).await;
    let owner = calls(&world, owner());
    let path = format!("content/{}", id(1));
    let timeline = owner.get(&format!("{path}/timeline")).await.json();
    assert_eq!((&timeline["state"], &timeline["revision"]), (&json!("DRAFT"), &json!(1)));
    assert_eq!((&timeline["steps"][0]["name"], &timeline["steps"][0]["state"]), (&json!("upload"), &json!("running")));
    assert_eq!(timeline["revisions"][0]["file_name"], "film.mp4");
    assert_eq!(owner.get(&format!("{path}/timeline?revision=2")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(owner.get(&format!("{path}/timeline?revision=0")).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    for action in ["cancel", "retry"] {
        let answer = owner.call(Method::POST, &format!("{path}/{action}"), None).await;
        assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::CONFLICT, "wrong-state"), "{action}");
    }
    let unknown = owner.call(Method::POST, &format!("{path}/renditions/video-360p/retry"), None).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    for _ in 0..2 {
        assert_eq!(owner.call(Method::DELETE, &path, None).await.status, StatusCode::NO_CONTENT);
    }
    assert_eq!(owner.get(&path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(owner.get("content").await.json()["items"], json!([]));
}

#[tokio::test]
async fn a_run_is_told_before_it_is_made() {
    let world = World::new().await;
    draft(&world, 1, Visibility::Public).await;
    publish(&world, 1).await;
    let (owner, other) = (calls(&world, owner()), calls(&world, other()));
    let wish = |dry_run: bool| Some(json!({ "query": "all", "from": "transcode", "dry_run": dry_run }));
    let plan = owner.call(Method::POST, "reprocess", wish(true)).await;
    assert_eq!(plan.status, StatusCode::OK, "{}", plan.text);
    assert_eq!((&plan.json()["run"], &plan.json()["planned"]), (&Value::Null, &json!(1)));
    assert_eq!(plan.json()["items"][0]["title"], "Film 1");
    assert_eq!(other.call(Method::POST, "reprocess", wish(true)).await.json()["planned"], 0);

    let run = owner.call(Method::POST, "reprocess", wish(false)).await;
    assert_eq!((run.status, &run.json()["items"][0]["state"]), (StatusCode::ACCEPTED, &json!("planned")));
    let path = format!("reprocess/{}", run.json()["run"].as_str().unwrap());
    assert_eq!(owner.get(&path).await.json()["planned"], 1);
    assert_eq!(owner.call(Method::POST, &path, None).await.status, StatusCode::ACCEPTED);
    assert_eq!(owner.get(&format!("{path}/items")).await.json()["items"][0]["content"], id(1).to_string());
    assert_eq!(other.get(&path).await.status, StatusCode::NOT_FOUND);
    for query in ["", " ", "id:1", "owner:", "title:", "id:\u{0}"] {
        let body = Some(json!({ "query": query, "from": "package" }));
        let answer = owner.call(Method::POST, "reprocess", body).await;
        assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::UNPROCESSABLE_ENTITY, "invalid-field"));
    }
    let one =
        owner.call(Method::POST, &format!("content/{}/reprocess", id(1)), Some(json!({ "from": "package" }))).await;
    assert_eq!(one.status, StatusCode::CONFLICT, "its chunks are not known: {}", one.text);
}
