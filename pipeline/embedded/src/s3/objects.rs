//! Calls on whole objects: put, get, head, copy, delete.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use mcsp_domain::ObjectKey;
use mcsp_domain::limits::{SOURCE_LEN_BYTES_MAX, UPLOAD_PART_BYTES_MAX};
use mcsp_runtime::{Etag, Put, PutIf};
use s3s::dto::*;
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result, s3_error};

use super::api::{Room, known_key, new_key, refuse, signed, wire_etag, wire_time};
use super::body::{self, Intake, Taken};
use super::checks::Checks;
use super::errors::{blocking, store_error};
use crate::file_store::about::{self, About, ChecksumAlgorithm, Details, Identity};
use crate::file_store::spool::CreatedBy;
use crate::file_store::unfinished::Target;
use crate::file_store::{Inner, io_error, md5_etag};

pub(super) async fn put(room: &Room, request: S3Request<PutObjectInput>) -> S3Result<PutObjectOutput> {
    let checks = Checks::of(&request.headers, request.trailing_headers.clone())?;
    let input = request.input;
    refuse(input.tagging.is_some(), "a tag set")?;
    refuse(input.sse_customer_key.is_some(), "an encryption key")?;
    let key = new_key(&input.key)?;
    let condition = put_condition(input.if_match, input.if_none_match)?;
    if input.content_length.is_some_and(|len_bytes| len_bytes > signed(UPLOAD_PART_BYTES_MAX)) {
        return Err(s3_error!(EntityTooLarge, "one call takes {UPLOAD_PART_BYTES_MAX} bytes, upload in parts"));
    }
    let intake = Intake { key: &key, checks, len_bytes_max: UPLOAD_PART_BYTES_MAX, stall: room.body_stall };
    let taken = body::take(&room.inner, input.body, intake).await?;
    let details = Details {
        content_type: input.content_type,
        cache_control: input.cache_control,
        content_disposition: input.content_disposition,
        content_encoding: input.content_encoding.filter(|encoding| encoding != "aws-chunked"),
        content_language: input.content_language,
        metadata: input.metadata.unwrap_or_default().into_iter().collect(),
    };
    let stored = store(&room.inner, key, taken, details, condition, CreatedBy::Put).await?;
    let sums = Sums::of(&stored);
    Ok(PutObjectOutput {
        e_tag: Some(wire_etag(&stored.etag)),
        checksum_crc32: sums.crc32,
        checksum_crc32c: sums.crc32c,
        checksum_crc64nvme: sums.crc64nvme,
        checksum_sha1: sums.sha1,
        checksum_sha256: sums.sha256,
        ..PutObjectOutput::default()
    })
}

/// Makes taken bytes an object.
async fn store(
    inner: &Arc<Inner>,
    key: ObjectKey,
    taken: Taken,
    details: Details,
    condition: PutIf,
    by: CreatedBy,
) -> S3Result<About> {
    let inner = Arc::clone(inner);
    blocking(move || {
        let Taken { unfinished, md5, checksum } = taken;
        let etag = md5_etag(&md5);
        let about = About { key, etag, upload: None, details, checksum, parts_len_bytes: Vec::new() };
        let target = Target { key: &about.key, condition: &condition, about: Some(&about), announce: Some(by) };
        let put =
            inner.install(unfinished, &target).map_err(|error| store_error(io_error("put", &about.key)(error)))?;
        if put == Put::Kept {
            return Err(s3_error!(PreconditionFailed, "object {} does not fit the condition", about.key));
        }
        Ok(about)
    })
    .await
}

/// Reads the conditions of a put.
pub(super) fn put_condition(if_match: Option<IfMatch>, if_none_match: Option<IfNoneMatch>) -> S3Result<PutIf> {
    match (if_match, if_none_match) {
        (None, None) => Ok(PutIf::Always),
        (None, Some(ETagCondition::Any)) => Ok(PutIf::Absent),
        (Some(ETagCondition::ETag(ETag::Strong(tag))), None) => {
            Etag::parse(&tag).map(PutIf::Matches).map_err(|error| s3_error!(PreconditionFailed, "{error}"))
        }
        _ => Err(s3_error!(NotImplemented, "puts take If-Match with one strong tag, or If-None-Match: *")),
    }
}

/// An object as it stands at one moment.
struct Found {
    file: File,
    identity: Identity,
    etag: Etag,
    about: Option<About>,
}

