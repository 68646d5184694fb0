//! Calls on whole objects.

use std::ops::Range;
use std::time::Duration;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use bytes::{Bytes, BytesMut};
use mcsp_domain::ObjectKey;
use mcsp_domain::limits::OBJECTS_LISTED_MAX;
use mcsp_runtime::{Etag, ObjectMeta, Put, PutIf, StoreError};

use super::client::{TRIES_MAX, once};
use super::error::{Fault, nonsense};
use super::walk::{self, Ask, Page};
use super::{Inner, Order};

/// How long a body may bring nothing.
const BODY_STALL: Duration = Duration::from_secs(30);
/// The first pause before a call is repeated; it doubles.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Waits before another try, each a little differently.
pub(super) async fn back_off(tries: u32) {
    let longest_ms = BACK_OFF.as_millis() * 2_u128.pow(tries);
    let longest_ms = u64::try_from(longest_ms).unwrap_or(u64::MAX);
    tokio::time::sleep(Duration::from_millis(fastrand::u64(longest_ms / 2..=longest_ms))).await;
}

/// Returns a tag as S3's headers have it.
pub(super) fn quoted(etag: &Etag) -> String {
    format!("\"{etag}\"")
}

/// Reads a tag of an answer.
pub(super) fn tag_of(action: &'static str, key: &ObjectKey, text: Option<&str>) -> Result<Etag, StoreError> {
    let tag = text.and_then(|text| Etag::parse(text.trim_matches('"')).ok());
    tag.ok_or_else(|| nonsense(action, key, "no etag"))
}

/// Returns the two conditional headers: `If-None-Match` and `If-Match`.
pub(super) fn conditions(condition: &PutIf) -> (Option<String>, Option<String>) {
    match condition {
        PutIf::Always => (None, None),
        PutIf::Absent => (Some("*".to_owned()), None),
        PutIf::Matches(etag) => (None, Some(quoted(etag))),
    }
}

/// Whether a refusal says that the condition did not hold; there is nothing to match where there is no object.
pub(super) fn is_kept(fault: &Fault, condition: &PutIf) -> bool {
    fault.is_unmet() || (fault.is_missing() && matches!(condition, PutIf::Matches(_)))
}

impl Inner {
    /// Repeats what failed on the way, knowing what it repeats: the first try may have stored the object, and the condition
    /// then no longer holds because of ourselves.
    pub(super) async fn put(&self, key: &ObjectKey, bytes: Bytes, condition: PutIf) -> Result<Put, StoreError> {
        let (absent, matches) = conditions(&condition);
        let (mut tries, mut is_open) = (0, false);
        loop {
            let call = self.client.put_object().bucket(self.bucket.as_str()).key(key.as_str());
            let call = call.set_if_none_match(absent.clone()).set_if_match(matches.clone());
            let call = call.body(ByteStream::from(bytes.clone())).customize().config_override(once());
            let fault = match call.send().await {
                Ok(stored) => return Ok(Put::Stored { etag: tag_of("put", key, stored.e_tag())? }),
                Err(error) => Fault::from(error),
            };
            tries += 1;
            if is_kept(&fault, &condition) {
                return match self.head(key).await? {
                    Some(meta) if is_open && self.holds(key, &meta, &bytes).await? => {
                        Ok(Put::Stored { etag: meta.etag })
                    }
                    _ => Ok(Put::Kept),
                };
            }
            if !fault.may_pass() || tries >= TRIES_MAX {
                return Err(fault.on("put", key));
            }
            is_open |= fault.is_open();
            back_off(tries).await;
        }
    }

