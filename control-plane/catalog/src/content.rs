//! Contents: what an owner says of them, and how far they are. Their publications, steps and renditions stand in files of
//! their own.

use mcsp_domain::{ContentId, ContentState, Placement, Revision, SubscriptionTier, UserId, Visibility};
use sqlx::FromRow;

use crate::dialect::sql;
use crate::row::{integer, read_integer, word};
use crate::{Catalog, CatalogError, Tx};

/// A content as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentRow {
    /// The content.
    pub id: ContentId,
    /// Whose it is.
    pub owner: UserId,
    /// Its title.
    pub title: String,
    /// What its owner says of it.
    pub description: String,
    /// Who may see it once it is published.
    pub visibility: Visibility,
    /// What its viewers must pay for.
    pub tier: SubscriptionTier,
    /// How far it is.
    pub state: ContentState,
    /// Why it is there, where its owner should know.
    pub reason: Option<String>,
    /// The publication in work, or last worked on.
    pub revision: Revision,
    /// The publication that viewers see.
    pub published_revision: Option<Revision>,
    /// Where its bytes may live.
    pub placement: Placement,
    /// Rises with every change: the entity tag of the API.
    pub version: u64,
    /// When it was announced, microseconds since 1970.
    pub created_us: i64,
    /// When it last changed, microseconds since 1970.
    pub updated_us: i64,
}

/// Which contents are wanted. Every part that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContentFilter {
    /// This content alone.
    pub id: Option<ContentId>,
    /// Those of this owner.
    pub owner: Option<UserId>,
    /// Those in this state.
    pub state: Option<ContentState>,
    /// Those whose title contains this, whatever its case.
    pub title: Option<String>,
    /// Those that viewers see.
    pub published: bool,
}

impl Catalog {
    /// Returns a content.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn content(&self, id: ContentId) -> Result<Option<ContentRow>, CatalogError> {
        let row: Option<ContentText> = sql::query_as(ONE)
            .bind(id.to_string())
            .fetch_optional(self.readers())
            .await
            .map_err(|source| self.fault("read a content", source))?;
        row.map(|row| read(self, row)).transpose()
    }

    /// Returns an owner's contents, newest first, after the one that `after` names; deleted ones are left out. At most
    /// `limit` rows.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn contents_of(
        &self,
        owner: UserId,
        after: Option<ContentId>,
        limit: u32,
    ) -> Result<Vec<ContentRow>, CatalogError> {
        // Ids carry their time, and every id sorts before a text that no id is.
        let sql = "SELECT id, owner, title, description, visibility, tier, state, reason, revision, published_revision,
            placement, version, created_us, updated_us FROM content
            WHERE owner = $1 AND id < $2 AND state <> 'DELETED' ORDER BY id DESC LIMIT $3";
        let rows: Vec<ContentText> = sql::query_as(sql)
            .bind(owner.to_string())
            .bind(after.map_or_else(|| "~".to_owned(), |after| after.to_string()))
            .bind(i64::from(limit))
            .fetch_all(self.readers())
            .await
            .map_err(|source| self.fault("list an owner's contents", source))?;
        rows.into_iter().map(|row| read(self, row)).collect()
    }

    /// Returns the contents that a filter lets through, oldest first, after the one that `after` names. Deleted ones are
    /// left out unless their state is asked for. At most `limit` rows.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn contents_where(
        &self,
        filter: &ContentFilter,
        after: Option<ContentId>,
        limit: u32,
    ) -> Result<Vec<ContentRow>, CatalogError> {
        let sql = "SELECT id, owner, title, description, visibility, tier, state, reason, revision, published_revision,
            placement, version, created_us, updated_us FROM content
            WHERE id > $1 AND ($2 = '' OR id = $2) AND ($3 = '' OR owner = $3)
            AND (($4 = '' AND state <> 'DELETED') OR state = $4) AND LOWER(title) LIKE LOWER($5) ESCAPE '!'
            AND ($6 = 0 OR published_revision IS NOT NULL) ORDER BY id LIMIT $7";
        let rows: Vec<ContentText> = sql::query_as(sql)
            .bind(after.map(|after| after.to_string()).unwrap_or_default())
            .bind(filter.id.map(|id| id.to_string()).unwrap_or_default())
            .bind(filter.owner.map(|owner| owner.to_string()).unwrap_or_default())
            .bind(filter.state.map(ContentState::as_str).unwrap_or_default())
            .bind(like(filter.title.as_deref().unwrap_or_default()))
            .bind(i64::from(filter.published))
            .bind(i64::from(limit))
            .fetch_all(self.readers())
            .await
            .map_err(|source| self.fault("list contents", source))?;
        rows.into_iter().map(|row| read(self, row)).collect()
    }
}

