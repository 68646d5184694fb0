//! Clear chunk objects as films: a whole rendition as one fragmented file, and the one chunk that a poster is taken from.

use std::sync::Arc;

use mcsp_domain::{ObjectKey, Plan, VideoVariant};
use mcsp_runtime::{ObjectStore, StageError};
use mcsp_sandbox::{Piece, Source};

use crate::assemble::ClearRendition;

/// Bytes at the start of a chunk object among which its header ends: `ftyp` and `moov` of one track have some hundred.
const HEADER_BYTES_MAX: u64 = 256 << 10;
/// The longer side of a rendition that is large enough for a poster.
const POSTER_EDGE_PX: u32 = 1280;

/// Returns the rendition with the fewest pixels.
pub(super) fn smallest<'a>(plan: &Plan, renditions: &'a [ClearRendition]) -> Option<&'a ClearRendition> {
    let smallest = plan.ladder.video().min_by_key(|video| u64::from(video.width_px) * u64::from(video.height_px))?;
    named(renditions, smallest)
}

/// Returns the chunk that an instant lies in, of the largest rendition that a poster needs: its start and its object.
pub(super) fn poster_chunk(plan: &Plan, renditions: &[ClearRendition], at_ms: u64) -> Option<(u64, ObjectKey)> {
    let longer = |video: &VideoVariant| video.width_px.max(video.height_px);
    let fitting = plan.ladder.video().filter(|video| longer(video) <= POSTER_EDGE_PX).max_by_key(|video| longer(video));
    let chosen = fitting.or_else(|| plan.ladder.video().min_by_key(|video| longer(video)))?;
    let rendition = named(renditions, chosen)?;
    let start_ms = |index: u16| {
        let chunk = plan.chunks.get(usize::from(index))?;
        Some(chunk.first_segment.saturating_mul(plan.grid.segment_ms().into()))
    };
    let mut started = rendition.objects.iter().filter_map(|(index, key)| Some((start_ms(*index)?, key.clone())));
    started.rfind(|(start_ms, _)| *start_ms <= at_ms)
}

fn named<'a>(renditions: &'a [ClearRendition], video: &VideoVariant) -> Option<&'a ClearRendition> {
    renditions.iter().find(|rendition| rendition.name == video.name)
}

/// Returns one object as a source.
pub(super) async fn whole(key: ObjectKey, store: Arc<dyn ObjectStore>) -> Result<Source, StageError> {
    let len_bytes = len_bytes(&key, store.as_ref()).await?;
    Ok(Source::Object { store, key, len_bytes, etag: None })
}

/// Returns a rendition as one source: its first chunk whole, and the fragments of all others.
pub(super) async fn join(rendition: &ClearRendition, store: Arc<dyn ObjectStore>) -> Result<Source, StageError> {
    let mut pieces = Vec::with_capacity(rendition.objects.len());
    for (_, key) in &rendition.objects {
        let end_bytes = len_bytes(key, store.as_ref()).await?;
        let start_bytes = if pieces.is_empty() { 0 } else { first_fragment(key, end_bytes, store.as_ref()).await? };
        pieces.push(Piece { key: key.clone(), start_bytes, end_bytes });
    }
    Ok(Source::joined(store, pieces))
}

async fn len_bytes(key: &ObjectKey, store: &dyn ObjectStore) -> Result<u64, StageError> {
    let meta = store.head(key).await?;
    meta.map(|meta| meta.len_bytes).ok_or_else(|| StageError::refuse(format!("chunk object {key} is missing")))
}

/// Returns where the first `moof` of a chunk object starts.
async fn first_fragment(key: &ObjectKey, len_bytes: u64, store: &dyn ObjectStore) -> Result<u64, StageError> {
    let head = store.get_range(key, 0..len_bytes.min(HEADER_BYTES_MAX), None).await?;
    let start = fragment_start(&head).and_then(|start| u64::try_from(start).ok());
    start.ok_or_else(|| StageError::refuse(format!("chunk object {key} has no fragment after its header")))
}

/// Walks top-level boxes (ISO/IEC 14496-12 §4.2) to the first `moof`.
fn fragment_start(bytes: &[u8]) -> Option<usize> {
    let mut offset = 0_usize;
    loop {
        let size = bytes.get(offset..)?.first_chunk().copied().map(u32::from_be_bytes)?;
        if bytes.get(offset.checked_add(4)?..)?.starts_with(b"moof") {
            return Some(offset);
        }
        // Our own headers have neither 64-bit sizes nor boxes to the end of the file.
        offset = offset.checked_add(usize::try_from(size).ok().filter(|size| *size >= 8)?)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_start_after_the_header() {
        let file = b"\0\0\0\x08ftyp\0\0\0\x0cmoov1234\0\0\0\x08moof";
        assert_eq!(fragment_start(file), Some(20));
        assert_eq!(fragment_start(&file[..20]), None);
        assert_eq!(fragment_start(b"\0\0\0\0ftyp\0\0\0\x08moof"), None);
    }
}
