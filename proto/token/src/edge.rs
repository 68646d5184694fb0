//! Edge leases: one playback may read one package for a while. The token stands in the path, so that the relative addresses
//! inside manifests carry it on.
//!
//! A lease ends twice: manifests are given for an hour, segments for as long as the film may take to watch. A player that
//! pauses for longer gets a new lease with its heartbeat.

use mcsp_domain::{Bucket, ContentId, ObjectKey, PlaybackId, Revision};
use serde::{Deserialize, Serialize};

use crate::hmac_keys::check_time;
use crate::{HmacKeys, TokenError};

/// Whom the token is for.
const AUDIENCE: &str = "mcsp:edge";

/// What an edge token grants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeLease {
    /// The content.
    #[serde(rename = "c")]
    pub content: ContentId,
    /// The publication of it.
    #[serde(rename = "r")]
    pub revision: Revision,
    /// The folder whose objects may be read.
    #[serde(rename = "f")]
    pub folder: ObjectKey,
    /// The bucket that the folder lies in.
    #[serde(rename = "b")]
    pub bucket: Bucket,
    /// Whose playback it is.
    #[serde(rename = "p")]
    pub playback: PlaybackId,
    /// Until when manifests are given, seconds since 1970.
    #[serde(rename = "m")]
    pub manifest_exp_s: i64,
    /// Until when everything else is given, seconds since 1970.
    #[serde(rename = "e")]
    pub media_exp_s: i64,
}

impl EdgeLease {
    /// Returns the token: letters, digits, `-`, `_` and `.` alone.
    pub fn mint(&self, keys: &HmacKeys) -> String {
        keys.mint(AUDIENCE, self)
    }

    /// Reads a token that still works for something.
    ///
    /// # Errors
    /// When it is malformed, forged, or both of its times have passed.
    pub fn verify(keys: &HmacKeys, text: &str, now_s: i64) -> Result<Self, TokenError> {
        let lease: Self = keys.open(AUDIENCE, text)?;
        check_time(lease.manifest_exp_s.max(lease.media_exp_s), now_s)?;
        Ok(lease)
    }

    /// Checks that manifests are still given.
    ///
    /// # Errors
    /// `Expired` when they are not.
    pub fn check_manifest(&self, now_s: i64) -> Result<(), TokenError> {
        check_time(self.manifest_exp_s, now_s)
    }

    /// Checks that everything else is still given.
    ///
    /// # Errors
    /// `Expired` when it is not.
    pub fn check_media(&self, now_s: i64) -> Result<(), TokenError> {
        check_time(self.media_exp_s, now_s)
    }
}

#[cfg(test)]
mod tests {
    use mcsp_domain::PlanId;

    use super::*;
    use crate::HmacKey;

    fn lease() -> EdgeLease {
        let content = ContentId::from_bytes([1; 16]);
        EdgeLease {
            content,
            revision: Revision::FIRST,
            folder: ObjectKey::package(content, Revision::FIRST, PlanId::from_bytes([2; 16])),
            bucket: Bucket::parse("media-eu").unwrap(),
            playback: PlaybackId::from_bytes([3; 16]),
            manifest_exp_s: 100,
            media_exp_s: 200,
        }
    }

    fn keys(byte: u8) -> HmacKeys {
        HmacKeys::new(HmacKey::new("k1", [byte; 32]).unwrap(), Vec::new()).unwrap()
    }

    #[test]
    fn manifests_end_before_media() {
        let token = lease().mint(&keys(1));
        assert!(token.len() < 600 && !token.contains(['/', '~', '%']), "{token}");
        let read = EdgeLease::verify(&keys(1), &token, 100).unwrap();
        assert_eq!(read, lease());
        assert_eq!(read.check_manifest(99), Ok(()));
        assert_eq!(read.check_manifest(100), Err(TokenError::Expired { exp_s: 100 }));
        assert_eq!(read.check_media(199), Ok(()));
        assert_eq!(read.check_media(200), Err(TokenError::Expired { exp_s: 200 }));
        assert_eq!(EdgeLease::verify(&keys(1), &token, 200), Err(TokenError::Expired { exp_s: 200 }));
    }

    #[test]
    fn another_claim_is_another_signature() {
        let mine = lease().mint(&keys(1));
        let other = EdgeLease { content: ContentId::from_bytes([9; 16]), ..lease() }.mint(&keys(1));
        let [head, claims, _] = other.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
        let tag = mine.rsplit('.').next().unwrap();
        let mixed = format!("{head}.{claims}.{tag}");
        assert_eq!(EdgeLease::verify(&keys(1), &mixed, 0), Err(TokenError::Forged));
        assert_eq!(EdgeLease::verify(&keys(2), &mine, 0), Err(TokenError::Forged));
    }
}
