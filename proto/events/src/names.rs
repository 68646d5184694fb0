//! Names of topics and consumer groups, as Kafka takes them.

use serde::{Deserialize, Serialize};

use crate::Topic;

/// The longest name that Kafka takes, in bytes.
const NAME_BYTES_MAX: usize = 249;

/// Why text is no name.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("{what} {text:?} is not 1 to 249 of a-z, A-Z, 0-9, '.', '_' and '-'")]
pub struct NameError {
    what: &'static str,
    text: String,
}

fn check(what: &'static str, text: &str) -> Result<(), NameError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if (1..=NAME_BYTES_MAX).contains(&text.len()) && text.chars().all(allowed) && text != "." && text != ".." {
        return Ok(());
    }
    Err(NameError { what, text: text.chars().take(100).collect() })
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks and wraps a name.
            ///
            /// # Errors
            /// When a broker would not take it.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                check($what, text).map(|()| Self(text.to_owned()))
            }

            /// Returns the name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::parse(&text)
            }
        }
    };
}

name!(
    /// A topic of the log: one of the catalogue, or a group's `dead.<group>`.
    TopicName,
    "topic"
);
name!(
    /// A consumer group: it keeps its own place in every topic.
    GroupName,
    "group"
);

impl TopicName {
    /// Returns the topic that holds what a group gave up.
    pub fn dead(group: &GroupName) -> Self {
        Self(format!("dead.{group}"))
    }
}

impl From<Topic> for TopicName {
    fn from(topic: Topic) -> Self {
        Self(topic.name().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_kafka() {
        for text in ["", ".", "..", "a b", "a/b", "ä", &"x".repeat(250)] {
            assert!(GroupName::parse(text).is_err(), "{text:?} was taken");
        }
        let group = GroupName::parse("drm-packager").unwrap();
        assert_eq!(TopicName::dead(&group).as_str(), "dead.drm-packager");
    }

    #[test]
    fn every_topic_of_the_catalogue_has_a_name_that_kafka_takes() {
        for topic in Topic::ALL {
            assert_eq!(TopicName::parse(topic.name()), Ok(TopicName::from(*topic)));
        }
    }
}
