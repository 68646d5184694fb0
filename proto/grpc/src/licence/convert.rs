//! Between the messages of the licence contract and the words of `domain`. Keys are wiped from a message when it goes.

use mcsp_domain::{
    ContentId, ContentKey, Digest, KeyId, Plan, PlanId, PlaybackId, Protection, Scheme, TrackClass, TrackKey, UserId,
};
use zeroize::Zeroize;

use super::v1;

/// Why a message makes no sense.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum WireError {
    /// A field that does not hold what the contract says.
    #[error("field {field} is {found}, expected {expected}")]
    Field {
        /// The field.
        field: &'static str,
        /// What stood there; never a secret.
        found: String,
        /// What should have.
        expected: &'static str,
    },
    /// No key came back.
    #[error("the answer holds no key")]
    NoKey,
}

impl v1::GetOrCreateKeysRequest {
    /// Asks for the keys of every track class of a plan, so that they do not depend on which rendition is packaged first.
    pub fn of(plan: &Plan, content: ContentId, scheme: Scheme) -> Self {
        Self {
            plan_id: plan.id.to_string(),
            content_id: content.to_string(),
            plan_fingerprint: plan.fingerprint().as_bytes().to_vec(),
            scheme: v1::Scheme::from(scheme).into(),
            track_classes: TrackClass::ALL.map(|class| v1::TrackClass::from(class).into()).to_vec(),
        }
    }

    /// Reads the plan's id.
    ///
    /// # Errors
    /// When it is no UUID.
    pub fn plan(&self) -> Result<PlanId, WireError> {
        read_plan(&self.plan_id)
    }

    /// Reads the content's id.
    ///
    /// # Errors
    /// When it is no UUID.
    pub fn content(&self) -> Result<ContentId, WireError> {
        ContentId::parse(&self.content_id).map_err(|_| fault("content_id", &self.content_id, "a UUID"))
    }

    /// Reads the plan's fingerprint.
    ///
    /// # Errors
    /// When it has not 32 bytes.
    pub fn fingerprint(&self) -> Result<Digest, WireError> {
        sized("plan_fingerprint", &self.plan_fingerprint, "32 bytes").map(Digest::from_bytes)
    }

    /// Reads the scheme.
    ///
    /// # Errors
    /// When none is said.
    pub fn domain_scheme(&self) -> Result<Scheme, WireError> {
        match self.scheme() {
            v1::Scheme::Cenc => Ok(Scheme::Cenc),
            v1::Scheme::Cbcs => Ok(Scheme::Cbcs),
            v1::Scheme::Unspecified => Err(fault("scheme", &self.scheme.to_string(), "CENC or CBCS")),
        }
    }

    /// Reads the classes, each once, in order.
    ///
    /// # Errors
    /// When there is none, or one is not known.
    pub fn classes(&self) -> Result<Vec<TrackClass>, WireError> {
        let mut classes = self.track_classes.iter().map(|class| read_class(*class)).collect::<Result<Vec<_>, _>>()?;
        classes.sort_unstable();
        classes.dedup();
        if classes.is_empty() {
            return Err(fault("track_classes", "empty", "at least one class"));
        }
        Ok(classes)
    }
}

impl v1::GetKeyRequest {
    /// Asks for one key.
    pub fn of(kid: KeyId) -> Self {
        Self { key_id: kid.as_bytes().to_vec() }
    }

    /// Reads the key's id.
    ///
    /// # Errors
    /// When it has not 16 bytes.
    pub fn kid(&self) -> Result<KeyId, WireError> {
        sized("key_id", &self.key_id, "16 bytes").map(KeyId::from_bytes)
    }
}

impl v1::RevokeKeysRequest {
    /// Revokes the keys of a plan.
    pub fn of(plan: PlanId) -> Self {
        Self { plan_id: plan.to_string() }
    }

    /// Reads the plan's id.
    ///
    /// # Errors
    /// When it is no UUID.
    pub fn plan(&self) -> Result<PlanId, WireError> {
        read_plan(&self.plan_id)
    }
}

impl v1::GetOrCreateKeysResponse {
    /// Returns what protects the plan's renditions. A class that was not asked for has no rendition: it takes the first key,
    /// as it does with a key file.
    ///
    /// # Errors
    /// When there is no key, or one is malformed.
    pub fn into_protection(self, scheme: Scheme) -> Result<Protection, WireError> {
        let keys = self.keys.into_iter().map(v1::TrackKey::read).collect::<Result<Vec<_>, _>>()?;
        let first = keys.first().ok_or(WireError::NoKey)?.1.clone();
        let key = |class| {
            let own = keys.iter().find(|(of, _)| *of == class);
            own.map_or_else(|| first.clone(), |(_, key)| key.clone())
        };
        Ok(Protection { scheme, audio: key(TrackClass::Audio), sd: key(TrackClass::Sd), hd: key(TrackClass::Hd) })
    }
}

