//! The keys of access tokens: Ed25519, the newest signs, the older ones still verify. In: seeds or the text of a key file.
//! Out: a set that signs and verifies, the file's text, and the public half as a JSON Web Key Set (RFC 7517, RFC 8037).

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use ed25519_dalek::SigningKey;
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::TokenError;

/// Keys of one set: a new one each month, and a year's older ones.
pub const KEYS_MAX: usize = 13;

/// PKCS #8 v1 of an Ed25519 seed, up to the seed (RFC 8410 §7).
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// The keys of access tokens, newest first. Neither `Debug` nor errors show what is secret.
pub struct ViewerKeys {
    /// Never empty.
    keys: Vec<ViewerKey>,
}

pub(crate) struct ViewerKey {
    pub(crate) kid: String,
    created_s: i64,
    /// The public key, base64url.
    x: String,
    seed: Zeroizing<[u8; 32]>,
    pub(crate) encoding: EncodingKey,
    pub(crate) decoding: DecodingKey,
}

impl ViewerKeys {
    /// Makes a set of one key from 32 random bytes. `created_s` are seconds since 1970.
    pub fn new(seed: Zeroizing<[u8; 32]>, created_s: i64) -> Self {
        Self { keys: vec![ViewerKey::new(seed, created_s)] }
    }

    /// Returns the set with a newer key, which signs from now on. Keys made before `keep_from_s` are forgotten, but for the
    /// one that signed until now: tokens of it are still about.
    #[must_use]
    pub fn rotated(self, seed: Zeroizing<[u8; 32]>, created_s: i64, keep_from_s: i64) -> Self {
        let mut keys = vec![ViewerKey::new(seed, created_s)];
        let kept = self.keys.into_iter().enumerate().filter(|(index, key)| *index == 0 || key.created_s >= keep_from_s);
        keys.extend(kept.map(|(_, key)| key).take(KEYS_MAX - 1));
        Self { keys }
    }

    /// Returns when the signing key was made, seconds since 1970.
    pub fn newest_created_s(&self) -> i64 {
        self.signing().created_s
    }

    /// Returns the ids of all keys, newest first.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.kid.as_str())
    }

    /// Reads the text of a key file, as `to_secret_json` writes it.
    ///
    /// # Errors
    /// When it has another form, no key, too many, or a key whose halves do not belong together.
    pub fn from_secret_json(text: &str) -> Result<Self, TokenError> {
        // A parser's message may repeat what stands in the file, so only its place is told.
        let file: KeySet = serde_json::from_str(text).map_err(|error| TokenError::Keys {
            what: format!("line {} column {} is not of the form of a key set", error.line(), error.column()),
        })?;
        if file.keys.is_empty() || file.keys.len() > KEYS_MAX {
            return Err(TokenError::Keys { what: format!("{} keys, 1 to {KEYS_MAX} allowed", file.keys.len()) });
        }
        let keys = file.keys.into_iter().enumerate();
        let keys = keys.map(|(index, key)| key.read(index)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { keys })
    }

    /// Writes the set with its secret halves: the text of a file that its owner alone may read.
    pub fn to_secret_json(&self) -> Zeroizing<String> {
        let keys = self.keys.iter().map(|key| Jwk {
            d: Some(Zeroizing::new(BASE64.encode(key.seed.as_slice()))),
            created_s: Some(key.created_s),
            ..key.public()
        });
        json(&KeySet { keys: keys.collect() })
    }

    /// Writes the public halves as a JSON Web Key Set.
    pub fn jwks(&self) -> String {
        json(&KeySet { keys: self.keys.iter().map(ViewerKey::public).collect() }).as_str().to_owned()
    }

    pub(crate) fn signing(&self) -> &ViewerKey {
        let Some(newest) = self.keys.first() else { unreachable!("a set of viewer keys is never empty") };
        newest
    }

    pub(crate) fn find(&self, kid: &str) -> Option<&ViewerKey> {
        self.keys.iter().find(|key| key.kid == kid)
    }
}

impl fmt::Debug for ViewerKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ViewerKeys").field("kids", &self.kids().collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

impl ViewerKey {
    fn new(seed: Zeroizing<[u8; 32]>, created_s: i64) -> Self {
        let x = BASE64.encode(SigningKey::from_bytes(&seed).verifying_key().as_bytes());
        let der = Zeroizing::new([PKCS8_PREFIX.as_slice(), seed.as_slice()].concat());
        let encoding = EncodingKey::from_ed_der(&der);
        let Ok(decoding) = DecodingKey::from_ed_components(&x) else {
            unreachable!("base64url of our own was not read back")
        };
        Self { kid: thumbprint(&x), created_s, x, seed, encoding, decoding }
    }

