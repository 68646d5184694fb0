//! Search, the review queue and webhooks over HTTP.

use mcsp_catalog::{CaseFlag, CaseKind, CaseRow, ContentRow};
use mcsp_domain::{
    Bucket, ContentId, ContentState, Placement, Revision, SubscriptionTier, Tier, UserId, UserRole, Visibility,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Answer, World, send};

fn user(number: u8) -> UserId {
    UserId::from_bytes([number; 16])
}

/// Adds a public content of user 1 that viewers find.
async fn add(world: &World, number: u8, state: ContentState, title: &str) -> ContentId {
    let content = ContentId::from_bytes([number; 16]);
    let row = ContentRow {
        id: content,
        owner: user(1),
        title: title.to_owned(),
        description: String::new(),
        visibility: Visibility::Public,
        tier: SubscriptionTier::Free,
        state,
        reason: None,
        revision: Revision::FIRST,
        published_revision: (state == ContentState::Published).then_some(Revision::FIRST),
        placement: Placement { region: "eu".to_owned(), bucket: Bucket::parse("media-eu").unwrap(), tier: Tier::Hot },
        version: 1,
        created_us: 1,
        updated_us: 1,
    };
    let mut tx = world.catalog.begin().await.unwrap();
    tx.insert_content(&row).await.unwrap();
    mcsp_services::search::index(&mut tx, content, Revision::FIRST).await.unwrap();
    mcsp_services::search::show(&mut tx, content, Revision::FIRST).await.unwrap();
    tx.commit().await.unwrap();
    content
}

async fn found(world: &World, query: &[(&str, &str)]) -> Answer {
    send(world.request(Method::GET, "/api/v1/search").query(query)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_finds_what_is_published_page_by_page() {
    let world = World::new().await;
    for number in 1..=5 {
        add(&world, number, ContentState::Published, &format!("film {number}")).await;
    }
    add(&world, 9, ContentState::Review, "film of nobody").await;
    let (mut titles, mut cursor) = (Vec::new(), String::new());
    loop {
        let mut query = vec![("q", "film"), ("limit", "2")];
        if !cursor.is_empty() {
            query.push(("cursor", &cursor));
        }
        let page = found(&world, &query).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        let page = page.json();
        titles.extend(page["items"].as_array().unwrap().iter().map(|item| item["title"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    titles.sort_unstable();
    assert_eq!(titles, ["film 1", "film 2", "film 3", "film 4", "film 5"]);
    for odd in ["", "\"", "a AND (", "nothing*\"", "\0", "💥", "title:film NEAR"] {
        let answer = found(&world, &[("q", odd)]).await;
        assert_eq!(
            (answer.status, answer.json()["items"].as_array().map(Vec::len)),
            (StatusCode::OK, Some(0)),
            "{odd:?}"
        );
    }
    assert_eq!(found(&world, &[("q", &"x".repeat(201))]).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(found(&world, &[]).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(found(&world, &[("q", "film"), ("cursor", "!")]).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moderator_decides_what_is_not_his_own_once() {
    let world = World::new().await;
    let content = add(&world, 1, ContentState::Review, "film").await;
    let flag = CaseFlag {
        flagged_by: "rules".to_owned(),
        labels: vec!["violence".to_owned()],
        confidence_permille: 900,
        ranges: Vec::new(),
        at_us: 1,
    };
    let case = CaseRow {
        content,
        revision: Revision::FIRST,
        kind: CaseKind::Content,
        flags: vec![flag],
        decision: None,
        opened_us: 1,
    };
    let mut tx = world.catalog.begin().await.unwrap();
    tx.put_case(&case).await.unwrap();
    tx.commit().await.unwrap();
    let moderator = world.token(user(2), UserRole::Moderator);
    let queue = world.get("/api/v1/moderation/cases?decided=false", &moderator).await.json();
    assert_eq!(queue["items"][0]["flags"][0]["labels"], json!(["violence"]));
    assert_eq!((&queue["items"][0]["title"], &queue["next_cursor"]), (&"film".into(), &Value::Null));

    let path = format!("/api/v1/moderation/cases/{content}/decision");
    let decide = async |token: &str, body: Value| {
        let answer = send(world.request(Method::POST, &path).bearer_auth(token).json(&body)).await;
        let problem = if answer.status.is_success() { String::new() } else { answer.problem() };
        (answer.status.as_u16(), problem)
    };
    let approval = json!({"approve": true, "reason": "fine"});
    let own = world.token(user(1), UserRole::Moderator);
    assert_eq!(decide(&own, approval.clone()).await, (403, "forbidden".to_owned()));
    let bad = json!({"approve": true, "reason": "a\u{0}"});
    assert_eq!(decide(&moderator, bad).await, (422, "invalid-field".to_owned()));
    assert_eq!(decide(&moderator, json!({"approve": true, "reason": "", "revision": 0})).await.0, 422);
    assert_eq!(decide(&moderator, approval.clone()).await, (200, String::new()));
    assert_eq!(decide(&moderator, approval).await, (409, "already-decided".to_owned()));
    let queue = world.get("/api/v1/moderation/cases", &moderator).await.json();
    assert_eq!(queue["items"][0]["decision"]["approved"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_shows_its_secret_once() {
    let world = World::new().await;
    let token = world.token(user(1), UserRole::Viewer);
    let path = "/api/v1/webhook";
    let put = async |body: Value| send(world.request(Method::PUT, path).bearer_auth(&token).json(&body)).await;
    assert_eq!(world.get(path, &token).await.status, StatusCode::NOT_FOUND);
    let made = put(json!({"url": "https://example.com/hook", "events": ["media.published"]})).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.text);
    assert!(made.json()["secret"].as_str().unwrap().starts_with("whsec_"));
    let shown = world.get(path, &token).await.json();
    assert_eq!((&shown["secret"], &shown["events"]), (&Value::Null, &json!(["media.published"])));
    assert_eq!(shown["webhook_id"], made.json()["webhook_id"]);
    let rotated = put(json!({"url": "https://example.com/hook", "rotate_secret": true})).await.json();
    assert_ne!(rotated["secret"], made.json()["secret"]);
    assert!(rotated["previous_secret_until_us"].as_i64().is_some());

    let test = send(world.request(Method::POST, "/api/v1/webhook/test").bearer_auth(&token)).await;
    assert_eq!(test.status, StatusCode::ACCEPTED, "{}", test.text);
    let shown = world.get(path, &token).await.json();
    assert_eq!(shown["deliveries"][0]["message_id"], test.json()["message_id"]);
    for (body, field) in [
        (json!({"url": "http://example.com/"}), "url"),
        (json!({"url": "https://127.0.0.1/"}), "url"),
        (json!({"url": "\u{0}"}), "url"),
        (json!({"url": "https://example.com/", "events": ["x"]}), "body"),
        (json!({"url": "https://example.com/", "secret": "x"}), "body"),
    ] {
        let answer = put(body.clone()).await;
        assert_eq!(
            (answer.status, &answer.json()["field"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &field.into()),
            "{body}"
        );
    }
    let delete = async || send(world.request(Method::DELETE, path).bearer_auth(&token)).await.status;
    assert_eq!([delete().await, delete().await], [StatusCode::NO_CONTENT, StatusCode::NOT_FOUND]);
}