impl v1::GetKeyResponse {
    /// Returns the key with its class.
    ///
    /// # Errors
    /// When there is no key, or it is malformed.
    pub fn read(self) -> Result<(TrackClass, TrackKey), WireError> {
        self.key.ok_or(WireError::NoKey)?.read()
    }
}

impl v1::TrackKey {
    /// Writes the key of a class.
    pub fn of(class: TrackClass, key: &TrackKey) -> Self {
        Self {
            track_class: v1::TrackClass::from(class).into(),
            key_id: key.kid.as_bytes().to_vec(),
            key: key.key.expose().to_vec(),
            iv: key.iv.to_vec(),
        }
    }

    /// Reads the key and its class.
    ///
    /// # Errors
    /// When a field has not its length, or the class is not known.
    pub fn read(self) -> Result<(TrackClass, TrackKey), WireError> {
        let mut secret: [u8; 16] = sized("key", &self.key, "16 bytes")?;
        let key = ContentKey::from_bytes(secret);
        secret.zeroize();
        let kid = KeyId::from_bytes(sized("key_id", &self.key_id, "16 bytes")?);
        Ok((read_class(self.track_class)?, TrackKey { kid, key, iv: sized("iv", &self.iv, "16 bytes")? }))
    }
}

impl Drop for v1::TrackKey {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl std::fmt::Debug for v1::TrackKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrackKey")
            .field("track_class", &self.track_class())
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

impl v1::PreAuthorizeRequest {
    /// Asks for a grant of a plan's keys that works for `ttl_s` seconds.
    pub fn of(plan: PlanId, user: UserId, playback: PlaybackId, ttl_s: u32) -> Self {
        Self { plan_id: plan.to_string(), user_id: user.to_string(), playback_id: playback.to_string(), ttl_s }
    }

    /// Reads the plan, the viewer and the playback.
    ///
    /// # Errors
    /// When one of them is no UUID.
    pub fn ids(&self) -> Result<(PlanId, UserId, PlaybackId), WireError> {
        let user = UserId::parse(&self.user_id).map_err(|_| fault("user_id", &self.user_id, "a UUID"))?;
        let playback = PlaybackId::parse(&self.playback_id);
        let playback = playback.map_err(|_| fault("playback_id", &self.playback_id, "a UUID"))?;
        Ok((read_plan(&self.plan_id)?, user, playback))
    }
}

impl v1::PreAuthorizeResponse {
    /// Grants keys by a token.
    pub fn of(drm_token: String, kids: &[KeyId]) -> Self {
        Self { drm_token, key_ids: kids.iter().map(|kid| kid.as_bytes().to_vec()).collect() }
    }

    /// Reads the ids of the keys that are granted.
    ///
    /// # Errors
    /// When one has not 16 bytes.
    pub fn kids(&self) -> Result<Vec<KeyId>, WireError> {
        self.key_ids.iter().map(|kid| sized("key_ids", kid, "16 bytes").map(KeyId::from_bytes)).collect()
    }
}

impl std::fmt::Debug for v1::PreAuthorizeResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PreAuthorizeResponse").field("key_ids", &self.key_ids).finish_non_exhaustive()
    }
}

impl v1::IssueRequest {
    /// Asks for a licence of the Clear Key system.
    pub fn clear_key(drm_token: String, challenge: Vec<u8>) -> Self {
        Self { drm_token, system: v1::DrmSystem::ClearKey.into(), challenge }
    }
}

impl std::fmt::Debug for v1::IssueRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssueRequest").field("system", &self.system()).finish_non_exhaustive()
    }
}

impl v1::IssueResponse {
    /// Takes the licence out: it may hold keys, and is the caller's to wipe.
    pub fn into_licence(mut self) -> Vec<u8> {
        std::mem::take(&mut self.licence)
    }
}

impl Drop for v1::IssueResponse {
    fn drop(&mut self) {
        self.licence.zeroize();
    }
}

impl std::fmt::Debug for v1::IssueResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssueResponse").finish_non_exhaustive()
    }
}

impl From<TrackClass> for v1::TrackClass {
    fn from(class: TrackClass) -> Self {
        match class {
            TrackClass::Audio => Self::Audio,
            TrackClass::Sd => Self::Sd,
            TrackClass::Hd => Self::Hd,
        }
    }
}

