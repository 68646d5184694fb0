//! Early playback: as soon as the first chunks of a film are stored, they are packaged, and again as more follow in order.
//! Nothing waits for this and nothing fails with it: the whole package is made either way.

use std::sync::{Arc, MutexGuard, PoisonError};

use mcsp_domain::{ObjectKey, Plan, PlanId};
use mcsp_events::ChunkTranscoded;
use mcsp_runtime::{ObjectStore, StageError};

use super::DrmPackager;
use crate::assemble::assemble_beginning;
use crate::orchestrate::has_frames;
use crate::package::{Beginning, PackageOrder, package_beginning};

/// Films whose beginning is remembered; one that is forgotten is looked up in the store.
const BEGUN_MAX: usize = 16;
/// A beginning is packaged again when it has grown by this share, so that a long film's is not planned for every chunk.
const GROWTH_SHARE: usize = 16;

/// How far a film's beginning is.
#[derive(Clone)]
pub(super) struct Begun {
    plan: Arc<Plan>,
    /// Chunks that may count as beginning.
    chunks_max: usize,
    /// Chunks in order that are stored.
    stored: usize,
    /// Chunks that are packaged.
    packaged: usize,
    beginning: Beginning,
}

impl Begun {
    fn new(plan: Plan) -> Self {
        let chunks_max = chunks_max(&plan);
        Self { plan: Arc::new(plan), chunks_max, stored: 0, packaged: 0, beginning: Beginning::default() }
    }
}

impl DrmPackager {
    /// Packages what there is of a film in order, when that is more than before.
    pub(super) async fn chunk(&self, event: ChunkTranscoded) {
        // Of a film of one chunk, the beginning is the whole.
        if event.chunk_count < 2 {
            return;
        }
        if let Err(error) = self.begin(&event).await {
            let (content, plan, error) = (event.asset.content, event.plan, error.chain());
            tracing::warn!(%content, %plan, error, "the beginning could not be packaged");
        }
    }

    async fn begin(&self, event: &ChunkTranscoded) -> Result<(), StageError> {
        let known = self.begun().iter().find(|begun| begun.plan.id == event.plan).cloned();
        let mut begun = match known {
            Some(begun) => begun,
            None => Begun::new(self.stores.plan(&event.asset, event.plan).await?),
        };
        let work = self.stores.work(&event.asset, event.plan)?;
        begun.stored = stored(work.as_ref(), begun.stored, begun.chunks_max).await?;
        if begun.stored > begun.packaged + begun.packaged / GROWTH_SHARE {
            self.package_begun(event, &mut begun, work.as_ref()).await?;
        }
        self.remember(begun);
        Ok(())
    }

    async fn package_begun(
        &self,
        event: &ChunkTranscoded,
        begun: &mut Begun,
        work: &dyn ObjectStore,
    ) -> Result<(), StageError> {
        let plan = Arc::clone(&begun.plan);
        let target = self.stores.package(&event.asset, plan.id)?;
        let last = plan.chunks.len().saturating_sub(1);
        if target.head(&ObjectKey::package_report()).await?.is_some() || is_stored(work, last).await? {
            // The whole is there, or comes next.
            return Ok(());
        }
        let renditions = assemble_beginning(&plan, begun.stored, work).await?;
        let protection = match plan.scheme {
            Some(scheme) => Some(self.protection(&event.asset, &plan, scheme).await?),
            None => None,
        };
        let order = PackageOrder { grid: plan.grid, protection: protection.as_ref() };
        let now_us = mcsp_runtime::now_us();
        begun.beginning =
            package_beginning(&renditions, order, work, target.as_ref(), &begun.beginning, now_us).await?;
        begun.packaged = begun.stored;
        tracing::debug!(content = %event.asset.content, plan = %plan.id, chunks = begun.packaged, "beginning packaged");
        Ok(())
    }

    fn begun(&self) -> MutexGuard<'_, Vec<Begun>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, begun: Begun) {
        self.forget(begun.plan.id);
        let mut all = self.begun();
        if all.len() >= BEGUN_MAX {
            all.remove(0);
        }
        all.push(begun);
    }

    /// Forgets a film whose whole is packaged.
    pub(super) fn forget(&self, plan: PlanId) {
        self.begun().retain(|begun| begun.plan.id != plan);
    }
}

/// Returns how many chunks may count as beginning: those before the first that lacks a variant, and one less, because where a
/// rendition ends, its last segments are cut in another way.
fn chunks_max(plan: &Plan) -> usize {
    let variants = plan.ladder.variants();
    let is_full = |chunk: &&mcsp_domain::Chunk| variants.iter().all(|variant| has_frames(chunk, variant));
    plan.chunks.iter().take_while(is_full).count().saturating_sub(1)
}

/// Returns how many chunks in order are stored, of which `from` are known to be.
async fn stored(work: &dyn ObjectStore, from: usize, chunks_max: usize) -> Result<usize, StageError> {
    let mut count = from;
    while count < chunks_max && is_stored(work, count).await? {
        count += 1;
    }
    Ok(count)
}

async fn is_stored(work: &dyn ObjectStore, chunk: usize) -> Result<bool, StageError> {
    let index = u32::try_from(chunk).unwrap_or(u32::MAX);
    Ok(work.head(&ObjectKey::chunk_report(index)).await?.is_some())
}
