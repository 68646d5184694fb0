//! The library of references as a worker holds it: one index, mapped or in memory, taken anew when its pointer changes.

use std::sync::Arc;

use bytes::Bytes;
use mcsp_domain::{Digest, ObjectKey, UserId};
use mcsp_fingerprint::matching::ALGORITHM;
use mcsp_fingerprint::{Fingerprint, FingerprintError, Index, LibraryPointer, RightsDecision, Verdict, decide};
use mcsp_runtime::{Etag, ObjectStore, StageError, StoreError};
use tokio::sync::Mutex;

use crate::map::Mapped;

/// Bytes of an index that a worker without a local store takes into memory: 20 million pictures.
const MEMORY_BYTES_MAX: u64 = 4 << 30;

/// The library; clones of what it holds are searched while it is exchanged.
pub struct Library {
    store: Arc<dyn ObjectStore>,
    held: Mutex<Option<Held>>,
}

struct Held {
    /// The pointer's tag.
    etag: Etag,
    index: Arc<IndexBytes>,
}

/// An index that was checked once.
enum IndexBytes {
    Mapped(Mapped),
    Memory(Bytes),
}

impl IndexBytes {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map.bytes(),
            Self::Memory(bytes) => bytes,
        }
    }
}

impl Library {
    /// Returns a library that is read when it is first asked.
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, held: Mutex::new(None) }
    }

    /// Compares a fingerprint with the library and decides; a library that is not there, or empty, clears.
    ///
    /// # Errors
    /// `Retry` when the store failed or the library is damaged: an operator can mend it, and no upload is to be lost by it.
    pub async fn decide(&self, fingerprint: Fingerprint, uploader: UserId) -> Result<RightsDecision, StageError> {
        let Some(index) = self.current().await? else { return Ok(cleared()) };
        let searched = tokio::task::spawn_blocking(move || {
            let matches = Index::reopen(index.bytes())?.search(&fingerprint)?;
            Ok::<_, FingerprintError>(decide(&matches, uploader))
        });
        let decision = searched.await.map_err(|error| StageError::retry("the search broke off", error))?;
        decision.map_err(|error| StageError::retry("the library is damaged", error))
    }

    /// Returns the index that the pointer names now.
    async fn current(&self) -> Result<Option<Arc<IndexBytes>>, StageError> {
        let key = ObjectKey::library_pointer();
        // One at a time: those who come meanwhile find what the first one took.
        let mut held = self.held.lock().await;
        let Some(meta) = self.store.head(&key).await? else {
            *held = None;
            return Ok(None);
        };
        if let Some(held) = held.as_ref().filter(|held| held.etag == meta.etag) {
            return Ok(Some(Arc::clone(&held.index)));
        }
        let text = match self.store.get_range(&key, 0..meta.len_bytes, Some(&meta.etag)).await {
            Ok(text) => text,
            Err(error @ StoreError::Replaced { .. }) => {
                return Err(StageError::retry("the library changed while it was read", error));
            }
            Err(error) => return Err(error.into()),
        };
        let damaged = |error| StageError::retry(format!("{key} is damaged"), error);
        let pointer = LibraryPointer::parse(&text).map_err(damaged)?;
        let index = Arc::new(self.take(&pointer).await?);
        *held = Some(Held { etag: meta.etag, index: Arc::clone(&index) });
        tracing::info!(index = %pointer.index, references = pointer.references, bytes = pointer.len_bytes, "library taken");
        Ok(Some(index))
    }

    /// Maps or fetches an index and checks it whole, once.
    async fn take(&self, pointer: &LibraryPointer) -> Result<IndexBytes, StageError> {
        let key = pointer.key();
        let bytes = match self.store.as_file(&key) {
            Some(path) => {
                let mapped = tokio::task::spawn_blocking(move || Mapped::open(&path)).await;
                let mapped = mapped.map_err(|error| StageError::retry("mapping the library broke off", error))?;
                IndexBytes::Mapped(mapped.map_err(|error| StageError::retry(format!("could not map {key}"), error))?)
            }
            None if pointer.len_bytes > MEMORY_BYTES_MAX => {
                let (bytes, max) = (pointer.len_bytes, MEMORY_BYTES_MAX);
                let why = format!("it has {bytes} bytes, {max} fit a worker without a local store");
                return Err(StageError::retry(format!("could not take {key}"), why));
            }
            None => IndexBytes::Memory(self.store.get(&key).await?),
        };
        let checked = tokio::task::spawn_blocking(move || Index::open(bytes.bytes()).map(drop).map(|()| bytes));
        let checked = checked.await.map_err(|error| StageError::retry("checking the library broke off", error))?;
        checked.map_err(|error| StageError::retry(format!("{key} is damaged"), error))
    }
}

/// What follows where there is nothing to compare with.
fn cleared() -> RightsDecision {
    RightsDecision {
        verdict: Verdict::Cleared,
        reason: "the library is empty".to_owned(),
        assets: Vec::new(),
        library: Digest::of(&[]),
        algorithm: ALGORITHM,
    }
}
