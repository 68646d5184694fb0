//! The walk from a request to a grant: content, visibility, tier, package, licence, resume position, lease.

use std::sync::Arc;
use std::time::Duration;

use mcsp_catalog::{Catalog, ContentRow, PlaybackRow, PublicationRow};
use mcsp_domain::{ContentId, ObjectKey, PlanId, PlaybackId, Revision, SubscriptionTier, UserId};
use mcsp_grpc::licence::v1::PreAuthorizeRequest;
use mcsp_grpc::user::v1::GetUserRequest;
use mcsp_runtime::{Buckets, now_us};
use mcsp_token::{DRM_GRANT_S_MAX, HmacKeys};
use tonic::{Code, Status};

use super::entitle::{Choice, asks_tier, check_tier, choose, not_playable};
use super::lease::Package;
use super::{Addresses, ManifestFormat, PlaybackError, Watcher};
use crate::identity::UsersClient;
use crate::licence::LicenceClient;

/// How long another service may take: it stands on the way to the first picture.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(300);
/// A viewer who stopped so shortly before the end has seen it, and begins anew.
const END_MS: u64 = 10_000;

/// Where players go.
#[derive(Clone, Debug)]
pub struct PlaybackSettings {
    /// The edge, as players reach it: `https://media.example`, without a path.
    pub edge_url: String,
    /// Where ClearKey licences are asked for, the whole address.
    pub licence_url: String,
}

/// The playback service. Clones share everything.
#[derive(Clone)]
pub struct PlaybackService {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) catalog: Catalog,
    users: UsersClient,
    licence: LicenceClient,
    pub(super) edge_keys: HmacKeys,
    buckets: Buckets,
    pub(super) settings: PlaybackSettings,
}

/// What a player needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Play {
    /// The playback, which heartbeats name.
    pub playback: PlaybackId,
    /// The publication that is shown.
    pub revision: Revision,
    /// Whether it is one that others do not see yet.
    pub is_preview: bool,
    /// The manifest of the format that was asked for: one of `addresses`.
    pub manifest_url: String,
    /// Where the package is.
    pub addresses: Addresses,
    /// What opens it; clear packages need nothing.
    pub drm: Option<DrmPass>,
    /// Where the viewer stopped, milliseconds.
    pub position_ms: u64,
    /// How long it is, where that is known, milliseconds.
    pub duration_ms: Option<u64>,
}

/// What a player shows for its licence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrmPass {
    /// The token.
    pub token: String,
    /// Where licences are asked for.
    pub licence_url: String,
    /// Until when the token works, microseconds since 1970.
    pub expires_us: i64,
}

impl PlaybackService {
    /// Takes the services that it asks. `edge_keys` are those of the edge; the licence service has its own.
    pub fn new(
        catalog: Catalog,
        users: UsersClient,
        licence: LicenceClient,
        edge_keys: HmacKeys,
        buckets: Buckets,
        settings: PlaybackSettings,
    ) -> Self {
        Self { inner: Arc::new(Inner { catalog, users, licence, edge_keys, buckets, settings }) }
    }

    /// Lets a viewer watch a content, or says why not.
    ///
    /// # Errors
    /// Every reason of `PlaybackError`; where another service does not answer within 300 ms, nobody is let in.
    pub async fn play(
        &self,
        watcher: Watcher,
        content: ContentId,
        format: ManifestFormat,
    ) -> Result<Play, PlaybackError> {
        let (row, package, is_preview) = self.entitled(watcher, content, None, format).await?;
        let now_us = now_us();
        let playback = new_id(now_us)?;
        let drm = self.authorize(&row, &package, watcher.user, playback, now_us).await?;
        let stopped_ms = self.inner.catalog.resume_position(watcher.user, content).await?.unwrap_or(0);
        let is_over = package.duration_ms.is_some_and(|length_ms| stopped_ms.saturating_add(END_MS) >= length_ms);
        let addresses = package.lease(playback, &self.inner.edge_keys, &self.inner.settings.edge_url, now_us);
        let mut tx = self.inner.catalog.begin().await?;
        tx.insert_playback(&PlaybackRow {
            id: playback,
            user: watcher.user,
            content,
            revision: package.revision,
            plan: package.plan,
            seq: 0,
            position_ms: 0,
            started_us: now_us,
            seen_us: now_us,
            renew_us: addresses.renew_us,
        })
        .await?;
        tx.commit().await?;
        let manifest_url = match format {
            ManifestFormat::Hls => addresses.hls_url.clone(),
            ManifestFormat::Dash => addresses.dash_url.clone(),
        };
        Ok(Play {
            playback,
            revision: package.revision,
            is_preview,
            manifest_url,
            addresses,
            drm,
            position_ms: if is_over { 0 } else { stopped_ms },
            duration_ms: package.duration_ms,
        })
    }

