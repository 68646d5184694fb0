//! Work that goes on in the background: revisions that begin with another one's stored chunks, and runs of reprocessing over
//! many contents. Both outlive the process that began them.

use mcsp_domain::{ContentId, PlanId, Revision, RunId, UserId};
use sqlx::FromRow;

use crate::content::read_revision;
use crate::dialect::sql;
use crate::row::word;
use crate::{Catalog, CatalogError, Tx};

/// A revision that is to begin with another revision's chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReuseRow {
    /// The content.
    pub content: ContentId,
    /// The revision that begins.
    pub revision: Revision,
    /// The revision whose chunks are stored.
    pub from_revision: Revision,
    /// The plan that they belong to.
    pub from_plan: PlanId,
    /// The lane of its work, as events write it.
    pub lane: String,
    /// Who cleared its rights, as events write it.
    pub cleared_by: String,
    /// When its `media.copyright.cleared` is said, microseconds since 1970: fixed, so that whoever goes on says the same event.
    pub said_us: i64,
}

/// A run of reprocessing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRow {
    /// Its id.
    pub id: RunId,
    /// Who asked for it.
    pub owner: UserId,
    /// What was asked for.
    pub query: String,
    /// The step that work begins at, `transcode` or `package`.
    pub start_at: String,
    /// When, microseconds since 1970.
    pub created_us: i64,
}

/// How far a content of a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunItemState {
    /// Not begun.
    Planned,
    /// It was left out; the reason says why.
    Skipped,
    /// Its new revision is in work.
    Working,
    /// Viewers see its new revision.
    Published,
    /// Its new revision was given up, blocked, or replaced by a later one.
    Failed,
}

/// One content of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunItemRow {
    /// The content.
    pub content: ContentId,
    /// Its title.
    pub title: String,
    /// How far it is.
    pub state: RunItemState,
    /// The revision that the run began.
    pub revision: Option<Revision>,
    /// Why it was left out; empty otherwise.
    pub reason: String,
}

/// What becomes of a planned content of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// A new revision has begun.
    Started(Revision),
    /// It is left out, and why.
    Skipped(String),
}

impl RunItemState {
    /// Every state, as `outcome` writes it.
    const NAMES: [(Self, &'static str); 5] = [
        (Self::Planned, "planned"),
        (Self::Skipped, "skipped"),
        (Self::Working, "working"),
        (Self::Published, "published"),
        (Self::Failed, "failed"),
    ];

    fn of_name(text: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(_, name)| *name == text).map(|(state, _)| state)
    }
}

