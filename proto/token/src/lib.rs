//! Signed tokens: what they say, how they are minted and verified. Keys, time and randomness are arguments.
//!
//! Access tokens of the API are JWTs signed with Ed25519 (`viewer`), whose public keys everybody may fetch (`keys`). Tokens
//! that the platform alone reads are signed by HMAC key sets (`hmac_keys`): edge leases (`edge`) and DRM grants (`drm`).
//! What users' own addresses are told is signed as Standard Webhooks has it (`webhook`).

mod drm;
mod edge;
mod hmac_keys;
mod keys;
mod viewer;
mod webhook;

pub use drm::{DRM_GRANT_S_MAX, DrmGrant};
pub use edge::EdgeLease;
pub use hmac_keys::{HMAC_TOKEN_CHARS_MAX, HmacKey, HmacKeys};
pub use keys::{KEYS_MAX, ViewerKeys};
pub use viewer::{ACCESS_TOKEN_S, AccessClaims};
pub use webhook::{
    WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP, WEBHOOK_TOLERANCE_S, WebhookSecret, WebhookTokenError,
    sign_webhook, verify_webhook,
};

/// Why a token or a set of keys was not taken. No message repeats a secret or a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The text is no token of this kind.
    #[error("token is malformed: {what}")]
    Malformed {
        /// What is wrong with it.
        what: &'static str,
    },
    /// It names a key that is not in the set.
    #[error("token names key {kid:?}, which is not known")]
    UnknownKey {
        /// The key's id, cut at 100 characters.
        kid: String,
    },
    /// Its signature is not that of the key that it names.
    #[error("token has a wrong signature")]
    Forged,
    /// It is for another audience, of another issuer, or lacks a claim.
    #[error("token claims are not those asked for: {what}")]
    Claims {
        /// Which claim.
        what: &'static str,
    },
    /// Its time has passed.
    #[error("token expired at {exp_s} s since 1970")]
    Expired {
        /// When.
        exp_s: i64,
    },
    /// A set of keys that cannot be used.
    #[error("key set cannot be used: {what}")]
    Keys {
        /// What is wrong with it.
        what: String,
    },
}
