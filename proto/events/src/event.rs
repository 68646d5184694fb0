//! What makes a payload an event, and how records are read back into payloads.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Headers, Topic, TopicName};

/// A payload of the catalogue.
pub trait Event: Serialize + DeserializeOwned + JsonSchema + Clone + PartialEq + Send + Sync + 'static {
    /// The topics that carry it: one, or the lanes of one request.
    const TOPICS: &'static [Topic];
    /// The version of its shape. A field may be added with a default; any other change takes a new number.
    const VERSION: u32 = 1;

    /// Returns the topic of this event.
    fn topic(&self) -> Topic {
        Self::TOPICS[0]
    }

    /// Returns what orders it.
    fn key(&self) -> String;

    /// Returns how far from its key's partition it goes: events of one key that may run side by side differ here.
    fn spread(&self) -> u32 {
        0
    }

    /// Returns the names of `TOPICS`.
    fn topics() -> Vec<TopicName> {
        Self::TOPICS.iter().copied().map(TopicName::from).collect()
    }
}

/// What a stage consumes: one event, or an enum over the events of several topics (`inputs!`).
pub trait Inputs: Sized + Send + 'static {
    /// Returns the topics to subscribe to.
    fn topics() -> Vec<TopicName>;

    /// Reads a record's payload.
    ///
    /// # Errors
    /// When the record's type, version or shape is not one that was declared.
    fn read(topic: &TopicName, headers: &Headers, payload: &[u8]) -> Result<Self, EventError>;
}

impl<E: Event> Inputs for E {
    fn topics() -> Vec<TopicName> {
        <E as Event>::topics()
    }

    fn read(topic: &TopicName, headers: &Headers, payload: &[u8]) -> Result<Self, EventError> {
        if !<E as Event>::topics().contains(topic) {
            return Err(EventError::NotDeclared { topic: topic.to_string(), by: std::any::type_name::<E>() });
        }
        if headers.version != E::VERSION {
            let (topic, version) = (topic.to_string(), headers.version);
            return Err(EventError::Version { topic, version, known: E::VERSION });
        }
        serde_json::from_slice(payload).map_err(|source| EventError::Shape { topic: topic.to_string(), source })
    }
}

/// Why a record cannot be read or an event cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// The record stands in a topic that its reader did not declare.
    #[error("{by} does not read topic {topic}")]
    NotDeclared {
        /// The record's topic.
        topic: String,
        /// The reader.
        by: &'static str,
    },
    /// Another release wrote it.
    #[error("event of topic {topic} has version {version}, this build reads version {known}")]
    Version {
        /// The record's topic.
        topic: String,
        /// The record's version.
        version: u32,
        /// The version that is read.
        known: u32,
    },
    /// The payload does not have the declared shape.
    #[error("event of topic {topic} has another shape than its schema")]
    Shape {
        /// The record's topic.
        topic: String,
        /// Where it differs.
        #[source]
        source: serde_json::Error,
    },
    /// The payload is longer than brokers take.
    #[error("event of topic {topic} has {len_bytes} bytes, {max} allowed")]
    Oversized {
        /// The event's topic.
        topic: String,
        /// Its length.
        len_bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The headers lack something or hold what they must not.
    #[error("event header {name} is {value:?}, expected {expected}")]
    Header {
        /// The header's name.
        name: &'static str,
        /// What it holds, cut at 100 characters.
        value: String,
        /// What it should hold.
        expected: &'static str,
    },
}
