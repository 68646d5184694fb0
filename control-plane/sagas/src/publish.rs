//! `publish`: from cleared rights to a film that viewers see, or back to nothing. One saga a revision, `content:revision`.
//!
//! What the content service does with each fact, by the state of that revision's saga. A fact of another revision than the
//! content's current one is ignored in every state; a repeated fact is told again and changes nothing.
//!
//! | fact | not started | running | undoing | completed | rolled back |
//! |---|---|---|---|---|---|
//! | `media.copyright.cleared` | start | ignore | ignore | ignore | ignore |
//! | `media.transcoding.completed` | signal | signal | ignore | ignore | ignore |
//! | `media.drm.packaged` | signal | signal | ignore | ignore | ignore |
//! | `moderation.decided`, approved | signal | signal | ignore | ignore | ignore |
//! | `moderation.decided`, refused | cancel | cancel | ignore | ignore ¹ | ignore |
//! | `media.stage.failed`, awaited work ² | cancel | cancel | ignore | ignore | ignore |
//! | `media.stage.failed`, other work | ignore | ignore | ignore | ignore | ignore |
//! | `media.upload.blocked` | cancel | cancel | ignore | ignore ¹ | ignore |
//! | deletion, cancel by its owner | cancel | cancel | ignore | ignore ¹ | ignore |
//!
//! ¹ What is published is taken down by the takedown saga. ² Work that a step waits for, or that comes before all steps: the
//! scans of the upload, moderation's first look, planning, transcoding, packaging.
//! A refusal cancels at once: a film that nobody will see is not transcoded to its end. `react` is this table.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use mcsp_domain::{ContentId, ObjectKey, PlanId, Revision, UserId};
use mcsp_events::{
    Asset, CopyrightCleared, DrmPackaged, ModerationDecided, StageFailed, Topic, TranscodingCompleted, UploadBlocked,
};
use mcsp_runtime::saga::{SagaDefinition, Step, StepContext};
use mcsp_runtime::{SagaState, StageError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The saga's name.
pub const NAME: &str = "publish";
/// A variant is complete.
const COMPLETED: &str = "completed";
/// The packages are stored and checked.
const PACKAGED: &str = "packaged";
/// Moderation has approved.
const DECIDED: &str = "decided";

/// How long no variant may complete: all variants of a chunk are made together, so the first one of the longest film comes
/// when nearly all is done, and a processor takes some days for that.
const TRANSCODE_SILENCE: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long packaging may take: it moves bytes, where transcoding computes.
const PACKAGE_SILENCE: Duration = Duration::from_secs(24 * 3600);
/// How long moderation may take: people look at it.
const MODERATE_SILENCE: Duration = Duration::from_secs(30 * 24 * 3600);

/// The groups without whose work nothing is published.
const AWAITED_GROUPS: &[&str] = &[
    "upload-ingestor",
    "copyright-scanner",
    "ai-moderation",
    "transcoding-orchestrator",
    "transcoder",
    "transcoder-bulk",
    "drm-packager",
];

/// What the content service learns of one revision.
#[derive(Clone, Copy, Debug)]
pub enum Fact<'a> {
    /// Rights are clear.
    Cleared(&'a CopyrightCleared),
    /// A variant is complete.
    Completed(&'a TranscodingCompleted),
    /// The packages are stored.
    Packaged(&'a DrmPackaged),
    /// Moderation has decided.
    Decided(&'a ModerationDecided),
    /// A stage gave a record up.
    Failed(&'a StageFailed),
    /// A scan ended the upload.
    Blocked(&'a UploadBlocked),
    /// The content was deleted.
    Deleted(ContentId, Revision),
    /// Its owner stopped the work.
    Cancelled(ContentId, Revision),
}

/// What the content service tells the saga engine.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Start this saga of `NAME`.
    Start {
        /// The saga.
        id: String,
        /// Its input.
        input: Box<Publication>,
    },
    /// Give it a signal.
    Signal {
        /// The saga.
        id: String,
        /// The signal.
        signal: &'static str,
        /// What it carries.
        payload: Value,
    },
    /// Have it undone.
    Cancel {
        /// The saga.
        id: String,
        /// Why.
        reason: String,
    },
    /// Nothing.
    Ignore,
}

/// What a fact asks for where the table lets it.
#[derive(Clone, Copy)]
enum Call {
    Start,
    Signal,
    Cancel,
    Nothing,
}

/// Returns what follows from a fact: the table above.
pub fn react(fact: &Fact<'_>, current: Revision, state: SagaState) -> Action {
    let Some((content, revision)) = fact.subject().filter(|(_, revision)| *revision == current) else {
        return Action::Ignore;
    };
    let id = saga_id(content, revision);
    match (fact.call(), state) {
        (Call::Start, SagaState::NotStarted) => fact.start(id),
        (Call::Signal, SagaState::NotStarted | SagaState::Running) => fact.signal(id),
        (Call::Cancel, SagaState::NotStarted | SagaState::Running) => Action::Cancel { id, reason: fact.reason() },
        (Call::Start, SagaState::Running)
        | (
            Call::Start | Call::Signal | Call::Cancel,
            SagaState::Undoing | SagaState::Completed | SagaState::RolledBack,
        )
        | (Call::Nothing, _) => Action::Ignore,
    }
}

/// Returns the id of a revision's saga.
pub fn saga_id(content: ContentId, revision: Revision) -> String {
    format!("{content}:{revision}")
}

impl Fact<'_> {
    /// Returns the content and revision that it is about, where it tells.
    fn subject(&self) -> Option<(ContentId, Revision)> {
        let of = |asset: &Asset| Some((asset.content, asset.revision));
        match self {
            Self::Cleared(event) => of(&event.asset),
            Self::Completed(event) => of(&event.asset),
            Self::Packaged(event) => of(&event.asset),
            Self::Decided(event) => of(&event.asset),
            Self::Blocked(event) => of(&event.asset),
            Self::Failed(event) => Some((ContentId::parse(&event.content).ok()?, event.revision?)),
            Self::Deleted(content, revision) | Self::Cancelled(content, revision) => Some((*content, *revision)),
        }
    }

    fn call(&self) -> Call {
        match self {
            Self::Cleared(_) => Call::Start,
            Self::Completed(_) | Self::Packaged(_) => Call::Signal,
            Self::Decided(event) if event.approved => Call::Signal,
            Self::Failed(event) if !is_awaited(event) => Call::Nothing,
            Self::Decided(_) | Self::Failed(_) | Self::Blocked(_) => Call::Cancel,
            Self::Deleted(..) | Self::Cancelled(..) => Call::Cancel,
        }
    }

    fn start(&self, id: String) -> Action {
        let Self::Cleared(event) = self else { unreachable!("cleared rights alone start a saga") };
        let (asset, owner) = (event.asset.clone(), event.owner);
        Action::Start { id, input: Box::new(Publication { asset, owner, plan: None, package: None }) }
    }

    fn signal(&self, id: String) -> Action {
        let (signal, payload) = match self {
            Self::Completed(event) => {
                let TranscodingCompleted { plan, variant, variant_count, .. } = **event;
                (COMPLETED, written(&Variant { plan, variant, variant_count }))
            }
            Self::Packaged(event) => {
                let (folder, hls, dash) = (event.folder.clone(), event.hls.clone(), event.dash.clone());
                (PACKAGED, written(&Package { plan: event.plan, folder, hls, dash }))
            }
            // Who approved does not matter here: a second approval is the same signal.
            _ => (DECIDED, Value::Bool(true)),
        };
        Action::Signal { id, signal, payload }
    }

    fn reason(&self) -> String {
        match self {
            Self::Decided(event) => format!("moderation refused: {}", event.reason),
            Self::Failed(event) => format!("stage {} gave up: {}", event.stage, event.error),
            Self::Blocked(event) => format!("upload blocked: {}", event.detail),
            Self::Cancelled(..) => "cancelled by its owner".to_owned(),
            _ => "content deleted".to_owned(),
        }
    }
}

/// Returns whether nothing is published without the work that was given up. Playback before the end is a convenience, and the
/// scan of the whole film comes beside the way: without them the film is published all the same.
pub fn is_awaited(event: &StageFailed) -> bool {
    let early_playback = event.group == "drm-packager" && event.topic == Topic::ChunkTranscoded.name();
    let full_scan = event.group == "copyright-scanner" && event.topic != Topic::UploadCompleted.name();
    AWAITED_GROUPS.contains(&event.group.as_str()) && !early_playback && !full_scan
}

/// The saga's state: which film, and what has come of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Publication {
    /// Which revision, and where its bytes live.
    pub asset: Asset,
    /// Whose it is.
    pub owner: UserId,
    /// The plan whose variants are complete.
    pub plan: Option<PlanId>,
    /// What was packaged of it.
    pub package: Option<Package>,
}

/// A complete variant, as its signal tells.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Variant {
    plan: PlanId,
    variant: u16,
    variant_count: u16,
}

/// A stored package.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Package {
    /// The plan that was packaged.
    pub plan: PlanId,
    /// The folder of segments and manifests.
    pub folder: ObjectKey,
    /// The HLS multivariant playlist.
    pub hls: ObjectKey,
    /// The DASH manifest.
    pub dash: ObjectKey,
}

/// What a step has done, each once and again without a difference, and without complaint where there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Effect {
    /// Put the revision's cancel mark, so that workers stop.
    PutCancelMark,
    /// Delete the revision's chunks and renditions.
    DeleteRenditions,
    /// Revoke the content keys of the revision's plans.
    RevokeKeys,
    /// Delete the revision's packages.
    DeletePackages,
    /// Write the search document, hidden.
    IndexHidden,
    /// Drop the search document.
    DropDocument,
    /// Store the notifications, to be released by `media.published`.
    StoreDispatch,
    /// Drop the stored notifications.
    DropDispatch,
    /// Set the content's status to published and say `media.published`.
    Publish,
    /// Take the content's status back.
    Unpublish,
}

