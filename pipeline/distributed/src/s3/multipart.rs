//! Uploads in parts. S3 forgets an upload when it is completed, so that a second completing would not be known from an upload
//! that never was: our upload ids begin with a word of ours that the object carries as metadata.
//!
//! SeaweedFS keeps every attempt at a part, lists them in no order, and tells their times in whole seconds. The latest one
//! counts; a part that we store ourselves is stored again in the next second where an other attempt is as young. (Clients
//! that send two different parts under one number within a second get either.)

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use mcsp_domain::ObjectKey;
use mcsp_domain::limits::{UPLOAD_PART_BYTES_MAX, UPLOAD_PART_BYTES_MIN, UPLOAD_PARTS_MAX};
use mcsp_runtime::{Etag, Part, PartFault, PartTag, Put, PutIf, StoreError, UploadId, chain, now_us};
use uuid::Uuid;

use super::client::{TRIES_MAX, once};
use super::error::{Fault, nonsense};
use super::objects::{back_off, conditions, is_kept, micros, quoted, tag_of};
use super::{Inner, Order};

/// The metadata of an object that names the upload that made it.
const UPLOAD_NAME: &str = "mcsp-upload";
/// Stands between our word and S3's id, which never holds it.
const SEAM: char = '~';

/// Longer than the seconds in which times are told.
const TIMES_APART: Duration = Duration::from_millis(1_100);
/// Attempts at one part that are compared.
const ATTEMPTS_SEEN_MAX: i32 = 100;

/// Returns S3's id of an upload.
pub(super) fn raw(upload: &UploadId) -> &str {
    upload.as_str().split_once(SEAM).map_or(upload.as_str(), |(_, raw)| raw)
}

/// Returns our word in an upload's id.
fn word(upload: &UploadId) -> Option<&str> {
    upload.as_str().split_once(SEAM).map(|(word, _)| word)
}

impl Inner {
    pub(super) async fn create_multipart(&self, key: &ObjectKey) -> Result<UploadId, StoreError> {
        const ACTION: &str = "begin an upload of";
        let word = Uuid::now_v7().simple().to_string();
        let call = self.client.create_multipart_upload().bucket(self.bucket.as_str()).key(key.as_str());
        let answer =
            call.metadata(UPLOAD_NAME, &word).send().await.map_err(|error| Fault::from(error).on(ACTION, key))?;
        let raw = answer.upload_id().unwrap_or_default();
        if raw.contains(SEAM) {
            return Err(nonsense(ACTION, key, "an upload id that holds a tilde"));
        }
        UploadId::parse(&format!("{word}{SEAM}{raw}")).map_err(|error| nonsense(ACTION, key, &error.to_string()))
    }

