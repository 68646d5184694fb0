//! The steps of a revision's way, and its renditions: what a timeline is made of.

use mcsp_domain::{ContentId, RenditionKind, RenditionName, RenditionState, Revision, StepName, StepState};
use sqlx::FromRow;

use crate::dialect::sql;
use crate::row::word;
use crate::{Catalog, CatalogError, Tx};

/// One step of a revision: its last attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepRow {
    /// The step.
    pub name: StepName,
    /// How far it is.
    pub state: StepState,
    /// The number of the attempt, from 1; 0 before the first.
    pub attempt: u32,
    /// The process that did the work; empty where none is known.
    pub worker: String,
    /// Why it is as it is; empty where that needs no words.
    pub reason: String,
    /// When the attempt began, microseconds since 1970.
    pub started_us: Option<i64>,
    /// When it ended, microseconds since 1970.
    pub ended_us: Option<i64>,
}

/// One rendition of a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenditionRow {
    /// Its name.
    pub name: RenditionName,
    /// Pictures or sound.
    pub kind: RenditionKind,
    /// How far it is.
    pub state: RenditionState,
    /// Why it failed; empty otherwise.
    pub reason: String,
    /// When it last changed, microseconds since 1970.
    pub updated_us: i64,
}

impl Catalog {
    /// Returns the steps of a revision, in the order of its way.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn steps(&self, content: ContentId, revision: Revision) -> Result<Vec<StepRow>, CatalogError> {
        let query = sql::query_as(STEPS).bind(content.to_string()).bind(i64::from(revision.number()));
        let rows: Result<Vec<StepText>, _> = query.fetch_all(self.readers()).await;
        let rows = rows.map_err(|source| self.fault("read a revision's steps", source))?;
        read_steps(self, rows)
    }

    /// Returns the renditions of a revision, by name.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn renditions(&self, content: ContentId, revision: Revision) -> Result<Vec<RenditionRow>, CatalogError> {
        let query = sql::query_as(RENDITIONS).bind(content.to_string()).bind(i64::from(revision.number()));
        let rows: Result<Vec<RenditionText>, _> = query.fetch_all(self.readers()).await;
        let rows = rows.map_err(|source| self.fault("read a revision's renditions", source))?;
        rows.into_iter().map(|row| read_rendition(self, row)).collect()
    }
}

impl Tx {
    /// Returns the steps of a revision as this transaction sees them, in the order of its way.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn steps(&mut self, content: ContentId, revision: Revision) -> Result<Vec<StepRow>, CatalogError> {
        let query = sql::query_as(STEPS).bind(content.to_string()).bind(i64::from(revision.number()));
        let rows: Result<Vec<StepText>, _> = query.fetch_all(self.connection()?).await;
        let rows = rows.map_err(|source| self.end("read a revision's steps", source))?;
        read_steps(self.catalog(), rows)
    }

    /// Returns the renditions of a revision as this transaction sees them, by name.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn renditions(
        &mut self,
        content: ContentId,
        revision: Revision,
    ) -> Result<Vec<RenditionRow>, CatalogError> {
        let query = sql::query_as(RENDITIONS).bind(content.to_string()).bind(i64::from(revision.number()));
        let rows: Result<Vec<RenditionText>, _> = query.fetch_all(self.connection()?).await;
        let rows = rows.map_err(|source| self.end("read a revision's renditions", source))?;
        rows.into_iter().map(|row| read_rendition(self.catalog(), row)).collect()
    }

    /// Writes a step of a revision, in the place of what was known of it.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn put_step(
        &mut self,
        content: ContentId,
        revision: Revision,
        row: &StepRow,
    ) -> Result<(), CatalogError> {
        let sql = "INSERT INTO step (content_id, revision, name, state, attempt, worker, reason, started_us, ended_us)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (content_id, revision, name) DO UPDATE SET
            state = excluded.state, attempt = excluded.attempt, worker = excluded.worker, reason = excluded.reason,
            started_us = excluded.started_us, ended_us = excluded.ended_us";
        let query = sql::query(sql)
            .bind(content.to_string())
            .bind(i64::from(revision.number()))
            .bind(row.name.as_str())
            .bind(row.state.as_str())
            .bind(i64::from(row.attempt))
            .bind(&row.worker)
            .bind(&row.reason)
            .bind(row.started_us)
            .bind(row.ended_us);
        let done = query.execute(self.connection()?).await;
        done.map(|_| ()).map_err(|source| self.end("write a step", source))
    }

    /// Writes a rendition of a revision, in the place of what was known of it.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn put_rendition(
        &mut self,
        content: ContentId,
        revision: Revision,
        row: &RenditionRow,
    ) -> Result<(), CatalogError> {
        let sql = "INSERT INTO rendition (content_id, revision, name, kind, state, reason, updated_us)
            VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (content_id, revision, name) DO UPDATE SET
            kind = excluded.kind, state = excluded.state, reason = excluded.reason, updated_us = excluded.updated_us";
        let query = sql::query(sql)
            .bind(content.to_string())
            .bind(i64::from(revision.number()))
            .bind(row.name.as_str())
            .bind(kind_text(row.kind))
            .bind(row.state.as_str())
            .bind(&row.reason)
            .bind(row.updated_us);
        let done = query.execute(self.connection()?).await;
        done.map(|_| ()).map_err(|source| self.end("write a rendition", source))
    }
}

