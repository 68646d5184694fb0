//! What owners do with a content: delete it, stop its publication, try it again. Every call may be repeated.

use std::time::Duration;

use mcsp_domain::{ContentId, ContentState, ObjectKey, RenditionName, RenditionState, Revision, UserRole};
use mcsp_events::{ClearedBy, Lane};
use mcsp_runtime::{PutIf, now_us};
use mcsp_sagas::publish::Fact;

use super::begin::{Beginning, begin, retry_start};
use super::error::ContentError;
use super::life::{Life, is_in_work};
use super::service::{Asker, ContentService};
use super::state::AssetFact;

/// How long the owner of a deleted content waits for its objects to go.
const REMOVAL_MAX: Duration = Duration::from_secs(5);

impl ContentService {
    /// Deletes a content in whatever state it is: nobody sees it from now on, its work stops, its keys are revoked, its
    /// objects are removed. What cannot be removed now is removed by the sweep.
    ///
    /// # Errors
    /// `NotFound` or `NotOwner`, or when the catalog or the saga engine fails; deleting again goes on.
    pub async fn delete(&self, asker: Asker, content: ContentId) -> Result<(), ContentError> {
        let row = match self.owned(asker, content).await {
            // Whoever deleted it may do so again.
            Err(ContentError::NotFound { .. }) => self.deleted_before(asker, content).await?,
            row => row?,
        };
        let mut tx = self.catalog().begin().await?;
        if let Some(mut life) = Life::open(&mut tx, content, None, now_us()).await? {
            life.move_by(AssetFact::Deleted, Some("deleted by its owner"))?;
            life.content.published_revision = None;
            life.stop_steps("deleted by its owner").await?;
            life.tx.drop_document(content).await?;
            life.save().await?;
        }
        tx.commit().await?;
        self.tell(&Fact::Deleted(content, row.revision), content, row.revision).await?;
        self.stop_workers(content, row.revision).await;
        match tokio::time::timeout(REMOVAL_MAX, self.remove_content(content)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let error = mcsp_runtime::chain(&error);
                tracing::warn!(%content, error, "objects of a deleted content stay for now");
            }
            Err(_) => tracing::info!(%content, "a deleted content has many objects: the sweep removes the rest"),
        }
        Ok(())
    }

    /// Stops the work on a content; what viewers see stays. It can be retried, or get another source.
    ///
    /// # Errors
    /// `NotFound` or `NotOwner`, `WrongState` when nobody works on it, or when the catalog or the saga engine fails.
    pub async fn cancel(&self, asker: Asker, content: ContentId) -> Result<(), ContentError> {
        const REASON: &str = "cancelled by its owner";
        let row = self.owned(asker, content).await?;
        let was_cancelled = row.state == ContentState::Failed && row.reason.as_deref() == Some(REASON);
        if !is_in_work(row.state) && !was_cancelled {
            let needed = "only work that is going on can be cancelled";
            return Err(ContentError::WrongState { content, state: row.state, needed });
        }
        let mut tx = self.catalog().begin().await?;
        let Some(mut life) = Life::open(&mut tx, content, Some(row.revision), now_us()).await? else { return Ok(()) };
        if life.is_current() && is_in_work(life.content.state) {
            life.move_by(AssetFact::Cancelled, Some(REASON))?;
            life.stop_steps(REASON).await?;
            life.save().await?;
        }
        tx.commit().await?;
        self.tell(&Fact::Cancelled(content, row.revision), content, row.revision).await?;
        self.stop_workers(content, row.revision).await;
        Ok(())
    }

    /// Tries a failed content again, with a new revision that takes over what was done; returns it.
    ///
    /// # Errors
    /// `NotFound` or `NotOwner`, `WrongState` when it has not failed or its source is gone, or when the catalog fails.
    pub async fn retry(&self, asker: Asker, content: ContentId) -> Result<Revision, ContentError> {
        let row = self.owned(asker, content).await?;
        if row.state != ContentState::Failed {
            let needed = "only what has failed can be tried again";
            return Err(ContentError::WrongState { content, state: row.state, needed });
        }
        let mut tx = self.catalog().begin().await?;
        let steps = tx.steps(content, row.revision).await?;
        let plan = tx.publication(content, row.revision).await?.and_then(|publication| publication.plan);
        let how = Beginning {
            content,
            base: row.revision,
            start: retry_start(&steps, plan),
            lane: Lane::Interactive,
            cleared_by: ClearedBy::Scanner,
            now_us: now_us(),
        };
        let revision = begin(&mut tx, how).await?;
        tx.commit().await?;
        self.inner.wake.notify_one();
        Ok(revision)
    }

    /// Tries one failed rendition again. All renditions of a chunk come from one decode, so what is tried again are the
    /// chunks that are missing, for every rendition that lacks them; chunks that are whole are taken over. Returns the new
    /// revision.
    ///
    /// # Errors
    /// As `retry`; `NoRendition` when there is none of that name, `WrongState` when it has not failed.
    pub async fn retry_rendition(
        &self,
        asker: Asker,
        content: ContentId,
        name: &RenditionName,
    ) -> Result<Revision, ContentError> {
        let row = self.owned(asker, content).await?;
        let renditions = self.catalog().renditions(content, row.revision).await?;
        let rendition = renditions.into_iter().find(|rendition| &rendition.name == name);
        let rendition = rendition.ok_or_else(|| ContentError::NoRendition { content, name: name.clone() })?;
        if rendition.state != RenditionState::Failed {
            let needed = "this rendition has not failed";
            return Err(ContentError::WrongState { content, state: row.state, needed });
        }
        self.retry(asker, content).await
    }

    async fn deleted_before(&self, asker: Asker, content: ContentId) -> Result<mcsp_catalog::ContentRow, ContentError> {
        let row = self.catalog().content(content).await?;
        let may = |row: &mcsp_catalog::ContentRow| row.owner == asker.user || asker.role == UserRole::Admin;
        let ours = row.filter(|row| row.state == ContentState::Deleted && may(row));
        ours.ok_or(ContentError::NotFound { content })
    }

    /// Puts the cancel mark of a revision. The saga's undo puts it too, yet a saga that has not started has nothing to undo.
    async fn stop_workers(&self, content: ContentId, revision: Revision) {
        let put = async {
            let Some(row) = self.catalog().content(content).await? else { return Ok(()) };
            let store = self.inner.effects.buckets.of(&row.placement)?;
            let reason = row.reason.unwrap_or_default();
            store.put(&ObjectKey::cancel_mark(content, revision), reason.into_bytes().into(), PutIf::Always).await?;
            Ok::<(), ContentError>(())
        };
        if let Err(error) = put.await {
            let error = mcsp_runtime::chain(&error);
            tracing::warn!(%content, error, "workers of a stopped revision end by themselves");
        }
    }
}
