//! Webhook signatures by the Standard Webhooks specification 1.0 (standard-webhooks/spec, "Signature scheme"): HMAC-SHA256
//! over `<id>.<timestamp>.<body>`, several while secrets change. In: id, time, body. Out: the three headers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// The header of the message's id.
pub const WEBHOOK_ID: &str = "webhook-id";
/// The header of the attempt's time, seconds since 1970.
pub const WEBHOOK_TIMESTAMP: &str = "webhook-timestamp";
/// The header of the signatures, apart by spaces.
pub const WEBHOOK_SIGNATURE: &str = "webhook-signature";

/// Seconds by which an attempt's time may differ from its receiver's clock: what the reference libraries take.
pub const WEBHOOK_TOLERANCE_S: i64 = 5 * 60;
/// Bytes of the shortest secret that the specification takes.
const WEBHOOK_SECRET_BYTES_MIN: usize = 24;
/// Bytes of the longest.
const WEBHOOK_SECRET_BYTES_MAX: usize = 64;

/// What stands before a secret's base64.
const SECRET_PREFIX: &str = "whsec_";
/// What stands before a symmetric signature's base64.
const SIGNATURE_PREFIX: &str = "v1,";
/// Signatures of one message that are looked at.
const SIGNATURES_MAX: usize = 16;

/// Why a secret or a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookTokenError {
    /// The text is no secret; it is not repeated.
    #[error("webhook secret is not whsec_ with the base64 of 24 to 64 bytes")]
    Secret,
    /// No signature is of this secret, id, time and body.
    #[error("no webhook signature fits")]
    Signature,
    /// The attempt is too old, or from the future.
    #[error("webhook timestamp {timestamp_s} is more than 300 s from {now_s}")]
    Timestamp {
        /// The attempt's time.
        timestamp_s: i64,
        /// The receiver's.
        now_s: i64,
    },
}

/// A secret that sender and receiver share: wiped when dropped, without `Debug` or `Serialize`.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(Zeroizing<Vec<u8>>);

impl WebhookSecret {
    /// Wraps 24 to 64 random bytes.
    ///
    /// # Errors
    /// When there are fewer or more.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WebhookTokenError> {
        let allowed = WEBHOOK_SECRET_BYTES_MIN..=WEBHOOK_SECRET_BYTES_MAX;
        let bytes = Zeroizing::new(bytes.to_vec());
        allowed.contains(&bytes.len()).then_some(Self(bytes)).ok_or(WebhookTokenError::Secret)
    }

    /// Reads `whsec_<base64>`.
    ///
    /// # Errors
    /// When the text is anything else.
    pub fn parse(text: &str) -> Result<Self, WebhookTokenError> {
        let base64 = text.strip_prefix(SECRET_PREFIX).ok_or(WebhookTokenError::Secret)?;
        let bytes = Zeroizing::new(STANDARD.decode(base64).map_err(|_| WebhookTokenError::Secret)?);
        Self::from_bytes(&bytes)
    }

    /// Returns `whsec_<base64>`: for the eyes of the user whose secret it is, once.
    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{SECRET_PREFIX}{}", STANDARD.encode(&*self.0)))
    }

    /// Returns the bytes, to seal them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    fn mac(&self, id: &str, timestamp_s: i64, body: &[u8]) -> Hmac<Sha256> {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            unreachable!("HMAC takes keys of any length")
        };
        mac.update(format!("{id}.{timestamp_s}.").as_bytes());
        mac.update(body);
        mac
    }
}

/// Returns the value of the signature header: one signature a secret. `id` holds no full stop, so that no other id and body
/// share a signature.
pub fn sign_webhook(secrets: &[WebhookSecret], id: &str, timestamp_s: i64, body: &[u8]) -> String {
    assert!(!id.contains('.'), "webhook id {id:?} holds a full stop");
    let sign = |secret: &WebhookSecret| {
        let mac = secret.mac(id, timestamp_s, body).finalize().into_bytes();
        format!("{SIGNATURE_PREFIX}{}", STANDARD.encode(mac))
    };
    secrets.iter().map(sign).collect::<Vec<_>>().join(" ")
}

