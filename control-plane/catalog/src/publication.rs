//! Publications: one row a revision of a content, from its source to its package.

use mcsp_domain::{ContentId, ObjectKey, PlanId, Revision, SessionId};
use mcsp_events::SourceObject;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use crate::content::read_revision;
use crate::dialect::sql::{self, Query};
use crate::row::{integer, read_integer, word};
use crate::{Catalog, CatalogError, Tx};

/// One publication of a content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicationRow {
    /// The content.
    pub content: ContentId,
    /// Which publication of it.
    pub revision: Revision,
    /// The upload that brought its source.
    pub session: Option<SessionId>,
    /// The file's name as the creator gave it.
    pub file_name: String,
    /// What lies in the store, once it is there.
    pub source: Option<SourceObject>,
    /// The plan that is made of it, once a chunk is stored.
    pub plan: Option<PlanId>,
    /// What was packaged of it.
    pub package: Option<PackageRow>,
    /// Its length in milliseconds, once somebody knows.
    pub duration_ms: Option<u64>,
    /// When it was begun, microseconds since 1970.
    pub created_us: i64,
    /// When viewers were let in, microseconds since 1970.
    pub published_us: Option<i64>,
}

/// A stored package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageRow {
    /// The plan that was packaged.
    pub plan: PlanId,
    /// The folder of segments and manifests.
    pub folder: ObjectKey,
    /// The HLS multivariant playlist.
    pub hls: ObjectKey,
    /// The DASH manifest.
    pub dash: ObjectKey,
    /// The scheme, `cbcs` or `cenc`; clear packages have none.
    pub scheme: Option<String>,
    /// The ids of its keys, 32 hexadecimal digits each.
    pub kids: Vec<String>,
    /// Bytes of all media segments.
    pub bytes: u64,
    /// Length in milliseconds.
    pub duration_ms: u64,
}

impl Catalog {
    /// Returns one publication of a content.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn publication(
        &self,
        content: ContentId,
        revision: Revision,
    ) -> Result<Option<PublicationRow>, CatalogError> {
        let row: Option<PublicationText> = sql::query_as(ONE)
            .bind(content.to_string())
            .bind(i64::from(revision.number()))
            .fetch_optional(self.readers())
            .await
            .map_err(|source| self.fault("read a publication", source))?;
        row.map(|row| read(self, row)).transpose()
    }

    /// Returns the publications of a content, newest first, at most `limit`.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn publications(&self, content: ContentId, limit: u32) -> Result<Vec<PublicationRow>, CatalogError> {
        let sql = "SELECT content_id, revision, session_id, file_name, source_key, source_etag, source_bytes, plan_id,
            package, duration_ms, created_us, published_us FROM publication
            WHERE content_id = $1 ORDER BY revision DESC LIMIT $2";
        let rows: Vec<PublicationText> = sql::query_as(sql)
            .bind(content.to_string())
            .bind(i64::from(limit))
            .fetch_all(self.readers())
            .await
            .map_err(|source| self.fault("list a content's publications", source))?;
        rows.into_iter().map(|row| read(self, row)).collect()
    }

    /// Returns publications whose objects are no longer wanted: those of deleted contents, and those that viewers do not
    /// see and nobody works on, where the content has not changed since `before_us`. At most `limit`, by content.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn publications_to_sweep(
        &self,
        before_us: i64,
        limit: u32,
    ) -> Result<Vec<(ContentId, Revision)>, CatalogError> {
        let sql = "SELECT p.content_id, p.revision FROM publication p JOIN content c ON c.id = p.content_id
            WHERE p.swept_us IS NULL AND (c.state = 'DELETED' OR (c.updated_us < $1
            AND p.revision <> COALESCE(c.published_revision, 0) AND (p.revision < c.revision
            OR (p.revision = c.revision AND c.state IN ('FAILED', 'BLOCKED')))))
            ORDER BY p.content_id, p.revision LIMIT $2";
        let rows: Vec<(String, i64)> = sql::query_as(sql)
            .bind(before_us)
            .bind(i64::from(limit))
            .fetch_all(self.readers())
            .await
            .map_err(|source| self.fault("list publications to sweep", source))?;
        let read = |(content, number): (String, i64)| {
            let fault = |what: String| self.damaged(format!("publication {content}:{number}: {what}"));
            let revision = read_revision(number).ok_or_else(|| fault("no such revision".to_owned()))?;
            Ok((word(&content).map_err(fault)?, revision))
        };
        rows.into_iter().map(read).collect()
    }
}

