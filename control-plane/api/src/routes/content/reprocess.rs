//! Reprocessing: one content, or a run over many that is planned first and goes on after a death.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use mcsp_domain::{ContentId, RunId};
use mcsp_services::content::{ReprocessFrom, ReprocessItem, ReprocessPlan, ReprocessQuery, RunItem, RunReport};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asker;
use super::bodies::Begun;
use crate::auth::Creator;
use crate::body::{Body, Params, Segments};
use crate::{Desk, Page, PageQuery, Problem, schema};

/// Contents that the answer to a new run lists; the run's own page lists all.
const ITEMS_MAX: usize = 1000;

/// Returns the routes of this file.
pub(super) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::default()
        .routes(routes!(one))
        .routes(routes!(begin))
        .routes(routes!(show, resume))
        .routes(routes!(items))
}

/// Where the work on one content begins.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReprocessOne {
    /// `transcode` makes everything anew, `package` keeps the chunks.
    #[schema(schema_with = from_words)]
    from: StartAt,
}

/// What a run is about.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRun {
    /// Which published contents: `all`, or words that must all hold, of `id:<uuid>`, `owner:<uuid>`, `owner:me` and
    /// `title:<text>`; other words are the title's. Who is no admin finds only their own.
    #[schema(min_length = 1, max_length = 300, pattern = "^\\S")]
    query: String,
    /// `transcode` makes everything anew, `package` keeps the chunks.
    #[schema(schema_with = from_words)]
    from: StartAt,
    /// Whether it is only to be told what would be done.
    #[serde(default)]
    #[schema(required = false)]
    dry_run: bool,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StartAt {
    Transcode,
    Package,
}

/// A run, or what one would do.
#[derive(Serialize, ToSchema)]
struct Run {
    /// Its id; none for what would be done.
    #[schema(value_type = Option<String>, format = "uuid")]
    run: Option<RunId>,
    /// What was asked for.
    query: String,
    /// Where its work begins.
    #[schema(schema_with = from_words)]
    from: &'static str,
    /// Contents that were not begun yet.
    planned: u64,
    /// Contents that were left out.
    skipped: u64,
    /// Contents whose new revision is in work.
    working: u64,
    /// Contents whose new revision viewers see.
    published: u64,
    /// Contents whose new revision was given up.
    failed: u64,
    /// Bytes of all sources, for what would be done.
    source_bytes: Option<u64>,
    /// Length of all contents in milliseconds, as far as it is known, for what would be done.
    duration_ms: Option<u64>,
    /// Its contents, by id, the first thousand.
    items: Vec<Item>,
}

/// A content of a run.
#[derive(Serialize, ToSchema)]
struct Item {
    /// The content.
    #[schema(schema_with = schema::id)]
    content: ContentId,
    /// Its title.
    title: String,
    /// How far it is.
    #[schema(schema_with = item_states)]
    state: &'static str,
    /// The revision that the run began.
    #[schema(minimum = 1)]
    revision: Option<u32>,
    /// Why it was left out; empty otherwise.
    reason: String,
}

/// Makes a published content anew. Viewers see the old revision until the new one is published.
#[utoipa::path(
    post, path = "/api/v1/content/{id}/reprocess", operation_id = "content_reprocess", tag = "reprocess",
    security(("bearer" = ["creator"])), params(("id" = String, Path, description = "The content.", format = "uuid")),
    request_body = ReprocessOne, responses((status = 202, description = "It is in work.", body = Begun)),
)]
async fn one(
    State(desk): State<Arc<Desk>>,
    Creator(viewer): Creator,
    Segments(id): Segments<ContentId>,
    Body(wish): Body<ReprocessOne>,
) -> Result<(StatusCode, Json<Begun>), Problem> {
    let revision = desk.content.reprocess_one(asker(viewer), id, wish.from.into()).await?.number();
    Ok((StatusCode::ACCEPTED, Json(Begun { content: id, revision })))
}

/// Begins a run of reprocessing, or tells what it would do.
#[utoipa::path(
    post, path = "/api/v1/reprocess", operation_id = "reprocess_begin", tag = "reprocess",
    security(("bearer" = ["creator"])), request_body = NewRun,
    responses(
        (status = 200, description = "What would be done.", body = Run),
        (status = 202, description = "The run.", body = Run),
    ),
)]
async fn begin(
    State(desk): State<Arc<Desk>>,
    Creator(viewer): Creator,
    Body(new): Body<NewRun>,
) -> Result<(StatusCode, Json<Run>), Problem> {
    let (asker, from) = (asker(viewer), new.from.into());
    let query = ReprocessQuery::parse(&new.query, viewer.user);
    let query = query.map_err(|error| Problem::invalid("query", error.to_string()))?;
    if new.dry_run {
        let plan = desk.content.plan_reprocess(asker, &query).await?;
        return Ok((StatusCode::OK, Json(Run::planned(&query, from, plan))));
    }
    let report = desk.content.reprocess(asker, &query, from).await?;
    let items = desk.content.run_items(asker, report.run, None, items_max()).await?;
    Ok((StatusCode::ACCEPTED, Json(Run::of(report, items))))
}

