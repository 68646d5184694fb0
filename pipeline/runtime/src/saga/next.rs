//! What a saga does next, told by its journal alone: pure, so that every engine and every replay says the same.
//!
//! A fact that does not fit the place the saga is at (a second start, a late time-out, a cancel after the end) changes
//! nothing: journals are written by several hands, and the first word counts.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Fact, Journal, PROGRESS, Step, Work};

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: the start has not come.
    NotStarted,
    /// Run the step of this index.
    Run(usize),
    /// Wait for a signal.
    Wait {
        /// The step's index.
        step: usize,
        /// The signal.
        signal: &'static str,
        /// When the wait ends, microseconds since 1970.
        deadline_us: i64,
    },
    /// Write down that the wait of this index has timed out.
    Expire(usize),
    /// Undo the step of this index.
    Undo(usize),
    /// Nothing: every step is done.
    Completed,
    /// Nothing: everything is undone.
    RolledBack {
        /// Why.
        reason: String,
    },
}

/// Returns what a saga does next.
pub fn next(steps: &[Step], journal: &Journal, now_us: i64) -> Next {
    Position::of(steps, journal).next(now_us)
}

/// Returns the saga's state as the last step left it.
pub fn state(steps: &[Step], journal: &Journal) -> Value {
    Position::of(steps, journal).state
}

/// Where a saga is after all that its journal holds.
pub(super) struct Position<'a> {
    steps: &'a [Step],
    started: bool,
    /// The first step that is not done.
    pub(super) frontier: usize,
    state: Value,
    /// Steps whose runs began.
    pub(super) began: BTreeSet<usize>,
    /// Why it is being undone. Before the start, a cancel that waits for it.
    pub(super) unwinding: Option<String>,
    pub(super) undone: BTreeSet<usize>,
    /// Distinct payloads of each signal, in order.
    signals: BTreeMap<&'a str, Vec<Value>>,
    /// From where a wait's deadline runs.
    progress_us: i64,
}

impl<'a> Position<'a> {
    pub(super) fn of(steps: &'a [Step], journal: &'a Journal) -> Self {
        let mut position = Self {
            steps,
            started: false,
            frontier: 0,
            state: Value::Null,
            began: BTreeSet::new(),
            unwinding: None,
            undone: BTreeSet::new(),
            signals: BTreeMap::new(),
            progress_us: 0,
        };
        for entry in &journal.entries {
            position.take(entry.at_us, &entry.fact);
        }
        position
    }

    pub(super) fn next(&self, now_us: i64) -> Next {
        if !self.started {
            return Next::NotStarted;
        }
        if let Some(reason) = &self.unwinding {
            return self.to_undo().map_or_else(|| Next::RolledBack { reason: reason.clone() }, Next::Undo);
        }
        let Some(step) = self.steps.get(self.frontier) else { return Next::Completed };
        match &step.work {
            Work::Run(_) => Next::Run(self.frontier),
            Work::Wait { signal, silence, .. } => {
                let silence_us = i64::try_from(silence.as_micros()).unwrap_or(i64::MAX);
                let deadline_us = self.progress_us.saturating_add(silence_us);
                match now_us < deadline_us {
                    true => Next::Wait { step: self.frontier, signal, deadline_us },
                    false => Next::Expire(self.frontier),
                }
            }
        }
    }

    /// Returns the last step that is still to be undone.
    fn to_undo(&self) -> Option<usize> {
        let owes = |index: &usize| !self.undone.contains(index) && self.leaves_something(*index);
        (0..self.steps.len()).rev().find(owes)
    }

    pub(super) fn leaves_something(&self, index: usize) -> bool {
        let step = &self.steps[index];
        step.undo.is_some() && (matches!(step.work, Work::Wait { .. }) || self.began.contains(&index))
    }