/// Checks a message as its receiver does: one of the signatures is of the secret, and the attempt is of now.
///
/// # Errors
/// When none fits, or the time is more than `WEBHOOK_TOLERANCE_S` away.
pub fn verify_webhook(
    secret: &WebhookSecret,
    id: &str,
    timestamp_s: i64,
    body: &[u8],
    signatures: &str,
    now_s: i64,
) -> Result<(), WebhookTokenError> {
    if timestamp_s.abs_diff(now_s) > WEBHOOK_TOLERANCE_S.unsigned_abs() {
        return Err(WebhookTokenError::Timestamp { timestamp_s, now_s });
    }
    for signature in signatures.split(' ').take(SIGNATURES_MAX) {
        let bytes = signature.strip_prefix(SIGNATURE_PREFIX).and_then(|base64| STANDARD.decode(base64).ok());
        // The comparison takes the same time whatever differs.
        if bytes.is_some_and(|bytes| secret.mac(id, timestamp_s, body).verify_slice(&bytes).is_ok()) {
            return Ok(());
        }
    }
    Err(WebhookTokenError::Signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that the specification's reference libraries test themselves with.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIMESTAMP_S: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn secret() -> WebhookSecret {
        WebhookSecret::parse(SECRET).unwrap()
    }

    #[test]
    fn signs_as_the_specification_does() {
        assert_eq!(sign_webhook(&[secret()], ID, TIMESTAMP_S, BODY), SIGNATURE);
        assert_eq!(*secret().reveal(), SECRET);
    }

    #[test]
    fn while_secrets_change_either_receiver_is_served() {
        let newer = WebhookSecret::from_bytes(&[7; 32]).unwrap();
        let both = sign_webhook(&[newer.clone(), secret()], ID, TIMESTAMP_S, BODY);
        assert!(both.ends_with(&format!(" {SIGNATURE}")));
        for secret in [newer, secret()] {
            assert_eq!(verify_webhook(&secret, ID, TIMESTAMP_S, BODY, &both, TIMESTAMP_S), Ok(()));
        }
    }

    #[test]
    fn what_differs_in_anything_is_refused() {
        let verify = |id, timestamp_s, body, signatures| {
            verify_webhook(&secret(), id, timestamp_s, body, signatures, TIMESTAMP_S)
        };
        assert_eq!(verify(ID, TIMESTAMP_S, BODY, SIGNATURE), Ok(()));
        let refused = Err(WebhookTokenError::Signature);
        assert_eq!(verify("msg_other", TIMESTAMP_S, BODY, SIGNATURE), refused);
        assert_eq!(verify(ID, TIMESTAMP_S + 1, BODY, SIGNATURE), refused);
        assert_eq!(verify(ID, TIMESTAMP_S, br#"{"test": 2432232315}"#, SIGNATURE), refused);
        for signatures in ["", "v1,", "v1", "v1,AAAA", &SIGNATURE.replace("v1,", "v2,"), &SIGNATURE[3..]] {
            assert_eq!(verify(ID, TIMESTAMP_S, BODY, signatures), refused, "{signatures:?} was taken");
        }
        for now_s in [TIMESTAMP_S + 301, TIMESTAMP_S - 301, i64::MIN, i64::MAX] {
            let old = verify_webhook(&secret(), ID, TIMESTAMP_S, BODY, SIGNATURE, now_s);
            assert_eq!(old, Err(WebhookTokenError::Timestamp { timestamp_s: TIMESTAMP_S, now_s }));
        }
    }

    #[test]
    fn secrets_have_the_lengths_of_the_specification() {
        for (len_bytes, is_taken) in [(0, false), (23, false), (24, true), (64, true), (65, false)] {
            let bytes = vec![1; len_bytes];
            assert_eq!(WebhookSecret::from_bytes(&bytes).is_ok(), is_taken, "{len_bytes} bytes");
            let text = format!("whsec_{}", STANDARD.encode(&bytes));
            assert_eq!(WebhookSecret::parse(&text).is_ok(), is_taken, "{text}");
        }
        for text in ["", "whsec_", "whsec_!", &SECRET[6..]] {
            assert!(WebhookSecret::parse(text).is_err(), "{text:?} was taken");
        }
    }
}
