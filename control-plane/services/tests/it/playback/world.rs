//! A desk with published films: catalog, users, licences, a bucket, a log.

use std::sync::Arc;

use mcsp_catalog::{Catalog, ContentRow, PackageRow, PublicationRow};
use mcsp_domain::{
    Bucket, ContentId, ContentState, ObjectKey, Placement, PlanId, Revision, SubscriptionTier, Tier, UserId, UserRole,
    Visibility,
};
use mcsp_embedded::{Durability, FileStore, LogOptions, SqliteLog};
use mcsp_grpc::user::v1::{RegisterRequest, UpdateUserRequest};
use mcsp_runtime::{Buckets, EventLog, ObjectStore, PutIf};
use mcsp_services::engagement::EngagementService;
use mcsp_services::identity::{UserService, UsersClient, users_client};
use mcsp_services::licence::{LicenceClient, LicenceService, MasterKeys, client};
use mcsp_services::playback::{ManifestFormat, Play, PlaybackError, PlaybackService, PlaybackSettings, Watcher};
use mcsp_token::{HmacKey, HmacKeys};

use crate::support;

pub(super) struct World {
    pub(super) base: support::World,
    pub(super) catalog: Catalog,
    pub(super) users: UsersClient,
    pub(super) licence: LicenceClient,
    pub(super) store: Arc<FileStore>,
    pub(super) log: Arc<SqliteLog>,
    pub(super) playback: PlaybackService,
    pub(super) engagement: EngagementService,
}

/// What a film is, where it differs from a published, public, free one of ten minutes.
#[derive(Clone, Copy)]
pub(super) struct Film {
    pub(super) visibility: Visibility,
    pub(super) tier: SubscriptionTier,
    pub(super) state: ContentState,
    pub(super) published: bool,
    pub(super) packaged: bool,
    pub(super) clear: bool,
}

pub(super) const FILM: Film = Film {
    visibility: Visibility::Public,
    tier: SubscriptionTier::Free,
    state: ContentState::Published,
    published: true,
    packaged: true,
    clear: false,
};

impl World {
    pub(super) async fn new() -> Self {
        let base = support::World::new();
        let catalog = base.catalog().await;
        let masters = MasterKeys::new(base.master(), Vec::new());
        let licence = LicenceService::open(catalog.clone(), masters).await.unwrap().with_tokens(keys(2));
        let (users, licence) = (users_client(UserService::new(catalog.clone()).unwrap()), client(licence));
        let store = Arc::new(FileStore::open(&base.folder.path().join("objects"), Durability::Process).unwrap());
        let path = base.folder.path().join("events.db");
        let log = Arc::new(SqliteLog::open(&path, LogOptions::default()).await.unwrap());
        let engagement = EngagementService::new(catalog.clone(), Arc::clone(&log) as Arc<dyn EventLog>);
        let playback = service(&catalog, &users, &licence, &store);
        Self { base, catalog, users, licence, store, log, playback, engagement }
    }

    /// Adds a film of an owner, with its keys; `number` names content and plan.
    pub(super) async fn film(&self, number: u8, owner: UserId, film: Film) -> ContentId {
        let content = content(number);
        if !film.clear {
            self.licence.clone().get_or_create_keys(support::request(number)).await.unwrap();
        }
        let folder = folder(number);
        let package = PackageRow {
            plan: plan(number),
            hls: folder.join(&ObjectKey::multivariant_playlist()).unwrap(),
            dash: folder.join(&ObjectKey::mpd()).unwrap(),
            folder,
            scheme: (!film.clear).then(|| "cenc".to_owned()),
            kids: Vec::new(),
            bytes: 1,
            duration_ms: 600_000,
        };
        let mut tx = self.catalog.begin().await.unwrap();
        tx.insert_content(&ContentRow {
            id: content,
            owner,
            title: String::new(),
            description: String::new(),
            visibility: film.visibility,
            tier: film.tier,
            state: film.state,
            reason: (film.state == ContentState::Blocked).then(|| "it is not yours".to_owned()),
            revision: Revision::FIRST,
            published_revision: film.published.then_some(Revision::FIRST),
            placement: placement(),
            version: 1,
            created_us: 1,
            updated_us: 1,
        })
        .await
        .unwrap();
        tx.insert_publication(&PublicationRow {
            content,
            revision: Revision::FIRST,
            session: None,
            file_name: "film.mp4".to_owned(),
            source: None,
            plan: Some(plan(number)),
            package: film.packaged.then_some(package),
            duration_ms: None,
            created_us: 1,
            published_us: None,
        })
        .await
        .unwrap();
        tx.commit().await.unwrap();
        content
    }

    /// Adds an account of a tier.
    pub(super) async fn account(&self, email: &str, tier: SubscriptionTier) -> UserId {
        let mut users = self.users.clone();
        let made = RegisterRequest {
            email: email.to_owned(),
            password: "correct horse".to_owned(),
            display_name: "Ada".to_owned(),
            role: "viewer".to_owned(),
        };
        let user_id = users.register(made).await.unwrap().into_inner().user_id;
        let change = UpdateUserRequest { user_id: user_id.clone(), role: None, tier: Some(tier.to_string()) };
        users.update_user(change).await.unwrap();
        UserId::parse(&user_id).unwrap()
    }

    pub(super) async fn play(&self, watcher: Watcher, content: ContentId) -> Result<Play, PlaybackError> {
        self.playback.play(watcher, content, ManifestFormat::Hls).await
    }

    /// Puts the first manifest of a package in the making.
    pub(super) async fn put_early_manifest(&self, number: u8) {
        let key = folder(number).join(&ObjectKey::multivariant_playlist()).unwrap();
        self.store.put(&key, "#EXTM3U".into(), PutIf::Always).await.unwrap();
    }
}

pub(super) fn service(
    catalog: &Catalog,
    users: &UsersClient,
    licence: &LicenceClient,
    store: &Arc<FileStore>,
) -> PlaybackService {
    let buckets = Buckets::new([(placement().bucket, Arc::clone(store) as Arc<dyn ObjectStore>)]);
    let settings = PlaybackSettings {
        edge_url: "http://edge.example".to_owned(),
        licence_url: "http://desk.example/licence/clearkey".to_owned(),
    };
    PlaybackService::new(catalog.clone(), users.clone(), licence.clone(), keys(1), buckets, settings)
}

pub(super) fn keys(byte: u8) -> HmacKeys {
    HmacKeys::new(HmacKey::new("k1", [byte; 32]).unwrap(), Vec::new()).unwrap()
}

fn placement() -> Placement {
    Placement { region: "eu".to_owned(), bucket: Bucket::parse("media-eu").unwrap(), tier: Tier::Hot }
}

pub(super) fn content(number: u8) -> ContentId {
    ContentId::from_bytes([number; 16])
}

pub(super) fn plan(number: u8) -> PlanId {
    support::plan_id(number)
}

pub(super) fn folder(number: u8) -> ObjectKey {
    ObjectKey::package(content(number), Revision::FIRST, plan(number))
}

pub(super) fn user(number: u8) -> UserId {
    UserId::from_bytes([number; 16])
}

pub(super) fn viewer(number: u8) -> Watcher {
    Watcher { user: user(number), role: UserRole::Viewer }
}
