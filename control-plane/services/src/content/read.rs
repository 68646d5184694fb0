//! What may be read of a content and by whom, and what its owner says of it.

use mcsp_catalog::{ContentRow, PublicationRow, RenditionRow, StepRow};
use mcsp_domain::{ContentId, ContentState, Revision, SubscriptionTier, UserId, UserRole, Visibility};
use mcsp_runtime::now_us;

use super::draft::check_text;
use super::error::ContentError;
use super::service::{Asker, ContentService};
use super::{DESCRIPTION_CHARS_MAX, TITLE_CHARS_MAX};

/// Revisions that a timeline tells of.
const REVISIONS_SHOWN_MAX: u32 = 100;

/// A content as an asker may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentView {
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
    /// How far it is; for all but its owner, published.
    pub state: ContentState,
    /// Why it is there; told to its owner alone.
    pub reason: Option<String>,
    /// The publication in work, or last worked on; for all but its owner, the one that viewers see.
    pub revision: Revision,
    /// The publication that viewers see.
    pub published_revision: Option<Revision>,
    /// The region that its bytes live in.
    pub region: String,
    /// Its length in milliseconds, once somebody knows.
    pub duration_ms: Option<u64>,
    /// Its entity tag.
    pub version: u64,
    /// When it was announced, microseconds since 1970.
    pub created_us: i64,
    /// When it last changed, microseconds since 1970.
    pub updated_us: i64,
    /// When viewers were let in, microseconds since 1970.
    pub published_us: Option<i64>,
}

/// How far a content is, step by step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// The content.
    pub content: ContentId,
    /// The revision that steps and renditions are of.
    pub revision: Revision,
    /// How far the content is.
    pub state: ContentState,
    /// Why it is there.
    pub reason: Option<String>,
    /// The revision's steps, in the order of its way.
    pub steps: Vec<StepRow>,
    /// The revision's renditions, by name.
    pub renditions: Vec<RenditionRow>,
    /// All revisions, newest first.
    pub revisions: Vec<RevisionView>,
}

/// One revision of a content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisionView {
    /// Its number.
    pub revision: Revision,
    /// The file that it was made of, as the creator named it.
    pub file_name: String,
    /// When it was begun, microseconds since 1970.
    pub created_us: i64,
    /// When viewers were let in, microseconds since 1970.
    pub published_us: Option<i64>,
}

/// What an owner changes; what is not named stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The title.
    pub title: Option<String>,
    /// The description.
    pub description: Option<String>,
    /// Who may see it once it is published.
    pub visibility: Option<Visibility>,
    /// What its viewers must pay for.
    pub tier: Option<SubscriptionTier>,
}

impl ContentService {
    /// Returns a content as an asker may see it; nobody in particular is `None`.
    ///
    /// # Errors
    /// `NotFound` when there is none that the asker may know of, or when the catalog fails.
    pub async fn get(&self, asker: Option<Asker>, content: ContentId) -> Result<ContentView, ContentError> {
        let row = self.visible(asker, content).await?;
        let is_insider = asker.is_some_and(|asker| is_insider(asker, &row));
        let seen = if is_insider { row.revision } else { row.published_revision.unwrap_or(row.revision) };
        let publication = self.catalog().publication(content, seen).await?;
        Ok(view(row, publication.as_ref(), is_insider))
    }