    pub(super) async fn put_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        bytes: Bytes,
    ) -> Result<PartTag, StoreError> {
        let mut tries = 0;
        loop {
            let tag = self.send_part(key, upload, number, bytes.clone()).await?;
            tries += 1;
            if self.order == Order::Bytes || tries >= TRIES_MAX || self.is_latest(key, upload, &tag).await? {
                return Ok(tag);
            }
            tokio::time::sleep(TIMES_APART).await;
        }
    }

    async fn send_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        bytes: Bytes,
    ) -> Result<PartTag, StoreError> {
        const ACTION: &str = "store a part of";
        let limit = || StoreError::BadPart { key: key.clone(), number, fault: PartFault::Limit };
        let is_fit = (1..=UPLOAD_PARTS_MAX).contains(&number)
            && u64::try_from(bytes.len()).is_ok_and(|len_bytes| len_bytes <= UPLOAD_PART_BYTES_MAX);
        let part = i32::try_from(number).ok().filter(|_| is_fit).ok_or_else(limit)?;
        let call = self.client.upload_part().bucket(self.bucket.as_str()).key(key.as_str());
        let call = call.upload_id(raw(upload)).part_number(part).body(ByteStream::from(bytes));
        match call.send().await.map_err(Fault::from) {
            Ok(stored) => Ok(PartTag { number, etag: tag_of(ACTION, key, stored.e_tag())? }),
            Err(fault) if fault.is_no_upload() => Err(no_upload(key, upload)),
            Err(fault) => Err(fault.on(ACTION, key)),
        }
    }

    /// Whether a part that was just stored is told to be younger than every other attempt at its number.
    async fn is_latest(&self, key: &ObjectKey, upload: &UploadId, tag: &PartTag) -> Result<bool, StoreError> {
        let (attempts, _) = self.page_of_parts(key, upload, tag.number - 1, Some(ATTEMPTS_SEEN_MAX)).await?;
        let (own, others): (Vec<_>, Vec<_>) =
            attempts.iter().filter(|part| part.number == tag.number).partition(|part| part.etag == tag.etag);
        let own_us = own.iter().map(|part| part.modified_us).max();
        Ok(others.iter().all(|part| Some(part.modified_us) < own_us))
    }

    pub(super) async fn list_parts(&self, key: &ObjectKey, upload: &UploadId) -> Result<Vec<Part>, StoreError> {
        let (mut latest, mut after) = (BTreeMap::<u32, Part>::new(), 0);
        loop {
            let (page, is_more) = self.page_of_parts(key, upload, after, None).await?;
            let last = page.iter().map(|part| part.number).max().unwrap_or_default();
            for part in page {
                let is_older = latest.get(&part.number).is_some_and(|held| held.modified_us > part.modified_us);
                if !is_older {
                    latest.insert(part.number, part);
                }
            }
            if !is_more || last <= after {
                return Ok(latest.into_values().collect());
            }
            // A page may end between two attempts at one number, so the next one begins with that number.
            after = if last - 1 > after { last - 1 } else { last };
        }
    }

    /// Returns a page of parts behind a number, and whether there are more. SeaweedFS gives every attempt at a part.
    async fn page_of_parts(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        after: u32,
        count_max: Option<i32>,
    ) -> Result<(Vec<Part>, bool), StoreError> {
        const ACTION: &str = "list the parts of";
        let call = self.client.list_parts().bucket(self.bucket.as_str()).key(key.as_str());
        let call = call.upload_id(raw(upload)).set_max_parts(count_max);
        let marker = Some(after.to_string()).filter(|_| after > 0);
        let page = match call.set_part_number_marker(marker).send().await.map_err(Fault::from) {
            Ok(page) => page,
            Err(fault) if fault.is_no_upload() => return Err(no_upload(key, upload)),
            Err(fault) => return Err(fault.on(ACTION, key)),
        };
        let mut parts = Vec::with_capacity(page.parts().len());
        for part in page.parts() {
            let number = part.part_number().and_then(|number| u32::try_from(number).ok()).unwrap_or_default();
            let len_bytes = part.size().and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
            let modified_us = part.last_modified().map(micros).unwrap_or_default();
            parts.push(Part { number, etag: tag_of(ACTION, key, part.e_tag())?, len_bytes, modified_us });
        }
        Ok((parts, page.is_truncated().unwrap_or_default()))
    }

    pub(super) async fn complete(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[PartTag],
        condition: PutIf,
    ) -> Result<Put, StoreError> {
        let (absent, matches) = conditions(&condition);
        let mut tries = 0;
        loop {
            // Looked at first: S3 does not say which part is wrong, and names some faults by others.
            let looked = match self.list_parts(key, upload).await {
                Ok(stored) => check(key, parts, &stored),
                Err(error) => Err(error),
            };
            if let Err(error @ (StoreError::NoUpload { .. } | StoreError::BadPart { .. })) = looked {
                // Completed before, or just now: its parts go one by one.
                return self.made_by(key, upload).await?.map(|etag| Put::Stored { etag }).ok_or(error);
            }
            looked?;
            let part = |tag: &PartTag| {
                let number = i32::try_from(tag.number).ok();
                CompletedPart::builder().set_part_number(number).e_tag(quoted(&tag.etag)).build()
            };
            let list = CompletedMultipartUpload::builder().set_parts(Some(parts.iter().map(part).collect())).build();
            let call = self.client.complete_multipart_upload().bucket(self.bucket.as_str()).key(key.as_str());
            let call = call.upload_id(raw(upload)).multipart_upload(list);
            let call = call.set_if_none_match(absent.clone()).set_if_match(matches.clone());
            let fault = match call.customize().config_override(once()).send().await {
                Ok(done) => return Ok(Put::Stored { etag: tag_of("complete an upload of", key, done.e_tag())? }),
                Err(error) => Fault::from(error),
            };
            tries += 1;
            // Another call of the same upload may have been faster: its object does not fit the condition, and is ours.
            if fault.status.is_some()
                && let Some(etag) = self.made_by(key, upload).await?
            {
                return Ok(Put::Stored { etag });
            }
            if fault.is_no_upload() {
                return Err(no_upload(key, upload));
            }
            if is_kept(&fault, &condition) {
                return Ok(Put::Kept);
            }
            if !fault.may_pass() || tries >= TRIES_MAX {
                return Err(fault.on("complete an upload of", key));
            }
            back_off(tries).await;
        }
    }

    /// Returns the tag of the object that this very upload made, where it is still there.
    async fn made_by(&self, key: &ObjectKey, upload: &UploadId) -> Result<Option<Etag>, StoreError> {
        const ACTION: &str = "look at";
        let Some(word) = word(upload) else { return Ok(None) };
        let answer = self.client.head_object().bucket(self.bucket.as_str()).key(key.as_str()).send().await;
        match answer.map_err(Fault::from) {
            Ok(head) => {
                let maker = head.metadata().and_then(|metadata| metadata.get(UPLOAD_NAME));
                if maker.is_some_and(|maker| maker == word) {
                    tag_of(ACTION, key, head.e_tag()).map(Some)
                } else {
                    Ok(None)
                }
            }
            Err(fault) if fault.is_missing() => Ok(None),
            Err(fault) => Err(fault.on(ACTION, key)),
        }
    }

    pub(super) async fn abort_multipart(&self, key: &ObjectKey, upload: &UploadId) -> Result<(), StoreError> {
        self.abort(key, raw(upload)).await
    }

    async fn abort(&self, key: &ObjectKey, raw: &str) -> Result<(), StoreError> {
        let call = self.client.abort_multipart_upload().bucket(self.bucket.as_str()).key(key.as_str());
        match call.upload_id(raw).send().await.map_err(Fault::from) {
            Err(fault) if !fault.is_no_upload() && !fault.is_missing() => Err(fault.on("give up an upload of", key)),
            _ => Ok(()),
        }
    }

    /// Gives up the uploads that nobody touched for `older_than`. Returns how many.
    pub(super) async fn sweep(&self, older_than: Duration) -> Result<usize, StoreError> {
        let age_us = i64::try_from(older_than.as_micros()).unwrap_or(i64::MAX);
        let before_us = now_us().saturating_sub(age_us);
        let (mut swept, mut marker) = (0, (None, None));
        loop {
            let call = self.client.list_multipart_uploads().bucket(self.bucket.as_str());
            let call = call.set_key_marker(marker.0.clone()).set_upload_id_marker(marker.1.clone());
            let page = call.send().await.map_err(|error| {
                let text = Fault::from(error).text;
                let source = std::io::Error::other(text);
                StoreError::Io { action: "list the uploads of", key: self.bucket.to_string(), source }
            })?;
            for open in page.uploads() {
                let key = open.key().and_then(|key| ObjectKey::parse(key).ok());
                let (Some(key), Some(raw)) = (key, open.upload_id()) else { continue };
                let begun_us = open.initiated().map_or(i64::MAX, micros);
                if begun_us < before_us && self.sweep_one(&key, raw, before_us).await {
                    swept += 1;
                }
            }
            let next = (page.next_key_marker().map(str::to_owned), page.next_upload_id_marker().map(str::to_owned));
            if !page.is_truncated().unwrap_or_default() || next == marker {
                return Ok(swept);
            }
            marker = next;
        }
    }

    /// One that cannot be given up now is met again by the next sweep.
    async fn sweep_one(&self, key: &ObjectKey, raw: &str, before_us: i64) -> bool {
        let Ok(upload) = UploadId::parse(raw) else { return false };
        let touched = async {
            let parts = self.list_parts(key, &upload).await?;
            Ok(parts.iter().any(|part| part.modified_us >= before_us))
        };
        let given_up = async {
            match touched.await {
                Ok(true) | Err(StoreError::NoUpload { .. }) => Ok(false),
                Ok(false) => self.abort(key, raw).await.map(|()| true),
                Err(error) => Err(error),
            }
        };
        given_up.await.unwrap_or_else(|error: StoreError| {
            tracing::warn!(%key, error = %chain(&error), "an abandoned upload stays for now");
            false
        })
    }
}

