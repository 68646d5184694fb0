//! DRM grants: one playback may ask for the keys of one plan.
//!
//! A grant works until it expires, as often as its player asks, and dies with its playback's plan. Players ask once for each
//! key of a film, and again after an answer that got lost or a key session that the browser closed; a grant that works once
//! would need state that every licence request writes, and would fail those. Its short life bounds what a stolen one is good
//! for: the keys that its thief was shown anyway.

use mcsp_domain::{KeyId, PlanId, PlaybackId, UserId};
use serde::{Deserialize, Serialize};

use crate::hmac_keys::check_time;
use crate::{HmacKeys, TokenError};

/// Whom the token is for.
const AUDIENCE: &str = "mcsp:drm";
/// The longest life of a grant, in seconds.
pub const DRM_GRANT_S_MAX: u32 = 300;

/// What a DRM token grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrmGrant {
    /// The viewer.
    pub user: UserId,
    /// The plan whose keys are granted.
    pub plan: PlanId,
    /// The playback that it is for.
    pub playback: PlaybackId,
    /// The ids of the keys.
    pub kids: Vec<KeyId>,
    /// Until when it works, seconds since 1970.
    pub exp_s: i64,
    /// What tells it from the viewer's other grants, 16 random bytes.
    pub jti: [u8; 16],
}

/// The claims as they are written: ids as text, so that a person can read a token.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    sub: UserId,
    plan: PlanId,
    playback: PlaybackId,
    kids: Vec<String>,
    exp: i64,
    jti: String,
}

impl DrmGrant {
    /// Returns the token.
    pub fn mint(&self, keys: &HmacKeys) -> String {
        let claims = Claims {
            sub: self.user,
            plan: self.plan,
            playback: self.playback,
            kids: self.kids.iter().map(KeyId::to_string).collect(),
            exp: self.exp_s,
            // Sixteen bytes are written as those of a key id are: 32 hexadecimal digits.
            jti: KeyId::from_bytes(self.jti).to_string(),
        };
        keys.mint(AUDIENCE, &claims)
    }

    /// Reads a token.
    ///
    /// # Errors
    /// When it is malformed, forged or expired.
    pub fn verify(keys: &HmacKeys, text: &str, now_s: i64) -> Result<Self, TokenError> {
        let claims: Claims = keys.open(AUDIENCE, text)?;
        check_time(claims.exp, now_s)?;
        let read = |text: &String| {
            KeyId::parse(text).map_err(|_| TokenError::Claims { what: "an id that is not 32 hexadecimal digits" })
        };
        Ok(Self {
            user: claims.sub,
            plan: claims.plan,
            playback: claims.playback,
            kids: claims.kids.iter().map(read).collect::<Result<_, _>>()?,
            exp_s: claims.exp,
            jti: *read(&claims.jti)?.as_bytes(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HmacKey;

    fn grant() -> DrmGrant {
        DrmGrant {
            user: UserId::from_bytes([1; 16]),
            plan: PlanId::from_bytes([2; 16]),
            playback: PlaybackId::from_bytes([3; 16]),
            kids: vec![KeyId::from_bytes([4; 16]), KeyId::from_bytes([5; 16])],
            exp_s: 300,
            jti: [6; 16],
        }
    }

    #[test]
    fn a_grant_works_until_its_second() {
        let keys = HmacKeys::new(HmacKey::new("k1", [1; 32]).unwrap(), Vec::new()).unwrap();
        let token = grant().mint(&keys);
        for now_s in [0, 150, 150, 299] {
            assert_eq!(DrmGrant::verify(&keys, &token, now_s), Ok(grant()));
        }
        assert_eq!(DrmGrant::verify(&keys, &token, 300), Err(TokenError::Expired { exp_s: 300 }));
        let edge = crate::EdgeLease::verify(&keys, &token, 0);
        assert_eq!(edge, Err(TokenError::Forged), "an audience of its own");
    }
}
