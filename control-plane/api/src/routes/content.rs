//! Contents: one's own, those of others that may be seen, and what an owner does with them.

mod bodies;
mod reprocess;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use mcsp_domain::{ContentId, RenditionName, Revision};
use mcsp_services::content::{Asker, ContentError, DESCRIPTION_CHARS_MAX, TITLE_CHARS_MAX};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::{Creator, Viewer};
use crate::body::{Body, Params, Segments, check_line, check_prose};
use crate::{Desk, Page, PageQuery, Problem};
use bodies::{Begun, Content, ContentChange, ContentTimeline, TimelineQuery};

/// Returns the routes of this file and of those below it.
pub(crate) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::default()
        .routes(routes!(list))
        .routes(routes!(show, change, remove))
        .routes(routes!(timeline))
        .routes(routes!(cancel))
        .routes(routes!(retry))
        .routes(routes!(retry_rendition))
        .merge(reprocess::routes())
}

/// Lists the contents of the account, newest first.
#[utoipa::path(
    get, path = "/api/v1/content", operation_id = "content_list", tag = "content", security(("bearer" = ["viewer"])),
    params(PageQuery),
    responses(
        (status = 200, description = "A page of them.", body = Page<Content>),
        (status = 404, description = "No page has this cursor."),
    ),
)]
async fn list(
    State(desk): State<Arc<Desk>>,
    viewer: Viewer,
    Params(query): Params<PageQuery>,
) -> Result<Json<Page<Content>>, Problem> {
    let (after, limit) = (query.after::<ContentId>()?, query.limit()?);
    let found = desk.content.list_mine(viewer.user, after, limit + 1).await?;
    Ok(Json(Page::of(found, limit, |content| content.id, Content::from)))
}

/// Shows a content: one's own in every state, another's once it is published and not private.
#[utoipa::path(
    get, path = "/api/v1/content/{id}", operation_id = "content_show", tag = "content",
    security(("bearer" = ["viewer"])), params(("id" = String, Path, description = "The content.", format = "uuid")),
    responses((
        status = 200, description = "The content.", body = Content,
        headers(("ETag" = String, description = "What a change names in If-Match.")),
    )),
)]
async fn show(
    State(desk): State<Arc<Desk>>,
    viewer: Viewer,
    Segments(id): Segments<ContentId>,
) -> Result<Tagged, Problem> {
    Ok(tagged(desk.content.get(Some(asker(viewer)), id).await?.into()))
}

/// Changes what its owner says of a content. The request names the version that it changes: `If-Match` with the `ETag` of the
/// last answer.
#[utoipa::path(
    patch, path = "/api/v1/content/{id}", operation_id = "content_change", tag = "content",
    security(("bearer" = ["creator"])),
    params(
        ("id" = String, Path, description = "The content.", format = "uuid"),
        ("If-Match" = Option<String>, Header, description = "The version that is changed.", max_length = 100),
    ),
    request_body = ContentChange,
    responses(
        (
            status = 200, description = "The content as it is now.", body = Content,
            headers(("ETag" = String, description = "What the next change names in If-Match.")),
        ),
        (status = 412, description = "It was changed since it was read."),
        (status = 428, description = "The request has no If-Match."),
    ),
)]
async fn change(
    State(desk): State<Arc<Desk>>,
    Creator(viewer): Creator,
    Segments(id): Segments<ContentId>,
    headers: HeaderMap,
    Body(change): Body<ContentChange>,
) -> Result<Tagged, Problem> {
    if let Some(title) = &change.title {
        check_line("title", title, 1, TITLE_CHARS_MAX)?;
    }
    if let Some(description) = &change.description {
        check_prose("description", description, DESCRIPTION_CHARS_MAX)?;
    }
    let current = desk.content.get(Some(asker(viewer)), id).await?.version;
    let version = wanted_version(&headers, current)?;
    Ok(tagged(desk.content.change(asker(viewer), id, version, change.into()).await?.into()))
}

/// Deletes a content, whatever its state: work on it stops, viewers are sent away, its bytes are removed.
#[utoipa::path(
    delete, path = "/api/v1/content/{id}", operation_id = "content_delete", tag = "content",
    security(("bearer" = ["creator"])), params(("id" = String, Path, description = "The content.", format = "uuid")),
    responses((status = 204, description = "It is deleted, or was before.")),
)]
async fn remove(
    State(desk): State<Arc<Desk>>,
    Creator(viewer): Creator,
    Segments(id): Segments<ContentId>,
) -> Result<StatusCode, Problem> {
    desk.content.delete(asker(viewer), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Shows how far a content is, step by step: each with its last attempt, the worker, when it began and ended, and why it is
/// as it is.
#[utoipa::path(
    get, path = "/api/v1/content/{id}/timeline", operation_id = "content_timeline", tag = "content",
    security(("bearer" = ["viewer"])),
    params(("id" = String, Path, description = "The content.", format = "uuid"), TimelineQuery),
    responses((status = 200, description = "The timeline.", body = ContentTimeline)),
)]
async fn timeline(
    State(desk): State<Arc<Desk>>,
    viewer: Viewer,
    Segments(id): Segments<ContentId>,
    Params(query): Params<TimelineQuery>,
) -> Result<Json<ContentTimeline>, Problem> {
    let revision = query.revision.map(|number| Revision::new(number).ok_or_else(no_revision)).transpose()?;
    Ok(Json(desk.content.timeline(asker(viewer), id, revision).await?.into()))
}

