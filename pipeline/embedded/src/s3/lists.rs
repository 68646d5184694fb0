//! Lists of objects and of uploads, by pages.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use mcsp_domain::ObjectKey;
use s3s::dto::*;
use s3s::{S3Error, S3Result, s3_error};

use super::api::{Room, refuse, signed, wire_etag, wire_time};
use super::errors::{blocking, store_error};
use crate::file_store::walk::Walk;
use crate::file_store::{Inner, io_error};

/// Entries of one page: S3's limit.
const PAGE_MAX: i32 = 1000;

/// What a page of objects is asked for by.
struct Wanted {
    prefix: String,
    delimiter: String,
    after: String,
    entries_max: usize,
}

#[derive(Default)]
struct Page {
    contents: Vec<Object>,
    prefixes: Vec<CommonPrefix>,
    /// Where the next page begins, where there is one.
    next: Option<String>,
}

pub(super) async fn objects(room: &Room, input: ListObjectsV2Input) -> S3Result<ListObjectsV2Output> {
    let keys_max = input.max_keys.unwrap_or(PAGE_MAX).clamp(0, PAGE_MAX);
    let after = match &input.continuation_token {
        Some(token) => decode(token)?,
        None => input.start_after.clone().unwrap_or_default(),
    };
    let wanted = Wanted {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone().unwrap_or_default(),
        after,
        entries_max: usize::try_from(keys_max).unwrap_or_default(),
    };
    let inner = Arc::clone(&room.inner);
    let page = blocking(move || page(&inner, &wanted)).await?;
    let count = page.contents.len() + page.prefixes.len();
    Ok(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(input.prefix.unwrap_or_default()),
        delimiter: input.delimiter,
        max_keys: Some(keys_max),
        key_count: i32::try_from(count).ok(),
        continuation_token: input.continuation_token,
        start_after: input.start_after,
        is_truncated: Some(page.next.is_some()),
        next_continuation_token: page.next.map(|after| BASE64_URL_SAFE_NO_PAD.encode(after)),
        contents: Some(page.contents),
        common_prefixes: Some(page.prefixes),
        encoding_type: input.encoding_type,
        ..ListObjectsV2Output::default()
    })
}

fn decode(token: &str) -> S3Result<String> {
    let text = BASE64_URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| s3_error!(InvalidArgument, "continuation token {token:?} is none of ours"))
}

fn page(inner: &Inner, wanted: &Wanted) -> S3Result<Page> {
    let failed = |error: std::io::Error| -> S3Error {
        store_error(mcsp_runtime::StoreError::Io { action: "list", key: wanted.prefix.clone(), source: error })
    };
    let mut page = Page::default();
    let mut walk = Walk::new(&inner.root, &wanted.prefix, &wanted.after).map_err(failed)?;
    let mut last = wanted.after.clone();
    while let Some(key) = walk.next_key().map_err(failed)? {
        if page.contents.len() + page.prefixes.len() == wanted.entries_max {
            // A page of nothing is asked for to learn whether there is anything; it leads nowhere.
            page.next = (wanted.entries_max > 0).then_some(last);
            break;
        }
        if let Some(common) = common_prefix(&key, wanted) {
            last = Walk::behind(common);
            walk.skip_to(last.clone());
            page.prefixes.push(CommonPrefix { prefix: Some(common.to_owned()) });
            continue;
        }
        key.as_str().clone_into(&mut last);
        page.contents.extend(entry(inner, &key)?);
    }
    Ok(page)
}

fn common_prefix<'a>(key: &'a ObjectKey, wanted: &Wanted) -> Option<&'a str> {
    if wanted.delimiter.is_empty() {
        return None;
    }
    let rest = key.as_str().get(wanted.prefix.len()..)?;
    let at = rest.find(&wanted.delimiter)?;
    key.as_str().get(..wanted.prefix.len() + at + wanted.delimiter.len())
}

/// An object of a list; nothing where it was removed meanwhile.
fn entry(inner: &Inner, key: &ObjectKey) -> S3Result<Option<Object>> {
    let meta = inner.head(key).map_err(|error| store_error(io_error("look at", key)(error)))?;
    Ok(meta.map(|meta| Object {
        key: Some(key.to_string()),
        e_tag: Some(wire_etag(&meta.etag)),
        size: Some(signed(meta.len_bytes)),
        last_modified: Some(wire_time(meta.modified_us)),
        storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
        ..Object::default()
    }))
}

pub(super) async fn uploads(room: &Room, input: ListMultipartUploadsInput) -> S3Result<ListMultipartUploadsOutput> {
    refuse(input.delimiter.as_ref().is_some_and(|delimiter| !delimiter.is_empty()), "a delimiter of uploads")?;
    let inner = Arc::clone(&room.inner);
    let listed = blocking(move || {
        inner.uploads().map_err(|source| {
            store_error(mcsp_runtime::StoreError::Io { action: "list", key: "uploads".to_owned(), source })
        })
    });
    let prefix = input.prefix.clone().unwrap_or_default();
    let key_marker = input.key_marker.clone().unwrap_or_default();
    let upload_marker = input.upload_id_marker.clone().unwrap_or_default();
    let mut entries: Vec<(String, String, i64)> =
        listed.await?.into_iter().map(|(id, begun)| (begun.key.into(), id.into(), begun.begun_us)).collect();
    entries.retain(|(key, id, _)| {
        // Without an upload to go on from, the marked key is done with.
        let behind =
            if upload_marker.is_empty() { *key > key_marker } else { (key, id) > (&key_marker, &upload_marker) };
        key.starts_with(&prefix) && (key_marker.is_empty() || behind)
    });
    entries.sort_unstable();
    let uploads_max = input.max_uploads.unwrap_or(PAGE_MAX).clamp(0, PAGE_MAX);
    let page = usize::try_from(uploads_max).unwrap_or_default();
    let is_truncated = entries.len() > page;
    entries.truncate(page);
    let last = entries.last().filter(|_| is_truncated).cloned();
    let wire = |(key, id, begun_us): (String, String, i64)| MultipartUpload {
        key: Some(key),
        upload_id: Some(id),
        initiated: Some(wire_time(begun_us)),
        ..MultipartUpload::default()
    };
    Ok(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        prefix: input.prefix,
        key_marker: input.key_marker,
        upload_id_marker: input.upload_id_marker,
        next_key_marker: last.as_ref().map(|(key, ..)| key.clone()),
        next_upload_id_marker: last.map(|(_, id, _)| id),
        max_uploads: Some(uploads_max),
        is_truncated: Some(is_truncated),
        uploads: Some(entries.into_iter().map(wire).collect()),
        ..ListMultipartUploadsOutput::default()
    })
}
