//! Addresses for a session's bytes: one for the whole file, one for each part, bound to what was announced.

use mcsp_domain::limits::{PRESIGN_S_MAX, UPLOAD_PART_BYTES_MAX};
use mcsp_domain::{Digest, SessionId, UserId};
use mcsp_runtime::{BoundHeaders, PresignCall, PresignRequest, Presigned, UploadId, now_us};

use super::record::Session;
use super::{ADDRESSES_MAX, UploadError, UploadService, UploadTicket};

/// An address for one part.
#[derive(Clone, Debug)]
pub struct PartAddress {
    /// From 1.
    pub number: u32,
    /// Where it begins in the file.
    pub offset_bytes: u64,
    /// Its bytes.
    pub size_bytes: u64,
    /// The call.
    pub address: Presigned,
}

/// A part that is to be signed.
#[derive(Clone, Copy, Debug)]
pub struct WantedPart {
    /// From 1.
    pub number: u32,
    /// The SHA-256 of the part: the store then refuses other bytes.
    pub sha256: Option<Digest>,
}

impl UploadService {
    /// Signs parts, also those that were signed before. The one part of a file that is not cut is the whole.
    ///
    /// # Errors
    /// `NoSession`, `Ended`, `NoPart`, `Field` for too many at once; or when an engine fails.
    pub async fn sign_parts(
        &self,
        owner: UserId,
        session: SessionId,
        wanted: &[WantedPart],
    ) -> Result<Vec<PartAddress>, UploadError> {
        let session = self.open_session(owner, session).await?;
        if wanted.len() > ADDRESSES_MAX {
            let problem = format!("has {} entries, {ADDRESSES_MAX} allowed", wanted.len());
            return Err(UploadError::Field { field: "parts", problem });
        }
        self.sign(&session, wanted).await
    }

    pub(super) async fn ticket(&self, session: &Session, addresses_max: usize) -> Result<UploadTicket, UploadError> {
        let layout = session.layout();
        let put = match session.size_bytes {
            0..=UPLOAD_PART_BYTES_MAX => Some(self.sign_whole(session, session.sha256).await?),
            _ => None,
        };
        let parts = match &put {
            Some(whole) if layout.is_single() => {
                let (number, offset_bytes, size_bytes) = (1, 0, session.size_bytes);
                vec![PartAddress { number, offset_bytes, size_bytes, address: whole.clone() }]
            }
            _ => {
                let first = (1..=layout.count).take(addresses_max.min(ADDRESSES_MAX));
                let wanted: Vec<_> = first.map(|number| WantedPart { number, sha256: None }).collect();
                self.sign(session, &wanted).await?
            }
        };
        let (content, expires_us) = (session.content, session.expires_us);
        Ok(UploadTicket { session: session.id, content, put, layout, parts, expires_us })
    }

    async fn sign(&self, session: &Session, wanted: &[WantedPart]) -> Result<Vec<PartAddress>, UploadError> {
        let layout = session.layout();
        let mut spans = Vec::new();
        for part in wanted {
            let Some(span) = layout.span(part.number) else {
                return Err(UploadError::NoPart { number: part.number, count: layout.count });
            };
            spans.push(span);
        }
        if spans.is_empty() {
            return Ok(Vec::new());
        }
        let upload = if layout.is_single() { None } else { Some(self.upload(session).await?) };
        let store = self.store(session)?;
        let mut addresses = Vec::new();
        for (&WantedPart { number, sha256 }, (offset_bytes, size_bytes)) in wanted.iter().zip(spans) {
            let address = match &upload {
                None => self.sign_whole(session, sha256.or(session.sha256)).await?,
                Some(upload) => {
                    let bound =
                        BoundHeaders { absent: false, content_length_bytes: Some(size_bytes), checksum_sha256: sha256 };
                    let call = PresignCall::UploadPart { upload: upload.clone(), number };
                    let (key, expires_s) = (session.key.clone(), self.address_life_s(session));
                    store.presign(PresignRequest { call, key, expires_s, bound }).await?
                }
            };
            addresses.push(PartAddress { number, offset_bytes, size_bytes, address });
        }
        Ok(addresses)
    }

    async fn sign_whole(&self, session: &Session, sha256: Option<Digest>) -> Result<Presigned, UploadError> {
        let bound =
            BoundHeaders { absent: true, content_length_bytes: Some(session.size_bytes), checksum_sha256: sha256 };
        let (key, expires_s) = (session.key.clone(), self.address_life_s(session));
        Ok(self.store(session)?.presign(PresignRequest { call: PresignCall::Put, key, expires_s, bound }).await?)
    }

    /// Returns the upload in parts, which begins with the first address that needs it.
    async fn upload(&self, session: &Session) -> Result<UploadId, UploadError> {
        if let Some(upload) = self.inner.sessions.upload(session.id).await? {
            return Ok(upload);
        }
        let store = self.store(session)?;
        let begun = store.create_multipart(&session.key).await?;
        let held = self.inner.sessions.hold_upload(session, begun.clone()).await?;
        if held != begun {
            store.abort_multipart(&session.key, &begun).await?;
        }
        Ok(held)
    }

    fn address_life_s(&self, session: &Session) -> u32 {
        let left_s = u64::try_from((session.expires_us - now_us()) / 1_000_000).unwrap_or_default();
        let life_s = left_s.min(self.inner.settings.address_life.as_secs());
        u32::try_from(life_s).unwrap_or(u32::MAX).clamp(1, PRESIGN_S_MAX)
    }
}