impl Tx {
    /// Returns a content as this transaction sees it.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn content(&mut self, id: ContentId) -> Result<Option<ContentRow>, CatalogError> {
        let query = sql::query_as(ONE).bind(id.to_string());
        let row: Result<Option<ContentText>, _> = query.fetch_optional(self.connection()?).await;
        let row = row.map_err(|source| self.end("read a content", source))?;
        row.map(|row| read(self.catalog(), row)).transpose()
    }

    /// Adds a content.
    ///
    /// # Errors
    /// When there is one of that id, or the engine fails.
    pub async fn insert_content(&mut self, row: &ContentRow) -> Result<(), CatalogError> {
        let sql = "INSERT INTO content (id, owner, title, description, visibility, tier, state, reason, revision,
            published_revision, placement, version, created_us, updated_us)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
        let query = sql::query(sql)
            .bind(row.id.to_string())
            .bind(row.owner.to_string())
            .bind(&row.title)
            .bind(&row.description)
            .bind(row.visibility.as_str())
            .bind(row.tier.as_str())
            .bind(row.state.as_str())
            .bind(&row.reason)
            .bind(i64::from(row.revision.number()))
            .bind(row.published_revision.map(|revision| i64::from(revision.number())))
            .bind(placement_text(&row.placement))
            .bind(integer(row.version))
            .bind(row.created_us)
            .bind(row.updated_us);
        let done = query.execute(self.connection()?).await;
        done.map(|_| ()).map_err(|source| self.end("add a content", source))
    }

    /// Writes a content back, where nobody else has since it was read: its stored version is the row's, and rises by one.
    /// Id, owner, placement and creation stay as they are. Returns whether it was written.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn update_content(&mut self, row: &ContentRow) -> Result<bool, CatalogError> {
        let sql =
            "UPDATE content SET title = $3, description = $4, visibility = $5, tier = $6, state = $7, reason = $8,
            revision = $9, published_revision = $10, version = version + 1, updated_us = $11
            WHERE id = $1 AND version = $2";
        let query = sql::query(sql)
            .bind(row.id.to_string())
            .bind(integer(row.version))
            .bind(&row.title)
            .bind(&row.description)
            .bind(row.visibility.as_str())
            .bind(row.tier.as_str())
            .bind(row.state.as_str())
            .bind(&row.reason)
            .bind(i64::from(row.revision.number()))
            .bind(row.published_revision.map(|revision| i64::from(revision.number())))
            .bind(row.updated_us);
        let done = query.execute(self.connection()?).await;
        let rows = done.map_err(|source| self.end("change a content", source))?.rows_affected();
        Ok(rows == 1)
    }
}

const ONE: &str = "SELECT id, owner, title, description, visibility, tier, state, reason, revision, published_revision,
    placement, version, created_us, updated_us FROM content WHERE id = $1";

#[derive(FromRow)]
struct ContentText {
    id: String,
    owner: String,
    title: String,
    description: String,
    visibility: String,
    tier: String,
    state: String,
    reason: Option<String>,
    revision: i64,
    published_revision: Option<i64>,
    placement: String,
    version: i64,
    created_us: i64,
    updated_us: i64,
}

fn read(catalog: &Catalog, row: ContentText) -> Result<ContentRow, CatalogError> {
    let fault = |what: String| catalog.damaged(format!("content {}: {what}", row.id));
    let revision = |number| read_revision(number).ok_or_else(|| fault(format!("revision {number}")));
    Ok(ContentRow {
        id: word(&row.id).map_err(fault)?,
        owner: word(&row.owner).map_err(fault)?,
        visibility: word(&row.visibility).map_err(fault)?,
        tier: word(&row.tier).map_err(fault)?,
        state: word(&row.state).map_err(fault)?,
        revision: revision(row.revision)?,
        published_revision: row.published_revision.map(revision).transpose()?,
        placement: serde_json::from_str(&row.placement).map_err(|error| fault(error.to_string()))?,
        version: read_integer("version", row.version).map_err(fault)?,
        title: row.title,
        description: row.description,
        reason: row.reason,
        created_us: row.created_us,
        updated_us: row.updated_us,
    })
}

pub(crate) fn read_revision(number: i64) -> Option<Revision> {
    u32::try_from(number).ok().and_then(Revision::new)
}

/// Returns the pattern of `LIKE` that finds a text anywhere.
fn like(text: &str) -> String {
    let escaped = text.replace('!', "!!").replace('%', "!%").replace('_', "!_");
    format!("%{escaped}%")
}

fn placement_text(placement: &Placement) -> String {
    let text = serde_json::to_string(placement).unwrap_or_default();
    assert!(!text.is_empty(), "a placement of plain values failed to serialise");
    text
}
