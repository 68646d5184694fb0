//! Giving uploads up: those that their owner aborts, and those that nobody went on with. A session whose bytes turn out to
//! be all there is completed instead, whatever kept its client from saying so.

use mcsp_catalog::WaitingUpload;
use mcsp_domain::ObjectKey;
use mcsp_domain::limits::OBJECTS_LISTED_MAX;
use mcsp_runtime::{ObjectStore, chain};

use super::completion::named;
use super::record::{End, Session};
use super::{UploadError, UploadService};
use crate::content;

/// Rows that one step of the sweep reads.
const STEP_MAX: u32 = 500;

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UploadsSwept {
    /// Uploads that were given up, and whose drafts failed.
    pub expired: usize,
    /// Uploads whose bytes were all there.
    pub completed: usize,
    /// Uploads that could be neither now; a further sweep tries again.
    pub failed: usize,
}

impl UploadService {
    /// Ends the sessions that expired before `now_us`, and the drafts whose sessions are gone; to be called now and then.
    ///
    /// # Errors
    /// When the catalog cannot be read; what fails for one upload is logged and left to the next sweep.
    pub async fn sweep(&self, now_us: i64) -> Result<UploadsSwept, UploadError> {
        let mut swept = UploadsSwept::default();
        let life_us = i64::try_from(self.inner.settings.session_life.as_micros()).unwrap_or(i64::MAX);
        let before_us = now_us.saturating_sub(life_us);
        let mut after = None;
        loop {
            let waiting = self.inner.catalog.waiting_uploads(before_us, after, STEP_MAX).await?;
            let Some(last) = waiting.last() else { break };
            after = Some(last.content);
            for upload in &waiting {
                self.sweep_one(upload, now_us, &mut swept).await;
            }
        }
        // Those whose content waits for them no longer, since a process died while it gave them up.
        let mut after: Option<String> = None;
        loop {
            let open = self.inner.sessions.open_after(after.as_deref()).await?;
            let Some((last, _)) = open.last() else { return Ok(swept) };
            after = Some(last.clone());
            for session in open.iter().map(|(_, session)| session).filter(|session| session.expires_us <= now_us) {
                self.sweep_session(session, &mut swept).await;
            }
        }
    }

    /// Removes objects that uploads left behind and no content wants: bytes that were on their way when their session was
    /// given up. Those younger than a session's life stay, since their session may be about to complete. Returns how many.
    ///
    /// # Errors
    /// When a store or the catalog fails; a further sweep goes on.
    pub async fn sweep_orphans(&self, now_us: i64) -> Result<usize, UploadError> {
        let life_us = i64::try_from(self.inner.settings.session_life.as_micros()).unwrap_or(i64::MAX);
        let before_us = now_us.saturating_sub(life_us);
        let Ok(folder) = ObjectKey::parse("uploads") else { unreachable!("the folder of uploads is a key") };
        let mut removed = 0;
        for (_, store) in self.inner.buckets.iter() {
            let mut after = None;
            loop {
                let keys = store.list(&folder, after.as_ref()).await?;
                for key in &keys {
                    removed += usize::from(self.remove_orphan(store.as_ref(), key, before_us).await?);
                }
                if keys.len() < OBJECTS_LISTED_MAX {
                    break;
                }
                after = keys.last().cloned();
            }
        }
        Ok(removed)
    }

    async fn remove_orphan(
        &self,
        store: &dyn ObjectStore,
        key: &ObjectKey,
        before_us: i64,
    ) -> Result<bool, UploadError> {
        let Some((content, session)) = named(key) else { return Ok(false) };
        let is_old = store.head(key).await?.is_some_and(|object| object.modified_us < before_us);
        if !is_old || self.inner.catalog.upload_is_wanted(content, session).await? {
            return Ok(false);
        }
        store.delete(key).await?;
        tracing::info!(%key, "an upload that no content wants was removed");
        Ok(true)
    }

