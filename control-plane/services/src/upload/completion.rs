//! Completing an upload: by its client's call, or by the store's word that an object is there. This file alone completes
//! uploads in parts. What counts is what the store has: each way ends in a look at the object, and both may come twice, at
//! once and in any order. Out: the pinned source on the content, and `media.upload.initiated`, in one transaction.

use mcsp_catalog::{ContentRow, PublicationRow};
use mcsp_domain::{Bucket, ContentId, ObjectKey, Revision, SessionId, UserId};
use mcsp_events::{Asset, Outgoing, Seal, SourceObject, UploadInitiated};
use mcsp_runtime::{ObjectMeta, PartTag, PutIf, StoreError, chain, now_us, telemetry};

use super::record::{End, Session};
use super::session::missing;
use super::{SOURCE, UploadError, UploadService};
use crate::content::{self, ContentError};

/// An object that somebody stored, as the store tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    /// Its bucket.
    pub bucket: Bucket,
    /// Its key.
    pub key: ObjectKey,
}

/// A completed upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadDone {
    /// The session.
    pub session: SessionId,
    /// The content.
    pub content: ContentId,
    /// The publication of it whose source this is.
    pub revision: Revision,
    /// What lies in the store, pinned by its tag.
    pub source: SourceObject,
}

impl UploadService {
    /// Completes a session. `parts` may name parts by the tags that the store gave; those that it names must be the ones
    /// that are stored. Completing again answers the same.
    ///
    /// # Errors
    /// `NoSession`, `Ended`, `Missing`, `OtherPart`, `OtherSize`, `Superseded`; or when an engine fails.
    pub async fn complete(
        &self,
        owner: UserId,
        session: SessionId,
        parts: &[PartTag],
    ) -> Result<UploadDone, UploadError> {
        let session = self.find_session(owner, session).await?;
        match session.end {
            None => self.settle(&session, parts).await,
            Some(End::Complete) => self.done_before(&session).await,
            Some(end) => Err(session.ended(end)),
        }
    }

