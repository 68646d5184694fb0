//! Presigned addresses, made with the client's own key pair; nothing is sent.

use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mcsp_domain::limits::{PRESIGN_S_MAX, UPLOAD_PARTS_MAX};
use mcsp_runtime::{PresignCall, PresignRequest, Presigned, StoreError, now_us};

use super::Inner;
use super::error::Fault;

impl Inner {
    pub(super) async fn presign(&self, request: PresignRequest) -> Result<Presigned, StoreError> {
        let PresignRequest { call, key, expires_s, bound } = request;
        let refuse = |reason: String| StoreError::Unsupported { action: "presign", key: key.to_string(), reason };
        let span = Duration::from_secs(u64::from(expires_s));
        if !(1..=PRESIGN_S_MAX).contains(&expires_s) {
            return Err(refuse(format!("{expires_s} s is not 1 to {PRESIGN_S_MAX} s")));
        }
        let config = PresigningConfig::expires_in(span).map_err(|error| refuse(error.to_string()))?;
        let expires_us = now_us().saturating_add(i64::from(expires_s) * 1_000_000);
        let (bucket, name) = (self.bucket.as_str(), key.as_str());
        let len_bytes = match bound.content_length_bytes.map(i64::try_from) {
            None => None,
            Some(Ok(len_bytes)) => Some(len_bytes),
            Some(Err(_)) => return Err(refuse("its length is beyond all limits".to_owned())),
        };
        let checksum = bound.checksum_sha256.map(|digest| BASE64_STANDARD.encode(digest.as_bytes()));
        let absent = bound.absent.then(|| "*".to_owned());
        let (method, signed) = match call {
            PresignCall::Get => {
                let call = self.outside.get_object().bucket(bucket).key(name).set_if_none_match(absent);
                ("GET", call.presigned(config).await.map_err(Fault::from))
            }
            PresignCall::Put => {
                let call = self.outside.put_object().bucket(bucket).key(name).set_if_none_match(absent);
                let call = call.set_content_length(len_bytes).set_checksum_sha256(checksum);
                ("PUT", call.presigned(config).await.map_err(Fault::from))
            }
            PresignCall::UploadPart { upload, number } => {
                let part = i32::try_from(number).ok().filter(|_| (1..=UPLOAD_PARTS_MAX).contains(&number));
                let part = part.ok_or_else(|| refuse(format!("{number} is no part number")))?;
                let call = self.outside.upload_part().bucket(bucket).key(name).part_number(part);
                let call = call.upload_id(super::multipart::raw(&upload));
                let call = call.set_content_length(len_bytes).set_checksum_sha256(checksum);
                ("PUT", call.presigned(config).await.map_err(Fault::from))
            }
        };
        let signed = signed.map_err(|fault| fault.on("presign", &key))?;
        let headers = signed.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(Presigned { method, url: signed.uri().to_owned(), headers, expires_us })
    }
}
