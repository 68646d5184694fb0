//! Uploads: opening a session, signing its parts, looking at it, completing it, giving it up. The bytes themselves go
//! straight to the object store.

mod bodies;

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequest, Request, State};
use axum::http::{StatusCode, header};
use mcsp_domain::{ContentId, Digest, SessionId};
use mcsp_runtime::{Etag, PartTag};
use mcsp_services::content::{ContentError, DESCRIPTION_CHARS_MAX, FILE_NAME_CHARS_MAX, TITLE_CHARS_MAX};
use mcsp_services::upload::{ADDRESSES_MAX, NewFile, NewUpload, ResidencyError, UploadError, WantedPart};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::Creator;
use crate::body::{Body, Segments, check_line, check_prose};
use crate::{Desk, Problem};
use bodies::{
    CompleteRequest, Completed, NewSession, NewSource, PartAnswer, PartsAnswer, PartsRequest, Session, Status,
};

/// What no platform takes, whatever its own limit is.
const SIZE_BYTES_MAX: u64 = 1 << 40;
/// Parts that a completion may name.
const NAMED_PARTS_MAX: usize = 500;

/// Returns the routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::default()
        .routes(routes!(create))
        .routes(routes!(show, abort))
        .routes(routes!(sign))
        .routes(routes!(complete))
        .routes(routes!(replace_source))
}

/// Opens an upload session and announces its content.
///
/// The file then goes straight to the store: by one PUT to `presigned_url`, or in parts by `parts`, in any order and again
/// after a loss. Completing tells the platform; where a client dies before that, the store's own word does.
#[utoipa::path(
    post, path = "/api/v1/uploads/session", operation_id = "uploads_create", tag = "uploads",
    security(("bearer" = ["creator"])), request_body = NewSession,
    responses(
        (status = 201, description = "The session.", body = Session),
        (status = 403, description = "This account may not upload, or not to that region."),
        (status = 413, description = "The body is too large."),
        (status = 429, description = "Too many requests, or too many open uploads."),
    ),
)]
async fn create(
    State(desk): State<Arc<Desk>>,
    Creator(viewer): Creator,
    Body(new): Body<NewSession>,
) -> Result<(StatusCode, Json<Session>), Problem> {
    let NewSession { title, visibility, tier, region, country, .. } = new;
    if let Some(title) = &title {
        check_line("title", title, 1, TITLE_CHARS_MAX)?;
    }
    let description = new.description.unwrap_or_default();
    check_prose("description", &description, DESCRIPTION_CHARS_MAX)?;
    check_form("region", region.as_deref(), 1..=32, |byte| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
    })?;
    check_form("country", country.as_deref(), 2..=2, |byte| byte.is_ascii_uppercase())?;
    let file = file(new.file_name, new.size_bytes, new.sha256.as_deref(), new.parts_max)?;
    let upload = NewUpload { file, title, description, visibility, tier, region, country };
    Ok((StatusCode::CREATED, Json(desk.uploads.create(viewer.user, upload).await?.into())))
}

/// Shows how far an upload is: what a client needs to go on after it lost everything but the session's id.
#[utoipa::path(
    get, path = "/api/v1/uploads/{session}", operation_id = "uploads_show", tag = "uploads",
    security(("bearer" = ["creator"])), params(("session" = String, Path, description = "The session.", format = "uuid")),
    responses((status = 200, description = "How far it is.", body = Status)),
)]
async fn show(
    State(desk): State<Arc<Desk>>,
    Creator(viewer): Creator,
    Segments(session): Segments<SessionId>,
) -> Result<Json<Status>, Problem> {
    Ok(Json(desk.uploads.status(viewer.user, session).await?.into()))
}

