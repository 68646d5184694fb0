//! The library as it is stored: one object a reference, one immutable index of all of them, and a pointer that names it. Every
//! change stores or deletes references first, then builds an index of what is there and swings the pointer from exactly the
//! one that was read before; whoever comes second builds again and finds both changes.

use std::sync::Arc;

use anyhow::{Context, bail};
use bytes::Bytes;
use mcsp_domain::{Digest, ObjectKey, ReferenceId, limits};
use mcsp_fingerprint::{IndexBuilder, LibraryPointer, Reference};
use mcsp_runtime::{ObjectStore, Put, PutIf, StoreError, now_us};
use sha2::Digest as _;

/// Builds of one change, where others change the library at the same time.
const BUILDS_MAX: u32 = 16;
/// How long a replaced index stays, since workers may be about to read it: 1 h.
const INDEX_KEPT_US: i64 = 3600 * 1_000_000;

/// The library in its bucket.
pub(crate) struct Shelf {
    store: Arc<dyn ObjectStore>,
}

impl Shelf {
    /// Opens the library in the bucket it lies in.
    pub(crate) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store }
    }

    /// Adds a reference and makes it known.
    ///
    /// # Errors
    /// When the store fails, or the library is changed by others all the time.
    pub(crate) async fn add(&self, reference: &Reference) -> anyhow::Result<LibraryPointer> {
        let key = ObjectKey::library_reference(reference.asset.id);
        let stored = self.store.put(&key, Bytes::from(reference.to_bytes()?), PutIf::Absent).await?;
        if stored == Put::Kept {
            bail!("reference {} is in the library already", reference.asset.id);
        }
        self.rebuild().await
    }

    /// Removes references and makes that known.
    ///
    /// # Errors
    /// When one is not in the library, before any is removed; when the store fails.
    pub(crate) async fn remove(&self, references: &[ReferenceId]) -> anyhow::Result<LibraryPointer> {
        for reference in references {
            let found = self.store.head(&ObjectKey::library_reference(*reference)).await?;
            found.with_context(|| format!("reference {reference} is not in the library"))?;
        }
        for reference in references {
            self.store.delete(&ObjectKey::library_reference(*reference)).await?;
        }
        self.rebuild().await
    }

    /// Returns every reference, by id.
    ///
    /// # Errors
    /// When the store fails or an object is damaged.
    pub(crate) async fn references(&self) -> anyhow::Result<Vec<Reference>> {
        let mut references = Vec::new();
        for key in self.keys("library/references").await? {
            let bytes = match self.store.get(&key).await {
                Ok(bytes) => bytes,
                // Removed since it was listed.
                Err(StoreError::NotFound { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            references.push(Reference::from_bytes(&bytes).with_context(|| format!("object {key}"))?);
        }
        references.sort_by_key(|reference| reference.asset.id);
        Ok(references)
    }

    async fn pointer(&self) -> anyhow::Result<Option<LibraryPointer>> {
        let key = ObjectKey::library_pointer();
        match self.store.get(&key).await {
            Ok(text) => Ok(Some(LibraryPointer::parse(&text).with_context(|| format!("object {key}"))?)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Builds an index of what is there, and swings the pointer to it.
    async fn rebuild(&self) -> anyhow::Result<LibraryPointer> {
        let key = ObjectKey::library_pointer();
        for _ in 0..BUILDS_MAX {
            // The tag is read before the references: what others add later changes it.
            let condition = match self.store.head(&key).await? {
                Some(meta) => PutIf::Matches(meta.etag),
                None => PutIf::Absent,
            };
            let references = self.references().await?;
            let built = tokio::task::spawn_blocking(move || build(&references)).await??;
            let pointer = LibraryPointer {
                index: Digest::from_bytes(sha2::Sha256::digest(&built.bytes).into()),
                len_bytes: built.bytes.len() as u64,
                references: built.references,
                built_us: now_us(),
            };
            // Written again where it is there, so that no sweep takes it for an old one.
            self.store.put(&pointer.key(), built.bytes, PutIf::Always).await?;
            if self.store.put(&key, Bytes::from(pointer.to_json()), condition).await? != Put::Kept {
                self.sweep().await?;
                return Ok(pointer);
            }
        }
        bail!("the library was changed by others {BUILDS_MAX} times meanwhile: the references are stored, try again")
    }

    /// Deletes indexes that were replaced a while ago.
    async fn sweep(&self) -> anyhow::Result<()> {
        for key in self.keys("library").await? {
            if !key.as_str().starts_with("library/index-") {
                continue;
            }
            let meta = self.store.head(&key).await?;
            let is_old = meta.is_some_and(|meta| now_us().saturating_sub(meta.modified_us) > INDEX_KEPT_US);
            let current = self.pointer().await?.map(|pointer| pointer.key());
            if is_old && current.is_some_and(|current| current != key) {
                self.store.delete(&key).await?;
            }
        }
        Ok(())
    }

    async fn keys(&self, prefix: &str) -> anyhow::Result<Vec<ObjectKey>> {
        let prefix = ObjectKey::parse(prefix)?;
        let mut keys: Vec<ObjectKey> = Vec::new();
        loop {
            let listed = self.store.list(&prefix, keys.last()).await?;
            let is_last = listed.len() < limits::OBJECTS_LISTED_MAX;
            keys.extend(listed);
            if is_last {
                return Ok(keys);
            }
        }
    }
}

struct Built {
    bytes: Bytes,
    references: u32,
}

fn build(references: &[Reference]) -> anyhow::Result<Built> {
    let mut builder = IndexBuilder::new();
    for reference in references {
        builder.add_reference(reference)?;
    }
    Ok(Built { bytes: Bytes::from(builder.build()), references: u32::try_from(references.len())? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcsp_embedded::{Durability, FileStore};
    use mcsp_fingerprint::{AudioMark, Fingerprint, Index, ReferenceAsset, RightsPolicy};

    fn reference(number: u64) -> Reference {
        let audio = (0..20).map(|frame| AudioMark { frame, term: 77 + frame }).collect();
        Reference {
            asset: ReferenceAsset {
                id: ReferenceId::new(number, &[1; 10]),
                title: format!("film {number}"),
                owner: "a studio".to_owned(),
                duration_ms: 1000,
                policy: RightsPolicy::default(),
            },
            fingerprint: Fingerprint { video: Vec::new(), audio },
        }
    }

    fn shelf() -> (tempfile::TempDir, Shelf) {
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::open(folder.path(), Durability::Process).unwrap();
        (folder, Shelf::new(Arc::new(store)))
    }

    async fn titles(shelf: &Shelf) -> Vec<String> {
        let Some(pointer) = shelf.pointer().await.unwrap() else { return Vec::new() };
        let bytes = shelf.store.get(&pointer.key()).await.unwrap();
        assert_eq!(pointer.len_bytes, bytes.len() as u64);
        let index = Index::open(&bytes).unwrap();
        (0..index.asset_count()).map(|asset| index.asset(asset).unwrap().title).collect()
    }

    #[tokio::test]
    async fn what_is_added_is_known_until_it_is_removed() {
        let (_folder, shelf) = shelf();
        assert_eq!(titles(&shelf).await, Vec::<String>::new());
        for number in 1..3 {
            shelf.add(&reference(number)).await.unwrap();
        }
        assert_eq!(titles(&shelf).await, ["film 1", "film 2"]);
        assert!(shelf.add(&reference(2)).await.unwrap_err().to_string().ends_with("is in the library already"));
        let pointer = shelf.remove(&[reference(1).asset.id]).await.unwrap();
        assert_eq!((pointer.references, titles(&shelf).await), (1, vec!["film 2".to_owned()]));
        let unknown = shelf.remove(&[reference(2).asset.id, reference(9).asset.id]).await.unwrap_err();
        assert!(unknown.to_string().ends_with("is not in the library"));
        assert_eq!(titles(&shelf).await, ["film 2"]);
    }

    #[tokio::test]
    async fn changes_at_the_same_time_are_all_kept() {
        let (_folder, shelf) = shelf();
        let references: Vec<Reference> = (1..7).map(reference).collect();
        let (a, b, c) = tokio::join!(
            async { (shelf.add(&references[0]).await, shelf.add(&references[1]).await) },
            async { (shelf.add(&references[2]).await, shelf.add(&references[3]).await) },
            async { (shelf.add(&references[4]).await, shelf.add(&references[5]).await) },
        );
        for added in [a.0, a.1, b.0, b.1, c.0, c.1] {
            added.unwrap();
        }
        assert_eq!(titles(&shelf).await.len(), 6);
    }
}
