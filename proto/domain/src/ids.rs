//! Identifiers: UUIDv7 (RFC 9562 §5.7) newtypes from one macro, so that no bare `Uuid` or `String` travels. Event ids that
//! must repeat themselves are UUIDv5 (§5.5) of what caused them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes an id from the caller's clock (milliseconds since 1970) and ten random bytes.
            pub fn new(now_ms: u64, random: &[u8; 10]) -> Self {
                Self(uuid::Builder::from_unix_timestamp_millis(now_ms, random).into_uuid())
            }

            /// Wraps 16 bytes that were stored, most significant first.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// Reads the hyphenated form.
            ///
            /// # Errors
            /// When the text is no UUID.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                let fault = || IdError { what: stringify!($name), text: text.chars().take(100).collect() };
                Uuid::try_parse(text).map(Self).map_err(|_| fault())
            }

            /// Returns the 16 bytes, most significant first.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        crate::schema::text_schema!($name, stringify!($name), "uuid");

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

/// Why text is no id.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("{what} {text:?} is no UUID")]
pub struct IdError {
    what: &'static str,
    text: String,
}

id!(
    /// What one run makes of one source.
    PlanId
);
id!(
    /// An asset, from its draft to its removal.
    ContentId
);
id!(
    /// A person or a programme with an account.
    UserId
);
id!(
    /// One upload, from its first byte to its completion.
    SessionId
);
id!(
    /// One viewer's playback of one content.
    PlaybackId
);
id!(
    /// An asset of the library of references, which uploads are compared with.
    ReferenceId
);
id!(
    /// A run of reprocessing over several contents.
    RunId
);
id!(
    /// An address that is told what happens to a user's contents.
    WebhookId
);
id!(
    /// One event; the log takes an id once.
    EventId
);

impl PlanId {
    /// Returns the plan that an event leads to, said at `time_us`: a plan that is made again has the same name, and whoever
    /// says the event knows the plan's folder before it is made.
    pub fn of_event(event: EventId, time_us: i64) -> Self {
        let derived = EventId::derived(&[b"plan", event.as_bytes()]);
        let mut random = [0; 10];
        random.copy_from_slice(&derived.as_bytes()[..10]);
        Self::new(u64::try_from(time_us / 1000).unwrap_or(0), &random)
    }
}

impl EventId {
    /// Returns the id that follows from its cause (UUIDv5), so that doing the work again repeats the id. Each part is
    /// preceded by its length, so that no two lists of parts share an id.
    pub fn derived(parts: &[&[u8]]) -> Self {
        let mut name = Vec::new();
        for part in parts {
            name.extend_from_slice(&(part.len() as u64).to_be_bytes());
            name.extend_from_slice(part);
        }
        Self(Uuid::new_v5(&EVENTS, &name))
    }
}

/// The namespace of derived event ids: a value of our own, fixed for ever.
const EVENTS: Uuid = Uuid::from_u128(0x6d63_7370_0000_5e76_8e74_7300_0000_0001);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_their_clock() {
        assert!(PlanId::new(1, &[0xff; 10]) < PlanId::new(2, &[0; 10]));
    }

    #[test]
    fn derived_ids_repeat_and_differ() {
        assert_eq!(EventId::derived(&[b"plan", b"1"]), EventId::derived(&[b"plan", b"1"]));
        assert_ne!(EventId::derived(&[b"plan", b"1"]), EventId::derived(&[b"plan1", b""]));
    }

    #[test]
    fn other_text_is_named() {
        let error = ContentId::parse("film").unwrap_err();
        assert_eq!(error.to_string(), "ContentId \"film\" is no UUID");
    }
}
