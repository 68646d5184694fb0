//! The review queue: what waits for a moderator, and what he decides.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use mcsp_domain::{ContentId, Revision, UserId};
use mcsp_services::moderation::{
    CaseDecision, CaseFlag, CaseKind, CasePlace, CaseRow, Decision, ListedCase, ModerationError, REASON_CHARS_MAX,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::Moderator;
use crate::body::{Body, Params, Segments, check_prose};
use crate::page::{after, limit_of};
use crate::{Desk, Page, Problem, schema};

/// Returns the routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::default().routes(routes!(cases)).routes(routes!(decide))
}

/// Which cases are asked for.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct CaseQuery {
    /// Only those that are decided, or that are not.
    decided: Option<bool>,
    /// `next_cursor` of the page before.
    #[param(max_length = 200, pattern = "^[A-Za-z0-9_-]*$")]
    cursor: Option<String>,
    /// How many items.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// What a moderator is asked.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// Whether it may be shown.
    Content,
    /// Whether its uploader may use what is in it.
    Rights,
}

/// A stretch of time in a source.
#[derive(Serialize, ToSchema)]
struct Range {
    /// Its start, milliseconds.
    start_ms: u64,
    /// Its end, exclusive.
    end_ms: u64,
}

/// Who flagged what, where.
#[derive(Serialize, ToSchema)]
struct Flag {
    /// The rules, the scanner or the person.
    flagged_by: String,
    /// Names of the rules or labels.
    labels: Vec<String>,
    /// How sure, in thousandths.
    confidence_permille: u16,
    /// Where in the source.
    ranges: Vec<Range>,
    /// When.
    #[schema(schema_with = schema::time_us)]
    at_us: i64,
}

/// What was decided.
#[derive(Serialize, ToSchema)]
struct Decided {
    /// Who.
    #[schema(schema_with = schema::id)]
    decided_by: UserId,
    /// Whether it goes on.
    approved: bool,
    /// Words for its uploader.
    reason: String,
    /// When.
    #[schema(schema_with = schema::time_us)]
    decided_us: i64,
}

/// A case.
#[derive(Serialize, ToSchema)]
struct Case {
    /// The content.
    #[schema(schema_with = schema::id)]
    content_id: ContentId,
    /// The publication of it.
    #[schema(value_type = u32, minimum = 1)]
    revision: Revision,
    /// What it is about.
    kind: Kind,
    /// Who flagged what, oldest first.
    flags: Vec<Flag>,
    /// When it was opened.
    #[schema(schema_with = schema::time_us)]
    opened_us: i64,
    /// What was decided, once it was.
    decision: Option<Decided>,
}

/// A case of the queue.
#[derive(Serialize, ToSchema)]
struct QueuedCase {
    /// The case.
    #[serde(flatten)]
    case: Case,
    /// The content's owner.
    #[schema(schema_with = schema::id)]
    owner_id: UserId,
    /// The content's title.
    title: String,
}

/// What a moderator decides.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DecisionRequest {
    /// Whether it goes on.
    approve: bool,
    /// Words for its uploader.
    #[schema(max_length = 1000, pattern = "^[^\\u0000-\\u0008\\u000B\\u000C\\u000E-\\u001F\\u007F-\\u009F]*$")]
    reason: String,
    /// The publication; the newest with a case otherwise.
    #[schema(value_type = Option<u32>, minimum = 1)]
    #[serde(default)]
    revision: Option<Revision>,
    /// The kind of case; the one that is open otherwise.
    #[serde(default)]
    kind: Option<Kind>,
}

