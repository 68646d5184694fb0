//! Cases of the review queue: what was flagged in one revision of a content, and what a moderator made of it. A case is
//! decided once.

use mcsp_domain::{ContentId, Revision, UserId};
use mcsp_events::TimeRange;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use crate::content::read_revision;
use crate::dialect::sql;
use crate::row::word;
use crate::{Catalog, CatalogError, Tx};

/// Flags that one case keeps; later ones of a case that has as many change nothing.
pub const CASE_FLAGS_MAX: usize = 32;

/// What a case is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaseKind {
    /// Whether it may be shown.
    Content,
    /// Whether its uploader may use what is in it.
    Rights,
}

impl CaseKind {
    /// Returns the word as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Rights => "rights",
        }
    }
}

impl std::str::FromStr for CaseKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = [Self::Content, Self::Rights].into_iter().find(|kind| kind.as_str() == text);
        known.ok_or_else(|| format!("kind of case {text:?}"))
    }
}

/// Who flagged what, where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseFlag {
    /// The rules, the scanner or the person.
    pub flagged_by: String,
    /// Names of the rules or labels.
    pub labels: Vec<String>,
    /// How sure, in thousandths.
    pub confidence_permille: u16,
    /// Where in the source.
    pub ranges: Vec<TimeRange>,
    /// When, microseconds since 1970.
    pub at_us: i64,
}

/// What a moderator decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseDecision {
    /// Who.
    pub decided_by: UserId,
    /// Whether it goes on.
    pub approved: bool,
    /// Words for its uploader.
    pub reason: String,
    /// When, microseconds since 1970.
    pub decided_us: i64,
}

/// A case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseRow {
    /// The content.
    pub content: ContentId,
    /// The publication of it.
    pub revision: Revision,
    /// What it is about.
    pub kind: CaseKind,
    /// Who flagged what, oldest first.
    pub flags: Vec<CaseFlag>,
    /// What was decided, once it was.
    pub decision: Option<CaseDecision>,
    /// When it was opened, microseconds since 1970.
    pub opened_us: i64,
}

/// A case with what its moderator wants to see of the content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedCase {
    /// The case.
    pub case: CaseRow,
    /// The content's owner.
    pub owner: UserId,
    /// The content's title.
    pub title: String,
}

/// A case's place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CasePlace {
    /// Whether it is decided: open ones come first.
    pub is_decided: bool,
    /// When it was opened.
    pub opened_us: i64,
    /// The content.
    pub content: ContentId,
    /// The publication of it.
    pub revision: Revision,
    /// What it is about.
    pub kind: CaseKind,
}

impl std::fmt::Display for CasePlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { is_decided, opened_us, content, revision, kind } = self;
        write!(f, "{} {opened_us} {content} {revision} {}", i64::from(*is_decided), kind.as_str())
    }
}

impl std::str::FromStr for CasePlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(' ').collect();
        let [decided @ ("0" | "1"), opened_us, content, revision, kind] = parts[..] else {
            return Err("text is no place of a case".to_owned());
        };
        let revision: u32 = revision.parse().map_err(|_| "revision is no number".to_owned())?;
        Ok(Self {
            is_decided: decided == "1",
            opened_us: opened_us.parse().map_err(|_| "time is no number".to_owned())?,
            content: word(content)?,
            revision: Revision::try_from(revision)?,
            kind: kind.parse()?,
        })
    }
}

impl CaseRow {
    /// Returns its place in the list.
    pub fn place(&self) -> CasePlace {
        let Self { content, revision, kind, opened_us, .. } = *self;
        CasePlace { is_decided: self.decision.is_some(), opened_us, content, revision, kind }
    }
}

