//! The assemble stage: when a variant's last chunk is stored, its ordered chunk objects are a rendition.

use mcsp_domain::{Chunk, ObjectKey, Plan, RenditionName};
use mcsp_runtime::{ObjectStore, StageError};

use crate::transcode::{ChunkReport, stored_report};

/// A complete clear rendition: what the packager takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClearRendition {
    /// Its name.
    pub name: RenditionName,
    /// Its chunk objects in order, each with its chunk's index.
    pub objects: Vec<(u16, ObjectKey)>,
}

/// Returns a chunk of a plan that is not stored yet, the last one first: workers take the lowest chunk first, so that one
/// look at the store is enough until the end is near.
///
/// # Errors
/// When the store fails.
pub async fn missing_chunk(plan: &Plan, store: &dyn ObjectStore) -> Result<Option<u32>, StageError> {
    for chunk in plan.chunks.iter().rev() {
        if store.head(&ObjectKey::chunk_report(chunk.index)).await?.is_none() {
            return Ok(Some(chunk.index));
        }
    }
    Ok(None)
}

/// Returns every rendition of a plan whose chunks are all stored, with the chunks' reports.
///
/// # Errors
/// `Reject` when a chunk is missing or an object is not there, `Retry` when the store failed.
pub async fn assemble(
    plan: &Plan,
    store: &dyn ObjectStore,
) -> Result<(Vec<ClearRendition>, Vec<ChunkReport>), StageError> {
    assemble_chunks(plan, &plan.chunks, store).await
}

/// Returns the beginnings of a plan's renditions, as far as some of its first chunks, which are all stored, reach.
///
/// # Errors
/// As `assemble`, and when a variant has no frame in those chunks.
pub async fn assemble_beginning(
    plan: &Plan,
    chunk_count: usize,
    store: &dyn ObjectStore,
) -> Result<Vec<ClearRendition>, StageError> {
    let chunks = plan.chunks.get(..chunk_count).unwrap_or(&plan.chunks);
    assemble_chunks(plan, chunks, store).await.map(|(renditions, _)| renditions)
}

async fn assemble_chunks(
    plan: &Plan,
    chunks: &[Chunk],
    store: &dyn ObjectStore,
) -> Result<(Vec<ClearRendition>, Vec<ChunkReport>), StageError> {
    let mut reports = Vec::new();
    for chunk in chunks {
        let report = stored_report(chunk, store).await?;
        reports.push(report.ok_or_else(|| StageError::refuse(format!("chunk {} is not transcoded", chunk.index)))?);
    }
    let mut renditions = Vec::new();
    for (variant, index) in plan.ladder.variants().iter().zip(0_u16..) {
        let mut objects = Vec::new();
        for report in reports.iter().filter(|report| report.tracks.iter().any(|track| track.variant == index)) {
            let key = ObjectKey::chunk(variant.name(), report.chunk);
            if store.head(&key).await?.is_none() {
                return Err(StageError::refuse(format!("chunk object {key} is missing")));
            }
            objects.push((u16::try_from(report.chunk).unwrap_or(u16::MAX), key));
        }
        if objects.is_empty() {
            return Err(StageError::refuse(format!("variant {} has no chunk", variant.name())));
        }
        renditions.push(ClearRendition { name: variant.name().clone(), objects });
    }
    Ok((renditions, reports))
}
