//! The queue's consumer: a flag opens a case, or joins the one that is open for the same revision and kind.

use mcsp_catalog::{CASE_FLAGS_MAX, CaseFlag, CaseRow, Catalog, CatalogError, Receipt};
use mcsp_events::{ModerationFlagged, Outgoing, Topic};
use mcsp_runtime::stage::{Context, Stage};
use mcsp_runtime::{StageError, now_us};

use super::kind_of;
use crate::desk_fault;

/// Opens cases.
pub struct ReviewQueue {
    catalog: Catalog,
}

impl ReviewQueue {
    /// Makes the stage.
    pub fn new(catalog: Catalog) -> Self {
        Self { catalog }
    }

    async fn open(&self, flagged: ModerationFlagged, cx: &Context) -> Result<(), CatalogError> {
        let mut tx = self.catalog.begin().await?;
        if tx.receive(cx.namespace(), cx.headers().id, now_us()).await? == Receipt::Seen {
            return tx.commit().await;
        }
        let (content, revision, kind) = (flagged.asset.content, flagged.asset.revision, kind_of(&flagged.labels));
        let at_us = cx.headers().time_us;
        let known = tx.cases_of(content).await?;
        let known = known.into_iter().find(|case| case.revision == revision && case.kind == kind);
        let mut case = known.unwrap_or_else(|| CaseRow {
            content,
            revision,
            kind,
            flags: Vec::new(),
            decision: None,
            opened_us: at_us,
        });
        if case.flags.len() < CASE_FLAGS_MAX {
            let ModerationFlagged { flagged_by, labels, confidence_permille, ranges, .. } = flagged;
            case.flags.push(CaseFlag { flagged_by, labels, confidence_permille, ranges, at_us });
            tx.put_case(&case).await?;
        }
        tx.commit().await
    }
}

impl Stage for ReviewQueue {
    const NAME: &'static str = "review-queue";
    const GROUP: &'static str = "review-queue";
    type Input = ModerationFlagged;
    const OUTPUTS: &'static [Topic] = &[];

    async fn handle(&self, input: ModerationFlagged, cx: &Context) -> Result<Vec<Outgoing>, StageError> {
        self.open(input, cx).await.map_err(desk_fault)?;
        Ok(Vec::new())
    }
}
