//! Documents of search: one a publication, found once it is shown. The index itself is the engine's (`dialect`); whether
//! somebody may find a document is asked of the content at the time of the search, so that a document that was not dropped
//! yet tells nothing.

use mcsp_domain::{ContentId, Revision, UserId, Visibility};

use crate::dialect::sql;
use crate::{Catalog, CatalogError, Tx};

/// Documents that one search gives at most.
pub const SEARCH_RESULTS_MAX: usize = 100;

/// What search knows of a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The content.
    pub content: ContentId,
    /// The publication of it.
    pub revision: Revision,
    /// Whose it is.
    pub owner: UserId,
    /// Its title.
    pub title: String,
    /// Its description.
    pub description: String,
    /// Who may see it.
    pub visibility: Visibility,
    /// Whether viewers find it already.
    pub visible: bool,
}

/// A document that matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchHit {
    /// The content.
    pub content: ContentId,
    /// Whose it is.
    pub owner: UserId,
    /// Its title.
    pub title: String,
    /// Its description.
    pub description: String,
    /// Its length in milliseconds, where it is known.
    pub duration_ms: Option<u64>,
    /// When it was published, microseconds since 1970.
    pub published_us: Option<i64>,
}

impl Catalog {
    /// Returns published public contents that match every word, best first: at most `limit` of them, after the first
    /// `offset`. The last word matches as a beginning too. Words of the title weigh more than those of the description.
    ///
    /// `text` is what a person typed: whatever stands in it, it is words. Text without a word finds nothing.
    ///
    /// # Errors
    /// When the engine fails, or a row is not one that we wrote.
    pub async fn search(&self, text: &str, offset: usize, limit: usize) -> Result<Vec<SearchHit>, CatalogError> {
        let Some(query) = self.engine().search_query(text) else { return Ok(Vec::new()) };
        let rows: Vec<HitText> = sql::query_as(self.engine().search())
            .bind(query)
            .bind(i64::try_from(limit.min(SEARCH_RESULTS_MAX)).unwrap_or(i64::MAX))
            .bind(i64::try_from(offset).unwrap_or(i64::MAX))
            .fetch_all(self.readers())
            .await
            .map_err(|source| self.fault("search", source))?;
        rows.into_iter().map(|row| self.read_hit(row)).collect()
    }

    /// Returns whether a revision has a document.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn has_document(&self, content: ContentId, revision: Revision) -> Result<bool, CatalogError> {
        let sql = "SELECT COUNT(*) FROM document WHERE content_id = $1 AND revision = $2";
        let query = sql::query_scalar(sql).bind(content.to_string()).bind(i64::from(revision.number()));
        let count: i64 =
            query.fetch_one(self.readers()).await.map_err(|source| self.fault("look for a search document", source))?;
        Ok(count > 0)
    }

    fn read_hit(&self, row: HitText) -> Result<SearchHit, CatalogError> {
        let (content, owner, title, description, duration_ms, published_us) = row;
        let fault = |what: String| self.damaged(format!("content {content}: {what}"));
        Ok(SearchHit {
            content: ContentId::parse(&content).map_err(|error| fault(error.to_string()))?,
            owner: UserId::parse(&owner).map_err(|error| fault(error.to_string()))?,
            duration_ms: duration_ms.map(u64::try_from).transpose().map_err(|_| fault("negative length".to_owned()))?,
            title,
            description,
            published_us,
        })
    }
}

/// Content id, owner, title, description, length, time of publication.
type HitText = (String, String, String, String, Option<i64>, Option<i64>);

