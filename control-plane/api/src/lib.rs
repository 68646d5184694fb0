//! The REST, WebSocket and page surface of the desk.
//!
//! Read in this order: what every request passes (`gateway`: span, limits, time, panics; `rate`; `idempotency`), who asks
//! (`auth`), what comes in (`body`, `page`) and how a refusal looks (`problem`), then the routes, a file each, and the
//! document that is made of them (`openapi`).
//!
//! **To add a route:** a handler with `#[utoipa::path]` in a file of `routes`, its line in `routes::all`, and a field of
//! `Desk` where it needs another service. What every operation may answer is added by `openapi`.

mod auth;
mod body;
mod gateway;
mod idempotency;
mod openapi;
mod page;
mod pages;
mod problem;
mod rate;
mod routes;
mod schema;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use mcsp_services::content::ContentService;
use mcsp_services::engagement::EngagementService;
use mcsp_services::idempotency::Answers;
use mcsp_services::identity::AuthService;
use mcsp_services::licence::LicenceClient;
use mcsp_services::moderation::ModerationService;
use mcsp_services::notify::{LiveEvents, WebhookService};
use mcsp_services::playback::PlaybackService;
use mcsp_services::search::SearchService;
use mcsp_services::upload::UploadService;

pub use auth::{Admin, Client, Creator, Moderator, Viewer};
pub use body::{BODY_BYTES_MAX, Body, Params, Segments};
pub use openapi::openapi;
pub use page::{Page, PageQuery};
pub use pages::pages;
pub use problem::Problem;
pub use rate::Rate;

/// The services that routes ask.
pub struct Desk {
    /// Who somebody is.
    pub auth: AuthService,
    /// Answers to requests that come again.
    pub answers: Answers,
    /// Uploads.
    pub uploads: UploadService,
    /// Contents, and how far they are.
    pub content: ContentService,
    /// What users are shown live.
    pub events: LiveEvents,
    /// The addresses that users are told at.
    pub webhooks: WebhookService,
    /// Finding contents.
    pub search: SearchService,
    /// The review queue.
    pub moderation: ModerationService,
    /// Who may watch what.
    pub playback: PlaybackService,
    /// What viewers do.
    pub engagement: EngagementService,
    /// Keys for players.
    pub licence: LicenceClient,
}

/// How the gateway treats requests.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// How long a request may take, its body included.
    pub timeout: Duration,
    /// Requests of one network address without an account.
    pub anonymous: Rate,
    /// Requests of one account.
    pub signed_in: Rate,
    /// Reverse proxies of ours, whose `X-Forwarded-For` is believed.
    pub proxies: Vec<IpAddr>,
}

impl Default for ApiSettings {
    /// 30 s; 300 requests a minute without an account, 1200 with one.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            anonymous: Rate { count: 300, window_s: 60 },
            signed_in: Rate { count: 1200, window_s: 60 },
            proxies: Vec::new(),
        }
    }
}

/// Returns every route behind the gateway. Serve it with `into_make_service_with_connect_info::<SocketAddr>()`: limits
/// without an account count network addresses. It has a fallback, so a router merged into it must have none.
pub fn router(desk: Arc<Desk>, settings: ApiSettings) -> Router {
    let (routes, _) = routes::all().split_for_parts();
    gateway::guard(routes, desk, settings)
}
