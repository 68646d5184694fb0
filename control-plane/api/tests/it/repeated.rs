//! `Idempotency-Key`: what made something is answered again, what made nothing may be tried again.

use mcsp_api::{ApiSettings, Rate};
use mcsp_services::identity::TryLimits;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::support::{Answer, World, registration, send};

async fn keyed(world: &World, key: &str, body: &Value) -> Answer {
    send(world.request(Method::POST, "/api/v1/auth/register").header("idempotency-key", key).json(body)).await
}

#[tokio::test]
async fn the_answer_is_given_again_word_for_word() {
    let world = World::new().await;
    let body = registration("ada@example.org", "viewer");
    let first = keyed(&world, "one", &body).await;
    let again = keyed(&world, "one", &body).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (StatusCode::CREATED, ""));
    assert_eq!((again.status, again.header("idempotency-replayed")), (StatusCode::CREATED, "true"));
    assert_eq!((&again.text, again.header("content-type")), (&first.text, first.header("content-type")));

    let other = keyed(&world, "one", &registration("bob@example.org", "viewer")).await;
    let found = (other.status, other.problem());
    assert_eq!(found, (StatusCode::CONFLICT, "idempotency-key-reused".to_owned()));
    let second = keyed(&world, "two", &body).await;
    assert_eq!((second.status, second.problem().as_str()), (StatusCode::CONFLICT, "address-taken"));
}

#[tokio::test]
async fn what_made_nothing_may_be_tried_again() {
    let world = World::new().await;
    let bad = registration("ada", "viewer");
    assert_eq!(keyed(&world, "one", &bad).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let good = keyed(&world, "one", &registration("ada@example.org", "viewer")).await;
    assert_eq!(good.status, StatusCode::CREATED, "{}", good.text);
}

#[tokio::test]
async fn of_requests_at_once_one_is_answered_and_the_others_wait_or_get_its_answer() {
    let world = World::new().await;
    let body = registration("ada@example.org", "viewer");
    let all = futures_util::future::join_all((0..8).map(|_| keyed(&world, "one", &body))).await;
    let made = all.iter().filter(|answer| answer.status == StatusCode::CREATED);
    assert!(made.clone().count() >= 1);
    assert!(made.clone().all(|answer| answer.json()["user_id"] == made.clone().next().unwrap().json()["user_id"]));
    assert_eq!(made.filter(|answer| answer.header("idempotency-replayed").is_empty()).count(), 1);
    for answer in all.iter().filter(|answer| answer.status != StatusCode::CREATED) {
        assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::CONFLICT, "request-in-flight"));
        assert_eq!(answer.header("retry-after"), "1");
    }
    let again = keyed(&world, "one", &body).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (StatusCode::CREATED, "true"));
}

#[tokio::test]
async fn a_client_that_leaves_finds_its_answer() {
    let many = Rate { count: 1_000_000, window_s: 1 };
    let settings = ApiSettings { anonymous: many, ..ApiSettings::default() };
    let world = World::with(settings, TryLimits::default()).await;
    let body = registration("ada@example.org", "viewer");
    // The hash of a password takes longer than this; whether the request arrived in time is nobody's matter.
    let request = world.request(Method::POST, "/api/v1/auth/register").header("idempotency-key", "one").json(&body);
    let _ = request.timeout(std::time::Duration::from_millis(20)).send().await;
    let answer = loop {
        let answer = keyed(&world, "one", &body).await;
        if answer.status != StatusCode::CONFLICT {
            break answer;
        }
        assert_eq!(answer.problem(), "request-in-flight");
        tokio::task::yield_now().await;
    };
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let world = World::new().await;
    for key in ["", "a b", &"k".repeat(256)] {
        let answer = keyed(&world, key, &registration("ada@example.org", "viewer")).await;
        assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::BAD_REQUEST, "malformed-request"), "{key}");
    }
}
