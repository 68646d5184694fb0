//! A journal as its operators see it: the same words on every engine.

use super::next::Position;
use super::{Fact, Journal, Next, SagaDefinition, find};
use crate::ports::saga_engine::{SagaState, SagaStatus, StepState, WaitsFor};

/// Returns what a journal says of its saga. A list that this build does not know leaves the saga alone, and is named.
pub fn status(id: &str, definitions: &[SagaDefinition], journal: &Journal, now_us: i64) -> SagaStatus {
    let started_with = journal.definition();
    let mut status = SagaStatus {
        id: id.to_owned(),
        definition: started_with.map(|(name, version)| (name.to_owned(), version)),
        state: SagaState::NotStarted,
        step: None,
        waits_for: None,
        attempts: 0,
        reason: None,
        last_error: last_error(journal),
        steps: Vec::new(),
        updated_us: journal.entries.last().map_or(0, |entry| entry.at_us),
    };
    let Some((name, version)) = started_with else { return status };
    match find(definitions, name, version) {
        Some(definition) => describe(&mut status, definition, journal, now_us),
        None => {
            status.state = SagaState::Running;
            status.last_error = Some(format!("saga {name} version {version} is not known to this build"));
        }
    }
    status
}

fn describe(status: &mut SagaStatus, definition: &SagaDefinition, journal: &Journal, now_us: i64) {
    let position = Position::of(&definition.steps, journal);
    let next = position.next(now_us);
    status.reason.clone_from(&position.unwinding);
    let (state, in_hand) = match &next {
        Next::NotStarted => (SagaState::NotStarted, None),
        Next::Run(index) | Next::Expire(index) => (SagaState::Running, Some(*index)),
        Next::Wait { step, signal, deadline_us } => {
            status.waits_for = Some(WaitsFor { signal: (*signal).to_owned(), deadline_us: *deadline_us });
            (SagaState::Running, Some(*step))
        }
        Next::Undo(index) => (SagaState::Undoing, Some(*index)),
        Next::Completed => (SagaState::Completed, None),
        Next::RolledBack { .. } => (SagaState::RolledBack, None),
    };
    status.state = state;
    if let Some(index) = in_hand {
        let name = definition.steps[index].name;
        status.step = Some(name.to_owned());
        let undoing = state == SagaState::Undoing;
        status.attempts = if undoing { journal.failed_undos(name) } else { journal.runs(name) };
    }
    for (index, step) in definition.steps.iter().enumerate() {
        status.steps.push((step.name.to_owned(), position.step_state(index)));
    }
}

impl Position<'_> {
    fn step_state(&self, index: usize) -> StepState {
        match &self.unwinding {
            Some(_) if self.undone.contains(&index) => StepState::Undone,
            Some(_) if self.leaves_something(index) => StepState::ToUndo,
            Some(_) => StepState::Skipped,
            None if index < self.frontier => StepState::Done,
            None if index == self.frontier => StepState::InHand,
            None => StepState::Ahead,
        }
    }
}

fn last_error(journal: &Journal) -> Option<String> {
    journal.entries.iter().rev().find_map(|entry| match &entry.fact {
        Fact::AttemptFailed { step, error, .. } => Some(format!("step {step}: {error}")),
        Fact::Failed { step, reason } => Some(format!("step {step}: {reason}")),
        Fact::UndoFailed { step, error, .. } => Some(format!("undo of step {step}: {error}")),
        _ => None,
    })
}
