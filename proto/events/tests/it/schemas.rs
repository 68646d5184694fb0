//! Released samples against the published schemas, as a validator reads them that is not ours.

use mcsp_events::{Topic, document};
use serde_json::{Value, json};

use crate::released::samples;

fn schema(topic: Topic) -> Value {
    let path = format!("schemas/{}.v1.json", topic.name());
    let document = document::all().into_iter().find(|document| document.path == path);
    serde_json::from_str(&document.unwrap_or_else(|| panic!("there is no {path}")).text).unwrap()
}

fn validator(schema: &Value) -> jsonschema::Validator {
    jsonschema::draft202012::meta::validate(schema).unwrap_or_else(|error| panic!("{error}"));
    jsonschema::draft202012::new(schema).unwrap_or_else(|error| panic!("{error}"))
}

fn faults(validator: &jsonschema::Validator, value: &Value) -> Vec<String> {
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn samples_are_what_their_schemas_say() {
    let headers = validator(&document::headers_schema());
    for topic in Topic::ALL {
        let payload = validator(&schema(*topic));
        for sample in samples(*topic) {
            assert_eq!(faults(&payload, &sample.payload), [""; 0], "payload of {}", sample.topic);
            assert_eq!(faults(&headers, &json!(sample.headers)), [""; 0], "headers of {}", sample.topic);
        }
    }
}

#[test]
fn schemas_refuse_what_the_code_refuses() {
    let validator = validator(&schema(Topic::UploadBlocked));
    let good = samples(Topic::UploadBlocked).remove(0).payload;
    let with = |name: &str, value: Value| {
        let mut payload = good.clone();
        payload[name] = value;
        payload
    };
    assert!(validator.is_valid(&with("unknown", json!(1))), "later releases may add fields");
    assert!(!validator.is_valid(&with("reason", json!("mood"))));
    assert!(!validator.is_valid(&with("ranges", json!([{ "start_ms": -1, "end_ms": 2 }]))));
    assert!(!validator.is_valid(&with("placement", json!({ "region": "eu" }))));
    assert!(!validator.is_valid(&json!({})));
}

#[test]
fn every_header_is_documented() {
    let schema = document::headers_schema();
    let documented = schema["properties"].as_object().unwrap();
    for sample in Topic::ALL.iter().flat_map(|topic| samples(*topic)) {
        for name in sample.headers.keys() {
            assert!(documented.contains_key(name), "{name} is not in the headers' schema");
        }
    }
}

#[test]
fn fields_have_their_meaning() {
    for topic in Topic::ALL {
        for (name, field) in schema(*topic)["properties"].as_object().unwrap() {
            assert!(field["description"].is_string(), "{name} of {} has no meaning", topic.name());
        }
    }
}
