//! How a life is written down: states, steps and renditions of one content's revision change here alone, each with its
//! notice to the owner, all in the caller's transaction.

use mcsp_catalog::{ContentRow, PublicationRow, RenditionRow, StepRow, Tx};
use mcsp_domain::{ContentId, ContentState, RenditionKind, RenditionName, Revision, StepName, StepState, limits};
use mcsp_events::Headers;
use mcsp_events::{Asset, Outgoing, Seal};
use mcsp_runtime::telemetry;
use serde_json::json;

use super::error::ContentError;
use super::state::{AssetFact, IllegalTransition, RenditionFact, next_rendition, next_state};

/// The source of what this service says.
pub(super) const SERVICE: &str = "content";

/// Who did a piece of work, and when.
#[derive(Clone, Debug, Default)]
pub(super) struct Work {
    pub(super) worker: String,
    pub(super) attempt: u32,
    pub(super) started_us: Option<i64>,
    pub(super) ended_us: Option<i64>,
}

impl Work {
    /// Reads an event's headers: its maker's run began at `started_us` and ended when it was said.
    pub(super) fn of(headers: &Headers) -> Self {
        Self {
            worker: headers.worker.clone().unwrap_or_default(),
            attempt: headers.attempt.unwrap_or(1),
            started_us: headers.started_us,
            ended_us: Some(headers.time_us),
        }
    }

    /// Returns work that begins at a time, whoever will do it.
    pub(super) fn begun(now_us: i64) -> Self {
        Self { started_us: Some(now_us), ..Self::default() }
    }

    /// Returns the work that begins when this has ended.
    pub(super) fn follows(&self) -> Self {
        Self { started_us: self.ended_us, ..Self::default() }
    }

    /// Returns work of an instant, done by this service.
    pub(super) fn done(now_us: i64) -> Self {
        Self { worker: SERVICE.to_owned(), attempt: 1, started_us: Some(now_us), ended_us: Some(now_us) }
    }
}

/// One revision of a content, open for change.
pub(super) struct Life<'a> {
    pub(super) tx: &'a mut Tx,
    pub(super) content: ContentRow,
    pub(super) publication: PublicationRow,
    pub(super) now_us: i64,
    steps: Vec<StepRow>,
    read: ContentRow,
    read_publication: PublicationRow,
}

impl<'a> Life<'a> {
    /// Opens a revision of a content; `None` opens its current one. Returns nothing where there is no such revision.
    pub(super) async fn open(
        tx: &'a mut Tx,
        content: ContentId,
        revision: Option<Revision>,
        now_us: i64,
    ) -> Result<Option<Self>, ContentError> {
        let Some(row) = tx.content(content).await? else { return Ok(None) };
        let revision = revision.unwrap_or(row.revision);
        let Some(publication) = tx.publication(content, revision).await? else { return Ok(None) };
        let steps = tx.steps(content, revision).await?;
        let (read, read_publication) = (row.clone(), publication.clone());
        Ok(Some(Self { tx, content: row, publication, now_us, steps, read, read_publication }))
    }

    /// Takes a revision whose rows were written in this transaction, and which has no steps yet.
    pub(super) fn begun(tx: &'a mut Tx, content: ContentRow, publication: PublicationRow, now_us: i64) -> Self {
        let (read, read_publication) = (content.clone(), publication.clone());
        Self { tx, content, publication, now_us, steps: Vec::new(), read, read_publication }
    }

    /// Returns whether facts of this revision move the content.
    pub(super) fn is_current(&self) -> bool {
        self.content.revision == self.publication.revision
    }

    fn step(&self, name: StepName) -> Option<&StepRow> {
        self.steps.iter().find(|step| step.name == name)
    }

    fn step_state(&self, name: StepName) -> Option<StepState> {
        self.step(name).map(|step| step.state)
    }

    /// Returns when a step began.
    pub(super) fn began_us(&self, name: StepName) -> Option<i64> {
        self.step(name).and_then(|step| step.started_us)
    }

    /// Returns who worked on a step last, and in which attempt.
    pub(super) fn worker_of(&self, name: StepName) -> Option<(String, u32)> {
        let step = self.step(name).filter(|step| !step.worker.is_empty())?;
        Some((step.worker.clone(), step.attempt))
    }

    /// Returns whether a step needs no more work.
    pub(super) fn is_done(&self, name: StepName) -> bool {
        matches!(self.step_state(name), Some(StepState::Done | StepState::Skipped))
    }

    /// Moves the content by a fact.
    pub(super) fn move_by(&mut self, fact: AssetFact, reason: Option<&str>) -> Result<(), IllegalTransition> {
        let next = next_state(self.content.state, fact)?;
        if next != self.content.state {
            self.content.state = next;
            self.content.reason = reason.map(shortened);
        }
        Ok(())
    }

    /// Notes that a step runs, unless more is known of it already.
    pub(super) async fn running(&mut self, name: StepName, work: Work, reason: &str) -> Result<(), ContentError> {
        match self.step_state(name) {
            None | Some(StepState::Running) => self.put(name, StepState::Running, work, reason).await,
            Some(StepState::Done | StepState::Failed | StepState::Skipped) => Ok(()),
        }
    }

    /// Notes that a step ended well. The first end stays.
    pub(super) async fn done(&mut self, name: StepName, mut work: Work) -> Result<(), ContentError> {
        if self.step_state(name) == Some(StepState::Done) {
            return Ok(());
        }
        // Facts come in any order: what ended before we knew of its beginning began no later than that.
        work.started_us = work.started_us.or(self.began_us(name)).map(|at| work.ended_us.map_or(at, |end| at.min(end)));
        self.put(name, StepState::Done, work, "").await
    }