async fn find(room: &Room, key: &str) -> S3Result<Found> {
    let key = known_key(key)?;
    let inner = Arc::clone(&room.inner);
    blocking(move || {
        let failed = |error| store_error(io_error("look at", &key)(error));
        let file = inner.open_object(&key).map_err(store_error)?;
        let meta = file.metadata().map_err(failed)?;
        if meta.is_dir() {
            return Err(s3_error!(NoSuchKey, "object {key} does not exist"));
        }
        let identity = Identity::of(&meta);
        let about = about::read(&inner.root, &key, identity).map_err(failed)?;
        let etag = about.as_ref().map_or_else(|| identity.etag(), |about| about.etag.clone());
        Ok(Found { file, identity, etag, about })
    })
    .await
}

/// The conditions of a read.
struct ReadIf {
    matches: Option<IfMatch>,
    none_match: Option<IfNoneMatch>,
    modified_since: Option<Timestamp>,
    unmodified_since: Option<Timestamp>,
}

impl ReadIf {
    /// Holds a read to its conditions, in the order of RFC 9110 §13.2.2.
    fn check(&self, found: &Found) -> S3Result<()> {
        let tag = wire_etag(&found.etag);
        let fits = |condition: &ETagCondition| match condition {
            ETagCondition::Any => true,
            ETagCondition::ETag(wanted) => wanted.weak_cmp(&tag),
        };
        // The wire knows whole seconds.
        let modified = wire_time(found.identity.modified_us() / 1_000_000 * 1_000_000);
        let failed = match (&self.matches, &self.unmodified_since) {
            (Some(condition), _) => !fits(condition),
            (None, Some(since)) => modified > *since,
            (None, None) => false,
        };
        if failed {
            return Err(s3_error!(PreconditionFailed, "the object has etag {}", found.etag));
        }
        let unchanged = match (&self.none_match, &self.modified_since) {
            (Some(condition), _) => fits(condition),
            (None, Some(since)) => modified <= *since,
            (None, None) => false,
        };
        if !unchanged {
            return Ok(());
        }
        let mut error = S3Error::new(S3ErrorCode::NotModified);
        if let Ok(value) = tag.to_http_header() {
            error.set_headers([(axum::http::header::ETAG, value)].into_iter().collect());
        }
        Err(error)
    }
}

/// What a read gives of an object.
struct Slice {
    range: Range<u64>,
    /// Set where it is not the whole.
    content_range: Option<String>,
}

fn slice(found: &Found, range: Option<s3s::dto::Range>, part_number: Option<PartNumber>) -> S3Result<Slice> {
    let whole_bytes = found.identity.len_bytes;
    let range = match (range, part_number) {
        (None, None) => return Ok(Slice { range: 0..whole_bytes, content_range: None }),
        (Some(range), None) => match range.check(whole_bytes) {
            Ok(range) => range,
            Err(_) => return Err(s3_error!(InvalidRange, "the object has {whole_bytes} bytes")),
        },
        (None, Some(number)) => part_range(found, number)?,
        (Some(_), Some(_)) => return Err(s3_error!(InvalidRequest, "a range and a part number exclude each other")),
    };
    let content_range = match range.end.checked_sub(1) {
        Some(last) if last >= range.start => Some(format!("bytes {}-{last}/{whole_bytes}", range.start)),
        _ => None,
    };
    Ok(Slice { range, content_range })
}

fn part_range(found: &Found, number: PartNumber) -> S3Result<Range<u64>> {
    let parts = found.about.as_ref().map(|about| about.parts_len_bytes.as_slice()).unwrap_or_default();
    if parts.is_empty() && number == 1 {
        return Ok(0..found.identity.len_bytes);
    }
    let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
    match index.and_then(|index| Some((index, parts.get(index)?))) {
        Some((index, len_bytes)) => {
            let start: u64 = parts.iter().take(index).sum();
            Ok(start..start + len_bytes)
        }
        None => Err(s3_error!(InvalidRange, "the object has {} parts", parts.len())),
    }
}

