//! Calls on uploads in parts.

use std::sync::Arc;

use mcsp_domain::limits::UPLOAD_PART_BYTES_MAX;
use mcsp_runtime::{Etag, PartTag, Put};
use s3s::dto::*;
use s3s::{S3Request, S3Result, s3_error};

use super::api::{Room, new_key, refuse, signed, upload_id, wire_etag, wire_time};
use super::body::{self, Intake, Taken};
use super::checks::Checks;
use super::errors::{blocking, store_error};
use super::objects::{Sums, put_condition};
use crate::file_store::about::Details;
use crate::file_store::md5_etag;
use crate::file_store::multipart::{AboutPart, Completion, StoredPart, check_part};

/// Parts of one page of a list: S3's limit.
const PAGE_PARTS_MAX: i32 = 1000;

pub(super) async fn create(room: &Room, input: CreateMultipartUploadInput) -> S3Result<CreateMultipartUploadOutput> {
    refuse(input.tagging.is_some(), "a tag set")?;
    refuse(input.sse_customer_key.is_some(), "an encryption key")?;
    let key = new_key(&input.key)?;
    let details = Details {
        content_type: input.content_type,
        cache_control: input.cache_control,
        content_disposition: input.content_disposition,
        content_encoding: input.content_encoding,
        content_language: input.content_language,
        metadata: input.metadata.unwrap_or_default().into_iter().collect(),
    };
    let inner = Arc::clone(&room.inner);
    let upload = blocking(move || inner.create_multipart(&key, details).map_err(store_error)).await?;
    Ok(CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(upload.into()),
        checksum_algorithm: input.checksum_algorithm,
        checksum_type: input.checksum_type,
        ..CreateMultipartUploadOutput::default()
    })
}

pub(super) async fn put_part(room: &Room, request: S3Request<UploadPartInput>) -> S3Result<UploadPartOutput> {
    let checks = Checks::of(&request.headers, request.trailing_headers.clone())?;
    let input = request.input;
    let (key, upload) = (new_key(&input.key)?, upload_id(&input.upload_id)?);
    let number = u32::try_from(input.part_number).unwrap_or_default();
    check_part(&key, number, 0).map_err(store_error)?;
    let (inner, looked_for, begun) = (Arc::clone(&room.inner), key.clone(), upload.clone());
    // Before a byte is taken in.
    blocking(move || inner.begun(&looked_for, &begun).map(|_| ()).map_err(store_error)).await?;
    let intake = Intake { key: &key, checks, len_bytes_max: UPLOAD_PART_BYTES_MAX, stall: room.body_stall };
    let Taken { unfinished, md5, checksum } = body::take(&room.inner, input.body, intake).await?;
    let (inner, etag) = (Arc::clone(&room.inner), md5_etag(&md5));
    let known = AboutPart { etag: etag.clone(), checksum };
    let sums = Sums::named(known.checksum.as_ref());
    blocking(move || inner.finish_part(&key, &upload, number, unfinished, &known).map_err(store_error)).await?;
    Ok(UploadPartOutput {
        e_tag: Some(wire_etag(&etag)),
        checksum_crc32: sums.crc32,
        checksum_crc32c: sums.crc32c,
        checksum_crc64nvme: sums.crc64nvme,
        checksum_sha1: sums.sha1,
        checksum_sha256: sums.sha256,
        ..UploadPartOutput::default()
    })
}

async fn stored_parts(room: &Room, key: &str, upload: &str) -> S3Result<Vec<StoredPart>> {
    let (key, upload) = (new_key(key)?, upload_id(upload)?);
    let inner = Arc::clone(&room.inner);
    blocking(move || inner.parts(&key, &upload).map_err(store_error)).await
}

