//! Calls on uploads in parts.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mcsp_domain::limits::UPLOAD_PART_BYTES_MAX;
use mcsp_runtime::{Etag, PartTag};
use s3s::dto::*;
use s3s::{S3ErrorCode, S3Request, S3Result, s3_error};

use super::api::{Room, new_key, refuse, signed, upload_id, wire_etag, wire_time};
use super::body::{self, Intake, Taken};
use super::checks::{ALGORITHMS, Checks};
use super::errors::{blocking, store_error};
use super::objects::{Sums, put_condition};
use crate::file_store::about::{Checksum, ChecksumAlgorithm, Details};
use crate::file_store::md5_etag;
use crate::file_store::multipart::{AboutPart, Completed, Completion, StoredPart, check_part};

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
    let whole = whole_algorithm(input.checksum_algorithm.as_ref(), input.checksum_type.as_ref())?;
    let inner = Arc::clone(&room.inner);
    let upload = blocking(move || inner.create_multipart(&key, details, whole).map_err(store_error)).await?;
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
    let condition = put_condition(input.if_match.clone(), input.if_none_match.clone())?;
    let parts = input.multipart_upload.as_ref().and_then(|upload| upload.parts.as_deref()).unwrap_or_default();
    let tags = parts.iter().map(part_tag).collect::<S3Result<Vec<PartTag>>>()?;
    let claim = claim_of_whole(&input)?;
    if parts.iter().any(|part| claims(part).next().is_some()) || matches!(claim, Some(Claim::OfParts(_))) {
        match stored_parts(room, &input.key, &input.upload_id).await {
            Ok(stored) => {
                check_claims(parts, &stored)?;
                if let Some(Claim::OfParts(claimed)) = &claim {
                    check_claim_of_parts(claimed, &tags, &stored)?;
                }
            }
            // An upload that was completed before has no parts to compare.
            Err(error) if *error.code() == S3ErrorCode::NoSuchUpload => {}
            Err(error) => return Err(error),
        }
    }
    let inner = Arc::clone(&room.inner);
    let (etag, checksum) = blocking(move || {
        let claimed = match &claim {
            Some(Claim::OfBytes(claimed)) => Some(claimed),
            _ => None,
        };
        let what = Completion { key: &key, upload: &upload, parts: &tags, condition: &condition, claimed };
        match inner.complete_multipart(&what).map_err(store_error)? {
            Completed::Stored { etag, checksum } => Ok((etag, checksum)),
            Completed::Kept => Err(s3_error!(PreconditionFailed, "object {key} does not fit the condition")),
            Completed::Differs { found } => {
                Err(s3_error!(BadDigest, "{} of the whole is {}", found.algorithm.header(), found.value))
            }
        }
    })
    .await?;
    let sums = Sums::named(checksum.as_ref());
    Ok(CompleteMultipartUploadOutput {
        e_tag: Some(wire_etag(&etag)),
        location: Some(format!("/{}/{}", input.bucket, input.key)),
        bucket: Some(input.bucket),
        key: Some(input.key),
        checksum_type: checksum.map(|_| ChecksumType::from_static(ChecksumType::FULL_OBJECT)),
        checksum_crc32: sums.crc32,
        checksum_crc32c: sums.crc32c,
        checksum_crc64nvme: sums.crc64nvme,
        checksum_sha1: sums.sha1,
        checksum_sha256: sums.sha256,
        ..CompleteMultipartUploadOutput::default()
    })
}

/// Returns the checksum of the whole that a client wants from the start; those of the parts' checksums follow from the parts.
fn whole_algorithm(
    algorithm: Option<&s3s::dto::ChecksumAlgorithm>,
    kind: Option<&ChecksumType>,
) -> S3Result<Option<ChecksumAlgorithm>> {
    if kind.is_none_or(|kind| kind.as_str() != ChecksumType::FULL_OBJECT) {
        return Ok(None);
    }
    let name = algorithm.map(s3s::dto::ChecksumAlgorithm::as_str).unwrap_or_default();
    let found = ALGORITHMS.into_iter().find(|algorithm| {
        algorithm.header().strip_prefix("x-amz-checksum-").is_some_and(|known| known.eq_ignore_ascii_case(name))
    });
    match found {
        Some(algorithm) => Ok(Some(algorithm)),
        None => Err(s3_error!(InvalidRequest, "a checksum of the whole has no algorithm {name:?}")),
    }
}

