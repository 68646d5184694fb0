//! The DRM packager as a stage: when all variants of a plan are complete, keys come from the licence service, segments and
//! manifests are written beside each other, and one event says so. Chunks that come before that are packaged as the film's
//! beginning (`early.rs`), so that it can be watched while the rest is made.

mod early;

use std::sync::Mutex;

use mcsp_domain::{ObjectKey, Plan, Protection, Scheme};
use mcsp_events::{Asset, ChunkTranscoded, DrmPackaged, Outgoing, Topic, TranscodingCompleted, inputs};
use mcsp_grpc::licence::v1 as grpc;
use mcsp_grpc::licence::v1::licence_client::LicenceClient;
use mcsp_runtime::stage::{Context, Stage};
use mcsp_runtime::{ObjectStore, PutIf, StageError};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::assemble::{assemble, missing_chunk};
use crate::package::{PackageOrder, PackagedRendition, package_rest};
use crate::progress::Progress;
use crate::stores::Stores;
use early::Begun;

inputs! {
    /// What the packager hears.
    pub enum Packable { Completed(TranscodingCompleted), Chunk(ChunkTranscoded) }
}

/// The client of the licence service, in this process or on another node.
pub type Licence = LicenceClient<Channel>;

/// The stage.
pub struct DrmPackager {
    stores: Stores,
    licence: Licence,
    /// Beginnings that were packaged: their next chunks follow.
    begun: Mutex<Vec<Begun>>,
}

impl DrmPackager {
    /// Makes the stage.
    pub fn new(stores: Stores, licence: Licence) -> Self {
        Self { stores, licence, begun: Mutex::new(Vec::new()) }
    }

    async fn completed(&self, event: TranscodingCompleted, cx: &Context) -> Result<Vec<Outgoing>, StageError> {
        let plan = self.stores.plan(&event.asset, event.plan).await?;
        let work = self.stores.work(&event.asset, event.plan)?;
        if missing_chunk(&plan, work.as_ref()).await?.is_some() {
            // The variant whose completion comes last finds all of them.
            return Ok(Vec::new());
        }
        let target = self.stores.package(&event.asset, event.plan)?;
        let renditions = match packaged_before(target.as_ref()).await? {
            Some(renditions) => renditions,
            None => self.package(&event, &plan, work.as_ref(), target.as_ref(), cx).await?,
        };
        self.forget(plan.id);
        let folder = ObjectKey::package(event.asset.content, event.asset.revision, plan.id);
        let inside = |key: ObjectKey| {
            folder.join(&key).map_err(|error| StageError::reject("the package's key is too long", error))
        };
        let packaged = DrmPackaged {
            hls: inside(ObjectKey::multivariant_playlist())?,
            dash: inside(ObjectKey::mpd())?,
            folder,
            plan: plan.id,
            scheme: plan.scheme.map(|scheme| scheme.to_string()),
            kids: kids(&renditions),
            bytes: renditions.iter().map(|rendition| rendition.bytes).sum(),
            duration_ms: duration_ms(&renditions),
            asset: event.asset,
        };
        Ok(vec![Outgoing::once(plan.id.as_bytes(), "packaged", &packaged)])
    }

    async fn package(
        &self,
        event: &TranscodingCompleted,
        plan: &Plan,
        work: &dyn ObjectStore,
        target: &dyn ObjectStore,
        cx: &Context,
    ) -> Result<Vec<PackagedRendition>, StageError> {
        let (renditions, _) = assemble(plan, work).await?;
        let protection = match plan.scheme {
            Some(scheme) => Some(self.protection(&event.asset, plan, scheme).await?),
            None => None,
        };
        let on = |progress: Progress<'_>| {
            if let Progress::Packaged { done, total } = progress {
                let permille = u16::try_from(done * 1000 / total.max(1)).unwrap_or(1000);
                cx.progress(permille, "packaging");
            }
        };
        let order = PackageOrder { grid: plan.grid, protection: protection.as_ref() };
        let packaged = package_rest(&renditions, order, work, target, &on).await?;
        let text = serde_json::to_vec_pretty(&packaged)
            .map_err(|error| StageError::reject("the package's report failed to serialise", error))?;
        target.put(&ObjectKey::package_report(), text.into(), PutIf::Always).await?;
        Ok(packaged)
    }

    /// Asks the licence service for the plan's keys.
    async fn protection(&self, asset: &Asset, plan: &Plan, scheme: Scheme) -> Result<Protection, StageError> {
        let request = grpc::GetOrCreateKeysRequest::of(plan, asset.content, scheme);
        // A client is a handle on one connection: a clone of it shares that.
        let answer = self.licence.clone().get_or_create_keys(request).await.map_err(refused)?;
        let protection = answer.into_inner().into_protection(scheme);
        protection.map_err(|error| StageError::reject("the licence service's answer is not what was asked", error))
    }
}

/// Sorts the licence service's refusals: a revoked plan or a damaged key stays so.
fn refused(status: Status) -> StageError {
    let what = "the licence service gave no keys";
    match status.code() {
        Code::FailedPrecondition | Code::DataLoss | Code::InvalidArgument | Code::NotFound | Code::Unimplemented => {
            StageError::reject(what, status)
        }
        _ => StageError::retry(what, status),
    }
}

impl Stage for DrmPackager {
    const NAME: &'static str = "drm-packager";
    const GROUP: &'static str = "drm-packager";
    type Input = Packable;
    const OUTPUTS: &'static [Topic] = &[Topic::DrmPackaged];

    async fn handle(&self, input: Packable, cx: &Context) -> Result<Vec<Outgoing>, StageError> {
        match input {
            Packable::Completed(event) => self.completed(event, cx).await,
            Packable::Chunk(event) => {
                self.chunk(event).await;
                Ok(Vec::new())
            }
        }
    }
}

/// Returns what an earlier run packaged whole.
async fn packaged_before(target: &dyn ObjectStore) -> Result<Option<Vec<PackagedRendition>>, StageError> {
    let key = ObjectKey::package_report();
    if target.head(&key).await?.is_none() {
        return Ok(None);
    }
    let text = target.get(&key).await?;
    let parsed = serde_json::from_slice(&text);
    parsed.map(Some).map_err(|error| StageError::reject(format!("{key} is damaged"), error))
}

fn kids(renditions: &[PackagedRendition]) -> Vec<String> {
    let mut kids: Vec<String> = renditions.iter().filter_map(|rendition| rendition.kid.clone()).collect();
    kids.sort();
    kids.dedup();
    kids
}

/// Returns the length of the longest rendition.
fn duration_ms(renditions: &[PackagedRendition]) -> u64 {
    let longest_s = renditions.iter().map(|rendition| rendition.duration_s).fold(0.0, f64::max);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a film's length, never negative")]
    let duration_ms = (longest_s * 1000.0).round() as u64;
    duration_ms
}