/// Has effects done: the desk's services in production.
pub type Perform = Arc<dyn Fn(Effect, Publication, StepContext) -> Performing + Send + Sync>;
/// An effect under way.
pub type Performing = Pin<Box<dyn Future<Output = Result<(), StageError>> + Send>>;

/// Returns the saga. The undo of both waits puts the cancel mark first: whoever is still at work must not write again what
/// the undo deletes.
pub fn definition(perform: &Perform) -> SagaDefinition {
    use Effect::*;
    let transcode = Step::wait("transcode", COMPLETED, TRANSCODE_SILENCE, every_variant);
    let package = Step::wait("package", PACKAGED, PACKAGE_SILENCE, package_of_plan);
    let moderate = Step::wait("moderate", DECIDED, MODERATE_SILENCE, |_: &mut Publication, seen| Ok(!seen.is_empty()));
    let steps = vec![
        transcode.undo(each(perform, &[PutCancelMark, DeleteRenditions])),
        package.undo(each(perform, &[PutCancelMark, RevokeKeys, DeletePackages])),
        Step::run("index", one(perform, IndexHidden)).undo(each(perform, &[DropDocument])),
        moderate,
        Step::run("notify", one(perform, StoreDispatch)).undo(each(perform, &[DropDispatch])),
        Step::run("publish", one(perform, Publish)).undo(each(perform, &[Unpublish])),
    ];
    SagaDefinition { name: NAME, version: 1, steps }
}

