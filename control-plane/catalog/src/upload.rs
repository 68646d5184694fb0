//! Uploads that contents wait for.

use mcsp_domain::{ContentId, ObjectKey, Revision, SessionId, UserId};

use crate::content::read_revision;
use crate::dialect::sql;
use crate::row::word;
use crate::{Catalog, CatalogError};

/// A revision whose bytes are not there yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitingUpload {
    /// The content.
    pub content: ContentId,
    /// The publication of it that waits.
    pub revision: Revision,
    /// The session that is to bring the bytes.
    pub session: SessionId,
    /// Whose content it is.
    pub owner: UserId,
}

impl Catalog {
    /// Returns the revisions that have waited for their bytes since before `before_us`, by content, those that follow `after`;
    /// at most `limit`.
    ///
    /// # Errors
    /// When the engine fails, or a row is not one that we wrote.
    pub async fn waiting_uploads(
        &self,
        before_us: i64,
        after: Option<ContentId>,
        limit: u32,
    ) -> Result<Vec<WaitingUpload>, CatalogError> {
        let sql = "SELECT p.content_id, p.revision, p.session_id, c.owner FROM publication p
            JOIN content c ON c.id = p.content_id AND c.revision <= p.revision
            WHERE p.source_key IS NULL AND p.session_id IS NOT NULL
            AND c.state <> 'DELETED' AND p.created_us < $1 AND p.content_id > $2
            ORDER BY p.content_id LIMIT $3";
        let rows: Vec<(String, i64, String, String)> = sql::query_as(sql)
            .bind(before_us)
            .bind(after.map(|after| after.to_string()).unwrap_or_default())
            .bind(i64::from(limit))
            .fetch_all(self.readers())
            .await
            .map_err(|source| self.fault("list uploads that contents wait for", source))?;
        let read = |(content, revision, session, owner): (String, i64, String, String)| {
            let fault = |what: String| self.damaged(format!("publication {content}:{revision}: {what}"));
            Ok(WaitingUpload {
                content: word(&content).map_err(fault)?,
                revision: read_revision(revision).ok_or_else(|| fault("no such revision".to_owned()))?,
                session: word(&session).map_err(fault)?,
                owner: word(&owner).map_err(fault)?,
            })
        };
        rows.into_iter().map(read).collect()
    }

    /// Returns whether a content still needs what an upload brought or is to bring: a publication waits for it, or is made
    /// of it and its objects are not removed.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn upload_is_wanted(&self, content: ContentId, session: SessionId) -> Result<bool, CatalogError> {
        let sql = "SELECT COUNT(*) FROM publication WHERE content_id = $1 AND swept_us IS NULL
            AND ((session_id = $2 AND source_key IS NULL) OR source_key = $3)";
        let count: i64 = sql::query_scalar(sql)
            .bind(content.to_string())
            .bind(session.to_string())
            .bind(ObjectKey::upload(content, session).as_str().to_owned())
            .fetch_one(self.readers())
            .await
            .map_err(|source| self.fault("look for a publication of an upload", source))?;
        Ok(count > 0)
    }
}
