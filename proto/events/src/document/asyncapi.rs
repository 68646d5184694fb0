//! The catalogue as an AsyncAPI 3.0 document: a channel a topic, a message a payload, an operation for each service that
//! speaks or listens. Bindings follow "Kafka Bindings" 0.5.0.

use serde_json::{Map, Value, json};

use super::page;
use super::payload::Payload;
use crate::{Topic, TopicSpec};

/// The version of the Kafka bindings.
const BINDINGS: &str = "0.5.0";
const DAY_MS: u64 = 24 * 3600 * 1000;

/// Returns the document.
pub(super) fn document(payloads: &[Payload]) -> Value {
    let mut channels = Map::new();
    let mut operations = Map::new();
    let mut messages = Map::new();
    for payload in payloads {
        for topic in payload.topics {
            channels.insert(topic.name().to_owned(), channel(*topic, payload));
            messages.insert(message_name(*topic, payload), message(*topic, payload));
            operations.extend(operations_of(*topic, payload));
        }
    }
    json!({
        "asyncapi": "3.0.0",
        "id": "urn:mcsp:events",
        "info": {
            "title": "MCSP events",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Every fact that services and workers tell each other. Made from the code by `make gen`. \
                What a consumer group gives up lies in the topic `dead.<group>`, with the header `ce_dead`.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": { "messages": messages, "schemas": { "Headers": headers_schema() } },
    })
}

/// Returns the schema of the headers that `Headers::pairs` writes.
pub(super) fn headers_schema() -> Value {
    let text = |format: &str, meaning: &str| match format {
        "" => json!({ "type": "string", "description": meaning }),
        _ => json!({ "type": "string", "format": format, "description": meaning }),
    };
    json!({
        "type": "object",
        "description": "CloudEvents 1.0 attributes and what MCSP adds to them.",
        "required": ["ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "content-type"],
        "properties": {
            "ce_specversion": { "type": "string", "const": "1.0", "description": "The version of CloudEvents." },
            "ce_id": text("uuid", "The event's id: the log takes an id once."),
            "ce_type": {
                "type": "string",
                "pattern": "^mcsp\\.[a-z.]+\\.v[0-9]+$",
                "description": "`mcsp.`, the name of the payload's first topic, and the version of its shape.",
            },
            "ce_source": { "type": "string", "pattern": "^/", "description": "Who said it: a slash and a stage's or service's name." },
            "ce_time": text("date-time", "When it was said."),
            "content-type": { "type": "string", "const": "application/json", "description": "What the payload is." },
            "ce_traceparent": {
                "type": "string",
                "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
                "description": "The trace that it belongs to, W3C Trace Context.",
            },
            "ce_cause": text("uuid", "The event that it follows from."),
            "ce_worker": text("", "The process that did the work."),
            "ce_attempt": { "type": "string", "pattern": "^[0-9]+$", "description": "The number of the run that did the work, from 1." },
            "ce_started": text("date-time", "When that run began."),
            "ce_dead": text("", "On dead letters alone: where, when and why it was given up, JSON."),
        },
    })
}

fn message_name(topic: Topic, payload: &Payload) -> String {
    format!("{}.v{}", topic.name(), payload.version)
}

fn channel(topic: Topic, payload: &Payload) -> Value {
    let spec = topic.spec();
    let name = message_name(topic, payload);
    json!({
        "address": spec.name,
        "description": format!("{} Ordered by {}.", payload.meaning(), page::key(spec)),
        "messages": { &name: { "$ref": format!("#/components/messages/{name}") } },
        "bindings": { "kafka": {
            "topic": spec.name,
            "partitions": spec.partitions,
            "topicConfiguration": {
                "cleanup.policy": ["delete"],
                "retention.ms": u64::from(spec.retention_days) * DAY_MS,
            },
            "bindingVersion": BINDINGS,
        } },
    })
}

fn message(topic: Topic, payload: &Payload) -> Value {
    json!({
        "name": payload.kind(),
        "title": payload.name,
        "summary": payload.meaning(),
        "contentType": "application/json",
        "headers": { "$ref": "#/components/schemas/Headers" },
        "payload": { "$ref": format!("./{}", payload.schema_path(topic)) },
        "bindings": { "kafka": { "key": key_schema(topic.spec()), "bindingVersion": BINDINGS } },
    })
}

fn key_schema(spec: &TopicSpec) -> Value {
    json!({ "type": "string", "description": format!("What orders it: {}.", page::key(spec)) })
}

/// Returns one operation for each service that speaks on a topic and for each group that listens.
fn operations_of(topic: Topic, payload: &Payload) -> Vec<(String, Value)> {
    let spec = topic.spec();
    let mut operations = Vec::new();
    for service in spec.producers {
        operations.push(operation(service, "send", topic, payload));
    }
    for group in spec.consumers {
        let (name, mut operation) = operation(group, "receive", topic, payload);
        operation["bindings"] = json!({ "kafka": {
            "groupId": { "type": "string", "const": group },
            "bindingVersion": BINDINGS,
        } });
        operations.push((name, operation));
    }
    operations
}

fn operation(service: &str, action: &str, topic: Topic, payload: &Payload) -> (String, Value) {
    // Names of operations hold no blanks: "every stage".
    let service = service.replace(' ', "-");
    let channel = format!("#/channels/{}", topic.name());
    let message = format!("{channel}/messages/{}", message_name(topic, payload));
    let body = json!({
        "action": action,
        "channel": { "$ref": channel },
        "summary": format!("{service}: {}", payload.meaning()),
        "messages": [{ "$ref": message }],
    });
    (format!("{service}.{action}.{}", topic.name()), body)
}