pub(super) async fn get(room: &Room, input: GetObjectInput) -> S3Result<GetObjectOutput> {
    let found = find(room, &input.key).await?;
    let condition = ReadIf {
        matches: input.if_match,
        none_match: input.if_none_match,
        modified_since: input.if_modified_since,
        unmodified_since: input.if_unmodified_since,
    };
    condition.check(&found)?;
    let Slice { range, content_range } = slice(&found, input.range, input.part_number)?;
    let whole = content_range.is_none();
    let described = describe(&found, whole);
    let len_bytes = range.end - range.start;
    Ok(GetObjectOutput {
        body: Some(body::give(found.file, range.start, len_bytes)),
        content_length: Some(signed(len_bytes)),
        content_range,
        accept_ranges: described.accept_ranges,
        cache_control: described.cache_control,
        checksum_crc32: described.checksum_crc32,
        checksum_crc32c: described.checksum_crc32c,
        checksum_crc64nvme: described.checksum_crc64nvme,
        checksum_sha1: described.checksum_sha1,
        checksum_sha256: described.checksum_sha256,
        content_disposition: described.content_disposition,
        content_encoding: described.content_encoding,
        content_language: described.content_language,
        content_type: described.content_type,
        e_tag: described.e_tag,
        last_modified: described.last_modified,
        metadata: described.metadata,
        parts_count: described.parts_count,
        ..GetObjectOutput::default()
    })
}

pub(super) async fn head(room: &Room, input: HeadObjectInput) -> S3Result<HeadObjectOutput> {
    let found = find(room, &input.key).await?;
    let condition = ReadIf {
        matches: input.if_match,
        none_match: input.if_none_match,
        modified_since: input.if_modified_since,
        unmodified_since: input.if_unmodified_since,
    };
    condition.check(&found)?;
    let Slice { range, content_range } = slice(&found, input.range, input.part_number)?;
    let whole = content_range.is_none();
    let content_length = Some(signed(range.end - range.start));
    Ok(HeadObjectOutput { content_length, content_range, ..describe(&found, whole) })
}

/// What is said of an object beside its bytes. A checksum is one of the whole, so a part of it comes without.
fn describe(found: &Found, whole: bool) -> HeadObjectOutput {
    let details = found.about.as_ref().map(|about| about.details.clone()).unwrap_or_default();
    let sums = found.about.as_ref().filter(|_| whole).map(Sums::of).unwrap_or_default();
    let parts = found.about.as_ref().map(|about| about.parts_len_bytes.len()).filter(|count| *count > 0);
    HeadObjectOutput {
        accept_ranges: Some("bytes".to_owned()),
        cache_control: details.cache_control,
        checksum_crc32: sums.crc32,
        checksum_crc32c: sums.crc32c,
        checksum_crc64nvme: sums.crc64nvme,
        checksum_sha1: sums.sha1,
        checksum_sha256: sums.sha256,
        content_disposition: details.content_disposition,
        content_encoding: details.content_encoding,
        content_language: details.content_language,
        content_type: Some(details.content_type.unwrap_or_else(|| "application/octet-stream".to_owned())),
        e_tag: Some(wire_etag(&found.etag)),
        last_modified: Some(wire_time(found.identity.modified_us())),
        metadata: Some(details.metadata.into_iter().collect()),
        parts_count: parts.and_then(|count| i32::try_from(count).ok()),
        ..HeadObjectOutput::default()
    }
}

pub(super) async fn attributes(room: &Room, input: &GetObjectAttributesInput) -> S3Result<GetObjectAttributesOutput> {
    let found = find(room, &input.key).await?;
    let sums = found.about.as_ref().map(Sums::of).unwrap_or_default();
    let parts = found.about.as_ref().map(|about| about.parts_len_bytes.len()).unwrap_or_default();
    let parts = GetObjectAttributesParts {
        total_parts_count: i32::try_from(parts).ok(),
        ..GetObjectAttributesParts::default()
    };
    let wanted = |name: &'static str| input.object_attributes.iter().any(|attribute| attribute.as_str() == name);
    Ok(GetObjectAttributesOutput {
        e_tag: wanted(ObjectAttributes::ETAG).then(|| wire_etag(&found.etag)),
        object_size: wanted(ObjectAttributes::OBJECT_SIZE).then(|| signed(found.identity.len_bytes)),
        checksum: wanted(ObjectAttributes::CHECKSUM).then(|| sums.into()),
        object_parts: wanted(ObjectAttributes::OBJECT_PARTS).then_some(parts),
        last_modified: Some(wire_time(found.identity.modified_us())),
        ..GetObjectAttributesOutput::default()
    })
}

