//! The two consumers that keep the documents of search: one writes them, one shows them. Both only repeat themselves when an
//! event comes twice.

use mcsp_catalog::{Catalog, Receipt};
use mcsp_events::{Outgoing, Published, Topic, TranscodingCompleted};
use mcsp_runtime::stage::{Context, Stage};
use mcsp_runtime::{StageError, now_us};

use super::{index, show};
use crate::desk_fault;

/// Writes the document of what is being made, hidden.
pub struct Indexer {
    catalog: Catalog,
}

/// Shows the document of what is published.
pub struct SearchIndexer {
    catalog: Catalog,
}

impl Indexer {
    /// Makes the stage.
    pub fn new(catalog: Catalog) -> Self {
        Self { catalog }
    }
}

impl SearchIndexer {
    /// Makes the stage.
    pub fn new(catalog: Catalog) -> Self {
        Self { catalog }
    }
}

impl Stage for Indexer {
    const NAME: &'static str = "indexer";
    const GROUP: &'static str = "indexer";
    type Input = TranscodingCompleted;
    const OUTPUTS: &'static [Topic] = &[];

    async fn handle(&self, input: TranscodingCompleted, cx: &Context) -> Result<Vec<Outgoing>, StageError> {
        let (content, revision) = (input.asset.content, input.asset.revision);
        // Each variant tells; the first one's document is read here without the write lock by all that follow.
        if self.catalog.has_document(content, revision).await.map_err(desk_fault)? {
            return Ok(Vec::new());
        }
        let mut tx = self.catalog.begin().await.map_err(desk_fault)?;
        let receipt = tx.receive(cx.namespace(), cx.headers().id, now_us()).await.map_err(desk_fault)?;
        if receipt == Receipt::Fresh {
            index(&mut tx, content, revision).await.map_err(desk_fault)?;
        }
        tx.commit().await.map_err(desk_fault)?;
        Ok(Vec::new())
    }
}

impl Stage for SearchIndexer {
    const NAME: &'static str = "search-indexer";
    const GROUP: &'static str = "search-indexer";
    type Input = Published;
    const OUTPUTS: &'static [Topic] = &[];

    async fn handle(&self, input: Published, cx: &Context) -> Result<Vec<Outgoing>, StageError> {
        let mut tx = self.catalog.begin().await.map_err(desk_fault)?;
        let receipt = tx.receive(cx.namespace(), cx.headers().id, now_us()).await.map_err(desk_fault)?;
        if receipt == Receipt::Fresh {
            let is_shown = show(&mut tx, input.asset.content, input.asset.revision).await.map_err(desk_fault)?;
            tracing::debug!(content = %input.asset.content, is_shown, "published content reached search");
        }
        tx.commit().await.map_err(desk_fault)?;
        Ok(Vec::new())
    }
}