impl Catalog {
    /// Returns revisions that wait for another one's chunks, those that have waited longest first. At most `limit`.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn reuses(&self, limit: u32) -> Result<Vec<ReuseRow>, CatalogError> {
        let sql = "SELECT content_id, revision, from_revision, from_plan, lane, cleared_by, said_us FROM reuse
            ORDER BY said_us, content_id LIMIT $1";
        let query = sql::query_as(sql).bind(i64::from(limit));
        let rows: Result<Vec<ReuseText>, _> = query.fetch_all(self.readers()).await;
        let rows = rows.map_err(|source| self.fault("list revisions that wait for chunks", source))?;
        rows.into_iter().map(|row| read_reuse(self, row)).collect()
    }

    /// Returns a run.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn run(&self, id: RunId) -> Result<Option<RunRow>, CatalogError> {
        let sql = "SELECT id, owner, query, start_at, created_us FROM run WHERE id = $1";
        let query = sql::query_as(sql).bind(id.to_string());
        let row: Result<Option<RunText>, _> = query.fetch_optional(self.readers()).await;
        let row = row.map_err(|source| self.fault("read a run", source))?;
        row.map(|row| read_run(self, row)).transpose()
    }

    /// Returns the contents of a run after the one that `after` names, by id, at most `limit`.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn run_items(
        &self,
        run: RunId,
        after: Option<ContentId>,
        limit: u32,
    ) -> Result<Vec<RunItemRow>, CatalogError> {
        let sql = "SELECT content_id, title, outcome, revision, reason FROM run_outcome
            WHERE run_id = $1 AND content_id > $2 ORDER BY content_id LIMIT $3";
        let query = sql::query_as(sql)
            .bind(run.to_string())
            .bind(after.map(|after| after.to_string()).unwrap_or_default())
            .bind(i64::from(limit));
        let rows: Result<Vec<ItemText>, _> = query.fetch_all(self.readers()).await;
        let rows = rows.map_err(|source| self.fault("list the contents of a run", source))?;
        rows.into_iter().map(|row| read_item(self, row)).collect()
    }

    /// Returns how many contents of a run are in each state; states without one are left out.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn run_counts(&self, run: RunId) -> Result<Vec<(RunItemState, u64)>, CatalogError> {
        let sql = "SELECT outcome, COUNT(*) FROM run_outcome WHERE run_id = $1 GROUP BY outcome ORDER BY outcome";
        let rows: Result<Vec<(String, i64)>, _> =
            sql::query_as(sql).bind(run.to_string()).fetch_all(self.readers()).await;
        let rows = rows.map_err(|source| self.fault("count the contents of a run", source))?;
        let read = |(outcome, count): (String, i64)| {
            let state = RunItemState::of_name(&outcome);
            let state = state.ok_or_else(|| self.damaged(format!("run {run}: state {outcome:?}")))?;
            Ok((state, u64::try_from(count).unwrap_or(0)))
        };
        rows.into_iter().map(read).collect()
    }

    /// Returns contents of any run that were not begun yet, with their runs, oldest run first. At most `limit`.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn planned_items(&self, limit: u32) -> Result<Vec<(RunRow, ContentId)>, CatalogError> {
        let sql = "SELECT r.id, r.owner, r.query, r.start_at, r.created_us, i.content_id FROM run_item i
            JOIN run r ON r.id = i.run_id WHERE i.state = 'planned' ORDER BY r.id, i.content_id LIMIT $1";
        let query = sql::query_as(sql).bind(i64::from(limit));
        let rows: Result<Vec<PlannedText>, _> = query.fetch_all(self.readers()).await;
        let rows = rows.map_err(|source| self.fault("list planned contents of runs", source))?;
        let read = |(id, owner, query, start_at, created_us, content): PlannedText| {
            let run = read_run(self, RunText { id, owner, query, start_at, created_us })?;
            let content = word(&content).map_err(|what| self.damaged(format!("item of run {}: {what}", run.id)))?;
            Ok((run, content))
        };
        rows.into_iter().map(read).collect()
    }
}

impl Tx {
    /// Has a revision wait for another one's chunks.
    ///
    /// # Errors
    /// When it waits already, or the engine fails.
    pub async fn insert_reuse(&mut self, row: &ReuseRow) -> Result<(), CatalogError> {
        let sql = "INSERT INTO reuse (content_id, revision, from_revision, from_plan, lane, cleared_by, said_us)
            VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let query = sql::query(sql)
            .bind(row.content.to_string())
            .bind(i64::from(row.revision.number()))
            .bind(i64::from(row.from_revision.number()))
            .bind(row.from_plan.to_string())
            .bind(&row.lane)
            .bind(&row.cleared_by)
            .bind(row.said_us);
        let done = query.execute(self.connection()?).await;
        done.map(|_| ()).map_err(|source| self.end("have a revision wait for chunks", source))
    }