/// Lists cases: open ones first, then the longest waiting first.
#[utoipa::path(
    get, path = "/api/v1/moderation/cases", operation_id = "moderation_cases", tag = "moderation",
    security(("bearer" = ["moderator"])), params(CaseQuery),
    responses(
        (status = 200, description = "Cases.", body = Page<QueuedCase>),
        (status = 404, description = "No page has this cursor."),
    ),
)]
async fn cases(
    State(desk): State<Arc<Desk>>,
    _moderator: Moderator,
    Params(query): Params<CaseQuery>,
) -> Result<Json<Page<QueuedCase>>, Problem> {
    let (place, limit) = (after::<CasePlace>(query.cursor.as_deref())?, limit_of(query.limit)?);
    let found = desk.moderation.cases(query.decided, place, limit.saturating_add(1)).await?;
    Ok(Json(Page::of(found, limit, |listed| listed.case.place(), Into::into)))
}

/// Decides a case, once.
///
/// A case of content ends in `moderation.decided`. A case of rights lets the upload go on, or blocks it.
#[utoipa::path(
    post, path = "/api/v1/moderation/cases/{content}/decision", operation_id = "moderation_decide", tag = "moderation",
    security(("bearer" = ["moderator"])),
    params(("content" = String, Path, description = "The content.", format = "uuid")),
    request_body = DecisionRequest,
    responses(
        (status = 200, description = "The case.", body = Case),
        (status = 403, description = "This account may not do it, or the content is its own."),
        (status = 409, description = "It is decided, waits for nobody any more, or has open cases of both kinds."),
    ),
)]
async fn decide(
    State(desk): State<Arc<Desk>>,
    Moderator(moderator): Moderator,
    Segments(content): Segments<ContentId>,
    Body(request): Body<DecisionRequest>,
) -> Result<Json<Case>, Problem> {
    let DecisionRequest { approve, reason, revision, kind } = request;
    check_prose("reason", &reason, REASON_CHARS_MAX)?;
    let kind = kind.map(|kind| match kind {
        Kind::Content => CaseKind::Content,
        Kind::Rights => CaseKind::Rights,
    });
    let decision = Decision { content, revision, kind, approve, reason, moderator: moderator.user };
    Ok(Json(desk.moderation.decide(decision).await?.into()))
}

impl From<CaseRow> for Case {
    fn from(row: CaseRow) -> Self {
        let CaseRow { content, revision, kind, flags, decision, opened_us } = row;
        let kind = match kind {
            CaseKind::Content => Kind::Content,
            CaseKind::Rights => Kind::Rights,
        };
        let (flags, decision) = (flags.into_iter().map(Into::into).collect(), decision.map(Into::into));
        Self { content_id: content, revision, kind, flags, opened_us, decision }
    }
}

impl From<ListedCase> for QueuedCase {
    fn from(listed: ListedCase) -> Self {
        let ListedCase { case, owner, title } = listed;
        Self { case: case.into(), owner_id: owner, title }
    }
}

impl From<CaseFlag> for Flag {
    fn from(flag: CaseFlag) -> Self {
        let CaseFlag { flagged_by, labels, confidence_permille, ranges, at_us } = flag;
        let ranges = ranges.into_iter().map(|range| Range { start_ms: range.start_ms, end_ms: range.end_ms }).collect();
        Self { flagged_by, labels, confidence_permille, ranges, at_us }
    }
}

impl From<CaseDecision> for Decided {
    fn from(decision: CaseDecision) -> Self {
        let CaseDecision { decided_by, approved, reason, decided_us } = decision;
        Self { decided_by, approved, reason, decided_us }
    }
}

impl From<ModerationError> for Problem {
    fn from(error: ModerationError) -> Self {
        match &error {
            ModerationError::NoCase { .. } => Self::not_found(error.to_string()),
            ModerationError::Decided { .. } => Self::conflict("already-decided", error.to_string()),
            ModerationError::Over { .. } | ModerationError::NoSource { .. } => {
                Self::conflict("case-over", error.to_string())
            }
            ModerationError::Ambiguous { .. } => Self::conflict("name-the-kind", error.to_string()),
            ModerationError::OwnContent { .. } => Self::forbidden(error.to_string()),
            _ if error.may_pass() => Self::unavailable("moderation", &error),
            _ => Self::internal("moderation", &error),
        }
    }
}
