//! One saga driven by the holder of its lease: read the journal, do what `next` says, write it down, until there is
//! something to wait for. Every write checks the lease in its own transaction, so that a driver whose lease ran out writes
//! nothing more; the step that it had in hand is repeated by the next one.

use std::time::Duration;

use mcsp_domain::limits::SAGA_STEP_MS_MAX;
use mcsp_runtime::saga::{Fact, Journal, Next, SagaDefinition, find, next, state};
use mcsp_runtime::{SagaState, StageError, now_us};

use super::{Inner, table};
use crate::sqlite::{DatabaseError, Durability};

/// A saga under lease.
pub(super) struct Drive<'a> {
    pub(super) engine: &'a Inner,
    pub(super) id: &'a str,
    /// Names this hold of the lease, and no other.
    pub(super) owner: &'a str,
}

/// What a write came to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Written {
    /// It stands.
    Yes,
    /// The journal has grown since it was read: look again.
    Grown,
    /// The lease is another's.
    Lost,
}

impl Drive<'_> {
    /// Drives the saga until it waits, ends, must pause or is taken away.
    pub(super) async fn run(&self) -> Result<(), DatabaseError> {
        loop {
            let journal = self.read().await?;
            let Some(definition) =
                journal.definition().and_then(|(name, version)| find(&self.engine.definitions, name, version))
            else {
                unreachable!("only sagas of known lists are taken")
            };
            let now_us = now_us();
            let next = next(&definition.steps, &journal, now_us);
            let written = match &next {
                Next::Run(index) if self.is_due(definition, &journal, *index, now_us) => {
                    self.run_step(definition, &journal, *index).await?
                }
                Next::Undo(index) if self.is_due(definition, &journal, *index, now_us) => {
                    self.undo_step(definition, &journal, *index).await?
                }
                Next::Expire(index) => {
                    let fact = Fact::TimedOut { step: definition.steps[*index].name().to_owned() };
                    self.write(&fact, SagaState::Undoing, Some(journal.entries.len())).await?
                }
                _ => match self.rest(definition, &journal, &next).await? {
                    Written::Grown => Written::Grown,
                    Written::Yes | Written::Lost => return Ok(()),
                },
            };
            if written == Written::Lost {
                tracing::warn!(saga = self.id, "lease lost: another process drives the saga");
                return Ok(());
            }
        }
    }

    async fn read(&self) -> Result<Journal, DatabaseError> {
        let mut reader = self.engine.database.read().await?;
        table::journal(&mut reader, self.id).await.map_err(|error| self.engine.database.explain(error))
    }

    /// Returns whether the pause after the last failure is over, and the engine is not about to stop.
    fn is_due(&self, definition: &SagaDefinition, journal: &Journal, index: usize, now_us: i64) -> bool {
        let retry_at_us = journal.retry_at_us(definition.steps[index].name());
        !self.engine.is_stopping() && retry_at_us.is_none_or(|at_us| at_us <= now_us)
    }

    async fn run_step(
        &self,
        definition: &SagaDefinition,
        journal: &Journal,
        index: usize,
    ) -> Result<Written, DatabaseError> {
        let step = &definition.steps[index];
        let attempts = journal.runs(step.name());
        let expected = Some(journal.entries.len());
        if let Some(failed) = step.spent(attempts) {
            return self.write(&failed, SagaState::Undoing, expected).await;
        }
        let attempt = attempts + 1;
        let began = Fact::Began { step: step.name().to_owned(), attempt };
        // A cancel that stands in the journal by now must win: then the step does not begin.
        let written = self.write(&began, SagaState::Running, expected).await?;
        if written != Written::Yes {
            return Ok(written);
        }
        let run = step.act(state(&definition.steps, journal), step.context(self.id, attempt, now_us()));
        let fact = match tokio::time::timeout(Duration::from_millis(SAGA_STEP_MS_MAX), run).await {
            Ok(fact) => fact,
            Err(_) => step.failed(attempt, &out_of_time()),
        };
        if let Fact::AttemptFailed { error, .. } | Fact::Failed { reason: error, .. } = &fact {
            tracing::warn!(saga = self.id, step = step.name(), attempt, error, "step failed");
        }
        self.write(&fact, SagaState::Running, None).await
    }

    async fn undo_step(
        &self,
        definition: &SagaDefinition,
        journal: &Journal,
        index: usize,
    ) -> Result<Written, DatabaseError> {
        let step = &definition.steps[index];
        let attempt = journal.failed_undos(step.name()).saturating_add(1);
        let undo = step.revert(state(&definition.steps, journal), step.undo_context(self.id, attempt, now_us()));
        let fact = match tokio::time::timeout(Duration::from_millis(SAGA_STEP_MS_MAX), undo).await {
            Ok(fact) => fact,
            Err(_) => {
                let (step, error) = (step.name().to_owned(), out_of_time().to_string());
                Fact::UndoFailed { step, attempts: attempt, error }
            }
        };
        if let Fact::UndoFailed { error, .. } = &fact {
            tracing::warn!(saga = self.id, step = step.name(), attempt, error, "undo failed, to be tried again");
        }
        self.write(&fact, SagaState::Undoing, None).await
    }

    /// Writes a fact. With `expected`, only where the journal has as many entries.
    async fn write(&self, fact: &Fact, state: SagaState, expected: Option<usize>) -> Result<Written, DatabaseError> {
        let database = &self.engine.database;
        let fail = |error| database.explain(error);
        let mut transaction = database.write(Durability::Synced).await?;
        let connection = transaction.connection();
        if !table::is_owner(connection, self.id, self.owner).await.map_err(fail)? {
            return Ok(Written::Lost);
        }
        let Some(row) = table::row(connection, self.id).await.map_err(fail)? else { return Ok(Written::Lost) };
        if expected.is_some_and(|expected| usize::try_from(row.entries) != Ok(expected)) {
            return Ok(Written::Grown);
        }
        let now_us = now_us();
        if !table::replace_last_failure(connection, &row, now_us, fact).await.map_err(fail)? {
            table::append(connection, &row, now_us, fact).await.map_err(fail)?;
        }
        table::set_state(connection, self.id, state).await.map_err(fail)?;
        transaction.commit().await?;
        Ok(Written::Yes)
    }

    /// Gives the lease back until there is something to do, unless the journal has grown meanwhile.
    async fn rest(
        &self,
        definition: &SagaDefinition,
        journal: &Journal,
        next: &Next,
    ) -> Result<Written, DatabaseError> {
        let again_us = |index: &usize| journal.retry_at_us(definition.steps[*index].name()).or(Some(now_us()));
        let (state, wake_us, reason) = match next {
            Next::Run(index) => (SagaState::Running, again_us(index), None),
            Next::Undo(index) => (SagaState::Undoing, again_us(index), None),
            Next::Wait { deadline_us, .. } => (SagaState::Running, Some(*deadline_us), None),
            Next::Completed => (SagaState::Completed, None, None),
            Next::RolledBack { reason } => (SagaState::RolledBack, None, Some(reason.as_str())),
            Next::NotStarted | Next::Expire(_) => unreachable!("a saga that is driven is started, and expires at once"),
        };
        let database = &self.engine.database;
        let fail = |error| database.explain(error);
        let mut transaction = database.write(Durability::Synced).await?;
        let connection = transaction.connection();
        if !table::is_owner(connection, self.id, self.owner).await.map_err(fail)? {
            return Ok(Written::Lost);
        }
        let row = table::row(connection, self.id).await.map_err(fail)?;
        if row.is_none_or(|row| usize::try_from(row.entries) != Ok(journal.entries.len())) {
            return Ok(Written::Grown);
        }
        table::rest(connection, self.id, state, reason, wake_us).await.map_err(fail)?;
        transaction.commit().await?;
        Ok(Written::Yes)
    }
}

fn out_of_time() -> StageError {
    StageError::Retry(format!("no end after {SAGA_STEP_MS_MAX} ms"), None)
}
