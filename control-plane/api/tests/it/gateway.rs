//! What every request meets: limits, problems for what has no route, headers, tokens that are not ours.

use std::time::Duration;

use mcsp_api::{ApiSettings, Rate};
use mcsp_domain::UserRole;
use mcsp_services::identity::TryLimits;
use mcsp_token::{AccessClaims, ViewerKeys};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{World, nobody, registration, send};

const ME: &str = "/api/v1/users/me";
const LOGIN: &str = "/api/v1/auth/login";

#[tokio::test]
async fn what_has_no_route_is_a_problem() {
    let world = World::new().await;
    for path in ["/", "/api", "/api/v1/nothing", "/api/v1/users/me/", "//", "/%00", "/%ff", "/api/v1/../v1/x"] {
        let answer = send(world.request(Method::GET, path)).await;
        assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::NOT_FOUND, "not-found"), "{path}");
    }
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "QUERY", "POST"] {
        let answer = send(world.request(Method::from_bytes(method.as_bytes()).unwrap(), ME)).await;
        let found = (answer.status, answer.problem());
        assert_eq!(found, (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed".to_owned()), "{method}");
        assert_eq!(answer.header("allow"), "GET,HEAD", "{method}");
    }
    let answer = send(world.request(Method::GET, "/api/v1/users/x/role")).await;
    assert_eq!((answer.status, answer.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "PUT"));
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_problems() {
    let world = World::new().await;
    let post =
        |kind: &str, body: Vec<u8>| send(world.request(Method::POST, LOGIN).header("content-type", kind).body(body));
    let json_kind = "application/json; charset=utf-8";
    let answer = post("text/plain", b"{}".to_vec()).await;
    assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json"));
    for bad in ["", "[]", "null", "{", "{\"email\":\"\\ud800\"}"] {
        let answer = post(json_kind, bad.into()).await;
        assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::BAD_REQUEST, "malformed-request"), "{bad}");
    }
    for bad in ["{}", "{\"email\":1,\"password\":\"x\"}", "{\"email\":\"a\",\"password\":\"x\",\"more\":1}"] {
        let answer = post(json_kind, bad.into()).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (StatusCode::UNPROCESSABLE_ENTITY, "invalid-field"),
            "{bad}"
        );
    }
    let large = format!("{{\"email\":\"{}\"}}", "a".repeat(70_000));
    let answer = post(json_kind, large.clone().into_bytes()).await;
    assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large"));
    let keyed = world.request(Method::POST, "/api/v1/auth/register").header("content-type", json_kind);
    let answer = send(keyed.header("idempotency-key", "k").body(large)).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let deep = post(json_kind, format!("{}{}", "{\"email\":".repeat(5000), "1").into_bytes()).await;
    assert!(deep.status.is_client_error());
}

#[tokio::test]
async fn answers_carry_headers_that_browsers_obey_and_a_name() {
    let world = World::new().await;
    let answer = send(world.request(Method::GET, ME).header("x-request-id", "upload-7")).await;
    assert_eq!(answer.header("x-request-id"), "upload-7");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("x-frame-options"), "DENY");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'");
    assert_eq!(answer.header("access-control-allow-origin"), "");
    assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"mcsp\"");
    let odd =
        send(world.request(Method::GET, ME).header("x-request-id", "a b").header("traceparent", "nonsense")).await;
    assert_eq!(odd.header("x-request-id").len(), 32);
}

#[tokio::test]
async fn limits_are_told_and_kept_per_caller() {
    let settings = ApiSettings {
        anonymous: Rate { count: 3, window_s: 3600 },
        signed_in: Rate { count: 2, window_s: 3600 },
        ..ApiSettings::default()
    };
    let world = World::with(settings, TryLimits::default()).await;
    for remaining in [2, 1, 0] {
        let answer = send(world.request(Method::GET, ME)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.header("ratelimit-policy"), "\"client\";q=3;w=3600");
        let used = 3 - remaining;
        assert_eq!(answer.header("ratelimit"), format!("\"client\";r={remaining};t={}", used * 1200));
    }
    let refused = send(world.request(Method::GET, ME)).await;
    assert_eq!((refused.status, refused.problem().as_str()), (StatusCode::TOO_MANY_REQUESTS, "too-many-requests"));
    assert!((1..=1200).contains(&refused.header("retry-after").parse::<u32>().unwrap()));
    assert_eq!(refused.header("ratelimit"), "\"client\";r=0;t=3600");
    assert_eq!(refused.header("x-content-type-options"), "nosniff");
    let forged = send(world.request(Method::GET, ME).header("x-forwarded-for", "198.51.100.1")).await;
    assert_eq!(forged.status, StatusCode::TOO_MANY_REQUESTS, "nobody but a proxy of ours names another client");

    let token = world.token(nobody(), UserRole::Viewer);
    let statuses = [StatusCode::UNAUTHORIZED, StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS];
    for status in statuses {
        let answer = world.get(ME, &token).await;
        assert_eq!((answer.status, answer.header("ratelimit-policy")), (status, "\"account\";q=2;w=3600"));
    }
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_ended() {
    let settings = ApiSettings { timeout: Duration::ZERO, ..ApiSettings::default() };
    let world = World::with(settings, TryLimits::default()).await;
    let answer = world.post("/api/v1/auth/register", &registration("ada@example.org", "viewer")).await;
    assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "timed-out"));
}

#[tokio::test]
async fn tokens_that_are_not_ours_are_refused() {
    let world = World::new().await;
    let good = world.sign_up("ada@example.org", "viewer").await["access_token"].as_str().unwrap().to_owned();
    assert_eq!(world.get(ME, &good).await.status, StatusCode::OK);
    let claims = |exp_s| AccessClaims { sub: nobody(), role: UserRole::Admin, iat_s: 0, exp_s, jti: "x".to_owned() };
    let foreign = ViewerKeys::new(zeroize::Zeroizing::new([1; 32]), 0).mint(&claims(i64::MAX));
    let parts: Vec<&str> = good.split('.').collect();
    let unsigned = format!("{}.{}.", "eyJhbGciOiJub25lIn0", parts[1]);
    let swapped = format!("{}.{}.{}", parts[0], foreign.split('.').nth(1).unwrap(), parts[2]);
    for token in [foreign.as_str(), &unsigned, &swapped, "", "x", "a.b.c", &format!("{good}x"), &good[1..]] {
        let answer = world.get(ME, token).await;
        assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::UNAUTHORIZED, "signed-out"), "{token}");
    }
    for value in [format!("Basic {good}"), format!("bearer{good}"), good.clone()] {
        let answer = send(world.request(Method::GET, ME).header("authorization", value)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    let answer = send(world.request(Method::GET, ME).header("authorization", &b"Bearer \xff"[..])).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let refresh = json!({ "refresh_token": good });
    assert_eq!(world.post("/api/v1/auth/refresh", &refresh).await.status, StatusCode::UNAUTHORIZED);
}