pub(super) async fn copy(from: &Room, to: &Room, input: CopyObjectInput) -> S3Result<CopyObjectOutput> {
    let CopySource::Bucket { key: source, .. } = &input.copy_source else {
        return Err(s3_error!(NotImplemented, "only objects of buckets can be copied"));
    };
    let key = new_key(&input.key)?;
    let found = find(from, source).await?;
    let condition = ReadIf {
        matches: input.copy_source_if_match,
        none_match: input.copy_source_if_none_match,
        modified_since: input.copy_source_if_modified_since,
        unmodified_since: input.copy_source_if_unmodified_since,
    };
    // A source that did not change is, to a copy, a condition that failed.
    condition.check(&found).map_err(|_| s3_error!(PreconditionFailed, "the source has etag {}", found.etag))?;
    let replaces = input.metadata_directive.as_ref().is_some_and(|how| how.as_str() == MetadataDirective::REPLACE);
    let details = if replaces {
        Details {
            content_type: input.content_type,
            cache_control: input.cache_control,
            content_disposition: input.content_disposition,
            content_encoding: input.content_encoding,
            content_language: input.content_language,
            metadata: input.metadata.unwrap_or_default().into_iter().collect(),
        }
    } else {
        found.about.map(|about| about.details).unwrap_or_default()
    };
    let bytes = body::give(found.file, 0, found.identity.len_bytes);
    let intake =
        Intake { key: &key, checks: Checks::none(), len_bytes_max: SOURCE_LEN_BYTES_MAX, stall: to.body_stall };
    let taken = body::take(&to.inner, Some(bytes), intake).await?;
    let stored = store(&to.inner, key, taken, details, PutIf::Always, CreatedBy::Copy).await?;
    let result = CopyObjectResult {
        e_tag: Some(wire_etag(&stored.etag)),
        last_modified: Some(wire_time(mcsp_runtime::now_us())),
        ..CopyObjectResult::default()
    };
    Ok(CopyObjectOutput { copy_object_result: Some(result), ..CopyObjectOutput::default() })
}

pub(super) async fn delete(room: &Room, key: &str) -> S3Result<()> {
    // What could never be stored is not there.
    let Ok(key) = ObjectKey::parse(key) else { return Ok(()) };
    let inner = Arc::clone(&room.inner);
    blocking(move || inner.remove(&key).map_err(|error| store_error(io_error("delete", &key)(error)))).await
}

pub(super) async fn delete_many(room: &Room, input: DeleteObjectsInput) -> S3Result<DeleteObjectsOutput> {
    let quiet = input.delete.quiet.unwrap_or_default();
    if input.delete.objects.len() > 1000 {
        return Err(s3_error!(MalformedXML, "one call deletes at most 1000 objects"));
    }
    let (mut deleted, mut errors) = (Vec::new(), Vec::new());
    for object in input.delete.objects {
        match delete(room, &object.key).await {
            Ok(()) if quiet => {}
            Ok(()) => deleted.push(DeletedObject { key: Some(object.key), ..DeletedObject::default() }),
            Err(error) => errors.push(s3s::dto::Error {
                code: Some(error.code().as_str().to_owned()),
                key: Some(object.key),
                message: error.message().map(str::to_owned),
                ..s3s::dto::Error::default()
            }),
        }
    }
    Ok(DeleteObjectsOutput { deleted: Some(deleted), errors: Some(errors), ..DeleteObjectsOutput::default() })
}

/// A checksum under the name that the wire has for it.
#[derive(Default)]
pub(super) struct Sums {
    pub(super) crc32: Option<String>,
    pub(super) crc32c: Option<String>,
    pub(super) crc64nvme: Option<String>,
    pub(super) sha1: Option<String>,
    pub(super) sha256: Option<String>,
}

impl Sums {
    fn of(about: &About) -> Self {
        Self::named(about.checksum.as_ref())
    }

    pub(super) fn named(checksum: Option<&crate::file_store::about::Checksum>) -> Self {
        let mut sums = Self::default();
        let Some(checksum) = checksum else { return sums };
        let named = match checksum.algorithm {
            ChecksumAlgorithm::Crc32 => &mut sums.crc32,
            ChecksumAlgorithm::Crc32c => &mut sums.crc32c,
            ChecksumAlgorithm::Crc64Nvme => &mut sums.crc64nvme,
            ChecksumAlgorithm::Sha1 => &mut sums.sha1,
            ChecksumAlgorithm::Sha256 => &mut sums.sha256,
        };
        *named = Some(checksum.value.clone());
        sums
    }
}

impl From<Sums> for s3s::dto::Checksum {
    fn from(sums: Sums) -> Self {
        Self {
            checksum_crc32: sums.crc32,
            checksum_crc32c: sums.crc32c,
            checksum_crc64nvme: sums.crc64nvme,
            checksum_sha1: sums.sha1,
            checksum_sha256: sums.sha256,
            ..Self::default()
        }
    }
}
