//! Access tokens of the API: JWTs (RFC 7519, RFC 9068) signed with EdDSA. In: claims, or a token and the time. Out: a token,
//! or its claims.
//!
//! The algorithm is never taken from the token: EdDSA alone is verified, with the key of the set that the header names.

use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, Header, Validation};
use mcsp_domain::{UserId, UserRole};
use serde::{Deserialize, Serialize};

use crate::{TokenError, ViewerKeys};

/// Seconds that an access token works: short, since a role that was taken away works as long.
pub const ACCESS_TOKEN_S: i64 = 600;

/// Who issues access tokens.
const ISSUER: &str = "mcsp";
/// Who takes them: the API alone, no edge and no licence service.
const AUDIENCE: &str = "mcsp:api";
/// The media type of access tokens (RFC 9068 §2.1).
const TYPE: &str = "at+jwt";
/// Bytes of an access token: ours have some 400.
const TOKEN_BYTES_MAX: usize = 2048;

/// What an access token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessClaims {
    /// Whose it is.
    pub sub: UserId,
    /// What the account could do when it was minted.
    pub role: UserRole,
    /// When it was minted, seconds since 1970.
    pub iat_s: i64,
    /// From when on it is refused, seconds since 1970.
    pub exp_s: i64,
    /// Its own id.
    pub jti: String,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    iss: String,
    aud: String,
    sub: UserId,
    role: UserRole,
    iat: i64,
    exp: i64,
    jti: String,
}

impl ViewerKeys {
    /// Mints an access token with the newest key.
    pub fn mint(&self, claims: &AccessClaims) -> String {
        let key = self.signing();
        let header = Header { typ: Some(TYPE.to_owned()), kid: Some(key.kid.clone()), ..Header::new(Algorithm::EdDSA) };
        let wire = Wire {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: claims.sub,
            role: claims.role,
            iat: claims.iat_s,
            exp: claims.exp_s,
            jti: claims.jti.clone(),
        };
        match jsonwebtoken::encode(&header, &wire, &key.encoding) {
            Ok(token) => token,
            Err(error) => unreachable!("plain claims were not signed with a key of ours: {error}"),
        }
    }

    /// Reads an access token at the time `now_s`, seconds since 1970, without leeway.
    ///
    /// # Errors
    /// When it is malformed, of another algorithm, type, key, issuer or audience, forged, or expired.
    pub fn verify(&self, token: &str, now_s: i64) -> Result<AccessClaims, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed { what: "it is longer than any of ours" });
        }
        let header = jsonwebtoken::decode_header(token).map_err(|error| meaning(&error))?;
        if header.alg != Algorithm::EdDSA || header.typ.as_deref() != Some(TYPE) {
            return Err(TokenError::Malformed { what: "it is no access token signed with EdDSA" });
        }
        let kid = header.kid.unwrap_or_default();
        let key = self.find(&kid).ok_or_else(|| TokenError::UnknownKey { kid: kid.chars().take(100).collect() })?;
        let read = jsonwebtoken::decode::<Wire>(token, &key.decoding, &validation());
        let claims = read.map_err(|error| meaning(&error))?.claims;
        if now_s >= claims.exp {
            return Err(TokenError::Expired { exp_s: claims.exp });
        }
        Ok(AccessClaims { sub: claims.sub, role: claims.role, iat_s: claims.iat, exp_s: claims.exp, jti: claims.jti })
    }
}

/// What the library checks; the time is checked here, since the library would take the machine's.
fn validation() -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.leeway = 0;
    validation.validate_exp = false;
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&[ISSUER]);
    validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
    validation
}