/// Shows how far a run is.
#[utoipa::path(
    get, path = "/api/v1/reprocess/{run}", operation_id = "reprocess_show", tag = "reprocess",
    security(("bearer" = ["creator"])), params(("run" = String, Path, description = "The run.", format = "uuid")),
    responses((status = 200, description = "The run.", body = Run)),
)]
async fn show(
    State(desk): State<Arc<Desk>>,
    Creator(viewer): Creator,
    Segments(run): Segments<RunId>,
) -> Result<Json<Run>, Problem> {
    let report = desk.content.run_report(asker(viewer), run).await?;
    let items = desk.content.run_items(asker(viewer), run, None, items_max()).await?;
    Ok(Json(Run::of(report, items)))
}

/// Goes on with a run that has contents left.
#[utoipa::path(
    post, path = "/api/v1/reprocess/{run}", operation_id = "reprocess_resume", tag = "reprocess",
    security(("bearer" = ["creator"])), params(("run" = String, Path, description = "The run.", format = "uuid")),
    responses((status = 202, description = "The run.", body = Run)),
)]
async fn resume(
    State(desk): State<Arc<Desk>>,
    Creator(viewer): Creator,
    Segments(run): Segments<RunId>,
) -> Result<(StatusCode, Json<Run>), Problem> {
    let report = desk.content.resume_run(asker(viewer), run).await?;
    let items = desk.content.run_items(asker(viewer), run, None, items_max()).await?;
    Ok((StatusCode::ACCEPTED, Json(Run::of(report, items))))
}

/// Lists the contents of a run.
#[utoipa::path(
    get, path = "/api/v1/reprocess/{run}/items", operation_id = "reprocess_items", tag = "reprocess",
    security(("bearer" = ["creator"])),
    params(("run" = String, Path, description = "The run.", format = "uuid"), PageQuery),
    responses((status = 200, description = "A page of them.", body = Page<Item>)),
)]
async fn items(
    State(desk): State<Arc<Desk>>,
    Creator(viewer): Creator,
    Segments(run): Segments<RunId>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Page<Item>>, Problem> {
    let (after, limit) = (query.after::<ContentId>()?, query.limit()?);
    let found = desk.content.run_items(asker(viewer), run, after, limit + 1).await?;
    Ok(Json(Page::of(found, limit, |item| item.content, Item::from)))
}

fn items_max() -> u32 {
    u32::try_from(ITEMS_MAX).unwrap_or(u32::MAX)
}

fn from_words() -> Object {
    schema::words(["transcode", "package"])
}

fn item_states() -> Object {
    schema::words(["planned", "skipped", "working", "published", "failed"])
}

impl Run {
    fn of(report: RunReport, items: Vec<RunItem>) -> Self {
        let RunReport { run, query, from, planned, skipped, working, published, failed, .. } = report;
        let (from, items) = (from.as_str(), items.into_iter().map(Item::from).collect());
        let (source_bytes, duration_ms) = (None, None);
        let run = Some(run);
        Self { run, query, from, planned, skipped, working, published, failed, source_bytes, duration_ms, items }
    }

    fn planned(query: &ReprocessQuery, from: ReprocessFrom, plan: ReprocessPlan) -> Self {
        Self {
            run: None,
            query: query.as_str().to_owned(),
            from: from.as_str(),
            planned: plan.items.len() as u64,
            skipped: 0,
            working: 0,
            published: 0,
            failed: 0,
            source_bytes: Some(plan.source_bytes),
            duration_ms: Some(plan.duration_ms),
            items: plan.items.into_iter().take(ITEMS_MAX).map(Item::from).collect(),
        }
    }
}

impl From<StartAt> for ReprocessFrom {
    fn from(from: StartAt) -> Self {
        match from {
            StartAt::Transcode => Self::Transcode,
            StartAt::Package => Self::Package,
        }
    }
}

impl From<RunItem> for Item {
    fn from(item: RunItem) -> Self {
        let RunItem { content, title, state, revision, reason } = item;
        Self { content, title, state, revision: revision.map(|revision| revision.number()), reason }
    }
}

impl From<ReprocessItem> for Item {
    fn from(item: ReprocessItem) -> Self {
        let ReprocessItem { content, title, .. } = item;
        Self { content, title, state: "planned", revision: None, reason: String::new() }
    }
}