pub(super) async fn list_parts(room: &Room, input: ListPartsInput) -> S3Result<ListPartsOutput> {
    let stored = stored_parts(room, &input.key, &input.upload_id).await?;
    let parts_max = input.max_parts.unwrap_or(PAGE_PARTS_MAX).clamp(0, PAGE_PARTS_MAX);
    let after = input.part_number_marker.unwrap_or_default();
    let wire = |stored: StoredPart| -> Part {
        let sums = Sums::named(stored.checksum.as_ref());
        Part {
            part_number: i32::try_from(stored.part.number).ok(),
            e_tag: Some(wire_etag(&stored.part.etag)),
            size: Some(signed(stored.part.len_bytes)),
            last_modified: Some(wire_time(stored.part.modified_us)),
            checksum_crc32: sums.crc32,
            checksum_crc32c: sums.crc32c,
            checksum_crc64nvme: sums.crc64nvme,
            checksum_sha1: sums.sha1,
            checksum_sha256: sums.sha256,
        }
    };
    let mut parts: Vec<Part> =
        stored.into_iter().map(wire).filter(|part| part.part_number.is_some_and(|number| number > after)).collect();
    let page = usize::try_from(parts_max).unwrap_or_default();
    let is_truncated = parts.len() > page;
    parts.truncate(page);
    Ok(ListPartsOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        max_parts: Some(parts_max),
        part_number_marker: Some(after),
        next_part_number_marker: parts.last().and_then(|part| part.part_number),
        is_truncated: Some(is_truncated),
        parts: Some(parts),
        ..ListPartsOutput::default()
    })
}

pub(super) async fn complete(
    room: &Room,
    input: CompleteMultipartUploadInput,
) -> S3Result<CompleteMultipartUploadOutput> {
    let (key, upload) = (new_key(&input.key)?, upload_id(&input.upload_id)?);
    let condition = put_condition(input.if_match, input.if_none_match)?;
    let claimed = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
    let parts = claimed.iter().map(part_tag).collect::<S3Result<Vec<PartTag>>>()?;
    if claimed.iter().any(|part| *claims(part) != [None; 5]) {
        let stored = stored_parts(room, &input.key, &input.upload_id).await;
        // An upload that was completed before has no parts to compare.
        check_claims(&claimed, &stored.unwrap_or_default())?;
    }
    let inner = Arc::clone(&room.inner);
    let etag = blocking(move || {
        let what = Completion { key: &key, upload: &upload, parts: &parts, condition: &condition };
        match inner.complete_multipart(&what).map_err(store_error)? {
            Put::Stored { etag } => Ok(etag),
            Put::Kept => Err(s3_error!(PreconditionFailed, "object {key} does not fit the condition")),
        }
    });
    Ok(CompleteMultipartUploadOutput {
        e_tag: Some(wire_etag(&etag.await?)),
        location: Some(format!("/{}/{}", input.bucket, input.key)),
        bucket: Some(input.bucket),
        key: Some(input.key),
        ..CompleteMultipartUploadOutput::default()
    })
}

fn part_tag(part: &CompletedPart) -> S3Result<PartTag> {
    let number = part.part_number.and_then(|number| u32::try_from(number).ok()).unwrap_or_default();
    let etag = part.e_tag.as_ref().and_then(|tag| Etag::parse(tag.value()).ok());
    let etag = etag.ok_or_else(|| s3_error!(InvalidPart, "part {number} comes without its ETag"))?;
    Ok(PartTag { number, etag })
}

fn claims(part: &CompletedPart) -> Box<[Option<&String>; 5]> {
    Box::new([
        part.checksum_crc32.as_ref(),
        part.checksum_crc32c.as_ref(),
        part.checksum_crc64nvme.as_ref(),
        part.checksum_sha1.as_ref(),
        part.checksum_sha256.as_ref(),
    ])
}

/// Refuses checksums that are not those of the stored parts.
fn check_claims(claimed: &[CompletedPart], stored: &[StoredPart]) -> S3Result<()> {
    for part in claimed {
        let number = part.part_number.and_then(|number| u32::try_from(number).ok()).unwrap_or_default();
        let Some(found) = stored.iter().find(|stored| stored.part.number == number) else { continue };
        let Some(checksum) = &found.checksum else { continue };
        if claims(part).iter().flatten().any(|claim| **claim != checksum.value) {
            return Err(s3_error!(InvalidPart, "part {number} has another checksum"));
        }
    }
    Ok(())
}

pub(super) async fn abort(room: &Room, input: &AbortMultipartUploadInput) -> S3Result<()> {
    let (key, upload) = (new_key(&input.key)?, upload_id(&input.upload_id)?);
    let inner = Arc::clone(&room.inner);
    blocking(move || inner.abort_multipart(&key, &upload).map_err(store_error)).await
}
