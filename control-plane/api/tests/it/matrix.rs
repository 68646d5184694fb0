//! Role × route, generated from the API's document: each operation names its least role, and every role is tried on it.

use mcsp_api::{ApiSettings, Rate};
use mcsp_domain::UserRole;
use mcsp_services::identity::TryLimits;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::support::{World, nobody, send};

/// One operation.
pub(crate) struct Operation {
    pub(crate) method: Method,
    /// With ids of nothing in the place of its variables.
    pub(crate) path: String,
    /// The least role; none for what needs no account.
    pub(crate) least: Option<UserRole>,
    pub(crate) takes_body: bool,
}

/// Returns every operation of the document.
pub(crate) fn operations() -> Vec<Operation> {
    let document = serde_json::to_value(mcsp_api::openapi(1 << 30)).unwrap();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(_, value)| value["responses"].is_object())
        {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let least = operation["security"][0]["bearer"][0].as_str().map(|role| role.parse().unwrap());
            let takes_body = operation["requestBody"].is_object();
            all.push(Operation { method, path: filled(path), least, takes_body });
        }
    }
    all
}

/// Puts an id that nothing has in the place of every variable.
fn filled(path: &str) -> String {
    let segments = path.split('/').map(|segment| match segment.strip_prefix('{') {
        Some(_) => nobody().to_string(),
        None => segment.to_owned(),
    });
    segments.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn each_role_reaches_what_it_may_and_nothing_else() {
    let many = Rate { count: 1_000_000, window_s: 1 };
    let settings = ApiSettings { anonymous: many, signed_in: many, ..ApiSettings::default() };
    let world = World::with(settings, TryLimits::default()).await;
    let operations = operations();
    assert!(operations.iter().any(|operation| operation.least == Some(UserRole::Admin)));
    for Operation { method, path, least, takes_body } in &operations {
        let request = || {
            let request = world.request(method.clone(), path);
            if *takes_body { request.json(&Value::Object(serde_json::Map::new())) } else { request }
        };
        let anonymous = send(request()).await;
        if least.is_some() {
            assert_eq!(anonymous.status, StatusCode::UNAUTHORIZED, "{method} {path} without a token");
            assert_eq!(anonymous.problem(), "signed-out");
        } else {
            assert_ne!(anonymous.status, StatusCode::FORBIDDEN, "{method} {path}");
        }
        for role in UserRole::ALL {
            let answer = send(request().bearer_auth(world.token(nobody(), *role))).await;
            let is_refused = answer.status == StatusCode::FORBIDDEN;
            assert_eq!(
                is_refused,
                least.is_some_and(|least| *role < least),
                "{method} {path} as {role}: {}",
                answer.text
            );
            assert_ne!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{method} {path} as {role}");
        }
    }
}
