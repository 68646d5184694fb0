//! Objects of revisions: removed by folder, and copied so that a new revision begins with an older one's chunks.

use bytes::Bytes;
use mcsp_domain::{ContentId, ObjectKey, Plan, PlanId, Revision, limits};
use mcsp_runtime::{Etag, ObjectStore, PutIf, StoreError};

use super::error::ContentError;

/// Bytes of an object that a copy holds at once.
const PIECE_BYTES: u64 = 4 << 20;

/// Where one plan's work lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct WorkFolder {
    pub(super) content: ContentId,
    pub(super) revision: Revision,
    pub(super) plan: PlanId,
}

/// Returns the folder of a revision below `work` or `media`.
pub(super) fn revision_folder(root: &str, content: ContentId, revision: Revision) -> ObjectKey {
    named(&format!("{root}/{content}/{revision}"))
}

/// Returns the folder of a content's uploads.
pub(super) fn uploads_folder(content: ContentId) -> ObjectKey {
    named(&format!("uploads/{content}"))
}

fn named(text: &str) -> ObjectKey {
    match ObjectKey::parse(text) {
        Ok(key) => key,
        Err(error) => unreachable!("ids and numbers make keys: {error}"),
    }
}

/// Removes everything in a folder but one object; returns how many objects went.
///
/// # Errors
/// When the store fails; what was removed until then stays so.
pub(super) async fn remove_folder(
    store: &dyn ObjectStore,
    folder: &ObjectKey,
    keep: Option<&ObjectKey>,
) -> Result<u64, StoreError> {
    let mut removed = 0;
    let mut after = None;
    loop {
        let keys = store.list(folder, after.as_ref()).await?;
        for key in keys.iter().filter(|key| Some(*key) != keep) {
            store.delete(key).await?;
            removed += 1;
        }
        if keys.len() < limits::OBJECTS_LISTED_MAX {
            return Ok(removed);
        }
        after = keys.last().cloned();
    }
}

/// Copies a plan and all its complete chunks to another plan's folder. A chunk's report comes last, so that a chunk with one
/// is complete; chunks that are not whole at the source are left out and will be made. Returns how many were copied, nothing
/// where there is no plan to copy.
///
/// # Errors
/// When the store fails; copying again goes on.
pub(super) async fn copy_work(
    store: &dyn ObjectStore,
    from: WorkFolder,
    to: WorkFolder,
) -> Result<Option<usize>, ContentError> {
    let text = match store.get(&from.key(&ObjectKey::plan())).await {
        Err(StoreError::NotFound { .. }) => return Ok(None),
        text => text?,
    };
    let Ok(mut plan) = serde_json::from_slice::<Plan>(&text) else { return Ok(None) };
    let mut copied = 0;
    for chunk in &plan.chunks {
        let report = ObjectKey::chunk_report(chunk.index);
        if store.head(&from.key(&report)).await?.is_none() {
            continue;
        }
        for variant in plan.ladder.variants() {
            let key = ObjectKey::chunk(variant.name(), chunk.index);
            copy(store, &from.key(&key), &to.key(&key)).await?;
        }
        copied += usize::from(copy(store, &from.key(&report), &to.key(&report)).await?);
    }
    plan.id = to.plan;
    let text = serde_json::to_vec(&plan).unwrap_or_default();
    assert!(!text.is_empty(), "a plan that was read fails to serialise");
    store.put(&to.key(&ObjectKey::plan()), Bytes::from(text), PutIf::Absent).await?;
    Ok(Some(copied))
}

impl WorkFolder {
    fn key(&self, inner: &ObjectKey) -> ObjectKey {
        match ObjectKey::work(self.content, self.revision, self.plan).join(inner) {
            Ok(key) => key,
            Err(error) => unreachable!("ids and the keys of chunks are short: {error}"),
        }
    }
}

/// Copies one object piece by piece; returns whether it was there.
async fn copy(store: &dyn ObjectStore, from: &ObjectKey, to: &ObjectKey) -> Result<bool, StoreError> {
    let Some(meta) = store.head(from).await? else { return Ok(false) };
    if store.head(to).await?.is_some() {
        return Ok(true);
    }
    match copy_pieces(store, from, to, meta.len_bytes, &meta.etag).await {
        // A sweep has taken it meanwhile.
        Err(StoreError::NotFound { .. } | StoreError::Replaced { .. }) => Ok(false),
        copied => copied.map(|()| true),
    }
}

async fn copy_pieces(
    store: &dyn ObjectStore,
    from: &ObjectKey,
    to: &ObjectKey,
    len_bytes: u64,
    etag: &Etag,
) -> Result<(), StoreError> {
    let mut upload = store.begin(to).await?;
    let mut at = 0;
    while at < len_bytes {
        let piece = store.get_range(from, at..(at + PIECE_BYTES).min(len_bytes), Some(etag)).await?;
        at += piece.len() as u64;
        upload.write(piece).await?;
    }
    upload.finish(PutIf::Absent).await?;
    Ok(())
}
