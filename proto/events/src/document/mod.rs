//! The documents made from the catalogue: a page for people, a JSON Schema a topic, an AsyncAPI document. Pure: in comes the
//! catalogue, out come texts; `cargo xtask gen` writes them below `docs/generated`.

mod asyncapi;
mod page;
mod payload;

/// A generated file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its path below `docs/generated`.
    pub path: String,
    /// What it holds.
    pub text: String,
}

/// Returns every document.
pub fn all() -> Vec<Document> {
    let payloads = payload::all();
    let mut documents = vec![
        Document { path: "events.md".to_owned(), text: page::page(&payloads) },
        Document { path: "asyncapi.json".to_owned(), text: pretty(&asyncapi::document(&payloads)) },
    ];
    for payload in &payloads {
        for topic in payload.topics {
            documents.push(Document { path: payload.schema_path(*topic), text: pretty(&payload.schema(*topic)) });
        }
    }
    documents
}

/// Returns the JSON Schema (draft 2020-12) of an event's headers, as `Headers::pairs` writes them.
pub fn headers_schema() -> serde_json::Value {
    asyncapi::headers_schema()
}

fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Topic;

    #[test]
    fn every_topic_has_one_payload_and_one_schema() {
        let payloads = payload::all();
        for topic in Topic::ALL {
            let carriers: Vec<_> = payloads.iter().filter(|payload| payload.topics.contains(topic)).collect();
            assert_eq!(carriers.len(), 1, "payloads of {}", topic.name());
        }
        let schemas = all().into_iter().filter(|document| document.path.starts_with("schemas/"));
        assert_eq!(schemas.count(), Topic::ALL.len());
    }
}