    async fn sweep_one(&self, upload: &WaitingUpload, now_us: i64, swept: &mut UploadsSwept) {
        match self.find_waiting(upload).await {
            Ok(Some(session)) if session.end.is_none() && session.expires_us > now_us => {}
            Ok(Some(session)) if session.end.is_none() => self.sweep_session(&session, swept).await,
            // The session is gone or over, and its content was not told.
            Ok(_) => {
                let failed = self.fail_draft(upload).await;
                note(failed, upload, &mut swept.expired, &mut swept.failed);
            }
            Err(error) => note(Err(error), upload, &mut swept.expired, &mut swept.failed),
        }
    }

    async fn find_waiting(&self, upload: &WaitingUpload) -> Result<Option<Session>, UploadError> {
        if let Some(session) = self.inner.sessions.find(upload.owner, upload.session).await? {
            return Ok(Some(session));
        }
        match self.inner.catalog.content(upload.content).await? {
            Some(row) => self.lost_session(&row, upload.session).await,
            None => Ok(None),
        }
    }

    async fn sweep_session(&self, session: &Session, swept: &mut UploadsSwept) {
        let ended = match self.settle(session, &[]).await {
            Ok(_) => {
                swept.completed += 1;
                return;
            }
            Err(UploadError::Missing { .. } | UploadError::OtherSize { .. }) => {
                self.give_up(session, End::Expired, "its upload was not completed in time").await
            }
            // What is stored of it was removed.
            Err(UploadError::Superseded { .. }) => Ok(()),
            Err(error) => Err(error),
        };
        match ended {
            Ok(()) => swept.expired += 1,
            Err(error) => {
                tracing::warn!(session = %session.id, error = %chain(&error), "an expired upload could not be ended");
                swept.failed += 1;
            }
        }
    }

    async fn fail_draft(&self, upload: &WaitingUpload) -> Result<(), UploadError> {
        let mut tx = self.inner.catalog.begin().await?;
        let now_us = mcsp_runtime::now_us();
        let reason = "its upload was not completed in time";
        content::source_abandoned(&mut tx, upload.content, upload.revision, upload.session, reason, now_us).await?;
        Ok(tx.commit().await?)
    }

    /// Fails the draft of a session, then removes what is stored of it: one that completes meanwhile finds a content that
    /// no longer waits.
    pub(super) async fn give_up(&self, session: &Session, end: End, reason: &str) -> Result<(), UploadError> {
        let mut tx = self.inner.catalog.begin().await?;
        let publication = tx.publication(session.content, session.revision).await?;
        let ours = publication.filter(|row| row.session == Some(session.id));
        if ours.as_ref().is_some_and(|row| row.source.is_some()) {
            drop(tx);
            // It was completed meanwhile.
            self.inner.sessions.end(session, End::Complete).await?;
            return Err(session.ended(End::Complete));
        }
        let (content, revision, now_us) = (session.content, session.revision, mcsp_runtime::now_us());
        content::source_abandoned(&mut tx, content, revision, session.id, reason, now_us).await?;
        tx.commit().await?;
        self.clear(session, end).await
    }

    /// Removes what is stored of a session, and ends it.
    pub(super) async fn clear(&self, session: &Session, end: End) -> Result<(), UploadError> {
        let store = self.store(session)?;
        if let Some(upload) = self.inner.sessions.upload(session.id).await? {
            store.abort_multipart(&session.key, &upload).await?;
        }
        store.delete(&session.key).await?;
        self.inner.sessions.end(session, end).await
    }
}

fn note(done: Result<(), UploadError>, upload: &WaitingUpload, ended: &mut usize, failed: &mut usize) {
    match done {
        Ok(()) => *ended += 1,
        Err(error) => {
            tracing::warn!(session = %upload.session, error = %chain(&error), "a draft's upload could not be ended");
            *failed += 1;
        }
    }
}