impl Tx {
    /// Returns one publication as this transaction sees it.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn publication(
        &mut self,
        content: ContentId,
        revision: Revision,
    ) -> Result<Option<PublicationRow>, CatalogError> {
        let query = sql::query_as(ONE).bind(content.to_string()).bind(i64::from(revision.number()));
        let row: Result<Option<PublicationText>, _> = query.fetch_optional(self.connection()?).await;
        let row = row.map_err(|source| self.end("read a publication", source))?;
        row.map(|row| read(self.catalog(), row)).transpose()
    }

    /// Adds a publication.
    ///
    /// # Errors
    /// When there is one of that revision, or the engine fails.
    pub async fn insert_publication(&mut self, row: &PublicationRow) -> Result<(), CatalogError> {
        let sql = "INSERT INTO publication (content_id, revision, session_id, file_name, source_key, source_etag,
            source_bytes, plan_id, package, duration_ms, published_us, created_us)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
        let query = bound(sql, row).bind(row.created_us);
        let done = query.execute(self.connection()?).await;
        done.map(|_| ()).map_err(|source| self.end("add a publication", source))
    }

    /// Writes a publication back; when it was begun stays as it is.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn update_publication(&mut self, row: &PublicationRow) -> Result<(), CatalogError> {
        let sql = "UPDATE publication SET session_id = $3, file_name = $4, source_key = $5, source_etag = $6,
            source_bytes = $7, plan_id = $8, package = $9, duration_ms = $10, published_us = $11
            WHERE content_id = $1 AND revision = $2";
        let done = bound(sql, row).execute(self.connection()?).await;
        done.map(|_| ()).map_err(|source| self.end("change a publication", source))
    }

    /// Returns the newest revision of a content, one that waits for its upload included.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn newest_revision(&mut self, content: ContentId) -> Result<Option<Revision>, CatalogError> {
        let sql = "SELECT MAX(revision) FROM publication WHERE content_id = $1";
        let query = sql::query_scalar(sql).bind(content.to_string());
        let number: Result<Option<i64>, _> = query.fetch_one(self.connection()?).await;
        let number = number.map_err(|source| self.end("read the newest revision", source))?;
        Ok(number.and_then(read_revision))
    }

    /// Counts one more stored chunk of a publication, and returns how many there are.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn count_chunk(&mut self, content: ContentId, revision: Revision) -> Result<u64, CatalogError> {
        let sql = "UPDATE publication SET chunks_stored = chunks_stored + 1 WHERE content_id = $1 AND revision = $2
            RETURNING chunks_stored";
        let query = sql::query_scalar(sql).bind(content.to_string()).bind(i64::from(revision.number()));
        let count: Result<Option<i64>, _> = query.fetch_optional(self.connection()?).await;
        let count = count.map_err(|source| self.end("count a chunk", source))?;
        Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
    }

    /// Notes that a publication's objects were removed for good.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn publication_swept(
        &mut self,
        content: ContentId,
        revision: Revision,
        now_us: i64,
    ) -> Result<(), CatalogError> {
        let sql = "UPDATE publication SET swept_us = $3 WHERE content_id = $1 AND revision = $2";
        let query = sql::query(sql).bind(content.to_string()).bind(i64::from(revision.number())).bind(now_us);
        let done = query.execute(self.connection()?).await;
        done.map(|_| ()).map_err(|source| self.end("note a sweep", source))
    }

    /// Returns whether another publication of the content, whose objects are not removed, is made of the same source.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn source_is_shared(
        &mut self,
        content: ContentId,
        revision: Revision,
        source: &ObjectKey,
    ) -> Result<bool, CatalogError> {
        let sql = "SELECT COUNT(*) FROM publication
            WHERE content_id = $1 AND revision <> $2 AND source_key = $3 AND swept_us IS NULL";
        let query = sql::query_scalar(sql)
            .bind(content.to_string())
            .bind(i64::from(revision.number()))
            .bind(source.as_str().to_owned());
        let count: Result<i64, _> = query.fetch_one(self.connection()?).await;
        Ok(count.map_err(|source| self.end("look for a shared source", source))? > 0)
    }

    /// Stores the notification of a publication, to be released with it; a second one changes nothing.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn put_dispatch(
        &mut self,
        content: ContentId,
        revision: Revision,
        owner: mcsp_domain::UserId,
        now_us: i64,
    ) -> Result<(), CatalogError> {
        let sql = "INSERT INTO dispatch (content_id, revision, owner, stored_us) VALUES ($1, $2, $3, $4)
            ON CONFLICT DO NOTHING";
        let query = sql::query(sql)
            .bind(content.to_string())
            .bind(i64::from(revision.number()))
            .bind(owner.to_string())
            .bind(now_us);
        let done = query.execute(self.connection()?).await;
        done.map(|_| ()).map_err(|source| self.end("store a dispatch", source))
    }

    /// Takes a stored notification out; returns whether there was one.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn take_dispatch(&mut self, content: ContentId, revision: Revision) -> Result<bool, CatalogError> {
        let sql = "DELETE FROM dispatch WHERE content_id = $1 AND revision = $2";
        let query = sql::query(sql).bind(content.to_string()).bind(i64::from(revision.number()));
        let done = query.execute(self.connection()?).await;
        Ok(done.map_err(|source| self.end("take a dispatch out", source))?.rows_affected() == 1)
    }
}

