//! The one address that a user is told at, by the Standard Webhooks specification.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use mcsp_domain::{EventId, WebhookId};
use mcsp_services::notify::{DeliveryRow, NewWebhook, NotifyError, WEBHOOK_EVENTS, WebhookRow, WebhookView};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::Viewer;
use crate::body::Body;
use crate::{Desk, Problem, schema};

/// Returns the routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::default().routes(routes!(show, put, delete)).routes(routes!(test))
}

/// A type of event that an address can be told.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
enum EventType {
    /// A content can be seen.
    #[serde(rename = "media.published")]
    Published,
    /// An upload was stopped.
    #[serde(rename = "media.upload.blocked")]
    Blocked,
    /// Moderation has decided.
    #[serde(rename = "moderation.decided")]
    Decided,
}

/// What is wanted of an address.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WebhookRequest {
    /// Where messages go: HTTPS, on the public internet.
    #[schema(
        format = "uri",
        max_length = 2048,
        pattern = "^https://([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\\.){1,8}[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(:[1-9][0-9]{0,3}|:[1-5][0-9]{4})?(/([A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)?(\\?([A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?$"
    )]
    url: String,
    /// The types of events that are wanted; all where none is named.
    #[serde(default)]
    #[schema(max_items = 3)]
    events: Vec<EventType>,
    /// Whether an address that is there gets a new secret; the one before signs too for a day.
    #[serde(default)]
    rotate_secret: bool,
}

/// A message on its way, or at its end.
#[derive(Serialize, ToSchema)]
struct Delivery {
    /// The `webhook-id` of every attempt.
    #[schema(schema_with = schema::id)]
    message_id: EventId,
    /// The type of its event.
    event: String,
    /// `waiting`, `done` or `failed`.
    #[schema(schema_with = states)]
    state: &'static str,
    /// Attempts that were begun.
    attempts: u32,
    /// When the next one is due, microseconds since 1970; only while it waits.
    next_us: Option<i64>,
    /// The status of the last answer.
    #[schema(minimum = 100, maximum = 999)]
    status: Option<u16>,
    /// Why the last attempt failed.
    error: Option<String>,
    /// When it was written.
    #[schema(schema_with = schema::time_us)]
    created_us: i64,
}

/// An address.
#[derive(Serialize, ToSchema)]
struct Webhook {
    /// Its id.
    #[schema(schema_with = schema::id)]
    webhook_id: WebhookId,
    /// Where messages go.
    url: String,
    /// The types of events that are wanted; all where none is named.
    events: Vec<String>,
    /// Why nothing is sent, if nothing is; setting the address up again ends it.
    disabled: Option<String>,
    /// Until when the secret before the last rotation signs too, microseconds since 1970.
    previous_secret_until_us: Option<i64>,
    /// When it was set up.
    #[schema(schema_with = schema::time_us)]
    created_us: i64,
    /// When it last changed.
    #[schema(schema_with = schema::time_us)]
    updated_us: i64,
    /// The newest messages.
    deliveries: Vec<Delivery>,
    /// The secret that signs, `whsec_…`; only in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// A message that was asked for.
#[derive(Serialize, ToSchema)]
struct TestMessage {
    /// The `webhook-id` of its attempts.
    #[schema(schema_with = schema::id)]
    message_id: EventId,
}

/// Shows the address and its newest messages.
#[utoipa::path(
    get, path = "/api/v1/webhook", operation_id = "webhook_show", tag = "webhook", security(("bearer" = ["viewer"])),
    responses(
        (status = 200, description = "The address.", body = Webhook),
        (status = 404, description = "There is no address."),
    ),
)]
async fn show(State(desk): State<Arc<Desk>>, viewer: Viewer) -> Result<Json<Webhook>, Problem> {
    Ok(Json(desk.webhooks.get(viewer.user).await?.into()))
}