    fn public(&self) -> Jwk {
        Jwk {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            alg: "EdDSA".to_owned(),
            usage: "sig".to_owned(),
            kid: self.kid.clone(),
            x: self.x.clone(),
            d: None,
            created_s: None,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeySet {
    keys: Vec<Jwk>,
}

/// RFC 8037 §2, with the time of making in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Jwk {
    kty: String,
    crv: String,
    alg: String,
    #[serde(rename = "use")]
    usage: String,
    kid: String,
    x: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    d: Option<Zeroizing<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_s: Option<i64>,
}

impl Jwk {
    fn read(self, index: usize) -> Result<ViewerKey, TokenError> {
        let fault = |what: &str| TokenError::Keys { what: format!("key {index} {what}") };
        let public = (self.kty.as_str(), self.crv.as_str(), self.alg.as_str(), self.usage.as_str());
        if public != ("OKP", "Ed25519", "EdDSA", "sig") {
            return Err(fault("is no Ed25519 key for EdDSA signatures"));
        }
        let (Some(d), Some(created_s)) = (self.d, self.created_s) else {
            return Err(fault("lacks d or created_s"));
        };
        let mut seed = Zeroizing::new([0; 32]);
        let bytes = Zeroizing::new(BASE64.decode(d.as_bytes()).map_err(|_| fault("has a d that is no base64url"))?);
        if bytes.len() != seed.len() {
            return Err(fault("has a d that is not 32 bytes"));
        }
        seed.copy_from_slice(&bytes);
        let key = ViewerKey::new(seed, created_s);
        if key.x != self.x || key.kid != self.kid {
            return Err(fault("has an x or kid that is not that of its d"));
        }
        Ok(key)
    }
}

/// The key's JWK thumbprint (RFC 7638 §3): the members in the order of their names, no space between them.
fn thumbprint(x: &str) -> String {
    let text = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    BASE64.encode(Sha256::digest(text.as_bytes()))
}

fn json(set: &KeySet) -> Zeroizing<String> {
    let text = serde_json::to_string(set).unwrap_or_default();
    assert!(!text.is_empty(), "a key set of plain values failed to serialise");
    Zeroizing::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed(byte: u8) -> Zeroizing<[u8; 32]> {
        Zeroizing::new([byte; 32])
    }

    #[test]
    fn the_thumbprint_is_that_of_the_standard() {
        // RFC 8037 appendix A.3.
        assert_eq!(
            thumbprint("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }

    #[test]
    fn the_file_is_read_back_and_the_public_set_has_no_secret() {
        let keys = ViewerKeys::new(seed(1), 100).rotated(seed(2), 200, 0);
        let again = ViewerKeys::from_secret_json(&keys.to_secret_json()).unwrap();
        assert_eq!(keys.kids().collect::<Vec<_>>(), again.kids().collect::<Vec<_>>());
        assert_eq!((again.newest_created_s(), again.kids().count()), (200, 2));
        let secret = BASE64.encode([2; 32]);
        assert!(keys.to_secret_json().contains(&secret));
        assert!(!keys.jwks().contains(&secret) && !keys.jwks().contains("created_s"));
        assert!(!format!("{keys:?}").contains(&secret));
        let read: jsonwebtoken::jwk::JwkSet = serde_json::from_str(&keys.jwks()).unwrap();
        assert!(read.find(keys.kids().next().unwrap()).is_some_and(jsonwebtoken::jwk::Jwk::is_supported));
    }

    #[test]
    fn rotation_forgets_old_keys_but_never_the_last_signer() {
        let keys = ViewerKeys::new(seed(1), 100).rotated(seed(2), 200, 0).rotated(seed(3), 300, 250);
        assert_eq!(keys.keys.iter().map(|key| key.created_s).collect::<Vec<_>>(), [300, 200]);
        let many = (4..40_u8).fold(keys, |keys, byte| keys.rotated(seed(byte), 1000, 0));
        assert_eq!(many.keys.len(), KEYS_MAX);
    }

    #[test]
    fn a_file_that_is_none_is_refused_without_its_text() {
        let good = ViewerKeys::new(seed(1), 100).to_secret_json();
        let other = ViewerKeys::new(seed(2), 100);
        let mixed = good.replace(&ViewerKeys::new(seed(1), 0).keys[0].x, &other.keys[0].x);
        let public = other.jwks();
        let secret = BASE64.encode([1; 32]);
        let cases = [
            ("{}", "is not of the form"),
            (r#"{"keys":[]}"#, "0 keys, 1 to 13 allowed"),
            (&mixed, "key 0 has an x or kid that is not that of its d"),
            (&public, "key 0 lacks d or created_s"),
            (&good.replace("EdDSA", "HS256"), "key 0 is no Ed25519 key"),
            (&good.replace("\"d\"", "\"p\""), "is not of the form"),
        ];
        for (text, why) in cases {
            let error = ViewerKeys::from_secret_json(text).unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains(&secret), "{error}");
        }
    }
}
