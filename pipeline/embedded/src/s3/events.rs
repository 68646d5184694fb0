//! Hands announcements of stored objects to their consumer.

use std::future::Future;
use std::time::Duration;

use futures_util::future::select_all;
use mcsp_domain::{Bucket, ObjectKey};
use mcsp_runtime::Etag;

use super::S3Endpoint;
use crate::file_store::FileStore;
use crate::file_store::about::Identity;
use crate::file_store::spool::{Announcement, CreatedBy, acknowledge};

/// Announcements read at a time.
const READ_MAX: usize = 1000;
/// How soon announcements are looked at again that another process wrote, or whose consumer failed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// An object that a client stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectCreated {
    /// Its bucket.
    pub bucket: Bucket,
    /// Its key.
    pub key: ObjectKey,
    /// Its tag.
    pub etag: Etag,
    /// Its bytes.
    pub len_bytes: u64,
    /// How it came to be.
    pub by: CreatedBy,
    /// When, in microseconds since 1970.
    pub at_us: i64,
}

impl S3Endpoint {
    /// Tells `handle` of each stored object, the oldest of a bucket first, until dropped. One that `handle` fails is told
    /// again, and so may one be whose process died: the consumer must know an object twice when it sees it.
    ///
    /// # Errors
    /// When the folder of announcements cannot be read or written to.
    pub async fn deliver<F, E>(&self, handle: impl Fn(ObjectCreated) -> F) -> std::io::Result<()>
    where
        F: Future<Output = Result<(), E>>,
        E: std::fmt::Display,
    {
        if !self.options.announce {
            return Err(std::io::Error::other("the S3 endpoint was set up without announcements"));
        }
        loop {
            let mut more = false;
            let added: Vec<_> =
                self.buckets.values().map(|store| Box::pin(store.inner.spool.added.notified())).collect();
            for (bucket, store) in self.buckets.iter() {
                more |= deliver_bucket(bucket, store, &handle).await?;
            }
            if added.is_empty() {
                return std::future::pending().await;
            }
            if more {
                continue;
            }
            let _ = tokio::time::timeout(LOOK_AGAIN, select_all(added)).await;
        }
    }
}

/// Answers whether more announcements wait.
async fn deliver_bucket<F, E>(
    bucket: &Bucket,
    store: &FileStore,
    handle: &impl Fn(ObjectCreated) -> F,
) -> std::io::Result<bool>
where
    F: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    let inner = std::sync::Arc::clone(&store.inner);
    let ready = tokio::task::spawn_blocking(move || {
        inner.spool.ready(READ_MAX, |event| {
            let now = std::fs::metadata(inner.path(&event.key));
            now.is_ok_and(|meta| Identity::of(&meta) == event.identity)
        })
    });
    let mut taken_up = 0;
    for (path, announcement) in ready.await.unwrap_or_else(|join| Err(std::io::Error::other(join)))? {
        let Announcement { by, key, etag, at_us, identity } = announcement;
        let created = ObjectCreated { bucket: bucket.clone(), key, etag, len_bytes: identity.len_bytes, by, at_us };
        let key = created.key.clone();
        match handle(created).await {
            Ok(()) => {
                acknowledge(&path)?;
                taken_up += 1;
            }
            Err(error) => tracing::warn!(%bucket, %key, %error, "a stored object was not taken up, it is told again"),
        }
    }
    Ok(taken_up == READ_MAX)
}
