//! Opening a session, looking at it, giving it up.

use mcsp_catalog::Tx;
use mcsp_domain::limits::TTL_SCAN_MAX;
use mcsp_domain::{
    ContentId, ContentState, Digest, ObjectKey, Revision, SessionId, SubscriptionTier, UserId, Visibility,
};
use mcsp_runtime::{ObjectStore, Part, Presigned, StoreError, now_us};

use super::record::{End, Session};
use super::{PartAddress, PartLayout, UploadError, UploadService};
use crate::content::{self, FILE_NAME_CHARS_MAX, NewDraft};

/// What a creator announces of a file.
#[derive(Clone, Debug)]
pub struct NewFile {
    /// Its name; shown, never trusted.
    pub file_name: String,
    /// Its bytes.
    pub size_bytes: u64,
    /// The SHA-256 of all of it, where known.
    pub sha256: Option<Digest>,
    /// How many addresses of parts the answer lists; at most `ADDRESSES_MAX` are.
    pub addresses_max: usize,
}

/// What a creator announces of a content with its first file.
#[derive(Clone, Debug)]
pub struct NewUpload {
    /// The file.
    pub file: NewFile,
    /// The title; without one, the file's name.
    pub title: Option<String>,
    /// What the creator says of it.
    pub description: String,
    /// Who may see it once it is published.
    pub visibility: Visibility,
    /// What its viewers must pay for.
    pub tier: SubscriptionTier,
    /// The region that is asked for.
    pub region: Option<String>,
    /// Where the owner is at home, ISO 3166-1 alpha-2.
    pub country: Option<String>,
}

/// An open session, as its creator needs it.
#[derive(Clone, Debug)]
pub struct UploadTicket {
    /// The session.
    pub session: SessionId,
    /// The content.
    pub content: ContentId,
    /// Puts the whole file in one call; nothing above `limits::UPLOAD_PART_BYTES_MAX`, where stores take parts alone.
    pub put: Option<Presigned>,
    /// How the file is cut.
    pub layout: PartLayout,
    /// Puts the first parts. The one part of a file that is not cut is `put`.
    pub parts: Vec<PartAddress>,
    /// When the session expires, microseconds since 1970.
    pub expires_us: i64,
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadState {
    /// Bytes are awaited.
    Open,
    /// The bytes are stored and were handed on.
    Complete,
    /// Its owner gave it up.
    Aborted,
    /// Nobody went on with it in time.
    Expired,
}

/// What is known of a session: all that a client needs to go on.
#[derive(Clone, Debug)]
pub struct UploadStatus {
    /// The session.
    pub session: SessionId,
    /// The content.
    pub content: ContentId,
    /// How far it is.
    pub state: UploadState,
    /// The file's name.
    pub file_name: String,
    /// The SHA-256 that was announced.
    pub sha256: Option<Digest>,
    /// How the file is cut.
    pub layout: PartLayout,
    /// The parts that are stored whole, by rising number; of a complete session, none.
    pub stored: Vec<Part>,
    /// Bytes that are stored.
    pub bytes: u64,
    /// The numbers that are missing, rising.
    pub missing: Vec<u32>,
    /// When the session expires, microseconds since 1970.
    pub expires_us: i64,
}

impl UploadService {
    /// Opens a session for a new content.
    ///
    /// # Errors
    /// `Field`, `Content` for a text over its limit, `TooLarge`, `TooManyOpen`, `Residency`; or when an engine fails.
    pub async fn create(&self, owner: UserId, new: NewUpload) -> Result<UploadTicket, UploadError> {
        self.check_file(&new.file)?;
        let title = new.title.unwrap_or_else(|| title_of(&new.file.file_name));
        let (country, region) = (new.country.as_deref(), new.region.as_deref());
        let placement = self.inner.residency.place(owner, country, region)?;
        let session = self.session(owner, content_id()?, Revision::FIRST, placement, &new.file)?;
        let draft = NewDraft {
            id: session.content,
            owner,
            title,
            description: new.description,
            visibility: new.visibility,
            tier: new.tier,
            placement: session.placement.clone(),
            session: session.id,
            file_name: session.file_name.clone(),
            now_us: session.created_us,
        };
        self.check_quota(owner).await?;
        self.inner.sessions.open(&session).await?;
        if let Err(error) = self.inner.drafts.add(draft).await {
            // Nobody knows of the session; what stays behind of it expires.
            let _ = self.inner.sessions.forget(&session).await;
            return Err(error);
        }
        self.ticket(&session, new.file.addresses_max).await
    }