    /// Returns the asker's contents, newest first, after the one that `after` names. At most `limit`.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn list_mine(
        &self,
        user: UserId,
        after: Option<ContentId>,
        limit: u32,
    ) -> Result<Vec<ContentView>, ContentError> {
        let mut views = Vec::new();
        for row in self.catalog().contents_of(user, after, limit).await? {
            let publication = self.catalog().publication(row.id, row.revision).await?;
            views.push(view(row, publication.as_ref(), true));
        }
        Ok(views)
    }

    /// Returns the timeline of a content's revision, the current one where none is named; for its owner, moderators and
    /// admins.
    ///
    /// # Errors
    /// `NotFound` or `NotOwner`, `NotFound` where there is no such revision, or when the catalog fails.
    pub async fn timeline(
        &self,
        asker: Asker,
        content: ContentId,
        revision: Option<Revision>,
    ) -> Result<Timeline, ContentError> {
        let row = self.visible(Some(asker), content).await?;
        if !is_insider(asker, &row) {
            return Err(ContentError::NotOwner { content });
        }
        let revision = revision.unwrap_or(row.revision);
        if self.catalog().publication(content, revision).await?.is_none() {
            return Err(ContentError::NotFound { content });
        }
        let steps = self.catalog().steps(content, revision).await?;
        let renditions = self.catalog().renditions(content, revision).await?;
        let revisions = self.catalog().publications(content, REVISIONS_SHOWN_MAX).await?;
        Ok(Timeline {
            content,
            revision,
            state: row.state,
            reason: row.reason,
            steps,
            renditions,
            revisions: revisions.into_iter().map(RevisionView::from).collect(),
        })
    }

    /// Changes what an owner says of a content, where its version is still the one that was read. Search finds the new words
    /// at once.
    ///
    /// # Errors
    /// `NotFound` or `NotOwner`, `OtherVersion`, `Text` when a text is over its limit, or when the catalog fails.
    pub async fn change(
        &self,
        asker: Asker,
        content: ContentId,
        version: u64,
        changes: Changes,
    ) -> Result<ContentView, ContentError> {
        if let Some(title) = &changes.title {
            check_text("title", title, TITLE_CHARS_MAX)?;
        }
        if let Some(description) = &changes.description {
            check_text("description", description, DESCRIPTION_CHARS_MAX)?;
        }
        self.owned(asker, content).await?;
        let mut tx = self.catalog().begin().await?;
        let missing = ContentError::NotFound { content };
        let mut row = tx.content(content).await?.filter(|row| row.state != ContentState::Deleted).ok_or(missing)?;
        if row.version != version {
            return Err(ContentError::OtherVersion { content, version: row.version });
        }
        let Changes { title, description, visibility, tier } = changes;
        row.title = title.unwrap_or(row.title);
        row.description = description.unwrap_or(row.description);
        row.visibility = visibility.unwrap_or(row.visibility);
        row.tier = tier.unwrap_or(row.tier);
        row.updated_us = now_us();
        if !tx.update_content(&row).await? {
            return Err(ContentError::OtherVersion { content, version: row.version });
        }
        tx.describe_documents(content, &row.title, &row.description, row.visibility).await?;
        let publication = tx.publication(content, row.revision).await?;
        tx.commit().await?;
        row.version += 1;
        Ok(view(row, publication.as_ref(), true))
    }

    /// Returns a content that an asker may see: anybody what is published and not private, insiders all but what is deleted.
    pub(super) async fn visible(&self, asker: Option<Asker>, content: ContentId) -> Result<ContentRow, ContentError> {
        let row = self.catalog().content(content).await?;
        let seen = row.filter(|row| {
            let is_public = row.published_revision.is_some() && row.visibility != Visibility::Private;
            let is_insider = asker.is_some_and(|asker| is_insider(asker, row));
            row.state != ContentState::Deleted && (is_public || is_insider)
        });
        seen.ok_or(ContentError::NotFound { content })
    }
}

/// Returns whether an asker sees a content before viewers do: its owner, moderators and admins.
fn is_insider(asker: Asker, row: &ContentRow) -> bool {
    row.owner == asker.user || asker.role >= UserRole::Moderator
}

fn view(row: ContentRow, publication: Option<&PublicationRow>, is_insider: bool) -> ContentView {
    let published = row.published_revision.filter(|_| !is_insider);
    ContentView {
        state: if is_insider { row.state } else { ContentState::Published },
        reason: row.reason.filter(|_| is_insider),
        revision: published.unwrap_or(row.revision),
        id: row.id,
        owner: row.owner,
        title: row.title,
        description: row.description,
        visibility: row.visibility,
        tier: row.tier,
        published_revision: row.published_revision,
        region: row.placement.region,
        duration_ms: publication.and_then(|publication| publication.duration_ms),
        version: row.version,
        created_us: row.created_us,
        updated_us: row.updated_us,
        published_us: publication.and_then(|publication| publication.published_us),
    }
}

impl From<PublicationRow> for RevisionView {
    fn from(row: PublicationRow) -> Self {
        let PublicationRow { revision, file_name, created_us, published_us, .. } = row;
        Self { revision, file_name, created_us, published_us }
    }
}
