//! An object whose bytes come piece by piece from within the process.

use std::io::Write;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use mcsp_domain::ObjectKey;
use mcsp_runtime::{Put, PutIf, StoreError, Upload};

use super::unfinished::{Target, Unfinished};
use super::{Inner, blocking_io, io_error};

pub(super) struct FileUpload {
    inner: Arc<Inner>,
    key: ObjectKey,
    /// Gone while a write runs, and for good where one failed or was cut off.
    unfinished: Option<Unfinished>,
}

impl FileUpload {
    pub(super) fn new(inner: Arc<Inner>, key: ObjectKey, unfinished: Unfinished) -> Self {
        Self { inner, key, unfinished: Some(unfinished) }
    }

    fn take(&mut self) -> Result<Unfinished, StoreError> {
        self.unfinished.take().ok_or_else(|| io_error("go on with", &self.key)(std::io::ErrorKind::BrokenPipe.into()))
    }
}

#[async_trait]
impl Upload for FileUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        let mut unfinished = self.take()?;
        let written = blocking_io("write", &self.key, move || {
            unfinished.file.write_all(&bytes)?;
            Ok(unfinished)
        });
        self.unfinished = Some(written.await?);
        Ok(())
    }

    async fn finish(mut self: Box<Self>, condition: PutIf) -> Result<Put, StoreError> {
        let (inner, key, unfinished) = (Arc::clone(&self.inner), self.key.clone(), self.take()?);
        blocking_io("finish", &self.key, move || {
            inner.install(unfinished, &Target { key: &key, condition: &condition, about: None, announce: None })
        })
        .await
    }
}