impl Tx {
    /// Writes a document, or what changed in it. One that viewers find stays so, whatever `visible` says: a late repetition
    /// of its indexing must not hide it.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn put_document(&mut self, document: &Document) -> Result<(), CatalogError> {
        let sql = "INSERT INTO document (content_id, revision, number, owner, title, description, visibility, visible)
            VALUES ($1, $2, (SELECT COALESCE(MAX(number), 0) + 1 FROM document), $3, $4, $5, $6, $7)
            ON CONFLICT (content_id, revision) DO UPDATE SET owner = excluded.owner, title = excluded.title,
                description = excluded.description, visibility = excluded.visibility,
                visible = CASE WHEN excluded.visible > document.visible THEN excluded.visible ELSE document.visible END
            RETURNING number, title, description, visible";
        let query = sql::query_as(sql)
            .bind(document.content.to_string())
            .bind(i64::from(document.revision.number()))
            .bind(document.owner.to_string())
            .bind(&document.title)
            .bind(&document.description)
            .bind(document.visibility.as_str())
            .bind(i64::from(document.visible));
        let row: Result<IndexText, _> = query.fetch_one(self.connection()?).await;
        let row = row.map_err(|source| self.end("write a search document", source))?;
        self.index(row).await
    }

    /// Lets viewers find the document of a revision, and drops those of the content's other revisions up to it. Returns
    /// whether there is such a document.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn show_document(&mut self, content: ContentId, revision: Revision) -> Result<bool, CatalogError> {
        let sql = "UPDATE document SET visible = 1 WHERE content_id = $1 AND revision = $2
            RETURNING number, title, description, visible";
        let query = sql::query_as(sql).bind(content.to_string()).bind(i64::from(revision.number()));
        let row: Result<Option<IndexText>, _> = query.fetch_optional(self.connection()?).await;
        let Some(row) = row.map_err(|source| self.end("show a search document", source))? else { return Ok(false) };
        self.index(row).await?;
        let older = "DELETE FROM document WHERE content_id = $1 AND revision < $2 RETURNING number";
        let query = sql::query_scalar(older).bind(content.to_string()).bind(i64::from(revision.number()));
        self.drop_rows(query).await?;
        Ok(true)
    }

    /// Writes a content's words anew into all its documents.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn describe_documents(
        &mut self,
        content: ContentId,
        title: &str,
        description: &str,
        visibility: Visibility,
    ) -> Result<(), CatalogError> {
        let sql = "UPDATE document SET title = $2, description = $3, visibility = $4 WHERE content_id = $1
            RETURNING number, title, description, visible";
        let query =
            sql::query_as(sql).bind(content.to_string()).bind(title).bind(description).bind(visibility.as_str());
        let rows: Result<Vec<IndexText>, _> = query.fetch_all(self.connection()?).await;
        for row in rows.map_err(|source| self.end("describe search documents", source))? {
            self.index(row).await?;
        }
        Ok(())
    }

    /// Drops all documents of a content.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn drop_document(&mut self, content: ContentId) -> Result<(), CatalogError> {
        let sql = "DELETE FROM document WHERE content_id = $1 RETURNING number";
        self.drop_rows(sql::query_scalar(sql).bind(content.to_string())).await
    }

    /// Drops the document of one revision: its publication was undone.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn drop_document_of(&mut self, content: ContentId, revision: Revision) -> Result<(), CatalogError> {
        let sql = "DELETE FROM document WHERE content_id = $1 AND revision = $2 RETURNING number";
        self.drop_rows(sql::query_scalar(sql).bind(content.to_string()).bind(i64::from(revision.number()))).await
    }

    /// Brings the engine's index up to a document. Hidden ones are not in it: they slow nobody's search.
    async fn index(&mut self, row: IndexText) -> Result<(), CatalogError> {
        let (number, title, description, visible) = row;
        self.unindex(number).await?;
        if visible == 0 {
            return Ok(());
        }
        let query = self.catalog().engine().search_insert(number, title, description);
        let done = query.execute(self.connection()?).await;
        done.map(|_| ()).map_err(|source| self.end("index a search document", source))
    }

    async fn unindex(&mut self, number: i64) -> Result<(), CatalogError> {
        let query = sql::query(self.catalog().engine().search_remove()).bind(number);
        let done = query.execute(self.connection()?).await;
        done.map(|_| ()).map_err(|source| self.end("take a search document out of the index", source))
    }

    async fn drop_rows(&mut self, query: NumberQuery<'_>) -> Result<(), CatalogError> {
        let numbers = query.fetch_all(self.connection()?).await;
        for number in numbers.map_err(|source| self.end("drop search documents", source))? {
            self.unindex(number).await?;
        }
        Ok(())
    }
}

/// Number, title, description, whether viewers find it.
type IndexText = (i64, String, String, i64);
type NumberQuery<'q> = sql::QueryScalar<'q, i64>;
