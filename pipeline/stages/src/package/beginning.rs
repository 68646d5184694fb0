//! The beginning of a film, packaged while the rest is made: the segments of its first chunks, an EVENT playlist for each
//! rendition and a dynamic MPD. Segments are those of the whole film and first-wins. Manifests replace exactly what was
//! looked at, and only what says less: one that comes late never takes the place of a longer one or of the final one.

use bytes::Bytes;
use mcsp_domain::ObjectKey;
use mcsp_packager::manifest::{Presentation, dash, hls};
use mcsp_packager::plan::PackagePlan;
use mcsp_runtime::{ObjectStore, Put, PutIf, StageError, StoreError};
use tokio::runtime::Handle;

use super::{PackageOrder, inputs, load, write_segments};
use crate::assemble::ClearRendition;

/// Milliseconds that players wait before they look for more: a GOP.
pub const BEGINNING_UPDATE_MS: u64 = 2000;

/// What of a beginning is stored; an empty one looks at the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beginning {
    /// Bytes of every segment, by rendition.
    sizes: Vec<Vec<u64>>,
}

/// Packages the first chunks of a plan, behind which others follow in every rendition; `before` is what an earlier call with
/// fewer chunks returned. `now_us` is the wall clock.
///
/// # Errors
/// As `package`.
pub async fn package_beginning(
    renditions: &[ClearRendition],
    order: PackageOrder<'_>,
    from: &dyn ObjectStore,
    to: &dyn ObjectStore,
    before: &Beginning,
    now_us: i64,
) -> Result<Beginning, StageError> {
    let loaded = load(renditions, from).await?;
    let plan = PackagePlan::beginning(inputs(&loaded)?, order.grid, order.protection)
        .map_err(|error| StageError::reject("the beginning cannot be packaged", error))?;
    let runtime = Handle::current();
    let put = |key: &ObjectKey, bytes: Bytes| runtime.block_on(to.put(key, bytes, PutIf::Absent));
    let stored = |rendition: usize, segment: usize, key: &ObjectKey| match known(before, rendition, segment) {
        Some(len_bytes) => Ok(Some(len_bytes)),
        None => runtime.block_on(to.head(key)).map(|meta| meta.map(|meta| meta.len_bytes)),
    };
    tokio::task::block_in_place(|| {
        for rendition in plan.renditions() {
            put(&ObjectKey::init_segment(rendition.name()), Bytes::copy_from_slice(rendition.init()))?;
        }
        let sizes = write_segments(&plan, &put, &stored, &|_| {})?;
        runtime.block_on(write_manifests(&plan.presentation(&sizes), to, now_us))?;
        Ok(Beginning { sizes })
    })
}

fn known(before: &Beginning, rendition: usize, segment: usize) -> Option<u64> {
    before.sizes.get(rendition)?.get(segment).copied()
}

/// A manifest that would be written.
struct Manifest {
    key: ObjectKey,
    text: String,
}

/// Writes the manifests so far: all are looked at before the first is written, so that whoever wrote in between wins.
async fn write_manifests(presentation: &Presentation, to: &dyn ObjectStore, now_us: i64) -> Result<(), StageError> {
    let mut conditions = Vec::new();
    let manifests = manifests(presentation, now_us)?;
    for manifest in &manifests {
        match condition(manifest, to).await? {
            Some(condition) => conditions.push(condition),
            None => return Ok(()),
        }
    }
    let master = ObjectKey::multivariant_playlist();
    for (manifest, condition) in manifests.into_iter().zip(conditions) {
        // Players read the multivariant playlist once; the first is as good as a later one.
        let is_master = manifest.key == master;
        let put = to.put(&manifest.key, Bytes::from(manifest.text), condition).await?;
        if put == Put::Kept && !is_master {
            return Ok(());
        }
    }
    Ok(())
}

fn manifests(presentation: &Presentation, now_us: i64) -> Result<Vec<Manifest>, StageError> {
    let refuse = |error| StageError::reject("manifests cannot be written", error);
    let mut manifests = Vec::new();
    for (index, rendition) in presentation.renditions.iter().enumerate() {
        let text = hls::media_so_far(presentation, index).map_err(refuse)?;
        manifests.push(Manifest { key: ObjectKey::media_playlist(&rendition.name), text });
    }
    let text = hls::multivariant(presentation).map_err(refuse)?;
    manifests.push(Manifest { key: ObjectKey::multivariant_playlist(), text });
    let growing = dash::Growing { published_us: now_us, update_ms: BEGINNING_UPDATE_MS };
    manifests.push(Manifest { key: ObjectKey::mpd(), text: dash::mpd_so_far(presentation, growing).map_err(refuse)? });
    Ok(manifests)
}

/// Returns the condition under which a manifest may be written; nothing where what is there says more.
async fn condition(manifest: &Manifest, to: &dyn ObjectStore) -> Result<Option<PutIf>, StageError> {
    let key = &manifest.key;
    let Some(meta) = to.head(key).await? else { return Ok(Some(PutIf::Absent)) };
    if *key == ObjectKey::multivariant_playlist() {
        return Ok(Some(PutIf::Absent));
    }
    let there = match to.get_range(key, 0..meta.len_bytes, Some(&meta.etag)).await {
        Ok(bytes) => bytes,
        Err(StoreError::Replaced { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let says_more = says_more(&String::from_utf8_lossy(&there), &manifest.text);
    Ok((!says_more).then_some(PutIf::Matches(meta.etag)))
}

/// Returns whether the manifest that is there is final, or lists more segments.
fn says_more(there: &str, ours: &str) -> bool {
    let segments = |text: &str| text.matches("#EXTINF:").count();
    there.contains("#EXT-X-ENDLIST") || there.contains("type=\"static\"") || segments(there) > segments(ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_final_or_longer_manifest_stays() {
        let so_far = "#EXTINF:2,\n1\n#EXTINF:2,\n2\n";
        assert!(!says_more("", so_far) && !says_more("#EXTINF:2,\n1\n", so_far) && !says_more(so_far, so_far));
        assert!(says_more("#EXTINF:2,\n1\n#EXT-X-ENDLIST\n", so_far));
        assert!(says_more("#EXTINF:2,\n1\n#EXTINF:2,\n2\n#EXTINF:2,\n3\n", so_far));
        assert!(says_more("<MPD type=\"static\">", "<MPD type=\"dynamic\">"));
        assert!(!says_more("<MPD type=\"dynamic\">", "<MPD type=\"dynamic\">"));
    }
}
