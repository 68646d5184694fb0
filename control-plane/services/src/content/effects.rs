//! What the publish saga does: rows, objects, keys, the search document, `media.published`. Each effect may run again, and has
//! nothing to say where there is nothing to do.

use std::sync::{Arc, OnceLock, Weak};

use mcsp_catalog::{Catalog, Document};
use mcsp_domain::{ContentState, ObjectKey, PlanId, StepName};
use mcsp_events::{Outgoing, Published};
use mcsp_grpc::licence::v1::RevokeKeysRequest;
use mcsp_runtime::saga::{SagaDefinition, StepContext};
use mcsp_runtime::{Buckets, PutIf, SagaEngine, StageError};
use mcsp_sagas::publish::{Effect, Perform, Publication, definition};

use super::error::ContentError;
use super::life::{Life, Work, is_in_work};
use super::objects::{remove_folder, revision_folder};
use super::state::AssetFact;
use crate::licence::LicenceClient;

/// What the publish saga acts on.
pub struct Effects {
    pub(super) catalog: Catalog,
    pub(super) buckets: Buckets,
    pub(super) licence: LicenceClient,
    /// The engine is made of these effects, so it comes later, and must not be kept alive by them.
    engine: OnceLock<Weak<dyn SagaEngine>>,
}

impl Effects {
    /// Takes what the effects act on.
    pub fn new(catalog: Catalog, buckets: Buckets, licence: LicenceClient) -> Arc<Self> {
        Arc::new(Self { catalog, buckets, licence, engine: OnceLock::new() })
    }

    /// Returns the publish saga on these effects, for the engine's lists.
    pub fn publish(self: &Arc<Self>) -> SagaDefinition {
        let effects = Arc::clone(self);
        let perform: Perform = Arc::new(move |effect, publication, cx| {
            let effects = Arc::clone(&effects);
            Box::pin(async move { effects.perform(effect, &publication, &cx).await.map_err(StageError::from) })
        });
        definition(&perform)
    }

    /// Lets the effects ask why a saga is undone. The first engine stays.
    pub(super) fn bind(&self, engine: &Arc<dyn SagaEngine>) {
        let _ = self.engine.set(Arc::downgrade(engine));
    }

    async fn perform(&self, effect: Effect, of: &Publication, cx: &StepContext) -> Result<(), ContentError> {
        match effect {
            Effect::PutCancelMark => self.give_up(of, cx).await,
            Effect::DeleteRenditions => self.delete_renditions(of).await,
            Effect::RevokeKeys => self.revoke_keys(of).await,
            Effect::DeletePackages => self.delete_packages(of).await,
            Effect::IndexHidden => self.index_hidden(of, cx).await,
            Effect::DropDocument => self.drop_document(of).await,
            Effect::StoreDispatch => self.store_dispatch(of, cx).await,
            Effect::DropDispatch => self.drop_dispatch(of).await,
            Effect::Publish => self.publish_revision(of, cx).await,
            Effect::Unpublish => self.unpublish(of, cx).await,
        }
    }

    /// Tells the truth of a revision that is undone, then stops its workers. A fact or an owner that ended it has said why;
    /// what is left is a saga that ended by itself: a silence, or a step that failed.
    async fn give_up(&self, of: &Publication, cx: &StepContext) -> Result<(), ContentError> {
        let reason = self.reason(&cx.saga).await?;
        let mut tx = self.catalog.begin().await?;
        if let Some(mut life) = Life::open(&mut tx, of.asset.content, Some(of.asset.revision), cx.now_us).await? {
            if life.is_current() && is_in_work(life.content.state) {
                life.move_by(AssetFact::GivenUp, Some(&reason))?;
            }
            life.stop_steps(&reason).await?;
            life.save().await?;
        }
        tx.commit().await?;
        let mark = ObjectKey::cancel_mark(of.asset.content, of.asset.revision);
        let store = self.buckets.of(&of.asset.placement)?;
        store.put(&mark, reason.into_bytes().into(), PutIf::Always).await?;
        Ok(())
    }

    async fn reason(&self, saga: &str) -> Result<String, ContentError> {
        let engine = self.engine.get().and_then(Weak::upgrade);
        let status = match engine {
            Some(engine) => engine.status(saga).await?,
            None => None,
        };
        Ok(status.and_then(|status| status.reason).unwrap_or_else(|| "its publication was undone".to_owned()))
    }

    /// Deletes a revision's chunks. Those of a failed one stay for a while: a retry goes on with them, and the sweep takes
    /// what nobody retries.
    async fn delete_renditions(&self, of: &Publication) -> Result<(), ContentError> {
        let content = self.catalog.content(of.asset.content).await?;
        let may_be_retried =
            content.is_some_and(|row| row.state == ContentState::Failed && row.revision == of.asset.revision);
        if may_be_retried {
            return Ok(());
        }
        let store = self.buckets.of(&of.asset.placement)?;
        let folder = revision_folder("work", of.asset.content, of.asset.revision);
        let mark = ObjectKey::cancel_mark(of.asset.content, of.asset.revision);
        remove_folder(store.as_ref(), &folder, Some(&mark)).await?;
        Ok(())
    }

    async fn revoke_keys(&self, of: &Publication) -> Result<(), ContentError> {
        let row = self.catalog.publication(of.asset.content, of.asset.revision).await?;
        let told = row.and_then(|row| row.plan);
        let packaged = of.package.as_ref().map(|package| package.plan);
        self.revoke([of.plan, told, packaged].into_iter().flatten()).await
    }