impl Catalog {
    /// Returns cases, open ones first, then the longest waiting first, after a place in that order; at most `limit`. An
    /// open case of a content that has ended, or of a revision that was replaced, waits for nobody and is left out.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn cases(
        &self,
        is_decided: Option<bool>,
        after: Option<CasePlace>,
        limit: u32,
    ) -> Result<Vec<ListedCase>, CatalogError> {
        let sql = "SELECT m.content_id, m.revision, m.kind, m.flags, m.decided, m.decided_by, m.approved, m.reason,
                m.opened_us, m.decided_us, c.owner, c.title
            FROM moderation_case m JOIN content c ON c.id = m.content_id
            WHERE (m.decided, m.opened_us, m.content_id, m.revision, m.kind) > ($1, $2, $3, $4, $5)
                AND m.decided >= $6 AND m.decided <= $7
                AND (m.decided = 1
                    OR (m.revision = c.revision AND c.state NOT IN ('DELETED', 'BLOCKED', 'FAILED')))
            ORDER BY m.decided, m.opened_us, m.content_id, m.revision, m.kind LIMIT $8";
        let start = (-1, i64::MIN, String::new(), 0, "");
        let (decided, opened_us, content, revision, kind) = after.map_or(start, |place| {
            let CasePlace { opened_us, content, revision, kind, .. } = place;
            (i64::from(place.is_decided), opened_us, content.to_string(), i64::from(revision.number()), kind.as_str())
        });
        let query = sql::query_as(sql)
            .bind(decided)
            .bind(opened_us)
            .bind(content)
            .bind(revision)
            .bind(kind)
            .bind(i64::from(is_decided.unwrap_or(false)))
            .bind(i64::from(is_decided.unwrap_or(true)))
            .bind(i64::from(limit));
        let rows: Result<Vec<ListedText>, _> = query.fetch_all(self.readers()).await;
        let rows = rows.map_err(|source| self.fault("list moderation cases", source))?;
        let read = |row: ListedText| {
            let fault = |what: String| self.damaged(format!("content {}: {what}", row.case.content_id));
            let owner = word(&row.owner).map_err(fault)?;
            Ok(ListedCase { case: read_case(self, row.case)?, owner, title: row.title })
        };
        rows.into_iter().map(read).collect()
    }
}

impl Tx {
    /// Returns the cases of a content, newest revision first.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn cases_of(&mut self, content: ContentId) -> Result<Vec<CaseRow>, CatalogError> {
        let sql =
            "SELECT content_id, revision, kind, flags, decided, decided_by, approved, reason, opened_us, decided_us
            FROM moderation_case WHERE content_id = $1 ORDER BY revision DESC, kind";
        let rows: Result<Vec<CaseText>, _> =
            sql::query_as(sql).bind(content.to_string()).fetch_all(self.connection()?).await;
        let rows = rows.map_err(|source| self.end("read a content's moderation cases", source))?;
        rows.into_iter().map(|row| read_case(self.catalog(), row)).collect()
    }

    /// Opens a case, or writes its flags and its decision back.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn put_case(&mut self, row: &CaseRow) -> Result<(), CatalogError> {
        let sql =
            "INSERT INTO moderation_case (content_id, revision, kind, flags, decided, decided_by, approved, reason,
                opened_us, decided_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
            ON CONFLICT (content_id, revision, kind) DO UPDATE SET flags = excluded.flags, decided = excluded.decided,
                decided_by = excluded.decided_by, approved = excluded.approved, reason = excluded.reason,
                decided_us = excluded.decided_us";
        let decision = row.decision.as_ref();
        let query = sql::query(sql)
            .bind(row.content.to_string())
            .bind(i64::from(row.revision.number()))
            .bind(row.kind.as_str())
            .bind(serde_json::json!(row.flags).to_string())
            .bind(i64::from(decision.is_some()))
            .bind(decision.map(|decision| decision.decided_by.to_string()))
            .bind(decision.map(|decision| i64::from(decision.approved)))
            .bind(decision.map(|decision| &decision.reason))
            .bind(row.opened_us)
            .bind(decision.map(|decision| decision.decided_us));
        let done = query.execute(self.connection()?).await;
        done.map(|_| ()).map_err(|source| self.end("write a moderation case", source))
    }
}

#[derive(FromRow)]
struct CaseText {
    content_id: String,
    revision: i64,
    kind: String,
    flags: String,
    decided: i64,
    decided_by: Option<String>,
    approved: Option<i64>,
    reason: Option<String>,
    opened_us: i64,
    decided_us: Option<i64>,
}

#[derive(FromRow)]
struct ListedText {
    #[sqlx(flatten)]
    case: CaseText,
    owner: String,
    title: String,
}

fn read_case(catalog: &Catalog, row: CaseText) -> Result<CaseRow, CatalogError> {
    let fault = |what: String| catalog.damaged(format!("moderation case of content {}: {what}", row.content_id));
    let decision = match (row.decided, row.decided_by, row.approved, row.reason, row.decided_us) {
        (0, ..) => None,
        (_, Some(by), Some(approved), Some(reason), Some(decided_us)) => {
            Some(CaseDecision { decided_by: word(&by).map_err(fault)?, approved: approved != 0, reason, decided_us })
        }
        _ => return Err(fault("it is decided and does not say how".to_owned())),
    };
    Ok(CaseRow {
        content: word(&row.content_id).map_err(fault)?,
        revision: read_revision(row.revision).ok_or_else(|| fault(format!("revision {}", row.revision)))?,
        kind: word(&row.kind).map_err(fault)?,
        flags: serde_json::from_str(&row.flags).map_err(|error| fault(format!("flags: {error}")))?,
        decision,
        opened_us: row.opened_us,
    })
}
