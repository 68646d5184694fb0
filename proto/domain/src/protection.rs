//! How samples are protected: scheme, key ids and content keys (ISO/IEC 23001-7).

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::Digest;

/// A protection scheme of ISO/IEC 23001-7 that CMAF allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// AES-128 in counter mode over whole protected ranges, §10.1.
    Cenc,
    /// AES-128 in CBC mode over a 1:9 block pattern, §10.4.
    Cbcs,
}

impl Scheme {
    /// Returns the four characters of `schm`, §4.
    pub fn fourcc(self) -> [u8; 4] {
        match self {
            Self::Cenc => *b"cenc",
            Self::Cbcs => *b"cbcs",
        }
    }

    /// Returns the scheme of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Cenc, Self::Cbcs].into_iter().find(|scheme| scheme.to_string() == name)
    }
}

impl std::fmt::Display for Scheme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cenc => "cenc",
            Self::Cbcs => "cbcs",
        })
    }
}

/// Why sixteen bytes could not be read from text.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum KeyParseError {
    /// A key id is public, so its text may be shown.
    #[error("key id {text:?} is not 32 hexadecimal digits")]
    KeyId {
        /// What stood there.
        text: String,
    },
    /// A key is secret, so its text is not shown.
    #[error("content key is not 32 hexadecimal digits ({len_chars} characters given)")]
    ContentKey {
        /// How long the text was.
        len_chars: usize,
    },
}

/// The public name of a content key: `default_KID`, 16 bytes, big endian, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; 16]);

impl KeyId {
    /// Wraps 16 bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Reads 32 hexadecimal digits; the dashes of a UUID are allowed.
    ///
    /// # Errors
    /// When the text is anything else.
    pub fn parse(text: &str) -> Result<Self, KeyParseError> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text.replace('-', ""), &mut bytes)
            .map_err(|_| KeyParseError::KeyId { text: text.chars().take(64).collect() })?;
        Ok(Self(bytes))
    }

    /// Returns the 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Returns the UUID form of RFC 9562 §4 that an MPD's `cenc:default_KID` wants.
    pub fn to_uuid_text(self) -> String {
        uuid::Uuid::from_bytes(self.0).hyphenated().to_string()
    }
}

impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl std::fmt::Debug for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// A secret AES-128 key: wiped when dropped, without `Debug`, `Display` or `Serialize`.
#[derive(Clone)]
pub struct ContentKey(Zeroizing<[u8; 16]>);

impl ContentKey {
    /// Wraps 16 secret bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Reads 32 hexadecimal digits.
    ///
    /// # Errors
    /// When the text is anything else; the error does not repeat it.
    pub fn parse(text: &str) -> Result<Self, KeyParseError> {
        let mut bytes = Zeroizing::new([0; 16]);
        hex::decode_to_slice(text, bytes.as_mut_slice())
            .map_err(|_| KeyParseError::ContentKey { len_chars: text.chars().count() })?;
        Ok(Self(bytes))
    }

    /// Returns the secret bytes, for ciphers, the licence endpoint and the key file only.
    pub fn expose(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Which renditions share a key (SPEKE v2 presets and the labels of packagers use the same classes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TrackClass {
    /// All audio.
    Audio,
    /// Video of at most 768 × 576 pixels.
    Sd,
    /// Larger video.
    Hd,
}

impl TrackClass {
    /// Every class, in the order of key files.
    pub const ALL: [Self; 3] = [Self::Audio, Self::Sd, Self::Hd];
    /// The largest standard-definition picture, as packagers draw the line.
    const SD_PIXELS_MAX: u64 = 768 * 576;

    /// Returns the class of a video rendition.
    pub fn of_video(width_px: u32, height_px: u32) -> Self {
        if u64::from(width_px) * u64::from(height_px) <= Self::SD_PIXELS_MAX { Self::Sd } else { Self::Hd }
    }

    /// Returns the name that key files use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Audio => "AUDIO",
            Self::Sd => "SD",
            Self::Hd => "HD",
        }
    }

    /// Returns the class of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }
}

/// The key of one track class.
#[derive(Clone)]
pub struct TrackKey {
    /// The public id.
    pub kid: KeyId,
    /// The secret key.
    pub key: ContentKey,
    /// `cbcs`: the constant IV, §9.3. `cenc`: its first 8 bytes are the base that every sample's IV is added to.
    pub iv: [u8; 16],
}

impl TrackKey {
    /// Makes the key of a run whose IV nobody chose. It is drawn from `fingerprint`, which names all that decides the run's
    /// bytes, and from the key's id: the same run repeats its bytes, and one key never meets one counter with two contents.
    pub fn drawn(kid: KeyId, key: ContentKey, fingerprint: &Digest) -> Self {
        let drawn = Digest::of(&[b"mcsp iv", fingerprint.as_bytes(), kid.as_bytes()]);
        let mut iv = [0; 16];
        iv.copy_from_slice(&drawn.as_bytes()[..16]);
        Self { kid, key, iv }
    }
}

/// What protects a plan's renditions: one scheme, and a key for every class.
#[derive(Clone)]
pub struct Protection {
    /// The scheme of all renditions.
    pub scheme: Scheme,
    /// The key of audio renditions.
    pub audio: TrackKey,
    /// The key of standard-definition video.
    pub sd: TrackKey,
    /// The key of high-definition video.
    pub hd: TrackKey,
}

impl Protection {
    /// Returns the key of a class.
    pub fn key(&self, class: TrackClass) -> &TrackKey {
        match class {
            TrackClass::Audio => &self.audio,
            TrackClass::Sd => &self.sd,
            TrackClass::Hd => &self.hd,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_ids_read_hex_and_uuid() {
        let plain = KeyId::parse("00112233445566778899aabbccddeeff").unwrap();
        assert_eq!(KeyId::parse("00112233-4455-6677-8899-AABBCCDDEEFF").unwrap(), plain);
        assert_eq!(plain.to_uuid_text(), "00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!(KeyId::parse("0011").unwrap_err().to_string(), "key id \"0011\" is not 32 hexadecimal digits");
    }

    #[test]
    fn a_bad_key_is_not_repeated_in_its_error() {
        let Err(error) = ContentKey::parse("5ec2e7") else { panic!("a short key was taken") };
        assert_eq!(error.to_string(), "content key is not 32 hexadecimal digits (6 characters given)");
    }

    #[test]
    fn a_drawn_iv_follows_the_run_and_the_key() {
        let iv = |run: &[u8], kid: u8| {
            let (kid, key) = (KeyId::from_bytes([kid; 16]), ContentKey::from_bytes([7; 16]));
            TrackKey::drawn(kid, key, &Digest::of(&[run])).iv
        };
        assert_eq!(iv(b"film", 1), iv(b"film", 1));
        assert_ne!(iv(b"film", 1), iv(b"film", 2));
        assert_ne!(iv(b"film", 1), iv(b"other", 1));
    }

    #[test]
    fn names_are_read_back() {
        assert!(TrackClass::ALL.into_iter().all(|class| TrackClass::of_name(class.name()) == Some(class)));
        assert!(
            [Scheme::Cenc, Scheme::Cbcs].into_iter().all(|scheme| Scheme::of_name(&scheme.to_string()) == Some(scheme))
        );
        assert_eq!((TrackClass::of_name("UHD"), Scheme::of_name("cens")), (None, None));
    }

    #[test]
    fn classes_follow_pixels() {
        assert_eq!(TrackClass::of_video(854, 480), TrackClass::Sd);
        assert_eq!(TrackClass::of_video(1280, 720), TrackClass::Hd);
    }
}
