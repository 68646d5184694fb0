//! One reference as it is stored: the asset and its fingerprint, of which indexes are built.

use super::asset::{ASSET_BYTES_MAX, ReferenceAsset};
use crate::bytes::{Reader, stored_count};
use crate::{Fingerprint, FingerprintError};

const MAGIC: [u8; 8] = *b"MCSPRF\r\n";
const VERSION: u32 = 1;
const WHAT: &str = "reference";

/// One reference of the library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Whose it is.
    pub asset: ReferenceAsset,
    /// What is remembered of it.
    pub fingerprint: Fingerprint,
}

impl Reference {
    /// Returns its bytes.
    ///
    /// # Errors
    /// When the asset's names are too long.
    pub fn to_bytes(&self) -> Result<Vec<u8>, FingerprintError> {
        let text = self.asset.to_json()?;
        let mut out = Vec::new();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&stored_count(text.len()).to_le_bytes());
        out.extend_from_slice(&text);
        out.extend_from_slice(&self.fingerprint.to_bytes());
        Ok(out)
    }

    /// Reads what `to_bytes` wrote.
    ///
    /// # Errors
    /// When the bytes are cut, of another version or beyond a bound.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FingerprintError> {
        let mut reader = Reader::new(WHAT, bytes);
        reader.magic(MAGIC)?;
        reader.version(VERSION)?;
        let len_bytes = reader.count(1)?;
        FingerprintError::bound("bytes of an asset", len_bytes, ASSET_BYTES_MAX)?;
        let asset = ReferenceAsset::from_json(reader.take(len_bytes)?)?;
        Ok(Self { asset, fingerprint: Fingerprint::from_bytes(reader.rest())? })
    }
}
