//! Playback: what a player needs, and what it tells while it plays.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use mcsp_domain::{ContentId, PlaybackId, SubscriptionTier};
use mcsp_events::EngagementAction;
use mcsp_runtime::now_us;
use mcsp_services::engagement::{Beat, EngagementError, Recorded};
use mcsp_services::playback::{ManifestFormat, Play, PlaybackError, Renewal, Watcher};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::Viewer;
use crate::body::{Body, Segments};
use crate::{Desk, Problem, schema};

/// The longest film, in milliseconds: `limits::SOURCE_DURATION_S_MAX`.
const POSITION_MS_MAX: u64 = mcsp_domain::limits::SOURCE_DURATION_S_MAX * 1000;
/// The largest whole number that a script counts to.
const SEQ_MAX: u64 = (1 << 53) - 1;

/// Returns the routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::default().routes(routes!(play)).routes(routes!(position))
}

/// What a player reads.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Format {
    /// HTTP Live Streaming.
    Hls,
    /// MPEG-DASH.
    Dash,
}

/// A DRM system that the player has.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum DrmSystem {
    /// Clear Key of Encrypted Media Extensions.
    ClearKey,
}

/// How somebody wants to watch.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PlayRequest {
    /// Which manifest `manifest_url` shall be; `hls` where nothing is said.
    format: Option<Format>,
    /// Which DRM system the player has; there is one so far.
    #[serde(rename = "drm")]
    #[schema(rename = "drm")]
    _drm: Option<DrmSystem>,
}

/// What a player needs.
#[derive(Serialize, ToSchema)]
struct PlayAnswer {
    /// The manifest of the format that was asked for.
    #[schema(format = "uri")]
    manifest_url: String,
    /// What is shown to the licence server; clear content has none.
    drm_token: Option<String>,
    /// Where licences are asked for; clear content has none.
    #[schema(format = "uri")]
    license_server_url: Option<String>,
    /// The playback, which heartbeats name.
    #[schema(schema_with = schema::id)]
    playback_id: PlaybackId,
    /// Where the viewer stopped, milliseconds.
    position_ms: u64,
    /// How long it is, milliseconds, where that is known.
    duration_ms: Option<u64>,
    /// The publication that is shown.
    #[schema(minimum = 1)]
    revision: u32,
    /// Whether it is one that others do not see yet.
    preview: bool,
    /// The folder of the package, with a slash at its end: every other address of media begins with it.
    #[schema(format = "uri")]
    media_url: String,
    /// The HLS multivariant playlist.
    #[schema(format = "uri")]
    hls_url: String,
    /// The DASH manifest.
    #[schema(format = "uri")]
    dash_url: String,
    /// Until when manifests are given.
    #[schema(schema_with = schema::time_us)]
    manifest_expires_us: i64,
    /// Until when everything else is given, unless a heartbeat brings newer addresses.
    #[schema(schema_with = schema::time_us)]
    media_expires_us: i64,
    /// Until when the token works, microseconds since 1970, unless a heartbeat brings a newer one.
    drm_expires_us: Option<i64>,
}

/// What happened.
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum BeatEvent {
    /// It began, or went on.
    Play,
    /// It was stopped.
    Pause,
    /// It plays; said every few seconds.
    #[default]
    Heartbeat,
    /// It was seen to its end: the next playback begins anew.
    Finish,
}

/// What a player tells.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PositionRequest {
    /// Where the film stands, milliseconds.
    #[schema(maximum = 86_400_000)]
    position_ms: u64,
    /// Counts what the player tells, from 1: of two that come late or out of order, the higher one counts. A player that
    /// does not count is taken in the order in which it is heard.
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_u64)]
    seq: Option<u64>,
    /// What happened; `heartbeat` where nothing is said.
    event: Option<BeatEvent>,
}

/// Where the film stands, and what the player goes on with. Addresses and token are there when the old ones are half over:
/// put the newest `media_url` in the place of the one that an address begins with.
#[derive(Serialize, ToSchema)]
struct PositionAnswer {
    /// Where the film stands, milliseconds.
    position_ms: u64,
    /// The highest number that was taken.
    seq: u64,
    /// Whether this one was taken: one that came late or again changes nothing.
    taken: bool,
    /// The folder of the package, with a slash at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    media_url: Option<String>,
    /// The HLS multivariant playlist.
    #[serde(skip_serializing_if = "Option::is_none")]
    hls_url: Option<String>,
    /// The DASH manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    dash_url: Option<String>,
    /// Until when manifests are given, microseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest_expires_us: Option<i64>,
    /// Until when everything else is given, microseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    media_expires_us: Option<i64>,
    /// A newer token for the licence server.
    #[serde(skip_serializing_if = "Option::is_none")]
    drm_token: Option<String>,
    /// Until when the token works, microseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    drm_expires_us: Option<i64>,
}

/// Lets the account watch a content.
///
/// A private content is its owner's and the moderators'; one that is not published yet is shown to them as soon as its first
/// segments are there.
#[utoipa::path(
    post, path = "/api/v1/playback/{content}", operation_id = "playback_play", tag = "playback",
    security(("bearer" = ["viewer"])),
    params(("content" = String, Path, description = "The content.", format = "uuid")),
    request_body = PlayRequest,
    responses(
        (status = 200, description = "What the player needs.", body = PlayAnswer),
        (status = 403, description = "It needs a higher tier: the problem's type is tier-required-basic or tier-required-premium."),
        (status = 409, description = "It cannot be played, or not yet; the detail says why."),
    ),
)]
async fn play(
    State(desk): State<Arc<Desk>>,
    viewer: Viewer,
    Segments(content): Segments<ContentId>,
    Body(request): Body<PlayRequest>,
) -> Result<Json<PlayAnswer>, Problem> {
    let format = match request.format {
        Some(Format::Dash) => ManifestFormat::Dash,
        Some(Format::Hls) | None => ManifestFormat::Hls,
    };
    Ok(Json(desk.playback.play(watcher(viewer), content, format).await?.into()))
}