    /// Whether an object is made of these bytes.
    async fn holds(&self, key: &ObjectKey, meta: &ObjectMeta, bytes: &Bytes) -> Result<bool, StoreError> {
        if u64::try_from(bytes.len()) != Ok(meta.len_bytes) {
            return Ok(false);
        }
        match self.get_range(key, 0..u64::MAX, Some(&meta.etag)).await {
            Ok(found) => Ok(found == *bytes),
            Err(StoreError::NotFound { .. } | StoreError::Replaced { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn get_range(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
        pin: Option<&Etag>,
    ) -> Result<Bytes, StoreError> {
        if range.is_empty() {
            return self.get_nothing(key, pin).await;
        }
        let header = match (range.start, range.end) {
            (0, u64::MAX) => None,
            (start, u64::MAX) => Some(format!("bytes={start}-")),
            (start, end) => Some(format!("bytes={start}-{}", end - 1)),
        };
        let mut tries = 0;
        loop {
            let call = self.client.get_object().bucket(self.bucket.as_str()).key(key.as_str());
            let call = call.set_range(header.clone()).set_if_match(pin.map(quoted));
            let answer = match call.send().await {
                Ok(answer) => answer,
                Err(error) => {
                    let fault = Fault::from(error);
                    return match pin {
                        _ if fault.is_beyond() => self.get_nothing(key, pin).await,
                        _ if fault.is_missing() => Err(StoreError::NotFound { key: key.clone() }),
                        Some(pin) if fault.is_unmet() => Err(replaced(key, pin)),
                        _ => Err(fault.on("get", key)),
                    };
                }
            };
            if let Some(pin) = pin
                && tag_of("get", key, answer.e_tag())? != *pin
            {
                return Err(replaced(key, pin));
            }
            // The whole may come where a part was asked for; S3 allows it.
            let is_part = header.is_none() || answer.content_range().is_some();
            tries += 1;
            match collect(answer, range.end.saturating_sub(if is_part { range.start } else { 0 })).await {
                Ok(bytes) if is_part => return Ok(bytes),
                Ok(bytes) => return Ok(bytes.slice(index(range.start).min(bytes.len())..)),
                Err(error) if tries >= TRIES_MAX => {
                    return Err(StoreError::Io { action: "get", key: key.to_string(), source: error });
                }
                Err(_) => back_off(tries).await,
            }
        }
    }

    /// Answers for a range without bytes, which HTTP cannot ask for.
    async fn get_nothing(&self, key: &ObjectKey, pin: Option<&Etag>) -> Result<Bytes, StoreError> {
        let meta = self.head(key).await?.ok_or_else(|| StoreError::NotFound { key: key.clone() })?;
        match pin {
            Some(pin) if *pin != meta.etag => Err(replaced(key, pin)),
            _ => Ok(Bytes::new()),
        }
    }

    pub(super) async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectMeta>, StoreError> {
        let answer = self.client.head_object().bucket(self.bucket.as_str()).key(key.as_str()).send().await;
        match answer.map_err(Fault::from) {
            Ok(head) => Ok(Some(ObjectMeta {
                len_bytes: head.content_length().and_then(|len| u64::try_from(len).ok()).unwrap_or_default(),
                etag: tag_of("look at", key, head.e_tag())?,
                modified_us: head.last_modified().map(micros).unwrap_or_default(),
            })),
            Err(fault) if fault.is_missing() => Ok(None),
            Err(fault) => Err(fault.on("look at", key)),
        }
    }

    pub(super) async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        let answer = self.client.delete_object().bucket(self.bucket.as_str()).key(key.as_str()).send().await;
        match answer.map_err(Fault::from) {
            Err(fault) if !fault.is_missing() => Err(fault.on("delete", key)),
            _ => Ok(()),
        }
    }

    pub(super) async fn list(
        &self,
        prefix: &ObjectKey,
        after: Option<&ObjectKey>,
    ) -> Result<Vec<ObjectKey>, StoreError> {
        let (folder, after) = (format!("{prefix}/"), after.map_or("", ObjectKey::as_str));
        if self.order == Order::Folders {
            let page = |ask: Ask| async move { self.page(prefix, ask, Some("/".to_owned())).await };
            return walk::list(&folder, after, OBJECTS_LISTED_MAX, page).await;
        }
        let mut keys = Vec::new();
        let start_after = Some(after.to_owned()).filter(|after| !after.is_empty());
        let mut ask = Ask { folder: folder.clone(), start_after, token: None };
        loop {
            let page = self.page(prefix, ask, None).await?;
            // Objects that others put under names that are no keys of ours are not seen.
            keys.extend(page.names.iter().filter_map(|name| ObjectKey::parse(name).ok()));
            if keys.len() >= OBJECTS_LISTED_MAX || page.next.is_none() {
                keys.truncate(OBJECTS_LISTED_MAX);
                return Ok(keys);
            }
            ask = Ask { folder: folder.clone(), start_after: None, token: page.next };
        }
    }

    async fn page(&self, prefix: &ObjectKey, ask: Ask, delimiter: Option<String>) -> Result<Page, StoreError> {
        let call = self.client.list_objects_v2().bucket(self.bucket.as_str()).prefix(ask.folder);
        let call = call.set_start_after(ask.start_after).set_continuation_token(ask.token).set_delimiter(delimiter);
        let answer = call.send().await.map_err(|error| Fault::from(error).on("list", prefix))?;
        let files = answer.contents().iter().filter_map(|object| object.key());
        let folders = answer.common_prefixes().iter().filter_map(|folder| folder.prefix());
        let names = files.chain(folders).map(str::to_owned).collect();
        let is_more = answer.is_truncated().unwrap_or_default();
        Ok(Page { names, next: answer.next_continuation_token().filter(|_| is_more).map(str::to_owned) })
    }
}

/// Takes in a body, at most `len_bytes_max` of it, which must not stall.
async fn collect(answer: GetObjectOutput, len_bytes_max: u64) -> std::io::Result<Bytes> {
    let announced = answer.content_length().and_then(|len| usize::try_from(len).ok()).unwrap_or_default();
    let len_max = index(len_bytes_max);
    let mut body = answer.body;
    let mut bytes = BytesMut::with_capacity(announced.min(len_max));
    while bytes.len() < len_max {
        let stalled = |_| std::io::Error::new(std::io::ErrorKind::TimedOut, "the body stalled");
        match tokio::time::timeout(BODY_STALL, body.next()).await.map_err(stalled)? {
            Some(piece) => bytes.extend_from_slice(&piece.map_err(std::io::Error::other)?),
            None => break,
        }
    }
    bytes.truncate(len_max);
    Ok(bytes.freeze())
}

fn index(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

pub(super) fn micros(at: &aws_sdk_s3::primitives::DateTime) -> i64 {
    at.secs().saturating_mul(1_000_000).saturating_add(i64::from(at.subsec_nanos() / 1000))
}

fn replaced(key: &ObjectKey, pin: &Etag) -> StoreError {
    StoreError::Replaced { key: key.clone(), pin: pin.clone() }
}