const STEPS: &str = "SELECT name, state, attempt, worker, reason, started_us, ended_us FROM step
    WHERE content_id = $1 AND revision = $2";
const RENDITIONS: &str = "SELECT name, kind, state, reason, updated_us FROM rendition
    WHERE content_id = $1 AND revision = $2 ORDER BY name";

#[derive(FromRow)]
struct StepText {
    name: String,
    state: String,
    attempt: i64,
    worker: String,
    reason: String,
    started_us: Option<i64>,
    ended_us: Option<i64>,
}

#[derive(FromRow)]
struct RenditionText {
    name: String,
    kind: String,
    state: String,
    reason: String,
    updated_us: i64,
}

fn read_steps(catalog: &Catalog, rows: Vec<StepText>) -> Result<Vec<StepRow>, CatalogError> {
    let mut steps = Vec::with_capacity(rows.len());
    for row in rows {
        let fault = |what: String| catalog.damaged(format!("step {}: {what}", row.name));
        steps.push(StepRow {
            name: word(&row.name).map_err(fault)?,
            state: word(&row.state).map_err(fault)?,
            attempt: u32::try_from(row.attempt).map_err(|_| fault(format!("attempt {}", row.attempt)))?,
            worker: row.worker,
            reason: row.reason,
            started_us: row.started_us,
            ended_us: row.ended_us,
        });
    }
    steps.sort_by_key(|step| step.name);
    Ok(steps)
}

fn read_rendition(catalog: &Catalog, row: RenditionText) -> Result<RenditionRow, CatalogError> {
    let fault = |what: String| catalog.damaged(format!("rendition {}: {what}", row.name));
    Ok(RenditionRow {
        name: RenditionName::parse(&row.name).ok_or_else(|| fault("no rendition's name".to_owned()))?,
        kind: read_kind(&row.kind).ok_or_else(|| fault(format!("kind {:?}", row.kind)))?,
        state: word(&row.state).map_err(fault)?,
        reason: row.reason,
        updated_us: row.updated_us,
    })
}

fn kind_text(kind: RenditionKind) -> &'static str {
    match kind {
        RenditionKind::Video => "video",
        RenditionKind::Audio => "audio",
    }
}

fn read_kind(text: &str) -> Option<RenditionKind> {
    [RenditionKind::Video, RenditionKind::Audio].into_iter().find(|kind| kind_text(*kind) == text)
}
