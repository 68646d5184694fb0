//! Reprocessing: published contents made anew, from the plan on or from the package on, as runs that are planned first and go
//! on after a death. Viewers see the old revision until the new one is published.

use mcsp_catalog::{ContentRow, RunItemState, RunRow, Settled};
use mcsp_domain::{ContentId, ContentState, Revision, RunId, UserRole};
use mcsp_events::{ClearedBy, Lane};
use mcsp_runtime::now_us;

use super::begin::{Beginning, Start, begin};
use super::error::ContentError;
use super::query::ReprocessQuery;
use super::service::{Asker, ContentService};

/// Contents of one run.
const RUN_ITEMS_MAX: usize = 10_000;
/// Contents that are read at once.
const PAGE: u32 = 500;

/// The step that a reprocessing begins at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReprocessFrom {
    /// Plan and chunks are made anew.
    Transcode,
    /// Chunks are kept; keys and segments are made anew.
    Package,
}

/// What a run would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReprocessPlan {
    /// Every content, oldest first.
    pub items: Vec<ReprocessItem>,
    /// Bytes of all sources.
    pub source_bytes: u64,
    /// Length of all contents together, in milliseconds, as far as it is known.
    pub duration_ms: u64,
}

/// A content of a planned run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReprocessItem {
    /// The content.
    pub content: ContentId,
    /// Its title.
    pub title: String,
    /// The revision that viewers see.
    pub revision: Revision,
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunReport {
    /// The run.
    pub run: RunId,
    /// What was asked for.
    pub query: String,
    /// Where its work begins.
    pub from: ReprocessFrom,
    /// When it was asked for, microseconds since 1970.
    pub created_us: i64,
    /// Contents that were not begun yet.
    pub planned: u64,
    /// Contents that were left out.
    pub skipped: u64,
    /// Contents whose new revision is in work.
    pub working: u64,
    /// Contents whose new revision viewers see.
    pub published: u64,
    /// Contents whose new revision was given up.
    pub failed: u64,
}

/// A content of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunItem {
    /// The content.
    pub content: ContentId,
    /// Its title.
    pub title: String,
    /// `planned`, `skipped`, `working`, `published` or `failed`.
    pub state: &'static str,
    /// The revision that the run began.
    pub revision: Option<Revision>,
    /// Why it was left out; empty otherwise.
    pub reason: String,
}

impl ReprocessFrom {
    /// Returns the word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transcode => "transcode",
            Self::Package => "package",
        }
    }

    /// Reads the word.
    pub fn of_name(text: &str) -> Option<Self> {
        [Self::Transcode, Self::Package].into_iter().find(|from| from.as_str() == text)
    }
}

impl ContentService {
    /// Returns what a run over a query would do. Who is no admin has runs over their own contents alone.
    ///
    /// # Errors
    /// `TooMany` when the query finds more contents than a run may have, or when the catalog fails.
    pub async fn plan_reprocess(&self, asker: Asker, query: &ReprocessQuery) -> Result<ReprocessPlan, ContentError> {
        let mut plan = ReprocessPlan { items: Vec::new(), source_bytes: 0, duration_ms: 0 };
        for row in self.found(asker, query).await? {
            let Some(revision) = row.published_revision else { continue };
            let publication = self.catalog().publication(row.id, revision).await?;
            if let Some(publication) = publication {
                plan.source_bytes += publication.source.map_or(0, |source| source.len_bytes);
                plan.duration_ms += publication.duration_ms.unwrap_or(0);
            }
            plan.items.push(ReprocessItem { content: row.id, title: row.title, revision });
        }
        Ok(plan)
    }

    /// Begins a run over a query; its contents are begun in the background, by whichever process runs.
    ///
    /// # Errors
    /// As `plan_reprocess`.
    pub async fn reprocess(
        &self,
        asker: Asker,
        query: &ReprocessQuery,
        from: ReprocessFrom,
    ) -> Result<RunReport, ContentError> {
        let found: Vec<ContentId> = self.found(asker, query).await?.into_iter().map(|row| row.id).collect();
        let row = RunRow {
            id: RunId::from_bytes(*uuid::Uuid::now_v7().as_bytes()),
            owner: asker.user,
            query: query.as_str().to_owned(),
            start_at: from.as_str().to_owned(),
            created_us: now_us(),
        };
        let mut tx = self.catalog().begin().await?;
        tx.insert_run(&row, &found).await?;
        tx.commit().await?;
        self.resume_run(asker, row.id).await
    }

    /// Goes on with a run that has contents left, and tells how far it is.
    ///
    /// # Errors
    /// As `run_report`.
    pub async fn resume_run(&self, asker: Asker, run: RunId) -> Result<RunReport, ContentError> {
        let report = self.run_report(asker, run).await?;
        self.inner.wake.notify_one();
        Ok(report)
    }

    /// Makes one content anew; returns its new revision.
    ///
    /// # Errors
    /// `NotFound` or `NotOwner`, `WrongState` when viewers do not see it or somebody works on it, or when the catalog fails.
    pub async fn reprocess_one(
        &self,
        asker: Asker,
        content: ContentId,
        from: ReprocessFrom,
    ) -> Result<Revision, ContentError> {
        let row = self.owned(asker, content).await?;
        let mut tx = self.catalog().begin().await?;
        let revision = begin(&mut tx, self.anew(&row, from).await?).await?;
        tx.commit().await?;
        self.inner.wake.notify_one();
        Ok(revision)
    }

