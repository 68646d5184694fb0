//! Accounts, sign-ins, refresh tokens and who changes whom.

use mcsp_api::ApiSettings;
use mcsp_domain::UserRole;
use mcsp_services::identity::TryLimits;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{PASSWORD, World, nobody, registration, send};

fn refresh_of(tokens: &Value) -> Value {
    json!({ "refresh_token": tokens["refresh_token"] })
}

#[tokio::test]
async fn an_account_is_made_signs_in_and_shows_itself() {
    let world = World::new().await;
    let made = world.post("/api/v1/auth/register", &registration("Ada@Example.org", "creator")).await;
    assert_eq!(made.status, StatusCode::CREATED);
    assert_eq!((&made.json()["email"], &made.json()["role"]), (&json!("ada@example.org"), &json!("creator")));
    assert!(!made.text.contains(PASSWORD) && !made.text.contains("argon2"), "{}", made.text);

    let login = json!({ "email": "ADA@example.org", "password": PASSWORD });
    let tokens = world.post("/api/v1/auth/login", &login).await.json();
    assert_eq!((&tokens["expires_in_s"], &tokens["token_type"]), (&json!(600), &json!("Bearer")));
    let me = world.get("/api/v1/users/me", tokens["access_token"].as_str().unwrap()).await;
    assert_eq!((me.status, me.json()), (StatusCode::OK, made.json()));
    assert_eq!(tokens["user"], made.json());

    let twice = world.post("/api/v1/auth/register", &registration("ada@example.org", "viewer")).await;
    assert_eq!((twice.status, twice.problem().as_str()), (StatusCode::CONFLICT, "address-taken"));
    let gone = world.get("/api/v1/users/me", &world.token(nobody(), UserRole::Viewer)).await;
    assert_eq!(gone.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn nobody_makes_himself_more_than_a_creator_and_rules_are_told_by_field() {
    let world = World::new().await;
    let cases = [
        ("role", json!("admin")),
        ("role", json!("moderator")),
        ("email", json!("ada")),
        ("email", json!("a\u{0}@example.org")),
        ("password", json!("1234567")),
        ("display_name", json!("a\u{0}b")),
        ("display_name", json!("")),
    ];
    for (field, value) in cases {
        let mut body = registration("ada@example.org", "viewer");
        body[field] = value;
        let answer = world.post("/api/v1/auth/register", &body).await;
        assert_eq!((answer.status, answer.json()["field"].as_str()), (StatusCode::UNPROCESSABLE_ENTITY, Some(field)));
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_look_alike_and_are_counted() {
    let limits = TryLimits { per_account_max: 3, per_client_max: 100, ..TryLimits::default() };
    let world = World::with(ApiSettings::default(), limits).await;
    world.sign_up("ada@example.org", "viewer").await;
    let mut texts = Vec::new();
    for email in ["ada@example.org", "bob@example.org", "no address"] {
        let login = json!({ "email": email, "password": "wrong password" });
        for _ in 0..3 {
            let answer = world.post("/api/v1/auth/login", &login).await;
            assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::UNAUTHORIZED, "signed-out"));
            texts.push(answer.text);
        }
        let answer = world.post("/api/v1/auth/login", &login).await;
        assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::TOO_MANY_REQUESTS, "too-many-tries"));
        assert_eq!(answer.header("retry-after"), "900");
    }
    texts.dedup();
    assert_eq!(texts.len(), 1, "{texts:?}");
    let right = json!({ "email": "ADA@example.org", "password": PASSWORD });
    let answer = world.post("/api/v1/auth/login", &right).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "another spelling has no tries of its own");
}

#[tokio::test]
async fn a_refresh_token_works_once_and_its_reuse_ends_the_sign_in() {
    let world = World::new().await;
    let first = world.sign_up("ada@example.org", "viewer").await;
    let login = json!({ "email": "ada@example.org", "password": PASSWORD });
    let elsewhere = world.post("/api/v1/auth/login", &login).await.json();

    let second = world.post("/api/v1/auth/refresh", &refresh_of(&first)).await;
    assert_eq!(second.status, StatusCode::OK, "{}", second.text);
    let second = second.json();
    assert_ne!(second["refresh_token"], first["refresh_token"]);
    let third = world.post("/api/v1/auth/refresh", &refresh_of(&second)).await.json();

    // The thief's copy, then the owner's own newest: both are refused from now on.
    for tokens in [&first, &third, &second] {
        let answer = world.post("/api/v1/auth/refresh", &refresh_of(tokens)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text);
    }
    let other = world.post("/api/v1/auth/refresh", &refresh_of(&elsewhere)).await;
    assert_eq!(other.status, StatusCode::OK, "a sign-in on another device goes on");
    for text in ["", "x", &"A".repeat(43), &"A".repeat(5000)] {
        let answer = world.post("/api/v1/auth/refresh", &json!({ "refresh_token": text })).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn a_log_out_ends_the_sign_in_and_may_be_repeated() {
    let world = World::new().await;
    let tokens = world.sign_up("ada@example.org", "viewer").await;
    for _ in 0..2 {
        let answer = world.post("/api/v1/auth/logout", &refresh_of(&tokens)).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::NO_CONTENT, ""));
    }
    let answer = world.post("/api/v1/auth/refresh", &refresh_of(&tokens)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_admin_comes_from_the_configuration_and_changes_others() {
    let world = World::new().await;
    let user = world.sign_up("ada@example.org", "viewer").await["user"]["user_id"].as_str().unwrap().to_owned();
    let admin = world.users.ensure_admin("root@example.org", PASSWORD).await.unwrap();
    let again = world.users.ensure_admin("Root@example.org", "another password").await.unwrap();
    assert_eq!((admin.role, &again), (UserRole::Admin, &admin));
    let login = json!({ "email": "root@example.org", "password": PASSWORD });
    let login = world.post("/api/v1/auth/login", &login).await.json();
    let token = login["access_token"].as_str().unwrap();

    let put = |path: String, body: Value| send(world.request(Method::PUT, &path).bearer_auth(token).json(&body));
    let raised = put(format!("/api/v1/users/{user}/role"), json!({ "role": "moderator" })).await;
    assert_eq!((raised.status, &raised.json()["role"]), (StatusCode::OK, &json!("moderator")));
    let paid = put(format!("/api/v1/users/{user}/tier"), json!({ "tier": "premium" })).await.json();
    assert_eq!((&paid["tier"], &paid["role"]), (&json!("premium"), &json!("moderator")));

    // The next token says the new role.
    let login = json!({ "email": "ada@example.org", "password": PASSWORD });
    assert_eq!(world.post("/api/v1/auth/login", &login).await.json()["user"]["role"], "moderator");
    let unknown = put(format!("/api/v1/users/{}/role", nobody()), json!({ "role": "viewer" })).await;
    assert_eq!((unknown.status, unknown.problem().as_str()), (StatusCode::NOT_FOUND, "not-found"));
    let raised = world.users.ensure_admin("ada@example.org", "another password").await.unwrap();
    assert_eq!(raised.role, UserRole::Admin, "who is there is raised");
}

#[tokio::test]
async fn the_public_keys_are_told_and_verify() {
    let world = World::new().await;
    let answer = send(world.request(Method::GET, "/.well-known/jwks.json")).await;
    assert_eq!(answer.header("content-type"), "application/jwk-set+json");
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    let keys = answer.json()["keys"].as_array().unwrap().clone();
    assert_eq!((keys.len(), &keys[0]["crv"], keys[0].get("d")), (1, &json!("Ed25519"), None));
}
