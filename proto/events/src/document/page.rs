//! `events.md`: the catalogue for people.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use super::payload::{self, Field, Payload};
use crate::topic::{Durability, Key};
use crate::{Topic, TopicSpec};

const INTRODUCTION: &str = "\
# Events

Made from the code by `make gen`.

Every fact that services and workers tell each other. A payload is JSON; its headers are CloudEvents 1.0 attributes in the
Kafka protocol binding's binary mode (`ce_id`, `ce_type`, `ce_source`, `ce_time`) with `ce_traceparent` (W3C Trace Context),
`ce_cause` (the event that it follows from), `ce_worker`, `ce_attempt` and `ce_started`. Readers ignore fields that they do not
know; a field may be added with a default, any other change takes a new version. Each consumer is a consumer group of its
own; what a group gives up lies in `dead.<group>`. Partitions, retention and durability are defaults that the configuration
may change. Times are microseconds since 1970. The same as [AsyncAPI 3.0](asyncapi.json) and as JSON Schemas in `schemas/`.
";

/// Writes the page.
pub(super) fn page(payloads: &[Payload]) -> String {
    let mut page = INTRODUCTION.to_owned();
    page.push_str("\n| topic | key | produced by → consumed by |\n|---|---|---|\n");
    for topic in Topic::ALL {
        let spec = topic.spec();
        let (producers, consumers) = (spec.producers.join(", "), spec.consumers.join(", "));
        let row =
            format!("| [`{0}`](#{1}) | {2} | {producers} → {consumers} |", spec.name, anchor(spec.name), key(spec));
        page.push_str(&row);
        page.push('\n');
    }
    for topic in Topic::ALL {
        for payload in payloads.iter().filter(|payload| payload.topics.contains(topic)) {
            write_topic(&mut page, *topic, payload);
        }
    }
    write_types(&mut page, payloads);
    page
}

fn write_topic(page: &mut String, topic: Topic, payload: &Payload) {
    let spec = topic.spec();
    let transactional = if spec.transactional { "; always written in transactions" } else { "" };
    let facts = [
        ("type", format!("`{}` ([schema]({}))", payload.kind(), payload.schema_path(topic))),
        ("key", key(spec).to_owned()),
        ("produced by", spec.producers.join(", ")),
        ("consumed by", spec.consumers.join(", ")),
        ("durability", format!("{}{transactional}", durability(spec.durability))),
        ("partitions", spec.partitions.to_string()),
        ("retention", format!("{} days", spec.retention_days)),
    ];
    // Writing to a String cannot fail.
    let _ = write!(page, "\n## {}\n\n{}\n\n| | |\n|---|---|\n", spec.name, payload.meaning());
    for (name, value) in facts {
        let _ = writeln!(page, "| {name} | {value} |");
    }
    write_fields(page, &payload.fields(), &text_types(payload));
}

fn write_fields(page: &mut String, fields: &[Field<'_>], texts: &BTreeMap<&str, &str>) {
    page.push_str("\n| field | type | meaning |\n|---|---|---|\n");
    for field in fields {
        let optional = if field.required { "" } else { "; may be missing" };
        let meaning = cell(description(field.schema));
        let _ = writeln!(page, "| `{}` | {}{optional} | {meaning} |", field.name, type_words(field.schema, texts));
    }
}

/// Writes the types within payloads that have fields or a choice of values, each once.
fn write_types(page: &mut String, payloads: &[Payload]) {
    let mut types = BTreeMap::new();
    for payload in payloads {
        types.extend(payload.types().map(|(name, schema)| (name, (schema, text_types(payload)))));
    }
    page.push_str("\n# Types within payloads\n");
    for (name, (schema, texts)) in types {
        if let Some(values) = schema.get("oneOf").and_then(Value::as_array) {
            let _ = write!(page, "\n## {name}\n\n{}\n\n| value | meaning |\n|---|---|\n", description(schema));
            for value in values {
                let text = value.get("const").and_then(Value::as_str).unwrap_or_default();
                let _ = writeln!(page, "| `{text}` | {} |", cell(description(value)));
            }
        } else if let Some(object) = schema.as_object().filter(|object| object.contains_key("properties")) {
            let _ = write!(page, "\n## {name}\n\n{}\n", description(schema));
            write_fields(page, &payload::fields(object), &texts);
        }
    }
}

/// Returns the named types that are a single text or number, with their format: they need no section of their own.
fn text_types(payload: &Payload) -> BTreeMap<&str, &str> {
    let plain =
        payload.types().filter(|(_, schema)| schema.get("oneOf").is_none() && schema.get("properties").is_none());
    plain.map(|(name, schema)| (name.as_str(), format_of(schema))).collect()
}

fn type_words(schema: &Value, texts: &BTreeMap<&str, &str>) -> String {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next()) {
        return match texts.get(name) {
            // `Bucket (bucket)` says nothing twice.
            Some(format) if format.replace('-', "") == name.to_lowercase() => name.to_owned(),
            Some(format) => format!("{name} ({format})"),
            None => format!("[{name}](#{})", anchor(name)),
        };
    }
    if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
        return choices.iter().map(|choice| type_words(choice, texts)).collect::<Vec<_>>().join(" or ");
    }
    match schema.get("type") {
        Some(Value::String(name)) if name == "array" => {
            format!("list of {}", schema.get("items").map_or_else(String::new, |items| type_words(items, texts)))
        }
        Some(Value::Array(_)) => format!("{} or null", format_of(schema)),
        _ => format_of(schema).to_owned(),
    }
}

/// Returns the narrowest word for a plain type: its format where it has one.
fn format_of(schema: &Value) -> &str {
    let of_type = match schema.get("type") {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        other => other.and_then(Value::as_str),
    };
    let word = schema.get("format").and_then(Value::as_str).or(of_type).unwrap_or("anything");
    if word == "string" { "text" } else { word }
}

fn description(schema: &Value) -> &str {
    schema.get("description").and_then(Value::as_str).unwrap_or_default()
}

/// Makes text fit into a table's cell.
fn cell(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

/// Returns the anchor that Markdown viewers give a heading.
fn anchor(heading: &str) -> String {
    heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect::<String>().to_lowercase()
}

/// Returns the words for what orders a topic.
pub(super) fn key(spec: &TopicSpec) -> &'static str {
    match spec.key {
        Key::Content => "content",
        Key::ContentChunk => "content; each chunk in a partition of its own",
        Key::User => "user",
    }
}

fn durability(durability: Durability) -> &'static str {
    match durability {
        Durability::Process => "survives the death of every process; the loss of power may take the last second",
        Durability::Synced => "on the disk when the append returns",
    }
}