    /// Notes that a step ended badly, unless it had ended well.
    pub(super) async fn failed(&mut self, name: StepName, work: Work, reason: &str) -> Result<(), ContentError> {
        if self.step_state(name) == Some(StepState::Done) {
            return Ok(());
        }
        self.put(name, StepState::Failed, work, reason).await
    }

    /// Notes that a step need not be done again: an earlier revision of the same bytes has passed it.
    pub(super) async fn carried(&mut self, name: StepName, from: Revision) -> Result<(), ContentError> {
        let work = Work::done(self.now_us);
        self.put(name, StepState::Done, work, &format!("as in revision {from}")).await
    }

    /// Ends every step that still runs: nobody goes on with it.
    pub(super) async fn stop_steps(&mut self, reason: &str) -> Result<(), ContentError> {
        let running: Vec<StepRow> =
            self.steps.iter().filter(|step| step.state == StepState::Running).cloned().collect();
        for StepRow { name, worker, attempt, started_us, .. } in running {
            let work = Work { worker, attempt, started_us, ended_us: Some(self.now_us) };
            self.put(name, StepState::Skipped, work, reason).await?;
        }
        Ok(())
    }

    async fn put(&mut self, name: StepName, state: StepState, work: Work, reason: &str) -> Result<(), ContentError> {
        let Work { worker, attempt, started_us, ended_us } = work;
        let ended_us = if state == StepState::Running { None } else { ended_us };
        let row = StepRow { name, state, attempt, worker, reason: shortened(reason), started_us, ended_us };
        if self.steps.contains(&row) {
            return Ok(());
        }
        self.tx.put_step(self.content.id, self.publication.revision, &row).await?;
        let body = json!({
            "content": self.content.id, "revision": self.publication.revision, "step": row.name, "state": row.state,
            "attempt": row.attempt, "worker": row.worker, "reason": row.reason,
            "started_us": row.started_us, "ended_us": row.ended_us,
        });
        self.notice("content.step", &body).await?;
        self.steps.retain(|step| step.name != name);
        self.steps.push(row);
        Ok(())
    }

    /// Moves a rendition by a fact.
    pub(super) async fn rendition(
        &mut self,
        name: &RenditionName,
        kind: RenditionKind,
        fact: RenditionFact,
        reason: &str,
    ) -> Result<(), ContentError> {
        let known = self.renditions().await?.into_iter().find(|row| &row.name == name);
        let state = next_rendition(known.as_ref().map(|row| row.state), fact);
        if known.is_some_and(|row| row.state == state) {
            return Ok(());
        }
        let reason = if fact == RenditionFact::GivenUp { shortened(reason) } else { String::new() };
        let row = RenditionRow { name: name.clone(), kind, state, reason, updated_us: self.now_us };
        self.tx.put_rendition(self.content.id, self.publication.revision, &row).await?;
        let body = json!({
            "content": self.content.id, "revision": self.publication.revision, "name": row.name, "state": row.state,
            "reason": row.reason,
        });
        self.notice("content.rendition", &body).await
    }

    /// Returns the revision's renditions.
    pub(super) async fn renditions(&mut self) -> Result<Vec<RenditionRow>, ContentError> {
        Ok(self.tx.renditions(self.content.id, self.publication.revision).await?)
    }

    /// Returns what media events say first.
    pub(super) fn asset(&self) -> Asset {
        asset(&self.content, self.publication.revision)
    }

    /// Says an event with this transaction.
    pub(super) fn send(&mut self, outgoing: Outgoing) -> Result<(), ContentError> {
        let seal = Seal {
            source: SERVICE,
            now_us: self.now_us,
            traceparent: telemetry::current_traceparent(),
            worker: Some(SERVICE),
            attempt: Some(1),
            started_us: Some(self.now_us),
            ..Seal::default()
        };
        Ok(self.tx.send(outgoing.seal(&seal)?)?)
    }

    /// Writes back what changed, and tells the owner of a new state. The transaction is the caller's to commit.
    pub(super) async fn save(mut self) -> Result<(), ContentError> {
        if self.publication != self.read_publication {
            self.tx.update_publication(&self.publication).await?;
        }
        if self.content == self.read {
            return Ok(());
        }
        self.content.updated_us = self.now_us;
        if !self.tx.update_content(&self.content).await? {
            let (content, version) = (self.content.id, self.content.version);
            return Err(ContentError::OtherVersion { content, version });
        }
        let moved = |row: &ContentRow| (row.state, row.revision, row.reason.clone());
        if moved(&self.content) == moved(&self.read) {
            return Ok(());
        }
        let ContentRow { id, revision, state, reason, .. } = &self.content;
        let body = json!({ "content": id, "revision": revision, "state": state, "reason": reason });
        self.notice("content.state", &body).await
    }

    async fn notice(&mut self, kind: &str, body: &serde_json::Value) -> Result<(), ContentError> {
        let (owner, content) = (self.content.owner, self.content.id);
        Ok(self.tx.notice(owner, kind, Some(content), body, self.now_us).await?)
    }
}

/// Returns what media events of a revision say first.
pub(super) fn asset(content: &ContentRow, revision: Revision) -> Asset {
    Asset { content: content.id, revision, placement: content.placement.clone() }
}

/// Returns whether somebody works on a content in this state.
pub(super) fn is_in_work(state: ContentState) -> bool {
    matches!(state, ContentState::Uploaded | ContentState::Processing | ContentState::Review)
}

/// Cuts words that others wrote at what a row keeps.
fn shortened(text: &str) -> String {
    text.chars().take(limits::ERROR_CHARS_MAX).collect()
}