fn meaning(error: &Error) -> TokenError {
    match error.kind() {
        ErrorKind::InvalidSignature => TokenError::Forged,
        ErrorKind::InvalidIssuer => TokenError::Claims { what: "issuer" },
        ErrorKind::InvalidAudience => TokenError::Claims { what: "audience" },
        ErrorKind::MissingRequiredClaim(_) => TokenError::Claims { what: "one is missing" },
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => {
            TokenError::Malformed { what: "it is not signed with EdDSA" }
        }
        _ => TokenError::Malformed { what: "it is no JWT of ours" },
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
    use ed25519_dalek::{Signer, SigningKey};
    use jsonwebtoken::{DecodingKey, EncodingKey};
    use serde_json::{Value, json};
    use zeroize::Zeroizing;

    use super::*;

    const NOW_S: i64 = 1_800_000_000;

    fn keys(byte: u8) -> ViewerKeys {
        ViewerKeys::new(Zeroizing::new([byte; 32]), 0)
    }

    fn claims() -> AccessClaims {
        AccessClaims {
            sub: UserId::from_bytes([7; 16]),
            role: UserRole::Creator,
            iat_s: NOW_S,
            exp_s: NOW_S + ACCESS_TOKEN_S,
            jti: "one".to_owned(),
        }
    }

    /// Signs any header and claims with Ed25519 by the bare definition (RFC 7515 §5.1).
    fn signed(byte: u8, header: &Value, claims: &Value) -> String {
        let input = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
        let signature = SigningKey::from_bytes(&[byte; 32]).sign(input.as_bytes());
        format!("{input}.{}", BASE64.encode(signature.to_bytes()))
    }

    fn header() -> Value {
        json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": keys(1).kids().next() })
    }

    fn wire() -> Value {
        json!({ "iss": "mcsp", "aud": "mcsp:api", "sub": claims().sub, "role": "creator", "iat": NOW_S,
            "exp": NOW_S + ACCESS_TOKEN_S, "jti": "one" })
    }

    fn changed(mut value: Value, name: &str, to: Value) -> Value {
        value[name] = to;
        value
    }

    fn refusal(token: &str) -> String {
        keys(1).verify(token, NOW_S).unwrap_err().to_string()
    }

    #[test]
    fn a_token_is_read_back_until_its_last_second() {
        let token = keys(1).mint(&claims());
        assert_eq!(keys(1).verify(&token, NOW_S), Ok(claims()));
        assert_eq!(keys(1).verify(&token, NOW_S + ACCESS_TOKEN_S - 1), Ok(claims()));
        let late = keys(1).verify(&token, NOW_S + ACCESS_TOKEN_S);
        assert_eq!(late, Err(TokenError::Expired { exp_s: NOW_S + ACCESS_TOKEN_S }));
        assert_eq!(keys(1).verify(&signed(1, &header(), &wire()), NOW_S), Ok(claims()), "by the bare definition");
    }

    #[test]
    fn an_older_key_still_verifies_and_the_newest_signs() {
        let old = keys(1).mint(&claims());
        let rotated = keys(1).rotated(Zeroizing::new([2; 32]), 10, 0);
        assert_eq!(rotated.verify(&old, NOW_S), Ok(claims()));
        let new = rotated.mint(&claims());
        assert_eq!(keys(2).verify(&new, NOW_S), Ok(claims()));
        assert!(matches!(keys(1).verify(&new, NOW_S), Err(TokenError::UnknownKey { .. })));
    }

    #[test]
    fn algorithms_are_not_confused() {
        let none = changed(header(), "alg", json!("none"));
        let unsigned = format!("{}.{}.", BASE64.encode(none.to_string()), BASE64.encode(wire().to_string()));
        assert!(refusal(&unsigned).starts_with("token is malformed"), "{}", refusal(&unsigned));
        // HS256 with what everybody may fetch as the secret: the text and the bytes of the public key.
        let set: Value = serde_json::from_str(&keys(1).jwks()).unwrap();
        let x = set["keys"][0]["x"].as_str().unwrap();
        for secret in [x.as_bytes().to_vec(), BASE64.decode(x).unwrap(), keys(1).jwks().into_bytes()] {
            let kid = keys(1).kids().next().map(str::to_owned);
            let header = Header { typ: Some(TYPE.to_owned()), kid, ..Header::new(Algorithm::HS256) };
            let token = jsonwebtoken::encode(&header, &wire(), &EncodingKey::from_secret(&secret)).unwrap();
            assert_eq!(refusal(&token), "token is malformed: it is no access token signed with EdDSA");
        }
        for alg in ["HS256", "RS256", "ES256", "eddsa", "EdDSA "] {
            let token = signed(1, &changed(header(), "alg", json!(alg)), &wire());
            assert!(refusal(&token).starts_with("token is malformed"), "{alg}");
        }
        let token = signed(1, &changed(header(), "typ", json!("JWT")), &wire());
        assert!(refusal(&token).starts_with("token is malformed"));
    }

    #[test]
    fn keys_audiences_issuers_and_signatures_are_checked() {
        let other_kid = signed(1, &changed(header(), "kid", json!("other")), &wire());
        assert_eq!(refusal(&other_kid), "token names key \"other\", which is not known");
        // Signed by a key of another's own, under our kid.
        assert_eq!(refusal(&signed(2, &header(), &wire())), "token has a wrong signature");
        for audience in [json!("mcsp:edge"), json!("mcsp:licence"), json!(["mcsp:edge"]), Value::Null] {
            let token = signed(1, &header(), &changed(wire(), "aud", audience));
            assert!(keys(1).verify(&token, NOW_S).is_err(), "{token}");
        }
        let token = signed(1, &header(), &changed(wire(), "iss", json!("other")));
        assert_eq!(refusal(&token), "token claims are not those asked for: issuer");
        let token = signed(1, &header(), &changed(wire(), "exp", json!(NOW_S - 1)));
        assert_eq!(refusal(&token), format!("token expired at {} s since 1970", NOW_S - 1));
        for name in ["iss", "aud", "sub", "role", "exp", "jti"] {
            let mut claims = wire();
            claims.as_object_mut().unwrap().remove(name);
            assert!(keys(1).verify(&signed(1, &header(), &claims), NOW_S).is_err(), "without {name}");
        }
        let token = signed(1, &header(), &changed(wire(), "role", json!("owner")));
        assert!(keys(1).verify(&token, NOW_S).is_err());
    }

    #[test]
    fn a_changed_byte_is_a_refusal() {
        let token = keys(1).mint(&claims());
        for index in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            // The last character of a signature of 64 bytes has four bits that say nothing; the decoder wants them zero.
            assert!(keys(1).verify(&changed, NOW_S).is_err(), "byte {index}");
        }
        for text in ["", ".", "..", "a.b.c", &"x".repeat(10_000), &format!("{token}.")] {
            assert!(keys(1).verify(text, NOW_S).is_err(), "{text:.20}");
        }
    }

    #[test]
    fn another_reader_takes_the_token_with_the_public_set() {
        let set: jsonwebtoken::jwk::JwkSet = serde_json::from_str(&keys(1).jwks()).unwrap();
        let token = keys(1).mint(&claims());
        let kid = jsonwebtoken::decode_header(&token).unwrap().kid.unwrap();
        let key = DecodingKey::from_jwk(set.find(&kid).unwrap()).unwrap();
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&["mcsp:api"]);
        assert_eq!(jsonwebtoken::decode::<Value>(&token, &key, &validation).unwrap().claims["role"], "creator");
    }
}