/// Sets the address up, or changes it.
///
/// Messages are POST requests of JSON, signed as the Standard Webhooks specification has it, and come at least once, always
/// under the same `webhook-id`. An answer of 2xx within 15 s ends a message, 410 disables the address, all else is tried again
/// for some days.
#[utoipa::path(
    put, path = "/api/v1/webhook", operation_id = "webhook_put", tag = "webhook", security(("bearer" = ["viewer"])),
    request_body = WebhookRequest,
    responses((status = 200, description = "The address; with its secret, where that was made now.", body = Webhook)),
)]
async fn put(
    State(desk): State<Arc<Desk>>,
    viewer: Viewer,
    Body(request): Body<WebhookRequest>,
) -> Result<Json<Webhook>, Problem> {
    let WebhookRequest { url, events, rotate_secret } = request;
    if events.len() > WEBHOOK_EVENTS.len() {
        return Err(Problem::invalid("events", format!("events must have at most {} entries", WEBHOOK_EVENTS.len())));
    }
    let events = events.into_iter().map(|event| event.name().to_owned()).collect();
    let wanted = NewWebhook { url, events, rotates_secret: rotate_secret };
    Ok(Json(desk.webhooks.put(viewer.user, wanted).await?.into()))
}

/// Removes the address, and all that was on its way there.
#[utoipa::path(
    delete, path = "/api/v1/webhook", operation_id = "webhook_delete", tag = "webhook",
    security(("bearer" = ["viewer"])),
    responses((status = 204, description = "It is gone."), (status = 404, description = "There is no address.")),
)]
async fn delete(State(desk): State<Arc<Desk>>, viewer: Viewer) -> Result<StatusCode, Problem> {
    desk.webhooks.delete(viewer.user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Has a message of type `webhook.test` sent to the address.
#[utoipa::path(
    post, path = "/api/v1/webhook/test", operation_id = "webhook_test", tag = "webhook",
    security(("bearer" = ["viewer"])),
    responses(
        (status = 202, description = "It will be sent.", body = TestMessage),
        (status = 404, description = "There is no address."),
        (status = 409, description = "The address is disabled, or a request with this Idempotency-Key is being answered."),
    ),
)]
async fn test(State(desk): State<Arc<Desk>>, viewer: Viewer) -> Result<(StatusCode, Json<TestMessage>), Problem> {
    let message_id = desk.webhooks.test(viewer.user).await?;
    Ok((StatusCode::ACCEPTED, Json(TestMessage { message_id })))
}

fn states() -> utoipa::openapi::schema::Object {
    schema::words(["waiting", "done", "failed"])
}

impl EventType {
    fn name(self) -> &'static str {
        match self {
            Self::Published => "media.published",
            Self::Blocked => "media.upload.blocked",
            Self::Decided => "moderation.decided",
        }
    }
}

impl From<WebhookView> for Webhook {
    fn from(view: WebhookView) -> Self {
        let WebhookRow { id, url, events, disabled, previous_until_us, created_us, updated_us, .. } = view.row;
        Self {
            webhook_id: id,
            url,
            events,
            disabled,
            previous_secret_until_us: previous_until_us,
            created_us,
            updated_us,
            deliveries: view.deliveries.into_iter().map(Into::into).collect(),
            secret: view.secret.map(|secret| secret.as_str().to_owned()),
        }
    }
}

impl From<DeliveryRow> for Delivery {
    fn from(row: DeliveryRow) -> Self {
        let state = row.state.as_str();
        Self {
            message_id: row.message,
            event: row.kind,
            state,
            attempts: row.attempts,
            next_us: (state == "waiting").then_some(row.next_us),
            status: row.status,
            error: row.error,
            created_us: row.created_us,
        }
    }
}

impl From<NotifyError> for Problem {
    fn from(error: NotifyError) -> Self {
        match &error {
            NotifyError::Address { .. } => Self::invalid("url", error.to_string()),
            NotifyError::UnknownEvent { .. } => Self::invalid("events", error.to_string()),
            NotifyError::NoWebhook { .. } => Self::not_found(error.to_string()),
            NotifyError::Disabled { .. } => Self::conflict("webhook-disabled", error.to_string()),
            NotifyError::TooManyConnections { .. } => Self::too_often("too-many-connections", error.to_string(), 5),
            _ if error.may_pass() => Self::unavailable("notifications", &error),
            _ => Self::internal("notifications", &error),
        }
    }
}
