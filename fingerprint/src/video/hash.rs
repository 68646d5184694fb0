//! A PDQ hash: 256 bits, compared by the count of those that differ.

use crate::FingerprintError;

/// 256 bits; bit `16 * row + column` says whether that frequency is stronger than the median.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PdqHash([u64; 4]);

impl PdqHash {
    /// Bytes of a hash.
    pub const LEN_BYTES: usize = 32;
    /// No bit set.
    pub const ZERO: Self = Self([0; 4]);

    /// Wraps the words, bit 0 first.
    pub const fn from_words(words: [u64; 4]) -> Self {
        Self(words)
    }

    /// Returns the words, bit 0 first.
    pub const fn words(&self) -> [u64; 4] {
        self.0
    }

    /// Returns how many bits differ, 0 to 256.
    pub fn distance(&self, other: &Self) -> u32 {
        let mut distance = 0;
        for (a, b) in self.0.iter().zip(&other.0) {
            distance += (a ^ b).count_ones();
        }
        distance
    }

    /// Returns the 32 bytes as they are stored, bit 0 first.
    pub fn to_bytes(self) -> [u8; Self::LEN_BYTES] {
        let mut bytes = [0; Self::LEN_BYTES];
        for (chunk, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.0) {
            *chunk = word.to_le_bytes();
        }
        bytes
    }

    /// Reads the 32 bytes as they are stored.
    pub fn from_bytes(bytes: &[u8; Self::LEN_BYTES]) -> Self {
        let mut words = [0; 4];
        for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*chunk);
        }
        Self(words)
    }

    /// Returns the 16 slots of 16 bits, bit 0 first: two hashes within 31 bits share one within a bit.
    pub fn slots(&self) -> [u16; 16] {
        let mut slots = [0; 16];
        for (slot, pair) in slots.iter_mut().zip(self.to_bytes().as_chunks::<2>().0) {
            *slot = u16::from_le_bytes(*pair);
        }
        slots
    }

    /// Reads Meta's way of writing a hash: 64 hexadecimal digits, bit 255 first.
    ///
    /// # Errors
    /// When the text is something else.
    pub fn parse(text: &str) -> Result<Self, FingerprintError> {
        let fault = || FingerprintError::broken("hash", format!("{text:?} is not 64 hexadecimal digits"));
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(fault());
        }
        let mut words = [0; 4];
        for (index, word) in words.iter_mut().rev().enumerate() {
            let digits = text.get(index * 16..index * 16 + 16).ok_or_else(fault)?;
            *word = u64::from_str_radix(digits, 16).map_err(|_| fault())?;
        }
        Ok(Self(words))
    }
}

impl std::fmt::Display for PdqHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d] = self.0;
        write!(f, "{d:016x}{c:016x}{b:016x}{a:016x}")
    }
}

impl std::fmt::Debug for PdqHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PdqHash({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_survive() {
        let hash = PdqHash::from_words([1, 0x0203, 0, 0xf000_0000_0000_0000]);
        assert_eq!(PdqHash::parse(&hash.to_string()).unwrap(), hash);
        assert_eq!(PdqHash::from_bytes(&hash.to_bytes()), hash);
        assert!(hash.to_string().starts_with("f000") && hash.to_string().ends_with("0001"));
        assert_eq!((hash.slots()[0], hash.slots()[4], hash.slots()[15]), (1, 0x0203, 0xf000));
        for text in ["", "f00", &"g".repeat(64), &"é".repeat(32)] {
            assert!(PdqHash::parse(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn distance_counts_bits() {
        assert_eq!(PdqHash::ZERO.distance(&PdqHash::from_words([u64::MAX; 4])), 256);
        assert_eq!(PdqHash::ZERO.distance(&PdqHash::from_words([1, 2, 4, 8])), 4);
    }
}