/// Gives an upload up: what is stored of it is removed, and its draft fails.
#[utoipa::path(
    delete, path = "/api/v1/uploads/{session}", operation_id = "uploads_abort", tag = "uploads",
    security(("bearer" = ["creator"])), params(("session" = String, Path, description = "The session.", format = "uuid")),
    responses(
        (status = 204, description = "It is given up."),
        (status = 409, description = "It is complete: delete its content instead."),
    ),
)]
async fn abort(
    State(desk): State<Arc<Desk>>,
    Creator(viewer): Creator,
    Segments(session): Segments<SessionId>,
) -> Result<StatusCode, Problem> {
    desk.uploads.abort(viewer.user, session).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Signs parts of an upload, also those whose addresses expired.
#[utoipa::path(
    post, path = "/api/v1/uploads/{session}/parts", operation_id = "uploads_sign", tag = "uploads",
    security(("bearer" = ["creator"])), params(("session" = String, Path, description = "The session.", format = "uuid")),
    request_body = PartsRequest,
    responses(
        (status = 200, description = "The parts.", body = PartsAnswer),
        (status = 404, description = "There is no such session, or its file has no such part."),
        (status = 409, description = "The session is complete or aborted, or a request with this Idempotency-Key is being answered."),
        (status = 410, description = "The session has expired."),
    ),
)]
async fn sign(
    State(desk): State<Arc<Desk>>,
    Creator(viewer): Creator,
    Segments(session): Segments<SessionId>,
    Body(request): Body<PartsRequest>,
) -> Result<Json<PartsAnswer>, Problem> {
    if !(1..=ADDRESSES_MAX).contains(&request.parts.len()) {
        return Err(Problem::invalid("parts", format!("parts must have 1 to {ADDRESSES_MAX} entries")));
    }
    let mut wanted = Vec::new();
    for part in &request.parts {
        check_number(part.number)?;
        wanted.push(WantedPart { number: part.number, sha256: digest(part.sha256.as_deref())? });
    }
    let signed = desk.uploads.sign_parts(viewer.user, session, &wanted).await?;
    Ok(Json(PartsAnswer { parts: signed.into_iter().map(PartAnswer::from).collect() }))
}

/// Completes an upload, once all its bytes are stored. Completing again answers the same. An empty body does.
#[utoipa::path(
    post, path = "/api/v1/uploads/{session}/complete", operation_id = "uploads_complete", tag = "uploads",
    security(("bearer" = ["creator"])), params(("session" = String, Path, description = "The session.", format = "uuid")),
    request_body = CompleteRequest,
    responses(
        (status = 200, description = "It is complete.", body = Completed),
        (status = 409, description = "Parts are missing or others than those named, the session was aborted, or a request with this Idempotency-Key is being answered."),
        (status = 410, description = "The session has expired."),
    ),
)]
async fn complete(
    State(desk): State<Arc<Desk>>,
    Creator(viewer): Creator,
    Segments(session): Segments<SessionId>,
    request: Request,
) -> Result<Json<Completed>, Problem> {
    let request = if says_nothing(&request) {
        CompleteRequest::default()
    } else {
        Body::<CompleteRequest>::from_request(request, &()).await?.0
    };
    if request.parts.len() > NAMED_PARTS_MAX {
        return Err(Problem::invalid("parts", format!("parts must have at most {NAMED_PARTS_MAX} entries")));
    }
    let mut parts = Vec::new();
    for part in &request.parts {
        check_number(part.number)?;
        let bare = part.etag.strip_prefix('"').unwrap_or(&part.etag);
        let bare = bare.strip_suffix('"').unwrap_or(bare);
        let etag = Etag::parse(bare).map_err(|error| Problem::invalid("etag", error.to_string()))?;
        parts.push(PartTag { number: part.number, etag });
    }
    Ok(Json(desk.uploads.complete(viewer.user, session, &parts).await?.into()))
}

/// Opens an upload session for another source of a content.
///
/// A draft's source takes the place of the one that it waited for. Any other content gets a new revision once the bytes are
/// stored; what is published stays so until that revision is.
#[utoipa::path(
    post, path = "/api/v1/content/{id}/source", operation_id = "content_replace_source", tag = "uploads",
    security(("bearer" = ["creator"])), params(("id" = String, Path, description = "The content.", format = "uuid")),
    request_body = NewSource,
    responses(
        (status = 201, description = "The session.", body = Session),
        (status = 409, description = "The content is being worked on, or a request with this Idempotency-Key is being answered."),
        (status = 413, description = "The body is too large."),
        (status = 429, description = "Too many requests, or too many open uploads."),
    ),
)]
async fn replace_source(
    State(desk): State<Arc<Desk>>,
    Creator(viewer): Creator,
    Segments(content): Segments<ContentId>,
    Body(new): Body<NewSource>,
) -> Result<(StatusCode, Json<Session>), Problem> {
    let file = file(new.file_name, new.size_bytes, new.sha256.as_deref(), new.parts_max)?;
    Ok((StatusCode::CREATED, Json(desk.uploads.replace_source(viewer.user, content, file).await?.into())))
}

