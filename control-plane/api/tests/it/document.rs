//! The API's document: what it declares, and that it declares everything.

use serde_json::Value;

fn document() -> Value {
    serde_json::to_value(mcsp_api::openapi(1 << 30)).unwrap()
}

/// Calls with path, method and operation.
fn each(document: &Value, mut with: impl FnMut(&str, &str, &Value)) {
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(_, value)| value["responses"].is_object())
        {
            with(path, method, operation);
        }
    }
}

#[test]
fn it_is_openapi_3_1_with_a_bearer_scheme() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    assert!(document["components"]["schemas"]["Problem"].is_object());
    let schemas = &document["components"]["schemas"];
    for name in ["NewSession", "NewSource"] {
        assert_eq!(schemas[name]["properties"]["size_bytes"]["maximum"], 1 << 30, "{name}");
    }
    assert_eq!(schemas["WebhookRequest"]["properties"]["url"]["pattern"], mcsp_services::notify::URL_PATTERN);
}

#[test]
fn every_operation_has_a_name_of_its_own_and_declares_what_it_may_answer() {
    let document = document();
    let mut names = Vec::new();
    each(&document, |path, method, operation| {
        let place = format!("{method} {path}");
        names.push(operation["operationId"].as_str().unwrap().to_owned());
        let responses = operation["responses"].as_object().unwrap();
        let mut wanted = vec!["429", "500", "503"];
        if operation["security"].is_array() {
            wanted.extend(["401", "403"]);
        }
        if operation["requestBody"].is_object() {
            wanted.extend(["400", "413", "415", "422"]);
        }
        for status in wanted {
            let content = &responses.get(status).unwrap_or_else(|| panic!("{place} lacks {status}"))["content"];
            let schema = &content["application/problem+json"]["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/Problem", "{place} {status}");
        }
        assert!(responses.keys().any(|status| status.starts_with(['1', '2'])), "{place}");
    });
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "two operations share a name");
}

#[test]
fn every_post_that_may_make_something_takes_a_key() {
    each(&document(), |path, method, operation| {
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let takes = parameters.iter().any(|parameter| parameter["name"] == "Idempotency-Key");
        let signs = ["login", "refresh", "logout"].iter().any(|end| path == format!("/api/v1/auth/{end}"));
        assert_eq!(takes, method == "post" && path.starts_with("/api/v1/") && !signs, "{method} {path}");
    });
}

#[test]
fn every_reference_leads_somewhere_and_requests_refuse_unknown_fields() {
    let document = document();
    let text = document.to_string();
    for rest in text.split("\"#/components/schemas/").skip(1) {
        let name = rest.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name} is not declared");
    }
    each(&document, |path, method, operation| {
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
        let Some(name) = schema.as_str().and_then(|schema| schema.rsplit('/').next()) else { return };
        let schema = &document["components"]["schemas"][name];
        assert_eq!(schema["additionalProperties"], false, "{method} {path} takes {name}");
    });
}