impl From<Scheme> for v1::Scheme {
    fn from(scheme: Scheme) -> Self {
        match scheme {
            Scheme::Cenc => Self::Cenc,
            Scheme::Cbcs => Self::Cbcs,
        }
    }
}

fn read_class(class: i32) -> Result<TrackClass, WireError> {
    match v1::TrackClass::try_from(class) {
        Ok(v1::TrackClass::Audio) => Ok(TrackClass::Audio),
        Ok(v1::TrackClass::Sd) => Ok(TrackClass::Sd),
        Ok(v1::TrackClass::Hd) => Ok(TrackClass::Hd),
        _ => Err(fault("track_class", &class.to_string(), "AUDIO, SD or HD")),
    }
}

fn read_plan(text: &str) -> Result<PlanId, WireError> {
    PlanId::parse(text).map_err(|_| fault("plan_id", text, "a UUID"))
}

/// Reads bytes of a fixed length; the error tells their length alone, since they may be secret.
fn sized<const N: usize>(field: &'static str, bytes: &[u8], expected: &'static str) -> Result<[u8; N], WireError> {
    bytes.try_into().map_err(|_| WireError::Field { field, found: format!("{} bytes", bytes.len()), expected })
}

fn fault(field: &'static str, found: &str, expected: &'static str) -> WireError {
    WireError::Field { field, found: format!("{:?}", found.chars().take(100).collect::<String>()), expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> TrackKey {
        let kid = KeyId::from_bytes([byte; 16]);
        TrackKey::drawn(kid, ContentKey::from_bytes([byte + 1; 16]), &Digest::of(&[b"plan"]))
    }

    #[test]
    fn keys_survive_the_wire_and_classes_without_one_take_the_first() {
        let keys = vec![v1::TrackKey::of(TrackClass::Audio, &key(1)), v1::TrackKey::of(TrackClass::Hd, &key(2))];
        let protection = v1::GetOrCreateKeysResponse { keys }.into_protection(Scheme::Cbcs).unwrap();
        assert_eq!((protection.audio.kid, protection.audio.iv), (key(1).kid, key(1).iv));
        assert_eq!(protection.hd.key.expose(), &[3; 16]);
        assert_eq!(protection.sd.kid, key(1).kid);
        let none = v1::GetOrCreateKeysResponse { keys: Vec::new() }.into_protection(Scheme::Cbcs);
        assert_eq!(none.err(), Some(WireError::NoKey));
    }

    #[test]
    fn no_debug_output_and_no_error_shows_a_key() {
        let mut message = v1::TrackKey::of(TrackClass::Sd, &key(0x5e));
        let shown = format!("{:?}", v1::GetKeyResponse { key: Some(message.clone()) });
        assert!(shown.contains("94, 94") && !shown.contains("95, 95"), "{shown}");
        let issued = v1::IssueResponse { licence: b"secret".to_vec() };
        let asked = v1::IssueRequest::clear_key("secret".to_owned(), b"secret".to_vec());
        let granted = v1::PreAuthorizeResponse::of("secret".to_owned(), &[KeyId::from_bytes([7; 16])]);
        for shown in [format!("{issued:?}"), format!("{asked:?}"), format!("{granted:?}")] {
            assert!(!shown.contains("secret") && !shown.contains("115, 101"), "{shown}");
        }
        assert_eq!(issued.into_licence(), b"secret");
        message.key.pop();
        let error = message.read().err().unwrap();
        assert_eq!(error.to_string(), "field key is 15 bytes, expected 16 bytes");
    }

    #[test]
    fn a_malformed_request_is_named() {
        let request = v1::GetOrCreateKeysRequest { plan_id: "film".to_owned(), ..Default::default() };
        assert_eq!(request.plan().unwrap_err().to_string(), "field plan_id is \"film\", expected a UUID");
        assert_eq!(
            request.fingerprint().unwrap_err().to_string(),
            "field plan_fingerprint is 0 bytes, expected 32 bytes"
        );
        assert_eq!(request.domain_scheme().unwrap_err().to_string(), "field scheme is \"0\", expected CENC or CBCS");
        assert_eq!(
            request.classes().unwrap_err().to_string(),
            "field track_classes is \"empty\", expected at least one class"
        );
        let unknown = v1::GetOrCreateKeysRequest { track_classes: vec![1, 9], ..Default::default() };
        assert_eq!(unknown.classes().unwrap_err().to_string(), "field track_class is \"9\", expected AUDIO, SD or HD");
    }
}