    /// Has a revision wait no longer; returns whether it did.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn take_reuse(&mut self, content: ContentId, revision: Revision) -> Result<bool, CatalogError> {
        let sql = "DELETE FROM reuse WHERE content_id = $1 AND revision = $2";
        let query = sql::query(sql).bind(content.to_string()).bind(i64::from(revision.number()));
        let done = query.execute(self.connection()?).await;
        Ok(done.map_err(|source| self.end("end a revision's wait for chunks", source))?.rows_affected() == 1)
    }

    /// Adds a run with its contents, none of them begun.
    ///
    /// # Errors
    /// When there is one of that id, or the engine fails.
    pub async fn insert_run(&mut self, run: &RunRow, contents: &[ContentId]) -> Result<(), CatalogError> {
        let sql = "INSERT INTO run (id, owner, query, start_at, created_us) VALUES ($1, $2, $3, $4, $5)";
        let query = sql::query(sql)
            .bind(run.id.to_string())
            .bind(run.owner.to_string())
            .bind(&run.query)
            .bind(&run.start_at)
            .bind(run.created_us);
        let done = query.execute(self.connection()?).await;
        done.map_err(|source| self.end("add a run", source))?;
        let sql = "INSERT INTO run_item (run_id, content_id, state, reason) VALUES ($1, $2, 'planned', '')";
        for content in contents {
            let query = sql::query(sql).bind(run.id.to_string()).bind(content.to_string());
            let done = query.execute(self.connection()?).await;
            done.map_err(|source| self.end("add a content to a run", source))?;
        }
        Ok(())
    }

    /// Writes what became of a planned content of a run; returns whether it was still planned.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn settle_item(
        &mut self,
        run: RunId,
        content: ContentId,
        settled: &Settled,
    ) -> Result<bool, CatalogError> {
        let sql = "UPDATE run_item SET state = $3, revision = $4, reason = $5
            WHERE run_id = $1 AND content_id = $2 AND state = 'planned'";
        let (state, revision, reason) = match settled {
            Settled::Started(revision) => ("started", Some(i64::from(revision.number())), ""),
            Settled::Skipped(reason) => ("skipped", None, reason.as_str()),
        };
        let query =
            sql::query(sql).bind(run.to_string()).bind(content.to_string()).bind(state).bind(revision).bind(reason);
        let done = query.execute(self.connection()?).await;
        Ok(done.map_err(|source| self.end("settle a content of a run", source))?.rows_affected() == 1)
    }
}

#[derive(FromRow)]
struct ReuseText {
    content_id: String,
    revision: i64,
    from_revision: i64,
    from_plan: String,
    lane: String,
    cleared_by: String,
    said_us: i64,
}

#[derive(FromRow)]
struct RunText {
    id: String,
    owner: String,
    query: String,
    start_at: String,
    created_us: i64,
}

#[derive(FromRow)]
struct ItemText {
    content_id: String,
    title: String,
    outcome: String,
    revision: Option<i64>,
    reason: String,
}

/// A run's columns, then a content's id.
type PlannedText = (String, String, String, String, i64, String);

fn read_reuse(catalog: &Catalog, row: ReuseText) -> Result<ReuseRow, CatalogError> {
    let fault = |what: String| catalog.damaged(format!("reuse of content {}: {what}", row.content_id));
    let revision = |number| read_revision(number).ok_or_else(|| fault(format!("revision {number}")));
    Ok(ReuseRow {
        content: word(&row.content_id).map_err(fault)?,
        revision: revision(row.revision)?,
        from_revision: revision(row.from_revision)?,
        from_plan: word(&row.from_plan).map_err(fault)?,
        lane: row.lane,
        cleared_by: row.cleared_by,
        said_us: row.said_us,
    })
}

fn read_run(catalog: &Catalog, row: RunText) -> Result<RunRow, CatalogError> {
    let fault = |what: String| catalog.damaged(format!("run {}: {what}", row.id));
    Ok(RunRow {
        id: word(&row.id).map_err(fault)?,
        owner: word(&row.owner).map_err(fault)?,
        query: row.query,
        start_at: row.start_at,
        created_us: row.created_us,
    })
}

fn read_item(catalog: &Catalog, row: ItemText) -> Result<RunItemRow, CatalogError> {
    let fault = |what: String| catalog.damaged(format!("content {} of a run: {what}", row.content_id));
    let revision = |number| read_revision(number).ok_or_else(|| fault(format!("revision {number}")));
    Ok(RunItemRow {
        content: word(&row.content_id).map_err(fault)?,
        state: RunItemState::of_name(&row.outcome).ok_or_else(|| fault(format!("state {:?}", row.outcome)))?,
        revision: row.revision.map(revision).transpose()?,
        title: row.title,
        reason: row.reason,
    })
}
