//! The payloads of the catalogue as their JSON Schemas tell them.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use crate::{Asset, Event, Topic};

/// One payload type.
pub(super) struct Payload {
    /// Its name in the code.
    pub(super) name: &'static str,
    /// The topics that carry it.
    pub(super) topics: &'static [Topic],
    /// The version of its shape.
    pub(super) version: u32,
    schema: Map<String, Value>,
}

/// One field of a payload or of a type within.
pub(super) struct Field<'a> {
    /// Its name in JSON.
    pub(super) name: &'a str,
    /// Whether a record without it is refused.
    pub(super) required: bool,
    /// Its schema.
    pub(super) schema: &'a Value,
}

/// Returns every payload, in the order of an upload's walk.
pub(super) fn all() -> Vec<Payload> {
    macro_rules! payloads {
        ($($name:ident),+) => { vec![$(Payload::of::<crate::$name>(stringify!($name))),+] };
    }
    crate::for_each_event!(payloads)
}

impl Payload {
    fn of<E: Event>(name: &'static str) -> Self {
        Self { name, topics: E::TOPICS, version: E::VERSION, schema: schema_of::<E>() }
    }

    /// Returns the CloudEvents type: the name of the first topic, whichever lane carries the event.
    pub(super) fn kind(&self) -> String {
        let first = self.topics.first().map_or(self.name, |topic| topic.name());
        format!("mcsp.{first}.v{}", self.version)
    }

    /// Returns where the schema of one of its topics lies below `docs/generated`.
    pub(super) fn schema_path(&self, topic: Topic) -> String {
        format!("schemas/{}.v{}.json", topic.name(), self.version)
    }

    /// Returns its schema as it is published for a topic.
    pub(super) fn schema(&self, topic: Topic) -> Value {
        let mut schema = self.schema.clone();
        schema.insert("$id".to_owned(), format!("urn:mcsp:{}:v{}", topic.name(), self.version).into());
        schema.insert("x-cloudevents-type".to_owned(), self.kind().into());
        Value::Object(schema)
    }

    /// Returns what it says, from its doc comment.
    pub(super) fn meaning(&self) -> &str {
        self.schema.get("description").and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns its fields: those of every media event first, then its own, required ones in the order of the code.
    pub(super) fn fields(&self) -> Vec<Field<'_>> {
        let asset = schema_of::<Asset>();
        let shared: Vec<&str> = required(&asset).collect();
        let mut fields = fields(&self.schema);
        // Flattening puts the fields of `Asset` behind the others; a stable sort brings them back to the front.
        fields.sort_by_key(|field| !shared.contains(&field.name));
        fields
    }

    /// Returns the types that its fields name.
    pub(super) fn types(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.schema.get("$defs").and_then(Value::as_object).into_iter().flatten()
    }
}

/// Returns the fields of an object's schema: required ones in the order of the code, then the others by name.
pub(super) fn fields(schema: &Map<String, Value>) -> Vec<Field<'_>> {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return Vec::new() };
    let place = |name: &str| required(schema).position(|other| other == name);
    let mut fields: Vec<Field<'_>> =
        properties.iter().map(|(name, schema)| Field { name, required: place(name).is_some(), schema }).collect();
    fields.sort_by_key(|field| (place(field.name).unwrap_or(usize::MAX), field.name));
    fields
}

fn required(schema: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let names = schema.get("required").and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str)
}

fn schema_of<T: schemars::JsonSchema>() -> Map<String, Value> {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    schema.as_object().cloned().unwrap_or_default()
}
