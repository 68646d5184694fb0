//! HMAC key sets for tokens that the platform alone reads, and the form of such tokens:
//! `<kid>.<base64url of JSON claims>.<base64url of HMAC-SHA256>`, letters that stand in a path as they are.
//!
//! The newest key signs, all verify, so that a set rotates by overlap. The audience is part of what is signed: a token for
//! one never passes for another, even under the same key.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::TokenError;

/// Bytes of a key: as many as the digest has (RFC 2104 section 3).
const KEY_BYTES: usize = 32;
/// Keys of one set: the newest, and some that it follows.
const KEYS_MAX: usize = 8;
/// Characters of a key's id.
const KID_CHARS_MAX: usize = 32;
/// Characters of one token: claims of some hundred bytes.
pub const HMAC_TOKEN_CHARS_MAX: usize = 4096;

/// A key with its public id: wiped when dropped, without `Debug` or `Serialize`.
#[derive(Clone)]
pub struct HmacKey {
    kid: String,
    secret: Zeroizing<[u8; KEY_BYTES]>,
}

impl HmacKey {
    /// Names 32 secret bytes.
    ///
    /// # Errors
    /// When the id is not 1 to 32 letters, digits, `-` or `_`.
    pub fn new(kid: &str, secret: [u8; KEY_BYTES]) -> Result<Self, TokenError> {
        let secret = Zeroizing::new(secret);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if kid.is_empty() || kid.len() > KID_CHARS_MAX || !kid.chars().all(plain) {
            let shown: String = kid.chars().take(KID_CHARS_MAX).collect();
            return Err(TokenError::Keys { what: format!("key id {shown:?} is not 1 to 32 letters, digits, - or _") });
        }
        Ok(Self { kid: kid.to_owned(), secret })
    }
}

/// The keys of one audience: the newest signs, all verify.
#[derive(Clone)]
pub struct HmacKeys {
    newest: HmacKey,
    older: Vec<HmacKey>,
}

impl HmacKeys {
    /// Takes the key that signs from now on, and those that signed before.
    ///
    /// # Errors
    /// When two keys share an id, or there are more than eight.
    pub fn new(newest: HmacKey, older: Vec<HmacKey>) -> Result<Self, TokenError> {
        if older.len() >= KEYS_MAX {
            return Err(TokenError::Keys { what: format!("{} keys, {KEYS_MAX} allowed", older.len() + 1) });
        }
        let keys = Self { newest, older };
        for (index, key) in keys.all().enumerate() {
            if keys.all().take(index).any(|other| other.kid == key.kid) {
                return Err(TokenError::Keys { what: format!("key id {} stands there twice", key.kid) });
            }
        }
        Ok(keys)
    }

    /// Reads a set as text: one `<kid> <64 hexadecimal digits>` a line, the newest first; empty lines are skipped.
    ///
    /// # Errors
    /// When a line is anything else; the error repeats no key.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let mut keys = Vec::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let fault =
                || TokenError::Keys { what: format!("line {} is not an id and 64 hexadecimal digits", index + 1) };
            let (kid, digits) = line.trim().split_once(' ').ok_or_else(fault)?;
            keys.push(HmacKey::new(kid, read_hex(digits).ok_or_else(fault)?)?);
            if keys.len() > KEYS_MAX {
                return Err(TokenError::Keys { what: format!("more than {KEYS_MAX} keys") });
            }
        }
        let mut keys = keys.into_iter();
        let newest = keys.next().ok_or_else(|| TokenError::Keys { what: "no key".to_owned() })?;
        Self::new(newest, keys.collect())
    }

    /// Writes the set as `parse` reads it. The text is secret.
    pub fn to_text(&self) -> Zeroizing<String> {
        // Sized beforehand, so that no copy of it is left behind by growing.
        let mut text = Zeroizing::new(String::with_capacity(KEYS_MAX * (KID_CHARS_MAX + 2 * KEY_BYTES + 2)));
        for key in self.all() {
            text.push_str(&key.kid);
            text.push(' ');
            for byte in key.secret.iter() {
                let _ = write!(text, "{byte:02x}");
            }
            text.push('\n');
        }
        text
    }

    /// Signs claims for an audience.
    pub(crate) fn mint(&self, audience: &str, claims: &impl Serialize) -> String {
        let json = serde_json::to_vec(claims).unwrap_or_default();
        assert!(!json.is_empty(), "claims are structs of plain values, which cannot fail to serialise");
        let mut text = format!("{}.{}", self.newest.kid, BASE64_URL_SAFE_NO_PAD.encode(json));
        let tag = mac(&self.newest, audience, &text).finalize().into_bytes();
        text.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(tag, &mut text);
        text
    }

    /// Checks a token's form and signature, and reads its claims; their time is the caller's to check.
    pub(crate) fn open<C: DeserializeOwned>(&self, audience: &str, text: &str) -> Result<C, TokenError> {
        let malformed = |what| TokenError::Malformed { what };
        if text.len() > HMAC_TOKEN_CHARS_MAX {
            return Err(malformed("it is too long"));
        }
        let (signed, tag) = text.rsplit_once('.').ok_or(malformed("it has not three parts"))?;
        let (kid, claims) = signed.split_once('.').ok_or(malformed("it has not three parts"))?;
        let tag = BASE64_URL_SAFE_NO_PAD.decode(tag).map_err(|_| malformed("its signature is not base64url"))?;
        let unknown = || TokenError::UnknownKey { kid: kid.chars().take(KID_CHARS_MAX).collect() };
        let key = self.all().find(|key| key.kid == kid).ok_or_else(unknown)?;
        // Compared in constant time.
        mac(key, audience, signed).verify_slice(&tag).map_err(|_| TokenError::Forged)?;
        let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).map_err(|_| malformed("its claims are not base64url"))?;
        serde_json::from_slice(&claims).map_err(|_| TokenError::Claims { what: "of another shape" })
    }

    fn all(&self) -> impl Iterator<Item = &HmacKey> {
        std::iter::once(&self.newest).chain(&self.older)
    }
}

