//! The common `pssh` box, version 1: which key ids an initialisation segment or a manifest asks for, in the form that
//! needs no DRM system ("cenc" initialization data format of W3C, system id 1077efec; the box is ISO/IEC 23001-7 §8.1).

use mcsp_domain::KeyId;

/// The common system id of W3C's "cenc" initialization data format.
const COMMON_SYSTEM_ID: [u8; 16] =
    [0x10, 0x77, 0xef, 0xec, 0xc0, 0xb2, 0x4d, 0x02, 0xac, 0xe3, 0x3c, 0x1e, 0x52, 0xe2, 0xfb, 0x4b];
/// `FullBox` version 1, no flags: the version that lists key ids.
const VERSION_1: [u8; 4] = [1, 0, 0, 0];

/// Returns the whole box for `kids`, in their order, without data.
pub fn common(kids: &[KeyId]) -> Vec<u8> {
    // Renditions, and with them key ids, are few; a count that does not fit would be a broken promise of ours.
    assert!(kids.len() <= 1000, "a presentation has a handful of key ids, not {}", kids.len());
    let kid_count = (0u32..).zip(kids).map(|(index, _)| index + 1).last().unwrap_or(0);
    let mut out = Vec::new();
    out.extend((36 + 16 * kid_count).to_be_bytes());
    out.extend(b"pssh");
    out.extend(VERSION_1);
    out.extend(COMMON_SYSTEM_ID);
    out.extend(kid_count.to_be_bytes());
    for kid in kids {
        out.extend(kid.as_bytes());
    }
    out.extend(0u32.to_be_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_box_of_shaka_packager() {
        // As written by Shaka Packager 3.8.0 with `--protection_systems Common` and one key id.
        let kid = KeyId::parse("a7e61c373e219033c21091fa607bf3b8").unwrap();
        let expected = concat!(
            "00000034",
            "70737368",
            "01000000",
            "1077efecc0b24d02ace33c1e52e2fb4b",
            "00000001",
            "a7e61c373e219033c21091fa607bf3b8",
            "00000000"
        );
        assert_eq!(hex::encode(common(&[kid])), expected);
    }

    #[test]
    fn lists_key_ids_in_order() {
        let kids = [KeyId::from_bytes([7; 16]), KeyId::from_bytes([3; 16])];
        let bytes = common(&kids);
        assert_eq!(bytes.len(), 68);
        assert_eq!(bytes[..4], 68u32.to_be_bytes());
        assert_eq!((&bytes[32..48], &bytes[48..64]), (&[7; 16][..], &[3; 16][..]));
    }
}
