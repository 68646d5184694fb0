//! What the routes of contents take and give, as JSON.

use mcsp_domain::{
    ContentId, ContentState, RenditionKind, RenditionState, StepName, StepState, SubscriptionTier, UserId, Visibility,
};
use mcsp_services::content::{Changes, ContentView, RenditionRow, RevisionView, StepRow, Timeline};
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::Object;
use utoipa::{IntoParams, ToSchema};

use crate::schema;

/// A content.
#[derive(Serialize, ToSchema)]
pub(super) struct Content {
    /// Its id.
    #[schema(schema_with = schema::id)]
    id: ContentId,
    /// Whose it is.
    #[schema(schema_with = schema::id)]
    owner_id: UserId,
    /// Its title.
    title: String,
    /// What its owner says of it.
    description: String,
    /// Who may see it once it is published.
    #[schema(schema_with = visibility)]
    visibility: Visibility,
    /// What its viewers must pay for.
    #[schema(schema_with = schema::tier)]
    tier: SubscriptionTier,
    /// How far it is; for all but its owner, published.
    #[schema(schema_with = state)]
    state: ContentState,
    /// Why it is there; told to its owner alone.
    reason: Option<String>,
    /// The publication in work, or last worked on; for all but its owner, the one that viewers see.
    #[schema(minimum = 1)]
    revision: u32,
    /// The publication that viewers see.
    #[schema(minimum = 1)]
    published_revision: Option<u32>,
    /// The region that its bytes live in.
    region: String,
    /// Its length in milliseconds, once it is known.
    #[schema(minimum = 0)]
    duration_ms: Option<u64>,
    /// Rises with every change: the ETag without its quotes.
    #[schema(minimum = 1)]
    version: u64,
    /// When it was announced.
    #[schema(schema_with = schema::time_us)]
    created_us: i64,
    /// When it last changed.
    #[schema(schema_with = schema::time_us)]
    updated_us: i64,
    /// When viewers were let in, microseconds since 1970.
    published_us: Option<i64>,
}

impl Content {
    /// Returns what its entity tag is made of.
    pub(super) fn version(&self) -> u64 {
        self.version
    }
}

/// What an owner changes; what is not named stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ContentChange {
    /// The title.
    #[schema(min_length = 1, max_length = 200, pattern = "^[^\\u0000-\\u001F\\u007F-\\u009F\\u2028\\u2029]+$")]
    pub(super) title: Option<String>,
    /// What is said of it.
    #[schema(max_length = 5000, pattern = "^[^\\u0000-\\u0008\\u000B\\u000C\\u000E-\\u001F\\u007F-\\u009F]*$")]
    pub(super) description: Option<String>,
    /// Who may see it once it is published.
    #[schema(schema_with = visibility, required = false)]
    pub(super) visibility: Option<Visibility>,
    /// What its viewers must pay for.
    #[schema(schema_with = schema::tier, required = false)]
    pub(super) tier: Option<SubscriptionTier>,
}

/// Which revision is shown.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TimelineQuery {
    /// The revision; the current one where none is named.
    #[param(minimum = 1)]
    pub(super) revision: Option<u32>,
}

/// How far a content is, step by step.
#[derive(Serialize, ToSchema)]
pub(super) struct ContentTimeline {
    /// The content.
    #[schema(schema_with = schema::id)]
    content: ContentId,
    /// The revision that steps and renditions are of.
    #[schema(minimum = 1)]
    revision: u32,
    /// How far the content is.
    #[schema(schema_with = state)]
    state: ContentState,
    /// Why it is there.
    reason: Option<String>,
    /// The revision's steps, in the order of its way.
    steps: Vec<TimelineStep>,
    /// The revision's renditions, by name.
    renditions: Vec<TimelineRendition>,
    /// All revisions, newest first.
    revisions: Vec<TimelineRevision>,
}

/// One step of a revision.
#[derive(Serialize, ToSchema)]
struct TimelineStep {
    /// The step.
    #[schema(schema_with = step_name)]
    name: StepName,
    /// How far it is.
    #[schema(schema_with = step_state)]
    state: StepState,
    /// The number of its last attempt; 0 before the first.
    attempt: u32,
    /// The process that did the work; empty where none is known.
    worker: String,
    /// Why it is as it is; empty where that needs no words.
    reason: String,
    /// When it began, microseconds since 1970.
    started_us: Option<i64>,
    /// When it ended, microseconds since 1970.
    ended_us: Option<i64>,
}

