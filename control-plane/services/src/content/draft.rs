//! Drafts and sources, as the upload service brings them: every call works in its transaction.

use mcsp_catalog::{ContentRow, PublicationRow, Tx};
use mcsp_domain::{
    ContentId, ContentState, Placement, Revision, SessionId, StepName, SubscriptionTier, UserId, Visibility,
};
use mcsp_events::SourceObject;

use super::error::ContentError;
use super::life::{Life, Work, is_in_work};
use super::state::AssetFact;
use super::{DESCRIPTION_CHARS_MAX, FILE_NAME_CHARS_MAX, TITLE_CHARS_MAX};

/// A content that is announced.
#[derive(Clone, Debug)]
pub struct NewDraft {
    /// Its id, which nothing else has.
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
    /// Where its bytes may live.
    pub placement: Placement,
    /// The upload that will bring its source.
    pub session: SessionId,
    /// The file's name as the creator gave it.
    pub file_name: String,
    /// The time, microseconds since 1970.
    pub now_us: i64,
}

/// Announces a content: a draft with its first revision, whose step `upload` runs.
///
/// # Errors
/// `Text` when a text is over its limit, or when the catalog fails.
pub async fn draft(tx: &mut Tx, new: NewDraft) -> Result<(), ContentError> {
    check_text("title", &new.title, TITLE_CHARS_MAX)?;
    check_text("description", &new.description, DESCRIPTION_CHARS_MAX)?;
    check_text("file name", &new.file_name, FILE_NAME_CHARS_MAX)?;
    let NewDraft { id, now_us, .. } = new;
    let content = ContentRow {
        id,
        owner: new.owner,
        title: new.title,
        description: new.description,
        visibility: new.visibility,
        tier: new.tier,
        state: ContentState::Draft,
        reason: None,
        revision: Revision::FIRST,
        published_revision: None,
        placement: new.placement,
        version: 1,
        created_us: now_us,
        updated_us: now_us,
    };
    tx.insert_content(&content).await?;
    let publication = awaiting(id, Revision::FIRST, new.session, new.file_name, now_us);
    tx.insert_publication(&publication).await?;
    let mut life = Life::begun(tx, content, publication, now_us);
    life.running(StepName::Upload, Work::begun(now_us), "").await?;
    life.save().await
}

/// Has a content wait for another upload: a draft for its first source, any other for the source of its next revision, while
/// viewers go on seeing what is published. An upload that it waited for before is superseded. Returns the revision that the
/// bytes will be.
///
/// # Errors
/// `NotFound` where `owner` has no such content, `WrongState` when it is deleted or being worked on, `Text` when the file's
/// name is over its limit, or when the catalog fails.
pub async fn new_source(
    tx: &mut Tx,
    id: ContentId,
    owner: UserId,
    session: SessionId,
    file_name: &str,
    now_us: i64,
) -> Result<Revision, ContentError> {
    check_text("file name", file_name, FILE_NAME_CHARS_MAX)?;
    let content = tx.content(id).await?.filter(|content| content.owner == owner);
    let content = content.ok_or(ContentError::NotFound { content: id })?;
    let state = content.state;
    if state == ContentState::Deleted || is_in_work(state) {
        let needed = "its source can be replaced once nobody works on it: cancel first";
        return Err(ContentError::WrongState { content: id, state, needed });
    }
    let revision = if state == ContentState::Draft { content.revision } else { content.revision.next() };
    let waiting = awaiting(id, revision, session, file_name.to_owned(), now_us);
    match tx.publication(id, revision).await? {
        Some(_) => tx.update_publication(&waiting).await?,
        None => tx.insert_publication(&waiting).await?,
    }
    if let Some(mut life) = Life::open(tx, id, Some(revision), now_us).await? {
        life.running(StepName::Upload, Work::begun(now_us), "").await?;
        life.save().await?;
    }
    Ok(revision)
}

/// Notes that a source is stored: the revision's step `upload` is done, `ingest` runs, and the revision is the content's
/// current one. To be called in the transaction that says `media.upload.initiated`.
///
/// # Errors
/// `OtherUpload` when the revision waits for another upload, `Illegal` when the content is deleted or worked on, or when the
/// catalog fails.
pub async fn source_stored(
    tx: &mut Tx,
    id: ContentId,
    revision: Revision,
    session: SessionId,
    source: SourceObject,
    now_us: i64,
) -> Result<(), ContentError> {
    let life = Life::open(tx, id, Some(revision), now_us).await?;
    let mut life = life.ok_or(ContentError::NotFound { content: id })?;
    let waits = life.publication.session == Some(session) && life.publication.source.is_none();
    if !waits || revision < life.content.revision {
        return Err(ContentError::OtherUpload { content: id, revision });
    }
    let first = life.content.state == ContentState::Draft;
    life.move_by(if first { AssetFact::SourceStored } else { AssetFact::BegunFromIngest }, None)?;
    life.content.revision = revision;
    life.publication.source = Some(source);
    life.done(StepName::Upload, Work { attempt: 1, ended_us: Some(now_us), ..Work::default() }).await?;
    life.running(StepName::Ingest, Work::begun(now_us), "").await?;
    life.save().await
}

/// Notes that the upload that a revision waits for will not come: its step `upload` failed, a draft fails with it, and any
/// other content stays as it is. Returns whether the revision waited for that upload.
///
/// # Errors
/// When the catalog fails.
pub async fn source_abandoned(
    tx: &mut Tx,
    id: ContentId,
    revision: Revision,
    session: SessionId,
    reason: &str,
    now_us: i64,
) -> Result<bool, ContentError> {
    let Some(mut life) = Life::open(tx, id, Some(revision), now_us).await? else { return Ok(false) };
    if life.publication.session != Some(session) || life.publication.source.is_some() {
        return Ok(false);
    }
    life.publication.session = None;
    life.move_by(AssetFact::SourceAbandoned, Some(reason))?;
    let started_us = Some(life.publication.created_us);
    let work = Work { attempt: 1, started_us, ended_us: Some(now_us), ..Work::default() };
    life.failed(StepName::Upload, work, reason).await?;
    life.save().await?;
    Ok(true)
}

/// Returns a revision that waits for its upload.
fn awaiting(
    content: ContentId,
    revision: Revision,
    session: SessionId,
    file_name: String,
    created_us: i64,
) -> PublicationRow {
    PublicationRow {
        content,
        revision,
        session: Some(session),
        file_name,
        source: None,
        plan: None,
        package: None,
        duration_ms: None,
        created_us,
        published_us: None,
    }
}

/// Refuses text that is too long, or that holds control characters beside line breaks and tabs.
pub(super) fn check_text(what: &'static str, text: &str, max: usize) -> Result<(), ContentError> {
    let chars = text.chars().count();
    let is_odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if chars > max || text.chars().any(is_odd) {
        return Err(ContentError::Text { what, chars, max });
    }
    Ok(())
}