/// Stops the work on a content. What viewers see stays; it can be tried again, or get another source.
#[utoipa::path(
    post, path = "/api/v1/content/{id}/cancel", operation_id = "content_cancel", tag = "content",
    security(("bearer" = ["creator"])), params(("id" = String, Path, description = "The content.", format = "uuid")),
    responses((status = 204, description = "Work on it stops, or had stopped.")),
)]
async fn cancel(
    State(desk): State<Arc<Desk>>,
    Creator(viewer): Creator,
    Segments(id): Segments<ContentId>,
) -> Result<StatusCode, Problem> {
    desk.content.cancel(asker(viewer), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tries a failed content again, as a new revision that takes over what was done.
#[utoipa::path(
    post, path = "/api/v1/content/{id}/retry", operation_id = "content_retry", tag = "content",
    security(("bearer" = ["creator"])), params(("id" = String, Path, description = "The content.", format = "uuid")),
    responses((status = 202, description = "It is in work.", body = Begun)),
)]
async fn retry(
    State(desk): State<Arc<Desk>>,
    Creator(viewer): Creator,
    Segments(id): Segments<ContentId>,
) -> Result<(StatusCode, Json<Begun>), Problem> {
    let revision = desk.content.retry(asker(viewer), id).await?.number();
    Ok((StatusCode::ACCEPTED, Json(Begun { content: id, revision })))
}

/// Tries a failed rendition again, as a new revision: the chunks that it lacks are made, the others are taken over.
#[utoipa::path(
    post, path = "/api/v1/content/{id}/renditions/{name}/retry", operation_id = "content_retry_rendition",
    tag = "content", security(("bearer" = ["creator"])),
    params(
        ("id" = String, Path, description = "The content.", format = "uuid"),
        ("name" = String, Path, description = "The rendition.", pattern = "^[a-z0-9][a-z0-9-]{0,63}$"),
    ),
    responses((status = 202, description = "It is in work.", body = Begun)),
)]
async fn retry_rendition(
    State(desk): State<Arc<Desk>>,
    Creator(viewer): Creator,
    Segments((id, name)): Segments<(ContentId, String)>,
) -> Result<(StatusCode, Json<Begun>), Problem> {
    let name = RenditionName::parse(&name).ok_or_else(|| Problem::not_found("no rendition has this name"))?;
    let revision = desk.content.retry_rendition(asker(viewer), id, &name).await?.number();
    Ok((StatusCode::ACCEPTED, Json(Begun { content: id, revision })))
}

/// A content with its entity tag.
type Tagged = ([(HeaderName, String); 1], Json<Content>);

fn tagged(content: Content) -> Tagged {
    ([(header::ETAG, entity_tag(content.version()))], Json(content))
}

fn entity_tag(version: u64) -> String {
    format!("\"{version}\"")
}

/// Reads the version that a change names: the one of `If-Match` (RFC 9110 §13.1.1), `*` for whichever there is.
fn wanted_version(headers: &HeaderMap, current: u64) -> Result<u64, Problem> {
    let missing = || {
        let detail = "a change names the version that it changes: If-Match with the ETag of the last answer";
        Problem::new(StatusCode::PRECONDITION_REQUIRED, "if-match-required", detail)
    };
    let text = headers.get(header::IF_MATCH).ok_or_else(missing)?.to_str().unwrap_or_default();
    let mut tags = text.split(',').map(str::trim);
    if tags.any(|tag| tag == "*" || tag == entity_tag(current)) {
        return Ok(current);
    }
    Err(Problem::changed_since(format!("the content is at version \"{current}\" by now")))
}

fn asker(viewer: Viewer) -> Asker {
    Asker { user: viewer.user, role: viewer.role }
}

fn no_revision() -> Problem {
    Problem::invalid("revision", "revision is 0, and counts from 1")
}

impl From<ContentError> for Problem {
    fn from(error: ContentError) -> Self {
        let detail = error.to_string();
        match &error {
            ContentError::NotFound { .. } | ContentError::NoRendition { .. } | ContentError::NoRun { .. } => {
                Self::not_found(detail)
            }
            ContentError::NotOwner { .. } => Self::forbidden(detail),
            ContentError::WrongState { .. } | ContentError::Illegal(_) => Self::conflict("wrong-state", detail),
            ContentError::OtherUpload { .. } => Self::conflict("upload-superseded", detail),
            ContentError::OtherVersion { .. } => Self::changed_since(detail),
            ContentError::Text { what, .. } => Self::invalid(what.replace(' ', "_"), detail),
            ContentError::TooMany { .. } => Self::invalid("query", detail),
            _ if error.may_pass() => Self::unavailable("content", &error),
            _ => Self::internal("content", &error),
        }
    }
}
