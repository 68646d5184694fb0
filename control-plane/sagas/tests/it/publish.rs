//! `publish` on the embedded engine, driven by facts as the content service hears them.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mcsp_domain::{
    Bucket, ContentId, ObjectKey, Placement, PlanId, RenditionKind, RenditionName, Revision, Tier, UserId,
};
use mcsp_embedded::{JournalEngine, JournalOptions};
use mcsp_events::{
    Asset, ClearedBy, CopyrightCleared, DrmPackaged, Lane, ModerationDecided, SourceObject, TranscodingCompleted,
};
use mcsp_runtime::{SagaEngine, SagaState, SagaStatus};
use mcsp_sagas::publish::{Action, Effect, Fact, NAME, Perform, definition, react, saga_id};

fn content() -> ContentId {
    ContentId::from_bytes([7; 16])
}

fn plan() -> PlanId {
    PlanId::from_bytes([9; 16])
}

fn asset() -> Asset {
    let placement = Placement { region: "eu".into(), bucket: Bucket::parse("media-eu").unwrap(), tier: Tier::Hot };
    Asset { content: content(), revision: Revision::FIRST, placement }
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text).unwrap()
}

fn cleared() -> CopyrightCleared {
    let source = SourceObject { key: key("sources/film.mp4"), etag: "e".into(), len_bytes: 1 };
    let owner = UserId::from_bytes([3; 16]);
    CopyrightCleared { asset: asset(), owner, source, cleared_by: ClearedBy::Scanner, lane: Lane::Interactive }
}

fn completed(variant: u16) -> TranscodingCompleted {
    TranscodingCompleted {
        asset: asset(),
        plan: plan(),
        variant,
        variant_count: 2,
        rendition: RenditionName::parse("720p").unwrap(),
        kind: RenditionKind::Video,
        chunks: 4,
    }
}

fn packaged() -> DrmPackaged {
    DrmPackaged {
        asset: asset(),
        plan: plan(),
        folder: key("packages/film"),
        hls: key("packages/film/main.m3u8"),
        dash: key("packages/film/main.mpd"),
        scheme: Some("cbcs".into()),
        kids: Vec::new(),
        bytes: 1,
        duration_ms: 1,
    }
}

fn approved() -> ModerationDecided {
    ModerationDecided { asset: asset(), approved: true, decided_by: "classifier".into(), reason: String::new() }
}

/// An engine, and the effects that it has had done.
struct Desk {
    engine: JournalEngine,
    effects: Arc<Mutex<Vec<Effect>>>,
}

impl Desk {
    async fn open(path: &Path) -> Self {
        let effects: Arc<Mutex<Vec<Effect>>> = Arc::default();
        let log = effects.clone();
        let perform: Perform = Arc::new(move |effect, publication, cx| {
            assert_eq!((publication.asset.content, cx.saga), (content(), saga_id(content(), Revision::FIRST)));
            log.lock().unwrap().push(effect);
            Box::pin(async { Ok(()) })
        });
        let engine = JournalEngine::open(path, vec![definition(&perform)], JournalOptions::default()).await.unwrap();
        Self { engine, effects }
    }

    async fn status(&self) -> Option<SagaStatus> {
        self.engine.status(&saga_id(content(), Revision::FIRST)).await.unwrap()
    }

    async fn hear(&self, fact: Fact<'_>) {
        let state = self.status().await.map_or(SagaState::NotStarted, |status| status.state);
        match react(&fact, Revision::FIRST, state) {
            Action::Start { id, input } => {
                self.engine.start(&id, NAME, serde_json::to_value(input).unwrap()).await.unwrap();
            }
            Action::Signal { id, signal, payload } => self.engine.signal(&id, signal, payload).await.unwrap(),
            Action::Cancel { id, reason } => self.engine.cancel(&id, &reason).await.unwrap(),
            Action::Ignore => {}
        }
    }

    async fn until(&self, what: &str, condition: impl Fn(&SagaStatus) -> bool) -> SagaStatus {
        let begin = Instant::now();
        loop {
            let status = self.status().await.unwrap();
            if condition(&status) {
                return status;
            }
            assert!(begin.elapsed() < Duration::from_secs(30), "waited in vain until {what}: {status:?}");
            tokio::task::yield_now().await;
        }
    }

    fn effects(&self) -> Vec<Effect> {
        self.effects.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn a_film_whose_facts_come_early_and_twice_is_published_once() {
    let folder = tempfile::tempdir().unwrap();
    let desk = Desk::open(&folder.path().join("sagas.db")).await;
    desk.hear(Fact::Decided(&approved())).await;
    desk.hear(Fact::Completed(&completed(1))).await;
    desk.hear(Fact::Cleared(&cleared())).await;
    desk.hear(Fact::Completed(&completed(1))).await;
    desk.hear(Fact::Cleared(&cleared())).await;
    let waiting = desk.until("it waits", |status| status.waits_for.is_some()).await;
    assert_eq!(waiting.step.as_deref(), Some("transcode"));
    desk.hear(Fact::Packaged(&packaged())).await;
    desk.hear(Fact::Completed(&completed(0))).await;
    desk.until("it is published", |status| status.state == SagaState::Completed).await;
    desk.hear(Fact::Deleted(content(), Revision::FIRST)).await;
    assert_eq!(desk.effects(), [Effect::IndexHidden, Effect::StoreDispatch, Effect::Publish]);
}

#[tokio::test]
async fn a_film_deleted_before_moderation_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sagas.db");
    let desk = Desk::open(&path).await;
    desk.hear(Fact::Cleared(&cleared())).await;
    desk.hear(Fact::Completed(&completed(0))).await;
    desk.hear(Fact::Completed(&completed(1))).await;
    desk.hear(Fact::Packaged(&packaged())).await;
    desk.until("it waits for moderation", |status| {
        status.step.as_deref() == Some("moderate") && status.waits_for.is_some()
    })
    .await;
    let Desk { engine, effects } = desk;
    assert_eq!(*effects.lock().unwrap(), [Effect::IndexHidden]);
    engine.stop(Duration::from_secs(10)).await;

    let desk = Desk::open(&path).await;
    desk.hear(Fact::Deleted(content(), Revision::FIRST)).await;
    let ended = desk.until("it is undone", |status| status.state == SagaState::RolledBack).await;
    assert_eq!(ended.reason.as_deref(), Some("content deleted"));
    desk.hear(Fact::Decided(&approved())).await;
    let undone = [
        Effect::DropDocument,
        Effect::PutCancelMark,
        Effect::RevokeKeys,
        Effect::DeletePackages,
        Effect::PutCancelMark,
        Effect::DeleteRenditions,
    ];
    assert_eq!(desk.effects(), undone);
}