const ONE: &str = "SELECT content_id, revision, session_id, file_name, source_key, source_etag, source_bytes, plan_id,
    package, duration_ms, created_us, published_us FROM publication WHERE content_id = $1 AND revision = $2";

#[derive(FromRow)]
struct PublicationText {
    content_id: String,
    revision: i64,
    session_id: Option<String>,
    file_name: String,
    source_key: Option<String>,
    source_etag: Option<String>,
    source_bytes: Option<i64>,
    plan_id: Option<String>,
    package: Option<String>,
    duration_ms: Option<i64>,
    created_us: i64,
    published_us: Option<i64>,
}

/// Binds `$1` to `$11`: the key, then what may change.
fn bound<'q>(sql: &'static str, row: &'q PublicationRow) -> Query<'q> {
    let source = row.source.as_ref();
    sql::query(sql)
        .bind(row.content.to_string())
        .bind(i64::from(row.revision.number()))
        .bind(row.session.map(|session| session.to_string()))
        .bind(&row.file_name)
        .bind(source.map(|source| source.key.to_string()))
        .bind(source.map(|source| source.etag.as_str()))
        .bind(source.map(|source| integer(source.len_bytes)))
        .bind(row.plan.map(|plan| plan.to_string()))
        .bind(row.package.as_ref().map(package_text))
        .bind(row.duration_ms.map(integer))
        .bind(row.published_us)
}

fn read(catalog: &Catalog, row: PublicationText) -> Result<PublicationRow, CatalogError> {
    let fault = |what: String| catalog.damaged(format!("publication {}:{}: {what}", row.content_id, row.revision));
    let source = match (row.source_key, row.source_etag, row.source_bytes) {
        (Some(key), Some(etag), Some(bytes)) => Some(SourceObject {
            key: ObjectKey::parse(&key).map_err(|error| fault(error.to_string()))?,
            etag,
            len_bytes: read_integer("source_bytes", bytes).map_err(fault)?,
        }),
        _ => None,
    };
    let package = row.package.map(|text| serde_json::from_str(&text)).transpose();
    Ok(PublicationRow {
        content: word(&row.content_id).map_err(fault)?,
        revision: read_revision(row.revision).ok_or_else(|| fault("no such revision".to_owned()))?,
        session: row.session_id.map(|session| word(&session)).transpose().map_err(fault)?,
        source,
        plan: row.plan_id.map(|plan| word(&plan)).transpose().map_err(fault)?,
        package: package.map_err(|error| fault(error.to_string()))?,
        duration_ms: row.duration_ms.map(|length| read_integer("duration_ms", length)).transpose().map_err(fault)?,
        file_name: row.file_name,
        created_us: row.created_us,
        published_us: row.published_us,
    })
}

fn package_text(package: &PackageRow) -> String {
    let text = serde_json::to_string(package).unwrap_or_default();
    assert!(!text.is_empty(), "a package of plain values failed to serialise");
    text
}