    fn take(&mut self, at_us: i64, fact: &'a Fact) {
        match fact {
            Fact::Started { state, .. } => self.start(at_us, state),
            Fact::Signalled { signal, payload } => self.signal(at_us, signal, payload),
            Fact::Cancelled { reason } => self.unwind(reason.clone()),
            Fact::Began { step, .. } => self.begin(step),
            Fact::Done { step, state } => self.done(at_us, step, state),
            Fact::Failed { step, reason } if self.runs(step) => self.unwind(format!("step {step} failed: {reason}")),
            Fact::TimedOut { step } if self.waits(step) => self.unwind(self.waited_in_vain()),
            Fact::Undone { step } => self.undo(step),
            Fact::Resumed { idle_us } => self.progress_us = self.progress_us.saturating_add((*idle_us).max(0)),
            Fact::Failed { .. } | Fact::TimedOut { .. } | Fact::AttemptFailed { .. } | Fact::UndoFailed { .. } => {}
        }
    }

    fn start(&mut self, at_us: i64, state: &Value) {
        if self.started {
            return;
        }
        self.started = true;
        self.state = state.clone();
        self.progress_us = at_us;
        self.pass_waits(at_us);
    }

    fn signal(&mut self, at_us: i64, signal: &'a str, payload: &Value) {
        let payloads = self.signals.entry(signal).or_default();
        if payloads.contains(payload) {
            return;
        }
        payloads.push(payload.clone());
        if signal == PROGRESS || self.awaited() == Some(signal) {
            self.progress_us = self.progress_us.max(at_us);
        }
        self.pass_waits(at_us);
    }

    fn unwind(&mut self, reason: String) {
        let completed = self.started && self.frontier == self.steps.len();
        if self.unwinding.is_none() && !completed {
            self.unwinding = Some(reason);
        }
    }

    fn begin(&mut self, step: &str) {
        if self.runs(step) {
            self.began.insert(self.frontier);
        }
    }

    /// A run that ends after a cancel does not bring the saga forward, but its state tells its undo what there is.
    fn done(&mut self, at_us: i64, step: &str, state: &Value) {
        if !self.runs(step) || self.undone.contains(&self.frontier) {
            return;
        }
        self.began.insert(self.frontier);
        self.state = state.clone();
        if self.unwinding.is_none() {
            self.frontier += 1;
            self.progress_us = self.progress_us.max(at_us);
            self.pass_waits(at_us);
        }
    }

    fn undo(&mut self, step: &str) {
        let due = self.to_undo().filter(|index| self.steps[*index].name == step);
        if let (true, Some(_), Some(index)) = (self.started, &self.unwinding, due) {
            self.undone.insert(index);
        }
    }

    /// Passes the waits whose signals are there.
    fn pass_waits(&mut self, at_us: i64) {
        while let (true, None, Some(step)) = (self.started, &self.unwinding, self.steps.get(self.frontier)) {
            let Work::Wait { signal, arrived, .. } = &step.work else { return };
            let payloads = self.signals.get(signal).map_or(&[][..], Vec::as_slice);
            match arrived(&self.state, payloads) {
                Ok(None) => return,
                Ok(Some(state)) => {
                    self.state = state;
                    self.frontier += 1;
                    self.progress_us = self.progress_us.max(at_us);
                }
                Err(reason) => self.unwind(format!("step {} refused: {reason}", step.name)),
            }
        }
    }

    /// Returns whether this step is the one that runs.
    fn runs(&self, name: &str) -> bool {
        let step = self.steps.get(self.frontier).filter(|_| self.started);
        step.is_some_and(|step| step.name == name && matches!(step.work, Work::Run(_)))
    }

    /// Returns whether this step is the one that waits.
    fn waits(&self, name: &str) -> bool {
        self.awaited().is_some() && self.steps[self.frontier].name == name
    }

    /// Returns the signal that is waited for.
    fn awaited(&self) -> Option<&'static str> {
        match &self.steps.get(self.frontier).filter(|_| self.started)?.work {
            Work::Wait { signal, .. } => Some(signal),
            Work::Run(_) => None,
        }
    }

    fn waited_in_vain(&self) -> String {
        let Some(Step { name, work: Work::Wait { signal, silence, .. }, .. }) = self.steps.get(self.frontier) else {
            unreachable!("only a wait times out")
        };
        let count = self.signals.get(signal).map_or(0, Vec::len);
        format!("step {name} waited in vain: {count} of signal {signal:?} came, then none for {silence:?}")
    }
}