    /// Opens a session for another source of a content: of its present revision where that has no source yet, else of a new
    /// one. The session that it waited for is given up.
    ///
    /// # Errors
    /// `NoContent`, `Content` where somebody works on it, `Field`, `TooLarge`, `TooManyOpen`; or when an engine fails.
    pub async fn replace_source(
        &self,
        owner: UserId,
        content: ContentId,
        file: NewFile,
    ) -> Result<UploadTicket, UploadError> {
        self.check_file(&file)?;
        let row = self.inner.catalog.content(content).await?;
        let ours = row.filter(|row| row.owner == owner && row.state != ContentState::Deleted);
        let row = ours.ok_or(UploadError::NoContent { content })?;
        self.check_quota(owner).await?;
        let mut session = self.session(owner, content, row.revision, row.placement, &file)?;
        let mut tx = self.inner.catalog.begin().await?;
        let before = waited_for(&mut tx, content, row.revision).await?;
        let (id, created_us) = (session.id, session.created_us);
        session.revision = content::new_source(&mut tx, content, owner, id, &session.file_name, created_us).await?;
        self.inner.sessions.open(&session).await?;
        if let Err(error) = tx.commit().await {
            let _ = self.inner.sessions.forget(&session).await;
            return Err(error.into());
        }
        if let Some(before) = before
            && let Some(before) = self.inner.sessions.find(owner, before).await?.filter(|found| found.end.is_none())
        {
            self.clear(&before, End::Aborted).await?;
        }
        self.ticket(&session, file.addresses_max).await
    }

    /// Returns what is known of a session, from the store that holds its bytes.
    ///
    /// # Errors
    /// `NoSession`, or when an engine fails.
    pub async fn status(&self, owner: UserId, session: SessionId) -> Result<UploadStatus, UploadError> {
        let session = self.find_session(owner, session).await?;
        let layout = session.layout();
        let (state, stored) = match session.end {
            None => (UploadState::Open, self.stored_parts(&session).await?),
            Some(End::Complete) => (UploadState::Complete, Vec::new()),
            Some(End::Aborted) => (UploadState::Aborted, Vec::new()),
            Some(End::Expired) => (UploadState::Expired, Vec::new()),
        };
        let (bytes, missing) = match state {
            UploadState::Complete => (session.size_bytes, Vec::new()),
            _ => (stored.iter().map(|part| part.len_bytes).sum(), missing(&layout, &stored)),
        };
        let (content, file_name, sha256) = (session.content, session.file_name, session.sha256);
        let (session, expires_us) = (session.id, session.expires_us);
        Ok(UploadStatus { session, content, state, file_name, sha256, layout, stored, bytes, missing, expires_us })
    }

    /// Gives a session up: removes what is stored of it, and fails its draft. Doing so again is no error.
    ///
    /// # Errors
    /// `NoSession`; `Ended` where it is complete: its content can be deleted; or when an engine fails.
    pub async fn abort(&self, owner: UserId, session: SessionId) -> Result<(), UploadError> {
        let session = self.find_session(owner, session).await?;
        match session.end {
            Some(End::Complete) => Err(session.ended(End::Complete)),
            Some(End::Aborted | End::Expired) => Ok(()),
            None => self.give_up(&session, End::Aborted, "its creator gave the upload up").await,
        }
    }

    pub(super) async fn find_session(&self, owner: UserId, id: SessionId) -> Result<Session, UploadError> {
        self.inner.sessions.find(owner, id).await?.ok_or(UploadError::NoSession { session: id })
    }

    pub(super) async fn open_session(&self, owner: UserId, id: SessionId) -> Result<Session, UploadError> {
        let session = self.find_session(owner, id).await?;
        if let Some(end) = session.end {
            return Err(session.ended(end));
        }
        if session.expires_us <= now_us() {
            return Err(session.ended(End::Expired));
        }
        Ok(session)
    }

    pub(super) fn store(&self, session: &Session) -> Result<std::sync::Arc<dyn ObjectStore>, UploadError> {
        Ok(self.inner.buckets.of(&session.placement)?)
    }