/// Refuses a time that has passed; a token works up to the second before `exp_s`.
pub(crate) fn check_time(exp_s: i64, now_s: i64) -> Result<(), TokenError> {
    if now_s >= exp_s { Err(TokenError::Expired { exp_s }) } else { Ok(()) }
}

/// The audience ends in a zero byte, which no token holds: no two pairs of audience and text are signed alike.
fn mac(key: &HmacKey, audience: &str, text: &str) -> Hmac<Sha256> {
    let keyed = Hmac::<Sha256>::new_from_slice(key.secret.as_slice());
    let mut mac = keyed.unwrap_or_else(|_| unreachable!("HMAC takes keys of every length (RFC 2104 section 2)"));
    mac.update(audience.as_bytes());
    mac.update(&[0]);
    mac.update(text.as_bytes());
    mac
}

fn read_hex(digits: &str) -> Option<[u8; KEY_BYTES]> {
    let mut bytes = [0; KEY_BYTES];
    let plain = digits.len() == 2 * KEY_BYTES && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if !plain {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(kid: &str, byte: u8) -> HmacKey {
        HmacKey::new(kid, [byte; 32]).unwrap()
    }

    fn keys(byte: u8) -> HmacKeys {
        HmacKeys::new(key("k1", byte), Vec::new()).unwrap()
    }

    fn open(keys: &HmacKeys, audience: &str, text: &str) -> Result<String, TokenError> {
        keys.open(audience, text)
    }

    #[test]
    fn another_key_audience_or_letter_is_refused() {
        let token = keys(1).mint("edge", &"claims");
        assert_eq!(open(&keys(1), "edge", &token), Ok("claims".to_owned()));
        assert_eq!(open(&keys(1), "drm", &token), Err(TokenError::Forged));
        assert_eq!(open(&keys(2), "edge", &token), Err(TokenError::Forged));
        let other = HmacKeys::new(key("k2", 1), Vec::new()).unwrap();
        assert_eq!(open(&other, "edge", &token), Err(TokenError::UnknownKey { kid: "k1".to_owned() }));
        for index in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(open(&keys(1), "edge", &changed).is_err(), "letter {index} was changed");
            assert!(open(&keys(1), "edge", &token[..index]).is_err(), "cut at {index}");
        }
    }

    #[test]
    fn a_rotated_set_verifies_what_its_older_keys_signed() {
        let old = keys(1).mint("edge", &"claims");
        let rotated = HmacKeys::new(key("k2", 2), vec![key("k1", 1)]).unwrap();
        assert_eq!(open(&rotated, "edge", &old), Ok("claims".to_owned()));
        assert!(rotated.mint("edge", &"claims").starts_with("k2."));
        assert!(HmacKeys::new(key("k1", 2), vec![key("k1", 1)]).is_err());
    }

    #[test]
    fn a_set_is_read_as_it_was_written_and_errors_repeat_no_key() {
        let rotated = HmacKeys::new(key("k2", 0xab), vec![key("k1", 1)]).unwrap();
        let read = HmacKeys::parse(&rotated.to_text()).unwrap();
        assert_eq!(*read.to_text(), *rotated.to_text());
        assert!(open(&read, "edge", &rotated.mint("edge", &1)).is_err(), "a number is no text");
        let secret = "5e".repeat(32);
        for text in [format!("k1 {secret}5"), format!("k1{secret}"), format!("k 1 {secret}"), String::new()] {
            let error = HmacKeys::parse(&text).err().unwrap().to_string();
            assert!(error.starts_with("key set cannot be used") && !error.contains("5e5e"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_token_stands_in_a_path_as_it_is(claims in ".{0,200}") {
            let token = keys(7).mint("edge", &claims);
            prop_assert!(token.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')));
            prop_assert_eq!(open(&keys(7), "edge", &token), Ok(claims));
        }

        #[test]
        fn no_text_breaks_the_reader(text in ".{0,300}") {
            prop_assert!(open(&keys(7), "edge", &text).is_err());
        }
    }
}