type Running<T> = Pin<Box<dyn Future<Output = Result<T, StageError>> + Send>>;

fn one(perform: &Perform, effect: Effect) -> impl Fn(Publication, StepContext) -> Running<Publication> + use<> {
    let perform = perform.clone();
    move |publication, cx| {
        let performing = perform(effect, publication.clone(), cx);
        Box::pin(async move { performing.await.map(|()| publication) })
    }
}

fn each(perform: &Perform, effects: &'static [Effect]) -> impl Fn(Publication, StepContext) -> Running<()> + use<> {
    let perform = perform.clone();
    move |publication, cx| {
        let perform = perform.clone();
        Box::pin(async move {
            for effect in effects {
                perform(*effect, publication.clone(), cx.clone()).await?;
            }
            Ok(())
        })
    }
}

/// Waits until one plan has all its variants.
fn every_variant(publication: &mut Publication, seen: &[Value]) -> Result<bool, String> {
    let mut variants: BTreeMap<PlanId, BTreeSet<u16>> = BTreeMap::new();
    for payload in seen {
        let Variant { plan, variant, variant_count } = read(COMPLETED, payload)?;
        let known = variants.entry(plan).or_default();
        known.insert(variant);
        if variant_count > 0 && (0..variant_count).all(|index| known.contains(&index)) {
            publication.plan = Some(plan);
            return Ok(true);
        }
    }
    Ok(false)
}

/// Waits for the package of the plan that is complete.
fn package_of_plan(publication: &mut Publication, seen: &[Value]) -> Result<bool, String> {
    for payload in seen {
        let package: Package = read(PACKAGED, payload)?;
        if Some(package.plan) == publication.plan {
            publication.package = Some(package);
            return Ok(true);
        }
    }
    Ok(false)
}

fn read<P: for<'a> Deserialize<'a>>(signal: &str, payload: &Value) -> Result<P, String> {
    P::deserialize(payload).map_err(|error| format!("signal {signal:?} cannot be read: {error}"))
}

fn written<P: Serialize>(payload: &P) -> Value {
    match serde_json::to_value(payload) {
        Ok(value) => value,
        Err(error) => unreachable!("ids, numbers and keys have a JSON form: {error}"),
    }
}
