//! A folder with a catalog, a bucket, licences and a saga engine in it, the content service on them, and events as stages
//! would say them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mcsp_catalog::{Catalog, ContentRow};
use mcsp_domain::{
    AccessPoint, Analysis, Bucket, Colour, ContentId, ContentState, Digest, EventId, Grid, KeyId, Ladder, ObjectKey,
    Orientation, Placement, Plan, PlanId, PlanRequest, Policy, Preset, Probe, RenditionKind, Revision, SessionId,
    StepName, StepState, SubscriptionTier, Tier, UserId, UserRole, VideoAnalysis, VideoTrack, Visibility,
};
use mcsp_embedded::{Durability, FileStore, JournalEngine, JournalOptions};
use mcsp_events::{
    Asset, BlockReason, ChunkTranscoded, ClearedBy, CopyrightCleared, DrmPackaged, Event, Headers, Lane, Message,
    ModerationDecided, ModerationFlagged, SourceObject, StageFailed, ThumbnailsGenerated, Topic, TranscodingCompleted,
    UploadBlocked, UploadCompleted,
};
use mcsp_runtime::stage::{Context, Stage};
use mcsp_runtime::{Buckets, ObjectStore, PutIf, SagaEngine, SagaState, SagaStatus};
use mcsp_services::content::{
    self, Asker, ContentFact, ContentFacts, ContentService, ContentSettings, Effects, NewDraft, Timeline,
};
use mcsp_services::licence::{LicenceService, MasterKey, MasterKeys, client};

use crate::support;

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// A time for what happened before the test.
pub(super) const THEN_US: i64 = 1_760_000_000_000_000;

pub(super) struct World {
    _folder: tempfile::TempDir,
    _database: Option<mcsp_catalog::ScratchDatabase>,
    pub(super) catalog: Catalog,
    pub(super) store: FileStore,
    pub(super) engine: Arc<dyn SagaEngine>,
    pub(super) service: ContentService,
    facts: ContentFacts,
}

pub(super) fn owner() -> Asker {
    Asker { user: UserId::from_bytes([3; 16]), role: UserRole::Creator }
}

pub(super) fn stranger() -> Asker {
    Asker { user: UserId::from_bytes([4; 16]), role: UserRole::Creator }
}

pub(super) fn content(number: u8) -> ContentId {
    ContentId::from_bytes([number; 16])
}

pub(super) fn session(number: u8) -> SessionId {
    SessionId::from_bytes([number; 16])
}

fn placement() -> Placement {
    Placement { region: "eu".into(), bucket: Bucket::parse("media-eu").unwrap(), tier: Tier::Hot }
}

pub(super) fn asset(number: u8, revision: Revision) -> Asset {
    Asset { content: content(number), revision, placement: placement() }
}