fn file(file_name: String, size_bytes: u64, sha256: Option<&str>, parts_max: usize) -> Result<NewFile, Problem> {
    check_line("file_name", &file_name, 1, FILE_NAME_CHARS_MAX)?;
    if parts_max > ADDRESSES_MAX {
        return Err(Problem::invalid("parts_max", format!("parts_max must be at most {ADDRESSES_MAX}")));
    }
    if !(1..=SIZE_BYTES_MAX).contains(&size_bytes) {
        return Err(Problem::invalid("size_bytes", format!("size_bytes must be 1 to {SIZE_BYTES_MAX}")));
    }
    Ok(NewFile { file_name, size_bytes, sha256: digest(sha256)?, addresses_max: parts_max })
}

fn digest(text: Option<&str>) -> Result<Option<Digest>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let mut bytes = [0; 32];
    match hex::decode_to_slice(text, &mut bytes) {
        Ok(()) => Ok(Some(Digest::from_bytes(bytes))),
        Err(_) => Err(Problem::invalid("sha256", "sha256 must be 64 hexadecimal digits")),
    }
}

fn check_number(number: u32) -> Result<(), Problem> {
    if (1..=mcsp_domain::limits::UPLOAD_PARTS_MAX).contains(&number) {
        return Ok(());
    }
    Err(Problem::invalid("number", format!("{number} is no part number")))
}

fn check_form(
    field: &'static str,
    text: Option<&str>,
    len_bytes: std::ops::RangeInclusive<usize>,
    fits: impl Fn(u8) -> bool,
) -> Result<(), Problem> {
    match text {
        Some(text) if !len_bytes.contains(&text.len()) || !text.bytes().all(fits) => {
            Err(Problem::invalid(field, format!("{field} is not of the form that its schema has")))
        }
        _ => Ok(()),
    }
}

/// Returns whether a request has no body and claims none.
fn says_nothing(request: &Request) -> bool {
    use axum::body::HttpBody;
    request.body().is_end_stream() && !request.headers().contains_key(header::CONTENT_TYPE)
}

impl From<UploadError> for Problem {
    fn from(error: UploadError) -> Self {
        let detail = error.to_string();
        match &error {
            UploadError::NoSession { .. } | UploadError::NoContent { .. } | UploadError::NoPart { .. } => {
                Self::not_found(detail)
            }
            UploadError::Field { field, .. } => Self::invalid(*field, detail),
            UploadError::TooLarge { .. } => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "file-too-large", detail),
            UploadError::TooManyOpen { .. } => Self::too_often("too-many-uploads", detail, 60),
            UploadError::Residency(ResidencyError::UnknownRegion { .. } | ResidencyError::Elsewhere { .. }) => {
                Self::new(StatusCode::FORBIDDEN, "region-not-allowed", detail)
            }
            UploadError::Missing { .. } => Self::conflict("parts-missing", detail),
            UploadError::OtherPart { .. } => Self::conflict("other-part", detail),
            UploadError::OtherSize { .. } => Self::conflict("other-size", detail),
            UploadError::Ended { state: "expired", .. } => Self::new(StatusCode::GONE, "upload-expired", detail),
            UploadError::Ended { .. } => Self::conflict("upload-ended", detail),
            UploadError::Superseded { .. } => Self::conflict("upload-superseded", detail),
            UploadError::Content(ContentError::Text { what, .. }) => Self::invalid(*what, detail),
            UploadError::Content(ContentError::WrongState { .. }) => Self::conflict("wrong-state", detail),
            _ if error.may_pass() => Self::unavailable("upload", &error),
            _ => Self::internal("upload", &error),
        }
    }
}
