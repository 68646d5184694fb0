//! Which index is the library at present: the one object of it that changes.

use mcsp_domain::{Digest, ObjectKey};
use serde::{Deserialize, Serialize};

use crate::FingerprintError;

/// Names the library's index; JSON under `ObjectKey::library_pointer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LibraryPointer {
    /// SHA-256 of the index's bytes.
    pub index: Digest,
    /// Their count.
    pub len_bytes: u64,
    /// References that it holds.
    pub references: u32,
    /// When it was built.
    pub built_us: i64,
}

impl LibraryPointer {
    /// Returns where the index lies.
    pub fn key(&self) -> ObjectKey {
        ObjectKey::library_index(&self.index)
    }

    /// Reads the pointer's JSON.
    ///
    /// # Errors
    /// When it is something else.
    pub fn parse(text: &[u8]) -> Result<Self, FingerprintError> {
        serde_json::from_slice(text).map_err(|error| FingerprintError::broken("library pointer", error.to_string()))
    }

    /// Returns it as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::json!({
            "index": self.index, "len_bytes": self.len_bytes, "references": self.references, "built_us": self.built_us,
        })
        .to_string()
        .into_bytes()
    }
}
