//! An object whose bytes come piece by piece from within the process: one put where they are few, an upload in parts where
//! they are many.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use mcsp_domain::ObjectKey;
use mcsp_domain::limits::UPLOAD_PARTS_MAX;
use mcsp_runtime::{PartFault, PartTag, Put, PutIf, StoreError, UploadId};

use super::Inner;

/// Bytes of the first parts; an object that has fewer is put in one call.
const PART_BYTES: usize = 8 << 20;
/// Parts after which they grow by twice `PART_BYTES`: ten thousand of them then hold 1.5 TiB, above
/// `limits::SOURCE_LEN_BYTES_MAX`, and only sources of hundreds of gigabytes have parts above 100 MiB.
const PARTS_OF_A_SIZE: u32 = 500;

pub(super) struct S3Upload {
    inner: Arc<Inner>,
    key: ObjectKey,
    waiting: BytesMut,
    upload: Option<UploadId>,
    tags: Vec<PartTag>,
    /// A write failed or was cut off: nobody knows which bytes are there.
    is_broken: bool,
}

impl S3Upload {
    pub(super) fn new(inner: Arc<Inner>, key: ObjectKey) -> Self {
        Self { inner, key, waiting: BytesMut::new(), upload: None, tags: Vec::new(), is_broken: false }
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.is_broken {
            let source = std::io::ErrorKind::BrokenPipe.into();
            return Err(StoreError::Io { action: "go on with", key: self.key.to_string(), source });
        }
        Ok(())
    }

    async fn send(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        let upload = match &self.upload {
            Some(upload) => upload.clone(),
            None => self.upload.insert(self.inner.create_multipart(&self.key).await?).clone(),
        };
        let number = next_number(&self.tags);
        if number > UPLOAD_PARTS_MAX {
            return Err(StoreError::BadPart { key: self.key.clone(), number, fault: PartFault::Limit });
        }
        self.tags.push(self.inner.put_part(&self.key, &upload, number, bytes).await?);
        Ok(())
    }
}

fn next_number(tags: &[PartTag]) -> u32 {
    tags.last().map_or(1, |tag| tag.number + 1)
}

/// Returns the bytes of a part.
fn part_bytes(number: u32) -> usize {
    let step = usize::try_from(number / PARTS_OF_A_SIZE).unwrap_or_default();
    PART_BYTES + step * 2 * PART_BYTES
}

#[async_trait]
impl mcsp_runtime::Upload for S3Upload {
    async fn write(&mut self, mut bytes: Bytes) -> Result<(), StoreError> {
        self.check()?;
        self.is_broken = true;
        loop {
            let part_bytes = part_bytes(next_number(&self.tags));
            let room = part_bytes - self.waiting.len().min(part_bytes);
            self.waiting.extend_from_slice(&bytes.split_to(room.min(bytes.len())));
            // A full part waits for more: the last one goes with the finish.
            if bytes.is_empty() {
                break;
            }
            let part = self.waiting.split().freeze();
            self.send(part).await?;
        }
        self.is_broken = false;
        Ok(())
    }

    async fn finish(mut self: Box<Self>, condition: PutIf) -> Result<Put, StoreError> {
        self.check()?;
        let rest = self.waiting.split().freeze();
        if self.upload.is_none() {
            return self.inner.put(&self.key, rest, condition).await;
        }
        self.send(rest).await?;
        let Some(upload) = self.upload.clone() else { unreachable!("it was there above") };
        let put = self.inner.complete(&self.key, &upload, &self.tags, condition).await?;
        if matches!(put, Put::Stored { .. }) {
            self.upload = None;
        }
        Ok(put)
    }
}

impl Drop for S3Upload {
    fn drop(&mut self) {
        let (Some(upload), Ok(runtime)) = (self.upload.take(), tokio::runtime::Handle::try_current()) else { return };
        let (inner, key) = (Arc::clone(&self.inner), self.key.clone());
        // Where this is cut off too, a sweep removes the parts.
        runtime.spawn(async move {
            if let Err(error) = inner.abort_multipart(&key, &upload).await {
                tracing::warn!(%key, error = %mcsp_runtime::chain(&error), "parts are left to a sweep");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcsp_domain::limits::{SOURCE_LEN_BYTES_MAX, UPLOAD_PART_BYTES_MAX, UPLOAD_PART_BYTES_MIN};

    #[test]
    fn parts_hold_the_largest_source() {
        let all: u64 = (1..=UPLOAD_PARTS_MAX).map(|number| part_bytes(number) as u64).sum();
        assert!(all >= SOURCE_LEN_BYTES_MAX, "{all}");
        let largest = part_bytes(UPLOAD_PARTS_MAX) as u64;
        assert!(largest <= UPLOAD_PART_BYTES_MAX && PART_BYTES as u64 >= UPLOAD_PART_BYTES_MIN, "{largest}");
    }
}
