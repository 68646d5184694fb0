//! Search: documents are written hidden while a content is made, shown when it is published, and found by everybody then.
//! In: `media.transcoding.completed`, `media.published`, what people type. Out: contents, best first.

mod stages;

use mcsp_catalog::{Catalog, CatalogError, ContentRow, Document, Tx};
use mcsp_domain::{ContentId, ContentState, Revision};

pub use mcsp_catalog::SearchHit;
pub use stages::{Indexer, SearchIndexer};

/// Characters of a search.
pub const QUERY_CHARS_MAX: usize = 200;
/// Contents that one search leads to: nobody reads on so far, and each page costs all those before it.
pub const RESULTS_MAX: usize = 1000;

/// Why a search was not answered.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl SearchError {
    /// Returns whether time may help.
    pub fn may_pass(&self) -> bool {
        let Self::Catalog(error) = self;
        error.may_pass()
    }
}

/// Answers searches.
#[derive(Clone)]
pub struct SearchService {
    catalog: Catalog,
}

impl SearchService {
    /// Makes the service.
    pub fn new(catalog: Catalog) -> Self {
        Self { catalog }
    }

    /// Returns published public contents that match every word of a text, best first, at most `limit` after the first
    /// `offset`; nothing for text without words, and nothing beyond `RESULTS_MAX`.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn find(&self, text: &str, offset: usize, limit: usize) -> Result<Vec<SearchHit>, SearchError> {
        let limit = limit.min(RESULTS_MAX.saturating_sub(offset));
        if limit == 0 {
            return Ok(Vec::new());
        }
        Ok(self.catalog.search(text, offset, limit).await?)
    }
}

/// Writes the document of the revision in work, hidden from viewers; one that they find already stays shown. Returns whether
/// there is anything to write: a content that was removed, or has another revision by now, is left alone.
///
/// # Errors
/// When the engine fails.
pub async fn index(tx: &mut Tx, content: ContentId, revision: Revision) -> Result<bool, CatalogError> {
    match tx.content(content).await? {
        Some(row) if row.state != ContentState::Deleted && row.revision == revision => {
            tx.put_document(&document(row, revision)).await?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Lets viewers find a revision that is published, and drops what they found of earlier ones. Returns whether it is: a content
/// that was removed or taken down meanwhile is left alone.
///
/// # Errors
/// When the engine fails.
pub async fn show(tx: &mut Tx, content: ContentId, revision: Revision) -> Result<bool, CatalogError> {
    let Some(row) = tx.content(content).await? else { return Ok(false) };
    let is_ended = matches!(row.state, ContentState::Deleted | ContentState::Blocked);
    if is_ended || row.published_revision != Some(revision) {
        return Ok(false);
    }
    tx.put_document(&document(row, revision)).await?;
    tx.show_document(content, revision).await
}

fn document(row: ContentRow, revision: Revision) -> Document {
    Document {
        content: row.id,
        revision,
        owner: row.owner,
        title: row.title,
        description: row.description,
        visibility: row.visibility,
        visible: false,
    }
}