    /// Revokes the keys of plans.
    pub(super) async fn revoke(&self, plans: impl IntoIterator<Item = PlanId>) -> Result<(), ContentError> {
        let plans: std::collections::BTreeSet<PlanId> = plans.into_iter().collect();
        for plan in plans {
            // A client is a handle on one connection: a clone of it shares that.
            self.licence.clone().revoke_keys(RevokeKeysRequest::of(plan)).await.map_err(Box::new)?;
        }
        Ok(())
    }

    async fn delete_packages(&self, of: &Publication) -> Result<(), ContentError> {
        let content = self.catalog.content(of.asset.content).await?;
        let shown = content.and_then(|row| row.published_revision);
        assert!(shown != Some(of.asset.revision), "a package is deleted only once viewers are sent elsewhere");
        let store = self.buckets.of(&of.asset.placement)?;
        let folder = revision_folder("media", of.asset.content, of.asset.revision);
        remove_folder(store.as_ref(), &folder, None).await?;
        Ok(())
    }

    async fn index_hidden(&self, of: &Publication, cx: &StepContext) -> Result<(), ContentError> {
        let mut tx = self.catalog.begin().await?;
        let mut life = open(&mut tx, of, cx).await?;
        let document = document(&life, false);
        life.tx.put_document(&document).await?;
        life.done(StepName::Index, Work::done(cx.now_us)).await?;
        life.save().await?;
        Ok(tx.commit().await?)
    }

    async fn drop_document(&self, of: &Publication) -> Result<(), ContentError> {
        let mut tx = self.catalog.begin().await?;
        tx.drop_document_of(of.asset.content, of.asset.revision).await?;
        Ok(tx.commit().await?)
    }

    async fn store_dispatch(&self, of: &Publication, cx: &StepContext) -> Result<(), ContentError> {
        let mut tx = self.catalog.begin().await?;
        tx.put_dispatch(of.asset.content, of.asset.revision, of.owner, cx.now_us).await?;
        Ok(tx.commit().await?)
    }

    async fn drop_dispatch(&self, of: &Publication) -> Result<(), ContentError> {
        let mut tx = self.catalog.begin().await?;
        tx.take_dispatch(of.asset.content, of.asset.revision).await?;
        Ok(tx.commit().await?)
    }

    /// Lets viewers in: state, search and `media.published` in one transaction. What an earlier revision left stays until
    /// the sweep, for those who watch it.
    async fn publish_revision(&self, of: &Publication, cx: &StepContext) -> Result<(), ContentError> {
        let mut tx = self.catalog.begin().await?;
        let mut life = open(&mut tx, of, cx).await?;
        let (content, revision) = (life.content.id, life.publication.revision);
        if life.content.published_revision == Some(revision) {
            return Ok(());
        }
        let (state, needed) = (life.content.state, "its current revision is published, and that with its package");
        let package = life.publication.package.as_ref().map(|package| package.plan);
        let (Some(plan), true) = (package, life.is_current()) else {
            return Err(ContentError::WrongState { content, state, needed });
        };
        life.move_by(AssetFact::Published, None)?;
        life.content.published_revision = Some(revision);
        life.publication.published_us = Some(cx.now_us);
        let document = document(&life, true);
        life.tx.put_document(&document).await?;
        life.tx.show_document(content, revision).await?;
        life.tx.take_dispatch(content, revision).await?;
        life.done(StepName::Publish, Work::done(cx.now_us)).await?;
        let event = Published { asset: life.asset(), owner: life.content.owner, plan, published_us: cx.now_us };
        life.send(Outgoing::once(content.as_bytes(), &format!("published/{revision}"), &event))?;
        life.save().await?;
        Ok(tx.commit().await?)
    }

    /// Sends viewers back to what they saw before, where that is still there.
    async fn unpublish(&self, of: &Publication, cx: &StepContext) -> Result<(), ContentError> {
        let (content, revision) = (of.asset.content, of.asset.revision);
        let rows = self.catalog.publications(content, REVISIONS_SEEN_MAX).await?;
        let before = rows.into_iter().find(|row| row.revision < revision && row.published_us.is_some());
        let mut tx = self.catalog.begin().await?;
        let Some(mut life) = Life::open(&mut tx, content, Some(revision), cx.now_us).await? else { return Ok(()) };
        if life.content.published_revision != Some(revision) {
            return Ok(());
        }
        life.content.published_revision = before.as_ref().map(|row| row.revision);
        life.publication.published_us = None;
        if let Some(before) = before {
            let shown = Document { revision: before.revision, ..document(&life, true) };
            life.tx.put_document(&shown).await?;
        }
        life.save().await?;
        Ok(tx.commit().await?)
    }
}

/// Revisions that are looked through for the one that was published before.
const REVISIONS_SEEN_MAX: u32 = 100;

/// Opens the revision of a saga; one without its rows can neither be shown nor found.
async fn open<'a>(tx: &'a mut mcsp_catalog::Tx, of: &Publication, cx: &StepContext) -> Result<Life<'a>, ContentError> {
    let life = Life::open(tx, of.asset.content, Some(of.asset.revision), cx.now_us).await?;
    life.ok_or(ContentError::NotFound { content: of.asset.content })
}

/// Returns what search is to know of a revision.
fn document(life: &Life<'_>, visible: bool) -> Document {
    let row = &life.content;
    Document {
        content: row.id,
        revision: life.publication.revision,
        owner: row.owner,
        title: row.title.clone(),
        description: row.description.clone(),
        visibility: row.visibility,
        visible,
    }
}
