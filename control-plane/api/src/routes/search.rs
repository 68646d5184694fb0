//! Finding what is published, by everybody.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use mcsp_domain::{ContentId, UserId};
use mcsp_services::search::{QUERY_CHARS_MAX, SearchError, SearchHit};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::body::Params;
use crate::page::{after, limit_of};
use crate::{Desk, Page, Problem, schema};

/// Returns the routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::default().routes(routes!(search))
}

/// What is looked for.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SearchQuery {
    /// Words, all of which must occur; the last one may be the beginning of a word.
    #[param(max_length = 200)]
    q: String,
    /// `next_cursor` of the page before.
    #[param(max_length = 200, pattern = "^[A-Za-z0-9_-]*$")]
    cursor: Option<String>,
    /// How many items.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// A content that was found.
#[derive(Serialize, ToSchema)]
struct Found {
    /// Its id.
    #[schema(schema_with = schema::id)]
    content_id: ContentId,
    /// Whose it is.
    #[schema(schema_with = schema::id)]
    owner_id: UserId,
    /// Its title.
    title: String,
    /// What its owner says of it.
    description: String,
    /// Its length in milliseconds, where it is known.
    #[schema(minimum = 0)]
    duration_ms: Option<u64>,
    /// When it was published, microseconds since 1970.
    published_us: Option<i64>,
}

/// Finds published public contents, best first.
///
/// Words of the title weigh more than those of the description. Signs are no words: a search without a word finds nothing.
#[utoipa::path(
    get, path = "/api/v1/search", operation_id = "search", tag = "search", params(SearchQuery),
    responses(
        (status = 200, description = "What was found.", body = Page<Found>),
        (status = 404, description = "No page has this cursor."),
    ),
)]
async fn search(
    State(desk): State<Arc<Desk>>,
    Params(query): Params<SearchQuery>,
) -> Result<Json<Page<Found>>, Problem> {
    if query.q.chars().count() > QUERY_CHARS_MAX {
        return Err(Problem::invalid("q", format!("q must have up to {QUERY_CHARS_MAX} characters")));
    }
    let (offset, limit) = (after::<u32>(query.cursor.as_deref())?.unwrap_or(0), limit_of(query.limit)?);
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let hits = desk.search.find(&query.q, count(offset), count(limit) + 1).await?;
    let places = (offset.saturating_add(1)..).zip(hits).collect();
    Ok(Json(Page::of(places, limit, |(place, _)| *place, |(_, hit)| hit.into())))
}

impl From<SearchHit> for Found {
    fn from(hit: SearchHit) -> Self {
        let SearchHit { content, owner, title, description, duration_ms, published_us } = hit;
        Self { content_id: content, owner_id: owner, title, description, duration_ms, published_us }
    }
}

impl From<SearchError> for Problem {
    fn from(error: SearchError) -> Self {
        if error.may_pass() { Self::unavailable("search", &error) } else { Self::internal("search", &error) }
    }
}
