//! What a saga's journal holds: step names, not indexes, so that a journal outlives the build that wrote it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::back_off;

/// One entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When it was written, microseconds since 1970.
    pub at_us: i64,
    /// What happened.
    #[serde(flatten)]
    pub fact: Fact,
}

/// What can happen to a saga.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    /// It was started.
    Started {
        /// The list's name.
        definition: String,
        /// The list's version.
        version: u32,
        /// The first state.
        state: Value,
    },
    /// A signal came; before the start and before its wait too.
    Signalled {
        /// Its name.
        signal: String,
        /// What it carries.
        payload: Value,
    },
    /// Somebody wants it undone.
    Cancelled {
        /// Why.
        reason: String,
    },
    /// A run is about to begin: from here on its effect is unknown.
    Began {
        /// The step.
        step: String,
        /// The number of the run, from 1.
        attempt: u32,
    },
    /// A run failed and there will be another.
    AttemptFailed {
        /// The step.
        step: String,
        /// The number of the run.
        attempt: u32,
        /// Why.
        error: String,
    },
    /// A step is done.
    Done {
        /// The step.
        step: String,
        /// The state after it.
        state: Value,
    },
    /// A step has failed for good.
    Failed {
        /// The step.
        step: String,
        /// Why.
        reason: String,
    },
    /// A wait's deadline passed.
    TimedOut {
        /// The step.
        step: String,
    },
    /// A step is undone.
    Undone {
        /// The step.
        step: String,
    },
    /// An undo failed and will be tried again. An engine may keep the last such entry alone.
    UndoFailed {
        /// The step.
        step: String,
        /// Undos that were tried.
        attempts: u32,
        /// Why the last one failed.
        error: String,
    },
    /// No engine ran for a while, which no deadline counts.
    Resumed {
        /// How long.
        idle_us: i64,
    },
}

/// Everything that happened to one saga, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Journal {
    /// The entries, oldest first.
    pub entries: Vec<Entry>,
}

impl Journal {
    /// Adds what happened.
    pub fn push(&mut self, at_us: i64, fact: Fact) {
        self.entries.push(Entry { at_us, fact });
    }

    /// Returns name and version of the list that it was started with.
    pub fn definition(&self) -> Option<(&str, u32)> {
        self.entries.iter().find_map(|entry| match &entry.fact {
            Fact::Started { definition, version, .. } => Some((definition.as_str(), *version)),
            _ => None,
        })
    }

    /// Returns how often a step's run began.
    pub fn runs(&self, name: &str) -> u32 {
        let began = |entry: &&Entry| matches!(&entry.fact, Fact::Began { step, .. } if step == name);
        u32::try_from(self.entries.iter().filter(began).count()).unwrap_or(u32::MAX)
    }

    /// Returns when the step whose last run or undo failed is due again.
    pub fn retry_at_us(&self, name: &str) -> Option<i64> {
        self.entries.iter().rev().find_map(|entry| match &entry.fact {
            Fact::AttemptFailed { step, attempt, .. } | Fact::UndoFailed { step, attempts: attempt, .. }
                if step == name =>
            {
                let pause_us = i64::try_from(back_off(*attempt).as_micros()).unwrap_or(i64::MAX);
                Some(entry.at_us.saturating_add(pause_us))
            }
            _ => None,
        })
    }

    /// Returns how often a step's undo has failed.
    pub fn failed_undos(&self, name: &str) -> u32 {
        let failures = self.entries.iter().filter_map(|entry| match &entry.fact {
            Fact::UndoFailed { step, attempts, .. } if step == name => Some(*attempts),
            _ => None,
        });
        failures.max().unwrap_or(0)
    }
}