    /// Decides whether a viewer may watch a content, and finds the package: of the publication that they see now, or of the
    /// one that they watch already.
    pub(super) async fn entitled(
        &self,
        watcher: Watcher,
        content: ContentId,
        watched: Option<Revision>,
        format: ManifestFormat,
    ) -> Result<(ContentRow, Package, bool), PlaybackError> {
        let row = self.inner.catalog.content(content).await?.ok_or(PlaybackError::NoContent { content })?;
        let choice = choose(&row, watcher)?;
        if asks_tier(&row, watcher) {
            check_tier(&row, watcher, self.tier(watcher.user).await?)?;
        }
        let (Choice::Published(chosen) | Choice::Preview(chosen)) = choice;
        let revision = watched.unwrap_or(chosen);
        let publication = self.inner.catalog.publication(content, revision).await?;
        let publication = publication.ok_or_else(|| not_playable(&row, "nothing of it is stored"))?;
        let package = self.package(&row, publication, format).await?;
        Ok((row, package, matches!(choice, Choice::Preview(_))))
    }

    /// Finds a publication's package: the whole one, or what is playable of one that is still being made.
    async fn package(
        &self,
        row: &ContentRow,
        publication: PublicationRow,
        format: ManifestFormat,
    ) -> Result<Package, PlaybackError> {
        let early = |plan: PlanId| {
            let folder = ObjectKey::package(row.id, publication.revision, plan);
            (plan, folder, ObjectKey::multivariant_playlist(), ObjectKey::mpd(), None, publication.duration_ms)
        };
        let is_whole = publication.package.is_some();
        let (plan, folder, hls, dash, is_protected, duration_ms) = match publication.package {
            Some(package) => {
                let inside = |key: &ObjectKey| key.inside(&package.folder);
                let outside = || not_playable(row, "its manifest lies outside of its package");
                let (hls, dash) = inside(&package.hls).zip(inside(&package.dash)).ok_or_else(outside)?;
                let length_ms = Some(package.duration_ms);
                (package.plan, package.folder, hls, dash, Some(package.scheme.is_some()), length_ms)
            }
            None => early(publication.plan.ok_or_else(|| not_playable(row, "nothing of it is playable yet"))?),
        };
        if !is_whole {
            let manifest = if format == ManifestFormat::Hls { &hls } else { &dash };
            let key = folder.join(manifest).map_err(|error| not_playable(row, &error.to_string()))?;
            if self.inner.buckets.of(&row.placement)?.head(&key).await?.is_none() {
                return Err(not_playable(row, "nothing of it is playable yet"));
            }
        }
        let bucket = row.placement.bucket.clone();
        let (content, revision) = (row.id, publication.revision);
        Ok(Package { content, revision, plan, bucket, folder, hls, dash, duration_ms, is_protected })
    }

    async fn tier(&self, user: UserId) -> Result<SubscriptionTier, PlaybackError> {
        let mut users = self.inner.users.clone();
        let request = GetUserRequest { user_id: user.to_string() };
        let answer = within(users.get_user(request)).await;
        let answer =
            answer.map_err(|status| PlaybackError::Unavailable { service: "users", status: Box::new(status) })?;
        let text = answer.into_inner().tier;
        text.parse().map_err(|error: mcsp_domain::WordError| PlaybackError::Unavailable {
            service: "users",
            status: Box::new(Status::internal(error.to_string())),
        })
    }

    /// Asks the licence service for a grant. It fails closed: whatever is no grant is no playback.
    pub(super) async fn authorize(
        &self,
        row: &ContentRow,
        package: &Package,
        user: UserId,
        playback: PlaybackId,
        now_us: i64,
    ) -> Result<Option<DrmPass>, PlaybackError> {
        if package.is_protected == Some(false) {
            return Ok(None);
        }
        let mut licence = self.inner.licence.clone();
        let request = PreAuthorizeRequest::of(package.plan, user, playback, DRM_GRANT_S_MAX);
        match within(licence.pre_authorize(request)).await {
            Ok(answer) => Ok(Some(DrmPass {
                token: answer.into_inner().drm_token,
                licence_url: self.inner.settings.licence_url.clone(),
                expires_us: now_us + i64::from(DRM_GRANT_S_MAX) * 1_000_000,
            })),
            // A package in the making whose plan has no keys is clear, and one that is not stays unreadable without.
            Err(status) if status.code() == Code::NotFound && package.is_protected.is_none() => Ok(None),
            Err(status) if status.code() == Code::FailedPrecondition => Err(not_playable(row, "its keys were revoked")),
            Err(status) => Err(PlaybackError::Unavailable { service: "licence", status: Box::new(status) }),
        }
    }
}

/// Waits for another service, for as long as a viewer may be kept waiting.
async fn within<T>(answer: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    let late = |_| Status::deadline_exceeded(format!("no answer within {} ms", ANSWER_TIMEOUT.as_millis()));
    tokio::time::timeout(ANSWER_TIMEOUT, answer).await.map_err(late)?
}

fn new_id(now_us: i64) -> Result<PlaybackId, PlaybackError> {
    let mut random = [0; 10];
    getrandom::fill(&mut random).map_err(PlaybackError::Randomness)?;
    Ok(PlaybackId::new(u64::try_from(now_us / 1000).unwrap_or_default(), &random))
}