    /// Returns the parts that are stored whole; of a file that is not cut, the object once it is there.
    pub(super) async fn stored_parts(&self, session: &Session) -> Result<Vec<Part>, UploadError> {
        let (store, layout) = (self.store(session)?, session.layout());
        if let Some(upload) = self.inner.sessions.upload(session.id).await? {
            match store.list_parts(&session.key, &upload).await {
                Ok(parts) => {
                    let fits = |part: &Part| layout.span(part.number).is_some_and(|(_, len)| len == part.len_bytes);
                    return Ok(parts.into_iter().filter(fits).collect());
                }
                Err(StoreError::NoUpload { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let Some(object) = store.head(&session.key).await?.filter(|object| object.len_bytes == session.size_bytes)
        else {
            return Ok(Vec::new());
        };
        let part = |number: u32| {
            let (_, len_bytes) = layout.span(number)?;
            Some(Part { number, etag: object.etag.clone(), len_bytes, modified_us: object.modified_us })
        };
        Ok((1..=layout.count).filter_map(part).collect())
    }

    fn check_file(&self, file: &NewFile) -> Result<(), UploadError> {
        let max_bytes = self.inner.settings.size_bytes_max;
        if file.size_bytes > max_bytes {
            return Err(UploadError::TooLarge { size_bytes: file.size_bytes, max_bytes });
        }
        let fault = |field, problem: &str| Err(UploadError::Field { field, problem: problem.to_owned() });
        if file.size_bytes == 0 {
            return fault("size_bytes", "is 0: an empty file holds no film");
        }
        let chars = file.file_name.chars().count();
        if !(1..=FILE_NAME_CHARS_MAX).contains(&chars) || file.file_name.chars().any(char::is_control) {
            return fault("file_name", "is not 1 to 255 characters without control characters");
        }
        Ok(())
    }

    /// A user who opens many at once may come a little above it: the count is read before each is written.
    async fn check_quota(&self, owner: UserId) -> Result<(), UploadError> {
        let max = self.inner.settings.open_sessions_max.min(TTL_SCAN_MAX);
        let open = self.inner.sessions.count_open(owner).await?;
        if open >= max {
            return Err(UploadError::TooManyOpen { open, max });
        }
        Ok(())
    }

    fn session(
        &self,
        owner: UserId,
        content: ContentId,
        revision: Revision,
        placement: mcsp_domain::Placement,
        file: &NewFile,
    ) -> Result<Session, UploadError> {
        let created_us = now_us();
        let id = SessionId::new(now_ms(created_us), &random()?);
        let life_us = i64::try_from(self.inner.settings.session_life.as_micros()).unwrap_or(i64::MAX);
        Ok(Session {
            id,
            owner,
            content,
            revision,
            placement,
            key: ObjectKey::upload(content, id),
            file_name: file.file_name.clone(),
            size_bytes: file.size_bytes,
            sha256: file.sha256,
            created_us,
            expires_us: created_us.saturating_add(life_us),
            end: None,
        })
    }
}

/// Returns the numbers of the parts that are not stored.
pub(super) fn missing(layout: &PartLayout, stored: &[Part]) -> Vec<u32> {
    let mut stored = stored.iter().map(|part| part.number).peekable();
    let is_missing = |number: &u32| stored.next_if_eq(number).is_none();
    (1..=layout.count).filter(is_missing).collect()
}

/// Returns the upload that a content waits for.
async fn waited_for(tx: &mut Tx, content: ContentId, revision: Revision) -> Result<Option<SessionId>, UploadError> {
    for revision in [revision, revision.next()] {
        let publication = tx.publication(content, revision).await?;
        if let Some(waiting) = publication.filter(|row| row.source.is_none()).and_then(|row| row.session) {
            return Ok(Some(waiting));
        }
    }
    Ok(None)
}

/// The title of a file that was given none: its name without the ending.
fn title_of(file_name: &str) -> String {
    let stem = file_name.rsplit_once('.').map_or(file_name, |(stem, _)| stem);
    let stem = if stem.is_empty() { file_name } else { stem };
    stem.chars().take(content::TITLE_CHARS_MAX).collect()
}

fn content_id() -> Result<ContentId, UploadError> {
    Ok(ContentId::new(now_ms(now_us()), &random()?))
}

fn now_ms(now_us: i64) -> u64 {
    u64::try_from(now_us / 1000).unwrap_or_default()
}

fn random() -> Result<[u8; 10], UploadError> {
    let mut random = [0; 10];
    getrandom::fill(&mut random).map_err(UploadError::Randomness)?;
    Ok(random)
}
