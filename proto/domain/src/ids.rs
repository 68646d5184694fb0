//! Identifiers: UUIDv7 (RFC 9562 §5.7) newtypes from one macro, so that no bare `Uuid` or `String` travels.

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

            /// Returns the 16 bytes, most significant first.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// What one run makes of one source.
    PlanId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_their_clock() {
        assert!(PlanId::new(1, &[0xff; 10]) < PlanId::new(2, &[0; 10]));
    }
}