    /// Takes the store's word that an object is there. Objects that belong to no session are left alone.
    ///
    /// # Errors
    /// When time may help: the store is to tell again.
    pub async fn object_created(&self, stored: &StoredObject) -> Result<(), UploadError> {
        let Some((content, id)) = named(&stored.key) else { return Ok(()) };
        let Some(row) = self.inner.catalog.content(content).await? else {
            tracing::warn!(key = %stored.key, "an object was stored for no content");
            return Ok(());
        };
        let found = match self.inner.sessions.find(row.owner, id).await? {
            None => self.lost_session(&row, id).await?,
            found => found,
        };
        let Some(session) = found.filter(|session| session.content == content) else {
            tracing::warn!(key = %stored.key, "an object was stored for no upload session");
            return Ok(());
        };
        if let Some(end) = session.end {
            // News of our own completing, or told twice; what comes after a session was given up is not ours to judge.
            tracing::debug!(key = %stored.key, state = end.as_str(), "an object was stored for a session that is over");
            return Ok(());
        }
        match self.settle(&session, &[]).await {
            Err(error) if error.may_pass() => Err(error),
            Err(error) => {
                tracing::warn!(session = %id, error = %chain(&error), "a stored object completes no upload");
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    /// Finishes a session whose bytes are all stored.
    pub(super) async fn settle(&self, session: &Session, parts: &[PartTag]) -> Result<UploadDone, UploadError> {
        let store = self.store(session)?;
        let object = match store.head(&session.key).await? {
            Some(object) => object,
            None => {
                self.join_parts(session, parts).await?;
                let none = UploadError::Missing { first: 1, count: 1 };
                store.head(&session.key).await?.ok_or(none)?
            }
        };
        if session.layout().is_single() {
            check_whole(&object, parts)?;
        }
        if object.len_bytes != session.size_bytes {
            store.delete(&session.key).await?;
            return Err(UploadError::OtherSize { size_bytes: session.size_bytes, found_bytes: object.len_bytes });
        }
        let source = SourceObject {
            key: session.key.clone(),
            etag: object.etag.as_str().to_owned(),
            len_bytes: object.len_bytes,
        };
        let source = match self.record(session, source).await {
            Err(error @ UploadError::Superseded { .. }) => {
                self.clear(session, End::Aborted).await?;
                return Err(error);
            }
            recorded => recorded?,
        };
        self.inner.sessions.end(session, End::Complete).await?;
        Ok(done(session, source))
    }

    /// Makes the object of the parts. Another who did so before is as good.
    async fn join_parts(&self, session: &Session, named: &[PartTag]) -> Result<(), UploadError> {
        let (store, layout) = (self.store(session)?, session.layout());
        let Some(upload) = self.inner.sessions.upload(session.id).await? else {
            let count = usize::try_from(layout.count).unwrap_or(usize::MAX);
            return Err(UploadError::Missing { first: 1, count });
        };
        let stored = match store.list_parts(&session.key, &upload).await {
            Err(StoreError::NoUpload { .. }) => return Ok(()),
            stored => stored?,
        };
        let fits = |number: u32, len_bytes: u64| layout.span(number).is_some_and(|(_, len)| len == len_bytes);
        let whole: Vec<_> = stored.into_iter().filter(|part| fits(part.number, part.len_bytes)).collect();
        let missing = missing(&layout, &whole);
        if let Some(&first) = missing.first() {
            return Err(UploadError::Missing { first, count: missing.len() });
        }
        let tags: Vec<PartTag> =
            whole.into_iter().map(|part| PartTag { number: part.number, etag: part.etag }).collect();
        if let Some(other) = named.iter().find(|part| !tags.contains(part)) {
            return Err(UploadError::OtherPart { number: other.number });
        }
        match store.complete_multipart(&session.key, &upload, &tags, PutIf::Absent).await {
            Ok(_) | Err(StoreError::NoUpload { .. }) => Ok(()),
            // Sent once more while it was looked at.
            Err(StoreError::BadPart { number, .. }) => Err(UploadError::Missing { first: number, count: 1 }),
            Err(error) => Err(error.into()),
        }
    }

    /// Pins the source and says so, once.
    async fn record(&self, session: &Session, source: SourceObject) -> Result<SourceObject, UploadError> {
        let mut tx = self.inner.catalog.begin().await?;
        let (content, revision, id) = (session.content, session.revision, session.id);
        let superseded = UploadError::Superseded { content, session: id };
        let publication = tx.publication(content, revision).await?.filter(|row| row.session == Some(id));
        let Some(publication) = publication else { return Err(superseded) };
        if let Some(before) = publication.source {
            return Ok(before);
        }
        let Some(row) = tx.content(content).await? else { return Err(superseded) };
        let now_us = now_us();
        match content::source_stored(&mut tx, content, revision, id, source.clone(), now_us).await {
            Err(ContentError::NotFound { .. } | ContentError::OtherUpload { .. } | ContentError::Illegal(_)) => {
                return Err(superseded);
            }
            stored => stored?,
        }
        let event = UploadInitiated {
            asset: Asset { content, revision, placement: session.placement.clone() },
            owner: session.owner,
            session: id,
            source: source.clone(),
            file_name: session.file_name.clone(),
            title: row.title,
        };
        let seal = Seal {
            source: SOURCE,
            cause: None,
            now_us,
            traceparent: telemetry::current_traceparent(),
            worker: Some(&self.inner.settings.worker),
            attempt: Some(1),
            started_us: Some(session.created_us),
        };
        let message = Outgoing::once(id.as_bytes(), "initiated", &event).seal(&seal);
        tx.send(message.map_err(mcsp_catalog::CatalogError::from)?)?;
        tx.commit().await?;
        Ok(source)
    }

    async fn done_before(&self, session: &Session) -> Result<UploadDone, UploadError> {
        let publication = self.inner.catalog.publication(session.content, session.revision).await?;
        match publication.and_then(|row| row.source) {
            Some(source) => Ok(done(session, source)),
            None => Err(UploadError::Superseded { content: session.content, session: session.id }),
        }
    }

    /// Makes a session again that its store has lost, as a loss of power may take the last ones: for an object that is
    /// there and that its content waits for. Its address let nothing else in than what was announced.
    pub(super) async fn lost_session(&self, row: &ContentRow, id: SessionId) -> Result<Option<Session>, UploadError> {
        let Some(publication) = self.waiting(row, id).await? else { return Ok(None) };
        let key = ObjectKey::upload(row.id, id);
        let store = self.inner.buckets.of(&row.placement)?;
        let Some(object) = store.head(&key).await? else { return Ok(None) };
        Ok(Some(Session {
            id,
            owner: row.owner,
            content: row.id,
            revision: publication.revision,
            placement: row.placement.clone(),
            key,
            file_name: publication.file_name,
            size_bytes: object.len_bytes,
            sha256: None,
            created_us: publication.created_us,
            expires_us: publication.created_us,
            end: None,
        }))
    }

    /// Returns the publication that waits for a session: a draft's first, or the one after the content's present one.
    async fn waiting(&self, row: &ContentRow, id: SessionId) -> Result<Option<PublicationRow>, UploadError> {
        for revision in [row.revision, row.revision.next()] {
            let publication = self.inner.catalog.publication(row.id, revision).await?;
            let waiting = publication.filter(|row| row.session == Some(id) && row.source.is_none());
            if waiting.is_some() {
                return Ok(waiting);
            }
        }
        Ok(None)
    }
}

/// Reads content and session out of an upload's key.
pub(super) fn named(key: &ObjectKey) -> Option<(ContentId, SessionId)> {
    let (content, session) = key.as_str().strip_prefix("uploads/")?.split_once('/')?;
    Some((content.parse().ok()?, session.parse().ok()?))
}

/// Checks the tag that a client gives for a file that went up in one call.
fn check_whole(object: &ObjectMeta, parts: &[PartTag]) -> Result<(), UploadError> {
    let fits = |part: &&PartTag| part.number == 1 && part.etag == object.etag;
    match parts.iter().find(|part| !fits(part)) {
        Some(other) => Err(UploadError::OtherPart { number: other.number }),
        None => Ok(()),
    }
}

fn done(session: &Session, source: SourceObject) -> UploadDone {
    let (content, revision) = (session.content, session.revision);
    UploadDone { session: session.id, content, revision, source }
}
