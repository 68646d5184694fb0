//! An asset of the library: who owns it, and what follows where an upload holds it.

use mcsp_domain::{ReferenceId, UserId};
use serde::{Deserialize, Serialize};

use crate::FingerprintError;

/// Characters of a title or of an owner's name.
const NAME_CHARS_MAX: usize = 500;
/// Uploaders that one policy names.
const ALLOWED_MAX: usize = 1000;
/// Bytes of an asset as JSON: the above, with room.
pub(crate) const ASSET_BYTES_MAX: usize = 64 << 10;

/// What follows from a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RightsAction {
    /// The upload ends.
    Block,
    /// A person decides.
    Review,
    /// The upload goes on.
    Allow,
}

/// The policy of one reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RightsPolicy {
    /// What follows from a sure match that is long enough.
    pub action: RightsAction,
    /// Matched pictures below which nothing follows; shorter references ask for less.
    pub video_ms_min: u64,
    /// Matched sound below which nothing follows; shorter references ask for less.
    pub audio_ms_min: u64,
    /// Uploaders who may use it.
    #[serde(default)]
    pub allowed: Vec<UserId>,
}

impl Default for RightsPolicy {
    /// Blocks from 10 s of pictures or 7 s of sound.
    fn default() -> Self {
        Self { action: RightsAction::Block, video_ms_min: 10_000, audio_ms_min: 7_000, allowed: Vec::new() }
    }
}

/// An asset of the library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferenceAsset {
    /// Its id.
    pub id: ReferenceId,
    /// What it is called.
    pub title: String,
    /// Who holds the rights.
    pub owner: String,
    /// How long it is.
    pub duration_ms: u64,
    /// What its owner wants.
    pub policy: RightsPolicy,
}

impl ReferenceAsset {
    /// Returns it as JSON.
    ///
    /// # Errors
    /// When a name or the list of allowed uploaders is too long.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>, FingerprintError> {
        FingerprintError::bound("characters of a title", self.title.chars().count(), NAME_CHARS_MAX)?;
        FingerprintError::bound("characters of an owner", self.owner.chars().count(), NAME_CHARS_MAX)?;
        FingerprintError::bound("allowed uploaders", self.policy.allowed.len(), ALLOWED_MAX)?;
        serde_json::to_vec(self).map_err(|error| FingerprintError::broken("asset", error.to_string()))
    }

    /// Reads what `to_json` wrote.
    pub(crate) fn from_json(text: &[u8]) -> Result<Self, FingerprintError> {
        FingerprintError::bound("bytes of an asset", text.len(), ASSET_BYTES_MAX)?;
        serde_json::from_slice(text).map_err(|error| FingerprintError::broken("asset", error.to_string()))
    }
}