fn no_upload(key: &ObjectKey, upload: &UploadId) -> StoreError {
    StoreError::NoUpload { key: key.clone(), upload: upload.to_string() }
}

/// Holds a list of parts to what is stored: first its order, then each part, then their lengths.
fn check(key: &ObjectKey, parts: &[PartTag], stored: &[Part]) -> Result<(), StoreError> {
    let refuse = |number: u32, fault: PartFault| Err(StoreError::BadPart { key: key.clone(), number, fault });
    let mut before = 0;
    for part in parts {
        if part.number <= before {
            return refuse(part.number, PartFault::Order);
        }
        before = part.number;
    }
    let mut small = None;
    for part in parts {
        let at = stored.binary_search_by_key(&part.number, |found| found.number);
        let found = at.ok().and_then(|at| stored.get(at)).filter(|found| found.etag == part.etag);
        let Some(found) = found else { return refuse(part.number, PartFault::Missing) };
        if found.len_bytes < UPLOAD_PART_BYTES_MIN {
            small = small.or(Some(part.number));
        }
    }
    match (parts.last(), small) {
        (None, _) => refuse(1, PartFault::Missing),
        (Some(last), Some(number)) if number != last.number => refuse(number, PartFault::Small),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `3 1`: part 3, then part 1; 3 and 4 are small. One with an `x` carries another tag.
    fn checked(list: &str) -> String {
        let etag = |text: &str| Etag::parse(text).unwrap();
        let stored = [1, 2, 3, 4].map(|number| {
            let len_bytes = if number > 2 { 4 } else { UPLOAD_PART_BYTES_MIN };
            Part { number, etag: etag(&format!("tag-{number}")), len_bytes, modified_us: 0 }
        });
        let tag = |word: &str| {
            let number = word.trim_end_matches('x').parse().unwrap();
            PartTag { number, etag: etag(&format!("tag-{word}")) }
        };
        let parts: Vec<PartTag> = list.split_whitespace().map(tag).collect();
        let key = ObjectKey::parse("film").unwrap();
        check(&key, &parts, &stored).map_or_else(|error| error.to_string(), |()| "fits".to_owned())
    }

    #[test]
    fn lists_of_parts_are_held_to_what_is_stored() {
        let wrong = |number: u32, fault: PartFault| format!("part {number} of film {fault}");
        for (list, expected) in [
            ("1 2 3", "fits".to_owned()),
            ("1", "fits".to_owned()),
            ("3", "fits".to_owned()),
            ("", wrong(1, PartFault::Missing)),
            ("1 5", wrong(5, PartFault::Missing)),
            ("1x 2", wrong(1, PartFault::Missing)),
            ("2 1", wrong(1, PartFault::Order)),
            ("3 1", wrong(1, PartFault::Order)),
            ("1 1", wrong(1, PartFault::Order)),
            ("1 3 4", wrong(3, PartFault::Small)),
        ] {
            assert_eq!(checked(list), expected, "{list}");
        }
    }
}
