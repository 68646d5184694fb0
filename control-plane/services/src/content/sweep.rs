//! Removing objects that nobody wants: those of deleted contents, of revisions that were replaced, and of those that failed
//! and were not tried again.
//!
//! The cancel mark of a revision stays: a record that waits for its next attempt must still find it.

use mcsp_catalog::{ContentRow, PublicationRow};
use mcsp_domain::{ContentId, ContentState, ObjectKey, Revision};
use mcsp_sagas::publish::Fact;

use super::error::ContentError;
use super::objects::{remove_folder, revision_folder, uploads_folder};
use super::service::ContentService;

/// Publications that one sweep looks at; the next goes on.
const PUBLICATIONS_MAX: u32 = 1000;

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Publications whose objects are gone for good.
    pub publications: u64,
    /// Objects that were removed.
    pub objects: u64,
    /// Publications that could not be swept now; the log says why.
    pub failed: u64,
}

impl ContentService {
    /// Removes objects that nobody wants any more. To be called now and then, by any number of processes.
    ///
    /// # Errors
    /// When the catalog fails. A store that fails is told by `Swept::failed`.
    pub async fn sweep(&self, now_us: i64) -> Result<Swept, ContentError> {
        let before_us = now_us.saturating_sub(self.inner.settings.keep_us);
        let mut swept = Swept::default();
        for (content, revision) in self.catalog().publications_to_sweep(before_us, PUBLICATIONS_MAX).await? {
            match self.sweep_revision(content, revision, now_us).await {
                Ok((objects, for_good)) => {
                    swept.objects += objects;
                    swept.publications += u64::from(for_good);
                }
                Err(error) => {
                    let error = mcsp_runtime::chain(&error);
                    tracing::warn!(%content, %revision, error, "objects stay for now");
                    swept.failed += 1;
                }
            }
        }
        Ok(swept)
    }

    /// Sweeps one revision; returns how many objects went, and whether it is done with for good.
    async fn sweep_revision(
        &self,
        content: ContentId,
        revision: Revision,
        now_us: i64,
    ) -> Result<(u64, bool), ContentError> {
        let (Some(row), Some(publication)) =
            (self.catalog().content(content).await?, self.catalog().publication(content, revision).await?)
        else {
            return Ok((0, false));
        };
        if row.state == ContentState::Deleted {
            // The process that deleted it may have died before it told anybody.
            self.tell(&Fact::Deleted(content, revision), content, row.revision).await?;
        }
        let objects = self.remove_revision(&row, &publication).await?;
        let late =
            row.state == ContentState::Deleted && row.updated_us >= now_us.saturating_sub(self.inner.settings.late_us);
        if late {
            return Ok((objects, false));
        }
        let mut tx = self.catalog().begin().await?;
        if row.state != ContentState::Deleted {
            tx.update_publication(&PublicationRow { source: None, ..publication }).await?;
        }
        tx.publication_swept(content, revision, now_us).await?;
        tx.commit().await?;
        Ok((objects, true))
    }

    /// Removes the objects of all revisions of a deleted content.
    pub(super) async fn remove_content(&self, content: ContentId) -> Result<(), ContentError> {
        let Some(row) = self.catalog().content(content).await? else { return Ok(()) };
        for publication in self.catalog().publications(content, PUBLICATIONS_MAX).await? {
            self.remove_revision(&row, &publication).await?;
        }
        Ok(())
    }

    /// Removes the objects of a revision and revokes its keys. A source that another revision is made of stays.
    async fn remove_revision(&self, row: &ContentRow, publication: &PublicationRow) -> Result<u64, ContentError> {
        let (content, revision) = (row.id, publication.revision);
        let effects = &self.inner.effects;
        let packaged = publication.package.as_ref().map(|package| package.plan);
        effects.revoke([publication.plan, packaged].into_iter().flatten()).await?;
        let store = effects.buckets.of(&row.placement)?;
        let mark = ObjectKey::cancel_mark(content, revision);
        let mut removed =
            remove_folder(store.as_ref(), &revision_folder("work", content, revision), Some(&mark)).await?;
        removed += remove_folder(store.as_ref(), &revision_folder("media", content, revision), None).await?;
        if row.state == ContentState::Deleted {
            return Ok(removed + remove_folder(store.as_ref(), &uploads_folder(content), None).await?);
        }
        if let Some(source) = &publication.source {
            let mut tx = self.catalog().begin().await?;
            let is_shared = tx.source_is_shared(content, revision, &source.key).await?;
            drop(tx);
            if !is_shared && store.head(&source.key).await?.is_some() {
                store.delete(&source.key).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}
