//! The routes, a file each. A handler reads its arguments, asks one service, and writes its answer.

mod auth;
mod content;
mod events;
mod licence;
mod moderation;
mod playback;
mod search;
mod uploads;
mod users;
mod webhook;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;

use crate::Desk;

/// Returns every route with its description.
pub(crate) fn all() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::default()
        .merge(auth::routes())
        .merge(content::routes())
        .merge(events::routes())
        .merge(licence::routes())
        .merge(moderation::routes())
        .merge(playback::routes())
        .merge(search::routes())
        .merge(uploads::routes())
        .merge(users::routes())
        .merge(webhook::routes())
}