/// Returns a plan of eight seconds in two chunks.
pub(super) fn plan(id: PlanId) -> Plan {
    let video = VideoTrack {
        stream_index: 0,
        codec: "h264".into(),
        timescale: 12_800,
        coded_width_px: 640,
        coded_height_px: 360,
        pixel_aspect: (1, 1),
        orientation: Orientation::default(),
        frame_rate: (25, 1),
        pixel_format: "yuv420p".into(),
        bit_depth: 8,
        interlaced: false,
        colour: Colour::UNSPECIFIED,
    };
    let point = |s: i64| AccessPoint { pts: s * 12_800, dts: None, offset_bytes: None, position: s * 25 };
    let probe = Probe {
        container: "mov".into(),
        len_bytes: 4,
        duration_us: 0,
        left_out: Vec::new(),
        video: Some(video),
        audio: None,
    };
    let analysis = Analysis {
        video: Some(VideoAnalysis {
            zero_pts: 0,
            end_pts: 8 * 12_800,
            frame_count: 200,
            access_points: vec![point(0), point(4)],
            frame_runs: vec![(200, 512)],
        }),
        audio: None,
    };
    let ladder = Ladder::plan(&probe, &Policy::default()).unwrap();
    let request = PlanRequest {
        id,
        source_digest: Digest::of(&[b"film"]),
        engine: "test".into(),
        probe,
        analysis,
        ladder,
        preset: Preset::default(),
        grid: Grid::new(2000).unwrap(),
        chunk_ms: Some(4000),
        scheme: None,
    };
    Plan::new(request).unwrap()
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with(ContentSettings { keep_us: 0, late_us: 0 }).await
    }

    pub(super) async fn with(settings: ContentSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (catalog, database) = support::catalog_in(folder.path()).await;
        let store = FileStore::open(&at("media-eu"), Durability::Process).unwrap();
        let shared: Arc<dyn ObjectStore> = Arc::new(store.clone());
        let master = MasterKey::read_or_make(&at("secrets/master.key")).unwrap();
        let licence = LicenceService::open(catalog.clone(), MasterKeys::new(master, Vec::new())).await.unwrap();
        let buckets = Buckets::new([(placement().bucket, shared)]);
        let effects = Effects::new(catalog.clone(), buckets, client(licence));
        let options = JournalOptions { poll: Duration::from_millis(50), ..JournalOptions::default() };
        let journal = JournalEngine::open(&at("sagas.db"), vec![effects.publish()], options).await.unwrap();
        let engine: Arc<dyn SagaEngine> = Arc::new(journal);
        let service = ContentService::new(effects, Arc::clone(&engine), settings);
        let facts = ContentFacts::new(service.clone());
        Self { _folder: folder, _database: database, catalog, store, engine, service, facts }
    }

    /// Announces a content.
    pub(super) async fn draft(&self, number: u8) {
        let mut tx = self.catalog.begin().await.unwrap();
        let new = NewDraft {
            id: content(number),
            owner: owner().user,
            title: format!("Film {number}"),
            description: String::new(),
            visibility: Visibility::Public,
            tier: SubscriptionTier::Free,
            placement: placement(),
            session: session(number),
            file_name: "film.mp4".into(),
            now_us: THEN_US,
        };
        content::draft(&mut tx, new).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Stores the source of a revision, as an upload would.
    pub(super) async fn upload(&self, number: u8, revision: Revision, session: SessionId) {
        let key = ObjectKey::upload(content(number), session);
        self.store.put(&key, Bytes::from_static(b"film"), PutIf::Always).await.unwrap();
        let source = self.source(number, session).await;
        let mut tx = self.catalog.begin().await.unwrap();
        content::source_stored(&mut tx, content(number), revision, session, source, THEN_US + 1).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn source(&self, number: u8, session: SessionId) -> SourceObject {
        let key = ObjectKey::upload(content(number), session);
        let meta = self.store.head(&key).await.unwrap().unwrap();
        SourceObject { key, etag: meta.etag.to_string(), len_bytes: meta.len_bytes }
    }

    /// Hands a fact to the service as the log would: saying it again is the same event.
    pub(super) async fn hear(&self, fact: ContentFact, source: &str) {
        let id = EventId::derived(&[format!("{fact:?}").as_bytes()]);
        self.hear_as(id, fact, source).await;
    }

    pub(super) async fn hear_as(&self, id: EventId, fact: ContentFact, source: &str) {
        let headers = Headers {
            id,
            kind: "test".into(),
            version: 1,
            source: source.into(),
            time_us: THEN_US + 2_000_000,
            traceparent: None,
            cause: None,
            worker: Some("node-1".into()),
            attempt: Some(1),
            started_us: Some(THEN_US + 1_000_000),
            dead: None,
        };
        let said = self.facts.handle(fact, &Context::alone(headers, "key")).await.unwrap();
        assert_eq!(said, [], "what is said goes through the catalog");
    }

    pub(super) async fn checked(&self, number: u8, revision: Revision) {
        let event = UploadCompleted {
            asset: asset(number, revision),
            owner: owner().user,
            source: self.source(number, session(number)).await,
            container: "mp4".into(),
            duration_ms: Some(8000),
            file_name: "film.mp4".into(),
            title: String::new(),
        };
        self.hear(ContentFact::Checked(event), "upload-ingestor").await;
    }

    pub(super) async fn cleared(&self, number: u8, revision: Revision) {
        let event = CopyrightCleared {
            asset: asset(number, revision),
            owner: owner().user,
            source: self.source(number, session(number)).await,
            cleared_by: ClearedBy::Scanner,
            lane: Lane::Interactive,
        };
        self.hear(ContentFact::Cleared(event), "copyright-scanner").await;
    }

    /// Stores the plan and a chunk as workers would, and says so.
    pub(super) async fn chunk(&self, number: u8, revision: Revision, id: PlanId, chunk: u32) {
        let plan = plan(id);
        let work = ObjectKey::work(content(number), revision, id);
        let put = async |key: ObjectKey, bytes: Vec<u8>| {
            self.store.put(&work.join(&key).unwrap(), bytes.into(), PutIf::Absent).await.unwrap();
        };
        put(ObjectKey::plan(), serde_json::to_vec(&plan).unwrap()).await;
        for variant in plan.ladder.variants() {
            put(ObjectKey::chunk(variant.name(), chunk), format!("chunk {chunk}").into_bytes()).await;
        }
        put(ObjectKey::chunk_report(chunk), b"{}".to_vec()).await;
        self.chunk_told(number, revision, id, chunk).await;
    }

    pub(super) async fn chunk_told(&self, number: u8, revision: Revision, plan: PlanId, chunk: u32) {
        let event = ChunkTranscoded { asset: asset(number, revision), plan, chunk, chunk_count: 2 };
        self.hear(ContentFact::Chunk(event), "transcoder").await;
    }

    pub(super) async fn completed(&self, number: u8, revision: Revision, id: PlanId) {
        let plan = plan(id);
        let variants = plan.ladder.variants();
        for (variant, index) in variants.iter().zip(0..) {
            let event = TranscodingCompleted {
                asset: asset(number, revision),
                plan: id,
                variant: index,
                variant_count: u16::try_from(variants.len()).unwrap(),
                rendition: variant.name().clone(),
                kind: RenditionKind::Video,
                chunks: 2,
            };
            self.hear(ContentFact::Completed(event), "transcoding-orchestrator").await;
        }
    }

    pub(super) async fn packaged(&self, number: u8, revision: Revision, plan: PlanId) {
        let folder = ObjectKey::package(content(number), revision, plan);
        let hls = folder.join(&ObjectKey::multivariant_playlist()).unwrap();
        self.store.put(&hls, Bytes::from_static(b"#EXTM3U"), PutIf::Always).await.unwrap();
        let event = DrmPackaged {
            asset: asset(number, revision),
            plan,
            dash: folder.join(&ObjectKey::mpd()).unwrap(),
            folder,
            hls,
            scheme: Some("cbcs".into()),
            kids: vec![KeyId::from_bytes([1; 16]).to_string()],
            bytes: 1000,
            duration_ms: 8000,
        };
        self.hear(ContentFact::Packaged(event), "drm-packager").await;
    }

    pub(super) async fn thumbnails(&self, number: u8, revision: Revision, plan: PlanId) {
        let storyboard = ObjectKey::package(content(number), revision, plan).join(&ObjectKey::storyboard()).unwrap();
        let event = ThumbnailsGenerated { asset: asset(number, revision), plan, poster: None, storyboard };
        self.hear(ContentFact::Thumbnails(event), "thumbnail-generator").await;
    }

    pub(super) async fn decided(&self, number: u8, revision: Revision, approved: bool) {
        let reason = if approved { String::new() } else { "violence".into() };
        let event = ModerationDecided { asset: asset(number, revision), approved, decided_by: "rules".into(), reason };
        self.hear(ContentFact::Decided(event), "ai-moderation").await;
    }

    pub(super) async fn flagged(&self, number: u8, revision: Revision) {
        let event = ModerationFlagged {
            asset: asset(number, revision),
            flagged_by: "rules".into(),
            labels: vec!["violence".into()],
            confidence_permille: 900,
            ranges: Vec::new(),
        };
        self.hear(ContentFact::Flagged(event), "ai-moderation").await;
    }

    pub(super) async fn blocked(&self, number: u8, revision: Revision) {
        let event = UploadBlocked {
            asset: asset(number, revision),
            owner: owner().user,
            reason: BlockReason::Malware,
            detail: "rule EICAR matched".into(),
            ranges: Vec::new(),
        };
        self.hear(ContentFact::Blocked(event), "upload-ingestor").await;
    }

    pub(super) async fn failed(&self, number: u8, revision: Revision, group: &str, topic: Topic) {
        let event = StageFailed {
            content: content(number).to_string(),
            revision: Some(revision),
            stage: group.into(),
            group: group.into(),
            topic: topic.name().into(),
            event: EventId::derived(&[b"given up"]),
            attempts: 8,
            rejected: false,
            error: "the media child was killed".into(),
        };
        self.hear(ContentFact::Failed(event), group).await;
    }

    /// A whole life, from the draft to its publication.
    pub(super) async fn publish(&self, number: u8) -> PlanId {
        self.draft(number).await;
        self.upload(number, Revision::FIRST, session(number)).await;
        self.checked(number, Revision::FIRST).await;
        self.decided(number, Revision::FIRST, true).await;
        self.cleared(number, Revision::FIRST).await;
        let plan = PlanId::from_bytes([number; 16]);
        self.made(number, Revision::FIRST, plan).await;
        plan
    }

    /// Chunks, variants and package of a plan, until viewers see it.
    pub(super) async fn made(&self, number: u8, revision: Revision, plan: PlanId) {
        self.chunk(number, revision, plan, 0).await;
        self.chunk(number, revision, plan, 1).await;
        self.completed(number, revision, plan).await;
        self.packaged(number, revision, plan).await;
        self.until(number, |row| row.published_revision == Some(revision)).await;
    }

    pub(super) async fn row(&self, number: u8) -> ContentRow {
        self.catalog.content(content(number)).await.unwrap().unwrap()
    }

    pub(super) async fn until(&self, number: u8, is_there: impl Fn(&ContentRow) -> bool) -> ContentRow {
        let (started, mut look) = (Instant::now(), tokio::time::interval(LOOK_EVERY));
        loop {
            look.tick().await;
            let row = self.row(number).await;
            if is_there(&row) {
                return row;
            }
            assert!(started.elapsed() < PATIENCE, "{row:?} {:?}", self.saga(number, row.revision).await);
        }
    }

    pub(super) async fn saga(&self, number: u8, revision: Revision) -> Option<SagaStatus> {
        self.engine.status(&mcsp_sagas::publish::saga_id(content(number), revision)).await.unwrap()
    }

    /// Waits until a saga has come to an end.
    pub(super) async fn saga_ends(&self, number: u8, revision: Revision) -> SagaStatus {
        let (started, mut look) = (Instant::now(), tokio::time::interval(LOOK_EVERY));
        loop {
            look.tick().await;
            match self.saga(number, revision).await {
                Some(status) if matches!(status.state, SagaState::Completed | SagaState::RolledBack) => return status,
                status => assert!(started.elapsed() < PATIENCE, "{status:?}"),
            }
        }
    }

    pub(super) async fn timeline(&self, number: u8) -> Timeline {
        self.service.timeline(owner(), content(number), None).await.unwrap()
    }

    /// Returns the steps of the current revision, such as `upload done, ingest running`.
    pub(super) async fn steps(&self, number: u8) -> String {
        let steps = self.timeline(number).await.steps;
        let lines: Vec<String> = steps.iter().map(|step| format!("{} {}", step.name, step.state)).collect();
        lines.join(", ")
    }

    pub(super) async fn step(&self, number: u8, name: StepName) -> (StepState, String) {
        let steps = self.timeline(number).await.steps;
        let step = steps.into_iter().find(|step| step.name == name).unwrap();
        (step.state, step.reason)
    }

    /// Returns what the service has said.
    pub(super) async fn sent<E: Event>(&self) -> Vec<(Message, E)> {
        let rows = self.catalog.outbox_after(0, 1000).await.unwrap();
        let ours =
            rows.into_iter().map(|row| row.message).filter(|message| message.headers.kind == E::TOPICS[0].name());
        ours.map(|message| (message.clone(), serde_json::from_slice(&message.payload).unwrap())).collect()
    }

    /// Returns every object's key, cancel marks apart.
    pub(super) async fn objects(&self) -> Vec<String> {
        let mut keys = Vec::new();
        for root in ["uploads", "work", "media"] {
            keys.extend(self.store.list(&ObjectKey::parse(root).unwrap(), None).await.unwrap());
        }
        keys.iter().map(ToString::to_string).filter(|key| !key.ends_with("/cancelled")).collect()
    }

    pub(super) async fn is_marked(&self, number: u8, revision: Revision) -> bool {
        self.store.head(&ObjectKey::cancel_mark(content(number), revision)).await.unwrap().is_some()
    }

    pub(super) async fn state(&self, number: u8) -> ContentState {
        self.row(number).await.state
    }
}
