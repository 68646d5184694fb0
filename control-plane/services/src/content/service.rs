//! The service itself: what it holds, who asks it, and how the saga engine is told.

use std::sync::Arc;

use mcsp_catalog::{Catalog, ContentRow};
use mcsp_domain::{ContentId, Revision, UserId, UserRole};
use mcsp_runtime::{SagaEngine, SagaState};
use mcsp_sagas::publish::{Action, Fact, NAME, react, saga_id};
use tokio::sync::Notify;

use super::effects::Effects;
use super::error::ContentError;

/// A day in microseconds.
const DAY_US: i64 = 24 * 3600 * 1_000_000;

/// Who asks, as the API has found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// Their account.
    pub user: UserId,
    /// What it may do.
    pub role: UserRole,
}

/// How long objects outlive their use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentSettings {
    /// How long the objects of a failed, blocked or replaced revision are kept: a retry goes on with them, and a player that
    /// began before a replacement plays to its end. Microseconds.
    pub keep_us: i64,
    /// How long the objects of a deleted content are looked for: an upload or a worker that did not hear of the deletion may
    /// still write. Microseconds.
    pub late_us: i64,
}

impl Default for ContentSettings {
    /// A week, which is the longest that a presigned address works; and a day.
    fn default() -> Self {
        Self { keep_us: 7 * DAY_US, late_us: DAY_US }
    }
}

/// The content service. Clones share everything.
#[derive(Clone)]
pub struct ContentService {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) effects: Arc<Effects>,
    pub(super) engine: Arc<dyn SagaEngine>,
    pub(super) settings: ContentSettings,
    /// There may be work in the background.
    pub(super) wake: Notify,
}

impl ContentService {
    /// Makes the service. `effects` are those that the engine's list of the publish saga performs; they ask the engine why a
    /// saga is undone from now on.
    pub fn new(effects: Arc<Effects>, engine: Arc<dyn SagaEngine>, settings: ContentSettings) -> Self {
        effects.bind(&engine);
        Self { inner: Arc::new(Inner { effects, engine, settings, wake: Notify::new() }) }
    }

    pub(super) fn catalog(&self) -> &Catalog {
        &self.inner.effects.catalog
    }

    /// Tells the saga engine what follows from a fact. Every call of the engine may be repeated, so whoever is not sure that
    /// a fact was told tells it again.
    pub(super) async fn tell(
        &self,
        fact: &Fact<'_>,
        content: ContentId,
        current: Revision,
    ) -> Result<(), ContentError> {
        let status = self.inner.engine.status(&saga_id(content, current)).await?;
        let state = status.map_or(SagaState::NotStarted, |status| status.state);
        match react(fact, current, state) {
            Action::Start { id, input } => {
                let input = serde_json::to_value(input).unwrap_or_default();
                assert!(input.is_object(), "a publication of plain values failed to serialise");
                self.inner.engine.start(&id, NAME, input).await?;
            }
            Action::Signal { id, signal, payload } => self.inner.engine.signal(&id, signal, payload).await?,
            Action::Cancel { id, reason } => self.inner.engine.cancel(&id, &reason).await?,
            Action::Ignore => {}
        }
        Ok(())
    }

    /// Returns a content that an asker may change: its owner, or an admin.
    pub(super) async fn owned(&self, asker: Asker, content: ContentId) -> Result<ContentRow, ContentError> {
        let row = self.visible(Some(asker), content).await?;
        if row.owner == asker.user || asker.role == UserRole::Admin {
            return Ok(row);
        }
        Err(ContentError::NotOwner { content })
    }
}