/// Tells where a playback stands.
///
/// Players tell every ten seconds, and when something happens.
#[utoipa::path(
    put, path = "/api/v1/playback/{playback}/position", operation_id = "playback_position", tag = "playback",
    security(("bearer" = ["viewer"])),
    params(("playback" = String, Path, description = "The playback.", format = "uuid")),
    request_body = PositionRequest,
    responses(
        (status = 200, description = "It is stored.", body = PositionAnswer),
        (status = 409, description = "It is stored, and the content can no longer be played."),
    ),
)]
async fn position(
    State(desk): State<Arc<Desk>>,
    viewer: Viewer,
    Segments(playback): Segments<PlaybackId>,
    Body(request): Body<PositionRequest>,
) -> Result<Json<PositionAnswer>, Problem> {
    let PositionRequest { position_ms, seq, event } = request;
    if position_ms > POSITION_MS_MAX {
        return Err(Problem::invalid("position_ms", format!("position_ms must be at most {POSITION_MS_MAX}")));
    }
    if seq.is_some_and(|seq| !(1..=SEQ_MAX).contains(&seq)) {
        return Err(Problem::invalid("seq", format!("seq must be between 1 and {SEQ_MAX}")));
    }
    let action = event.unwrap_or_default().into();
    let recorded = desk.engagement.record(Beat { user: viewer.user, playback, seq, position_ms, action }).await?;
    let renewal = desk.playback.renew(watcher(viewer), &recorded.before, now_us()).await?;
    Ok(Json(told(&recorded, renewal)))
}

fn watcher(viewer: Viewer) -> Watcher {
    Watcher { user: viewer.user, role: viewer.role }
}

fn told(recorded: &Recorded, renewal: Renewal) -> PositionAnswer {
    let addresses = renewal.addresses;
    let drm_expires_us = renewal.drm.as_ref().map(|drm| drm.expires_us);
    PositionAnswer {
        position_ms: recorded.position_ms,
        seq: recorded.seq,
        taken: recorded.is_news,
        manifest_expires_us: addresses.as_ref().map(|addresses| addresses.manifest_expires_us),
        media_expires_us: addresses.as_ref().map(|addresses| addresses.media_expires_us),
        media_url: addresses.as_ref().map(|addresses| addresses.media_url.clone()),
        hls_url: addresses.as_ref().map(|addresses| addresses.hls_url.clone()),
        dash_url: addresses.map(|addresses| addresses.dash_url),
        drm_token: renewal.drm.map(|drm| drm.token),
        drm_expires_us,
    }
}

impl From<Play> for PlayAnswer {
    fn from(play: Play) -> Self {
        let (drm_token, license_server_url, drm_expires_us) = match play.drm {
            Some(drm) => (Some(drm.token), Some(drm.licence_url), Some(drm.expires_us)),
            None => (None, None, None),
        };
        Self {
            manifest_url: play.manifest_url,
            drm_token,
            license_server_url,
            playback_id: play.playback,
            position_ms: play.position_ms,
            duration_ms: play.duration_ms,
            revision: play.revision.number(),
            preview: play.is_preview,
            media_url: play.addresses.media_url,
            hls_url: play.addresses.hls_url,
            dash_url: play.addresses.dash_url,
            manifest_expires_us: play.addresses.manifest_expires_us,
            media_expires_us: play.addresses.media_expires_us,
            drm_expires_us,
        }
    }
}

impl From<BeatEvent> for EngagementAction {
    fn from(event: BeatEvent) -> Self {
        match event {
            BeatEvent::Play => Self::Play,
            BeatEvent::Pause => Self::Pause,
            BeatEvent::Heartbeat => Self::Heartbeat,
            BeatEvent::Finish => Self::Finish,
        }
    }
}

impl From<PlaybackError> for Problem {
    fn from(error: PlaybackError) -> Self {
        let tier = |needed| match needed {
            SubscriptionTier::Premium => "tier-required-premium",
            SubscriptionTier::Free | SubscriptionTier::Basic => "tier-required-basic",
        };
        match &error {
            PlaybackError::NoContent { .. } => Self::not_found(error.to_string()),
            PlaybackError::NotPlayable { .. } => Self::conflict("not-playable", error.to_string()),
            PlaybackError::Tier { needed, .. } => Self::new(StatusCode::FORBIDDEN, tier(*needed), error.to_string()),
            _ if error.may_pass() => Self::unavailable("playback", &error),
            _ => Self::internal("playback", &error),
        }
    }
}

impl From<EngagementError> for Problem {
    fn from(error: EngagementError) -> Self {
        match &error {
            EngagementError::NoPlayback { .. } => Self::not_found(error.to_string()),
            EngagementError::Catalog(cause) if !cause.may_pass() => Self::internal("engagement", &error),
            EngagementError::Event(_) => Self::internal("engagement", &error),
            EngagementError::Catalog(_) | EngagementError::Unwritten => Self::unavailable("engagement", &error),
        }
    }
}
