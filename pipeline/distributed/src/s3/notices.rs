//! What S3 servers post when an object was stored: bucket notifications of AWS and MinIO ("Event message structure" of the
//! S3 user guide), and the filer webhook of SeaweedFS. In: a body. Out: the objects that it tells of.
//!
//! A notice is a hint: it may come twice, late, out of order or never, and says nothing of what lies there by now. Whoever
//! takes it up looks at the object.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mcsp_domain::{Bucket, ObjectKey};
use mcsp_runtime::Etag;
use serde::Deserialize;

/// An object that somebody stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredNotice {
    /// Its bucket.
    pub bucket: Bucket,
    /// Its key.
    pub key: ObjectKey,
    /// Its tag, where the notice tells it.
    pub etag: Option<Etag>,
    /// Its bytes, where the notice tells them.
    pub len_bytes: Option<u64>,
}

/// Why a body is no notice.
#[derive(Debug, thiserror::Error)]
pub enum NoticeError {
    /// It is no JSON object of a known shape.
    #[error("notice of stored objects is neither a bucket notification nor a filer event")]
    Shape(#[source] serde_json::Error),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Body {
    Bucket {
        #[serde(rename = "Records")]
        records: Vec<Record>,
    },
    Filer {
        event_type: String,
        key: String,
        message: FilerMessage,
    },
    /// What AWS posts when notifications are set up.
    Test {
        #[serde(rename = "Event")]
        _event: String,
    },
}

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "eventName")]
    event_name: String,
    s3: RecordOfS3,
}

#[derive(Deserialize)]
struct RecordOfS3 {
    bucket: RecordBucket,
    object: RecordObject,
}

#[derive(Deserialize)]
struct RecordBucket {
    name: String,
}

#[derive(Deserialize)]
struct RecordObject {
    key: String,
    size: Option<u64>,
    #[serde(rename = "eTag")]
    etag: Option<String>,
}

#[derive(Deserialize)]
struct FilerMessage {
    new_entry: Option<FilerEntry>,
    new_parent_path: Option<String>,
}

#[derive(Deserialize)]
struct FilerEntry {
    name: String,
    #[serde(default)]
    is_directory: bool,
    #[serde(default)]
    attributes: FilerAttributes,
    #[serde(default)]
    extended: FilerExtended,
}

#[derive(Default, Deserialize)]
struct FilerAttributes {
    /// Missing where it is 0.
    #[serde(default)]
    file_size: u64,
}

#[derive(Default, Deserialize)]
struct FilerExtended {
    /// In base64, as all of these are.
    #[serde(rename = "Seaweed-X-Amz-ETag")]
    etag: Option<String>,
}

/// Returns the objects that a posted body says were stored. What it says of others — removed ones, folders, parts of uploads,
/// names that are no keys of ours — is left out.
///
/// # Errors
/// When the body is no notice.
pub fn completions_of(body: &[u8]) -> Result<Vec<StoredNotice>, NoticeError> {
    let body: Body = serde_json::from_slice(body).map_err(NoticeError::Shape)?;
    let stored = match body {
        Body::Bucket { records } => records.iter().filter_map(of_record).collect(),
        Body::Filer { event_type, key, message } => of_filer(&event_type, &key, message).into_iter().collect(),
        Body::Test { .. } => Vec::new(),
    };
    Ok(stored)
}

fn of_record(record: &Record) -> Option<StoredNotice> {
    // AWS leaves the `s3:` out.
    let event = record.event_name.strip_prefix("s3:").unwrap_or(&record.event_name);
    if !event.starts_with("ObjectCreated:") {
        return None;
    }
    let object = &record.s3.object;
    // Keys come escaped as in a form; slashes too, from MinIO.
    let form = format!("key={}", object.key);
    let (_, key) = url::form_urlencoded::parse(form.as_bytes()).next()?;
    Some(StoredNotice {
        bucket: Bucket::parse(&record.s3.bucket.name).ok()?,
        key: ObjectKey::parse(&key).ok()?,
        etag: object.etag.as_deref().and_then(|tag| Etag::parse(tag).ok()),
        len_bytes: object.size,
    })
}

fn of_filer(event_type: &str, key: &str, message: FilerMessage) -> Option<StoredNotice> {
    let entry = message.new_entry.filter(|entry| !entry.is_directory)?;
    // A replaced object is an update. One that was moved is told under its old key, and lies where its new parent says.
    let path = match event_type {
        "create" | "update" => key.to_owned(),
        "rename" => format!("{}/{}", message.new_parent_path?, entry.name),
        _ => return None,
    };
    let (bucket, key) = path.strip_prefix("/buckets/")?.split_once('/')?;
    let tag = entry.extended.etag.and_then(|tag| String::from_utf8(BASE64_STANDARD.decode(tag).ok()?).ok());
    Some(StoredNotice {
        bucket: Bucket::parse(bucket).ok()?,
        // The filer's own folders, such as that of uploads in parts, begin with a dot and so are no keys.
        key: ObjectKey::parse(key).ok()?,
        etag: tag.and_then(|tag| Etag::parse(&tag).ok()),
        len_bytes: Some(entry.attributes.file_size),
    })
}

#[cfg(test)]
mod tests;
