//! Uploads over HTTP, their bytes through the store's own endpoint.

use mcsp_domain::{UserId, UserRole};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Answer, World, send};

const SESSION: &str = "/api/v1/uploads/session";

fn creator(world: &World, number: u8) -> String {
    world.token(UserId::from_bytes([number; 16]), UserRole::Creator)
}

async fn post(world: &World, path: &str, token: &str, body: &Value) -> Answer {
    send(world.request(Method::POST, path).bearer_auth(token).json(body)).await
}

/// Puts bytes where an answer says.
async fn put(world: &World, url: &Value, headers: &Value, bytes: &[u8]) -> Answer {
    let mut request = world.client.put(url.as_str().unwrap()).body(bytes.to_vec());
    for (name, value) in headers.as_object().unwrap().iter().filter(|(name, _)| *name != "content-length") {
        request = request.header(name, value.as_str().unwrap());
    }
    send(request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_goes_from_a_session_to_its_completion() {
    let world = World::new().await;
    let token = creator(&world, 1);
    let made = post(&world, SESSION, &token, &json!({"file_name": "holiday.mp4", "size_bytes": 4})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let session = made.json();
    let mut fields: Vec<&String> = session.as_object().unwrap().keys().collect();
    fields.sort();
    let wanted =
        ["content_id", "expires_us", "headers", "part_bytes", "part_count", "parts", "presigned_url", "session_id"];
    assert_eq!(fields, wanted);
    let path = format!("/api/v1/uploads/{}", session["session_id"].as_str().unwrap());
    let complete = format!("{path}/complete");
    let early = post(&world, &complete, &token, &json!({})).await;
    assert_eq!((early.status, early.problem().as_str()), (StatusCode::CONFLICT, "parts-missing"));
    assert!(early.text.contains("the first is part 1"), "{}", early.text);
    let again = post(&world, &format!("{path}/parts"), &token, &json!({"parts": [{"number": 1}]})).await;
    let part = again.json()["parts"][0].clone();
    assert_eq!((part["method"].as_str(), part["size_bytes"].as_u64()), (Some("PUT"), Some(4)));
    let stored = put(&world, &part["url"], &part["headers"], b"film").await;
    assert_eq!(stored.status, StatusCode::OK, "{}", stored.text);
    // With its quotes, as the store writes it.
    let parts = json!({"parts": [{"number": 1, "etag": stored.header("etag")}]});
    let done = post(&world, &complete, &token, &parts).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    let empty = send(world.request(Method::POST, &complete).bearer_auth(&token)).await;
    assert_eq!((empty.status, empty.json()), (StatusCode::OK, done.json()), "without a body too");
    let shown = world.get(&path, &token).await.json();
    assert_eq!((shown["state"].as_str(), shown["bytes"].as_u64()), (Some("complete"), Some(4)));
    let aborted = send(world.request(Method::DELETE, &path).bearer_auth(&token)).await;
    assert_eq!((aborted.status, aborted.problem().as_str()), (StatusCode::CONFLICT, "upload-ended"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_its_owners_alone() {
    let world = World::new().await;
    let (mine, other) = (creator(&world, 1), creator(&world, 2));
    let made = post(&world, SESSION, &mine, &json!({"file_name": "a.mp4", "size_bytes": 4})).await.json();
    let path = format!("/api/v1/uploads/{}", made["session_id"].as_str().unwrap());
    let source = format!("/api/v1/content/{}/source", made["content_id"].as_str().unwrap());
    let file = json!({"file_name": "b.mp4", "size_bytes": 5});
    let answers = [
        world.get(&path, &other).await,
        send(world.request(Method::DELETE, &path).bearer_auth(&other)).await,
        post(&world, &format!("{path}/parts"), &other, &json!({"parts": [{"number": 1}]})).await,
        post(&world, &format!("{path}/complete"), &other, &json!({})).await,
        post(&world, &source, &other, &file).await,
    ];
    for answer in answers {
        assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::NOT_FOUND, "not-found"));
    }
    let replaced = post(&world, &source, &mine, &file).await;
    assert_eq!(replaced.status, StatusCode::CREATED, "{}", replaced.text);
    assert_eq!(replaced.json()["content_id"], made["content_id"]);
    assert_eq!(world.get(&path, &mine).await.json()["state"], "aborted");
    let next = format!("/api/v1/uploads/{}", replaced.json()["session_id"].as_str().unwrap());
    for _ in 0..2 {
        let aborted = send(world.request(Method::DELETE, &next).bearer_auth(&mine)).await;
        assert_eq!(aborted.status, StatusCode::NO_CONTENT);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_session_cannot_be_is_told_with_its_field() {
    let world = World::new().await;
    let token = creator(&world, 1);
    let refusal = async |change: Value| {
        let mut body = json!({"file_name": "a.mp4", "size_bytes": 4});
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let answer = post(&world, SESSION, &token, &body).await;
        format!("{} {} {}", answer.status.as_u16(), answer.problem(), answer.json()["field"].as_str().unwrap_or("-"))
    };
    assert_eq!(refusal(json!({"file_name": ""})).await, "422 invalid-field file_name");
    assert_eq!(refusal(json!({"file_name": "a\u{0}b"})).await, "422 invalid-field file_name");
    assert_eq!(refusal(json!({"size_bytes": 0})).await, "422 invalid-field size_bytes");
    assert_eq!(refusal(json!({"size_bytes": -1})).await, "422 invalid-field body");
    assert_eq!(refusal(json!({"size_bytes": (1_u64 << 40) + 1})).await, "422 invalid-field size_bytes");
    assert_eq!(refusal(json!({"sha256": "abc"})).await, "422 invalid-field sha256");
    assert_eq!(refusal(json!({"title": "x".repeat(201)})).await, "422 invalid-field title");
    assert_eq!(refusal(json!({"description": "a\u{7f}"})).await, "422 invalid-field description");
    assert_eq!(refusal(json!({"visibility": null})).await, "422 invalid-field body");
    assert_eq!(refusal(json!({"parts_max": 101})).await, "422 invalid-field parts_max");
    assert_eq!(refusal(json!({"region": "Mars!"})).await, "422 invalid-field region");
    assert_eq!(refusal(json!({"region": "mars"})).await, "403 region-not-allowed -");
    assert_eq!(refusal(json!({"country": "ng"})).await, "422 invalid-field country");
    assert_eq!(refusal(json!({"colour": "red"})).await, "422 invalid-field body");

    let made = post(&world, SESSION, &token, &json!({"file_name": "a.mp4", "size_bytes": 9 << 20})).await.json();
    assert_eq!((made["part_count"].as_u64(), made["parts"].as_array().map(Vec::len)), (Some(2), Some(2)));
    let parts = format!("/api/v1/uploads/{}/parts", made["session_id"].as_str().unwrap());
    let third = post(&world, &parts, &token, &json!({"parts": [{"number": 3}]})).await;
    assert_eq!((third.status, third.problem().as_str()), (StatusCode::NOT_FOUND, "not-found"));
    assert!(third.text.contains("parts 1 to 2"), "{}", third.text);
    let none = post(&world, &parts, &token, &json!({"parts": []})).await;
    assert_eq!((none.status, none.problem().as_str()), (StatusCode::UNPROCESSABLE_ENTITY, "invalid-field"));
}