/// One rendition of a revision.
#[derive(Serialize, ToSchema)]
struct TimelineRendition {
    /// Its name.
    name: String,
    /// Pictures or sound.
    #[schema(schema_with = kind)]
    kind: RenditionKind,
    /// How far it is.
    #[schema(schema_with = rendition_state)]
    state: RenditionState,
    /// Why it failed; empty otherwise.
    reason: String,
    /// When it last changed.
    #[schema(schema_with = schema::time_us)]
    updated_us: i64,
}

/// One revision of a content.
#[derive(Serialize, ToSchema)]
struct TimelineRevision {
    /// Its number.
    #[schema(minimum = 1)]
    revision: u32,
    /// The file that it was made of, as the creator named it.
    file_name: String,
    /// When it was begun.
    #[schema(schema_with = schema::time_us)]
    created_us: i64,
    /// When viewers were let in, microseconds since 1970.
    published_us: Option<i64>,
}

/// A revision that has begun.
#[derive(Serialize, ToSchema)]
pub(super) struct Begun {
    /// The content.
    #[schema(schema_with = schema::id)]
    pub(super) content: ContentId,
    /// Its new revision.
    #[schema(minimum = 1)]
    pub(super) revision: u32,
}

fn visibility() -> Object {
    schema::words(Visibility::ALL.iter().map(|word| word.as_str()))
}

fn state() -> Object {
    schema::words(ContentState::ALL.iter().map(|word| word.as_str()))
}

fn step_name() -> Object {
    schema::words(StepName::ALL.iter().map(|word| word.as_str()))
}

fn step_state() -> Object {
    schema::words(StepState::ALL.iter().map(|word| word.as_str()))
}

fn rendition_state() -> Object {
    schema::words(RenditionState::ALL.iter().map(|word| word.as_str()))
}

fn kind() -> Object {
    schema::words(["video", "audio"])
}

impl From<ContentChange> for Changes {
    fn from(change: ContentChange) -> Self {
        let ContentChange { title, description, visibility, tier } = change;
        Self { title, description, visibility, tier }
    }
}

impl From<ContentView> for Content {
    fn from(view: ContentView) -> Self {
        Self {
            id: view.id,
            owner_id: view.owner,
            title: view.title,
            description: view.description,
            visibility: view.visibility,
            tier: view.tier,
            state: view.state,
            reason: view.reason,
            revision: view.revision.number(),
            published_revision: view.published_revision.map(|revision| revision.number()),
            region: view.region,
            duration_ms: view.duration_ms,
            version: view.version,
            created_us: view.created_us,
            updated_us: view.updated_us,
            published_us: view.published_us,
        }
    }
}

impl From<Timeline> for ContentTimeline {
    fn from(timeline: Timeline) -> Self {
        Self {
            content: timeline.content,
            revision: timeline.revision.number(),
            state: timeline.state,
            reason: timeline.reason,
            steps: timeline.steps.into_iter().map(TimelineStep::from).collect(),
            renditions: timeline.renditions.into_iter().map(TimelineRendition::from).collect(),
            revisions: timeline.revisions.into_iter().map(TimelineRevision::from).collect(),
        }
    }
}

impl From<StepRow> for TimelineStep {
    fn from(view: StepRow) -> Self {
        let StepRow { name, state, attempt, worker, reason, started_us, ended_us } = view;
        Self { name, state, attempt, worker, reason, started_us, ended_us }
    }
}

impl From<RenditionRow> for TimelineRendition {
    fn from(view: RenditionRow) -> Self {
        let RenditionRow { name, kind, state, reason, updated_us } = view;
        Self { name: name.to_string(), kind, state, reason, updated_us }
    }
}

impl From<RevisionView> for TimelineRevision {
    fn from(view: RevisionView) -> Self {
        let RevisionView { revision, file_name, created_us, published_us } = view;
        Self { revision: revision.number(), file_name, created_us, published_us }
    }
}