    /// Tells how far a run is.
    ///
    /// # Errors
    /// `NoRun` when there is none that the asker may know of, or when the catalog fails.
    pub async fn run_report(&self, asker: Asker, run: RunId) -> Result<RunReport, ContentError> {
        let row = self.known_run(asker, run).await?;
        let counts = self.catalog().run_counts(run).await?;
        let of = |state| counts.iter().find(|(other, _)| *other == state).map_or(0, |(_, count)| *count);
        Ok(RunReport {
            run,
            from: ReprocessFrom::of_name(&row.start_at).unwrap_or(ReprocessFrom::Transcode),
            query: row.query,
            created_us: row.created_us,
            planned: of(RunItemState::Planned),
            skipped: of(RunItemState::Skipped),
            working: of(RunItemState::Working),
            published: of(RunItemState::Published),
            failed: of(RunItemState::Failed),
        })
    }

    /// Returns the contents of a run after the one that `after` names, by id, at most `limit`.
    ///
    /// # Errors
    /// As `run_report`.
    pub async fn run_items(
        &self,
        asker: Asker,
        run: RunId,
        after: Option<ContentId>,
        limit: u32,
    ) -> Result<Vec<RunItem>, ContentError> {
        self.known_run(asker, run).await?;
        let rows = self.catalog().run_items(run, after, limit).await?;
        let shown = |row: mcsp_catalog::RunItemRow| RunItem {
            content: row.content,
            title: row.title,
            state: match row.state {
                RunItemState::Planned => "planned",
                RunItemState::Skipped => "skipped",
                RunItemState::Working => "working",
                RunItemState::Published => "published",
                RunItemState::Failed => "failed",
            },
            revision: row.revision,
            reason: row.reason,
        };
        Ok(rows.into_iter().map(shown).collect())
    }

    /// Begins a planned content of a run, or leaves it out with the reason.
    ///
    /// # Errors
    /// When time may help: the content stays planned.
    pub(super) async fn begin_item(&self, run: &RunRow, content: ContentId) -> Result<(), ContentError> {
        let skipped = match self.try_item(run, content).await {
            Ok(()) => return Ok(()),
            Err(error) if error.may_pass() => return Err(error),
            Err(error) => Settled::Skipped(error.to_string()),
        };
        let mut tx = self.catalog().begin().await?;
        tx.settle_item(run.id, content, &skipped).await?;
        Ok(tx.commit().await?)
    }

    async fn try_item(&self, run: &RunRow, content: ContentId) -> Result<(), ContentError> {
        let from = ReprocessFrom::of_name(&run.start_at).unwrap_or(ReprocessFrom::Transcode);
        let row = self.catalog().content(content).await?.ok_or(ContentError::NotFound { content })?;
        let how = self.anew(&row, from).await?;
        let mut tx = self.catalog().begin().await?;
        let revision = begin(&mut tx, how).await?;
        // Another process may have settled it at the same time: the item's row says who was first.
        if tx.settle_item(run.id, content, &Settled::Started(revision)).await? {
            tx.commit().await?;
        }
        Ok(())
    }

    /// Returns how a published content is made anew.
    async fn anew(&self, row: &ContentRow, from: ReprocessFrom) -> Result<Beginning, ContentError> {
        let fault = |needed| ContentError::WrongState { content: row.id, state: row.state, needed };
        let is_idle = matches!(row.state, ContentState::Published | ContentState::Failed);
        let base = row.published_revision.filter(|_| is_idle);
        let base = base.ok_or_else(|| fault("only what is published and not worked on can be made anew"))?;
        let plan = self.catalog().publication(row.id, base).await?.and_then(|publication| publication.plan);
        let start = match (from, plan) {
            (ReprocessFrom::Transcode, _) => Start::Plan,
            (ReprocessFrom::Package, Some(plan)) => Start::Chunks(plan),
            (ReprocessFrom::Package, None) => return Err(fault("its chunks are not known: begin from transcode")),
        };
        Ok(Beginning {
            content: row.id,
            base,
            start,
            lane: Lane::Bulk,
            cleared_by: ClearedBy::Operator,
            now_us: now_us(),
        })
    }

    async fn known_run(&self, asker: Asker, run: RunId) -> Result<RunRow, ContentError> {
        let row = self.catalog().run(run).await?;
        let known = row.filter(|row| row.owner == asker.user || asker.role == UserRole::Admin);
        known.ok_or(ContentError::NoRun { run })
    }

    /// Returns the published contents that a query finds among those that the asker may have made anew.
    async fn found(&self, asker: Asker, query: &ReprocessQuery) -> Result<Vec<ContentRow>, ContentError> {
        let query = match asker.role {
            UserRole::Admin => Some(query.clone()),
            _ => query.clone().of(asker.user),
        };
        let Some(query) = query else { return Ok(Vec::new()) };
        let mut found: Vec<ContentRow> = Vec::new();
        loop {
            let after = found.last().map(|row| row.id);
            let page = self.catalog().contents_where(&query.filter, after, PAGE).await?;
            let is_last = page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
            found.extend(page);
            if found.len() > RUN_ITEMS_MAX {
                return Err(ContentError::TooMany { max: RUN_ITEMS_MAX });
            }
            if is_last {
                return Ok(found);
            }
        }
    }
}
