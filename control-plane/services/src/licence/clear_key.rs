//! Clear Key licences in JSON (W3C Encrypted Media Extensions section 9.1): key ids in, keys out.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use mcsp_domain::{KeyId, TrackKey, limits};
use serde::Deserialize;
use zeroize::Zeroizing;

/// The only session type that is answered: nothing is stored for offline use.
const TEMPORARY: &str = "temporary";
/// Bytes of a licence beside its keys, and of one key: names, quotes, two base64url texts of 16 bytes.
const LICENCE_BYTES: usize = 64;
const KEY_BYTES: usize = 96;
/// Key ids of one request: a plan has three.
const KIDS_MAX: usize = 64;

/// Why a licence request is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ClearKeyError {
    #[error("licence request is not the JSON of EME section 9.1.3: {0}")]
    Shape(String),
    #[error("licence request asks for a {0:?} session, only temporary ones are issued")]
    Session(String),
    #[error("licence request holds a key id that is not 16 bytes in base64url")]
    KeyId,
    #[error("licence request names {0} key ids, 1 to 64 are allowed")]
    Count(usize),
}

/// A licence request, section 9.1.3.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    kids: Vec<String>,
    #[serde(rename = "type", default = "temporary")]
    session_type: String,
}

fn temporary() -> String {
    TEMPORARY.to_owned()
}

/// Reads the key ids of a request, each once.
pub(super) fn read(challenge: &[u8]) -> Result<Vec<KeyId>, ClearKeyError> {
    if challenge.len() > limits::LICENCE_REQUEST_BYTES_MAX {
        return Err(ClearKeyError::Shape(format!("{} bytes", challenge.len())));
    }
    let request = serde_json::from_slice::<Request>(challenge);
    let request = request.map_err(|error| ClearKeyError::Shape(error.to_string()))?;
    if request.session_type != TEMPORARY {
        return Err(ClearKeyError::Session(request.session_type.chars().take(32).collect()));
    }
    if !(1..=KIDS_MAX).contains(&request.kids.len()) {
        return Err(ClearKeyError::Count(request.kids.len()));
    }
    let mut kids = Vec::new();
    for text in &request.kids {
        let kid = key_id(text).ok_or(ClearKeyError::KeyId)?;
        if !kids.contains(&kid) {
            kids.push(kid);
        }
    }
    Ok(kids)
}

/// Writes a licence, section 9.1.4: a JSON Web Key Set (RFC 7517) of octet keys. The bytes are secret.
pub(super) fn write(keys: &[TrackKey]) -> Vec<u8> {
    // Sized beforehand, so that no copy of it is left behind by growing.
    let mut text = String::with_capacity(LICENCE_BYTES + keys.len() * KEY_BYTES);
    text.push_str(r#"{"keys":["#);
    for (index, key) in keys.iter().enumerate() {
        text.push_str(if index == 0 { r#"{"kty":"oct","kid":""# } else { r#",{"kty":"oct","kid":""# });
        BASE64_URL_SAFE_NO_PAD.encode_string(key.kid.as_bytes(), &mut text);
        text.push_str(r#"","k":""#);
        text.push_str(&Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(key.key.expose())));
        text.push_str(r#""}"#);
    }
    text.push_str(r#"],"type":"temporary"}"#);
    text.into_bytes()
}

fn key_id(text: &str) -> Option<KeyId> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    Some(KeyId::from_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use mcsp_domain::{ContentKey, Digest};

    use super::*;

    #[test]
    fn the_example_of_the_standard_is_read_and_answered() {
        // Section 9.1.3 and 9.1.4.
        let request = br#"{"kids":["LwVHf8JLtPrv2GUXFW2v_A"],"type":"temporary"}"#;
        let kids = read(request).unwrap();
        assert_eq!(kids[0].to_string(), "2f05477fc24bb4faefd86517156daffc");
        let key = ContentKey::parse("d2108dc65d44f89d1dc6a0e23a89fba4").unwrap();
        let written = write(&[TrackKey::drawn(kids[0], key, &Digest::of(&[b"plan"]))]);
        let want = r#"{"keys":[{"kty":"oct","kid":"LwVHf8JLtPrv2GUXFW2v_A","k":"0hCNxl1E-J0dxqDiOon7pA"}],"type":"temporary"}"#;
        assert_eq!(String::from_utf8(written).unwrap(), want);
    }

    #[test]
    fn keys_stand_side_by_side_and_each_id_once() {
        let twice = br#"{"kids":["AAAAAAAAAAAAAAAAAAAAAA","AQEBAQEBAQEBAQEBAQEBAQ","AAAAAAAAAAAAAAAAAAAAAA"]}"#;
        let kids = read(twice).unwrap();
        assert_eq!(kids, [KeyId::from_bytes([0; 16]), KeyId::from_bytes([1; 16])]);
        let key = |kid: &KeyId| TrackKey::drawn(*kid, ContentKey::from_bytes([9; 16]), &Digest::of(&[b"plan"]));
        let keys: Vec<_> = kids.iter().map(key).collect();
        let read: serde_json::Value = serde_json::from_slice(&write(&keys)).unwrap();
        assert_eq!(read["keys"].as_array().unwrap().len(), 2);
        assert!(write(&keys).capacity() == LICENCE_BYTES + 2 * KEY_BYTES, "it never grew");
    }

    #[test]
    fn what_is_no_request_is_told() {
        for (text, want) in [
            ("", "not the JSON"),
            ("[]", "not the JSON"),
            (r#"{"kids":"x"}"#, "not the JSON"),
            (r#"{"kids":["x"]}"#, "not 16 bytes"),
            (r#"{"kids":["LwVHf8JLtPrv2GUXFW2v_A=="]}"#, "not 16 bytes"),
            (r#"{"kids":[]}"#, "names 0 key ids"),
            (r#"{"kids":["LwVHf8JLtPrv2GUXFW2v_A"],"type":"persistent-license"}"#, "\"persistent-license\" session"),
        ] {
            let error = read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(want), "{text}: {error}");
        }
        assert!(read(&vec![b' '; 70_000]).unwrap_err().to_string().contains("70000 bytes"));
    }
}