/// What a client says of an object that it completes.
enum Claim {
    /// The checksum of its bytes.
    OfBytes(Checksum),
    /// The checksum of its parts' checksums; S3 puts a dash and the count of parts behind it.
    OfParts(Checksum),
}

fn claim_of_whole(input: &CompleteMultipartUploadInput) -> S3Result<Option<Claim>> {
    let values = [
        &input.checksum_crc32,
        &input.checksum_crc32c,
        &input.checksum_crc64nvme,
        &input.checksum_sha1,
        &input.checksum_sha256,
    ];
    let claims = ALGORITHMS.into_iter().zip(values);
    let mut claims = claims.filter_map(|(algorithm, value)| Some(Checksum { algorithm, value: value.clone()? }));
    let claimed = match (claims.next(), claims.next()) {
        (None, _) => return Ok(None),
        (Some(claimed), None) => claimed,
        (Some(_), Some(_)) => return Err(s3_error!(InvalidRequest, "an object has one checksum")),
    };
    let kind = input.checksum_type.as_ref().map(ChecksumType::as_str);
    // Base64 has no dash.
    let of_parts = kind.map_or(claimed.value.contains('-'), |kind| kind == ChecksumType::COMPOSITE);
    Ok(Some(if of_parts { Claim::OfParts(claimed) } else { Claim::OfBytes(claimed) }))
}

fn check_claim_of_parts(claimed: &Checksum, tags: &[PartTag], stored: &[StoredPart]) -> S3Result<()> {
    let (algorithm, name) = (claimed.algorithm, claimed.algorithm.header());
    let mut hasher = algorithm.hasher();
    for tag in tags {
        let found = stored.iter().find(|stored| stored.part.number == tag.number);
        // A part that is missing is named when the parts are joined.
        let Some(found) = found else { return Ok(()) };
        let checksum = found.checksum.as_ref().filter(|checksum| checksum.algorithm == algorithm);
        match checksum.and_then(|checksum| BASE64_STANDARD.decode(&checksum.value).ok()) {
            Some(bytes) => hasher.update(&bytes),
            None => return Err(s3_error!(InvalidPart, "part {} was stored without {name}", tag.number)),
        }
    }
    let found = algorithm.found(hasher).value;
    let counted = format!("{found}-{}", tags.len());
    if claimed.value != found && claimed.value != counted {
        return Err(s3_error!(BadDigest, "{name} of the parts is {counted}, the call says {}", claimed.value));
    }
    Ok(())
}

fn part_tag(part: &CompletedPart) -> S3Result<PartTag> {
    let number = part_number(part);
    let etag = part.e_tag.as_ref().and_then(|tag| Etag::parse(tag.value()).ok());
    let etag = etag.ok_or_else(|| s3_error!(InvalidPart, "part {number} comes without its ETag"))?;
    Ok(PartTag { number, etag })
}

fn part_number(part: &CompletedPart) -> u32 {
    part.part_number.and_then(|number| u32::try_from(number).ok()).unwrap_or_default()
}

fn claims(part: &CompletedPart) -> impl Iterator<Item = Checksum> {
    let values = [
        &part.checksum_crc32,
        &part.checksum_crc32c,
        &part.checksum_crc64nvme,
        &part.checksum_sha1,
        &part.checksum_sha256,
    ];
    let claims = ALGORITHMS.into_iter().zip(values);
    claims.filter_map(|(algorithm, value)| Some(Checksum { algorithm, value: value.clone()? }))
}

/// Refuses checksums that are not those of the stored parts, and those of parts that were stored without.
fn check_claims(claimed: &[CompletedPart], stored: &[StoredPart]) -> S3Result<()> {
    for part in claimed {
        let number = part_number(part);
        let Some(found) = stored.iter().find(|stored| stored.part.number == number) else { continue };
        if claims(part).any(|claim| found.checksum.as_ref() != Some(&claim)) {
            return Err(s3_error!(InvalidPart, "part {number} was not stored with this checksum"));
        }
    }
    Ok(())
}

pub(super) async fn abort(room: &Room, input: &AbortMultipartUploadInput) -> S3Result<()> {
    let (key, upload) = (new_key(&input.key)?, upload_id(&input.upload_id)?);
    let inner = Arc::clone(&room.inner);
    blocking(move || inner.abort_multipart(&key, &upload).map_err(store_error)).await
}
