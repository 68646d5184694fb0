//! Runs a handler under its lease: renews the claim while it works, and stops it when the record is no longer its own.

use std::sync::Arc;
use std::time::Duration;

use mcsp_domain::Revision;
use mcsp_events::{Asset, Event, Message, Outgoing, Seal, StageFailed};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::attempt::Claimed;
use super::context::Beats;
use super::runner::{Driver, Run};
use super::{BatchStage, Context, StageError, Stop};
use crate::{ClaimRequest, LedgerEntry, Record, chain, now_us, telemetry};

/// How often a running handler's revision is looked up.
const CANCEL_LOOK: Duration = Duration::from_secs(5);

/// What came of a handler.
pub(super) enum Outcome {
    Done(Vec<Vec<Outgoing>>),
    Failed(StageError),
    Stopped(Stop),
}

impl Outcome {
    /// Returns the metric's label.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Done(_) => "done",
            Self::Failed(StageError::Retry(..)) => "retry",
            Self::Failed(StageError::Reject(..)) => "reject",
            Self::Stopped(_) => "stopped",
        }
    }
}

impl<S: BatchStage> Driver<S> {
    /// Runs the handler on the fresh ones among claimed records.
    pub(super) async fn handle(&self, claimed: &[Claimed], run: &Run) -> Outcome {
        let inputs = match self.read(claimed) {
            Ok(inputs) => inputs,
            Err(error) => return Outcome::Failed(error),
        };
        let Some(first) = claimed.iter().find(|claimed| claimed.fresh).map(|claimed| &claimed.record) else {
            return Outcome::Done(Vec::new());
        };
        // Of a batch, each record may be of another revision: what is cancelled is found out where it is looked at alone.
        if claimed.len() == 1 && self.is_cancelled(first).await {
            return Outcome::Stopped(Stop::Revision);
        }
        let stop = CancellationToken::new();
        let progress = format!("progress/{}/{}/{}", S::NAME, first.key, first.headers.id);
        let beats =
            Arc::new(Beats::new(Arc::clone(&self.ledger), progress, self.options.worker.clone(), first.attempt));
        let cx = Context {
            attempt: first.attempt,
            headers: first.headers.clone(),
            namespace: run.namespace.clone(),
            key: first.key.clone(),
            stop: stop.clone(),
            beats: Arc::clone(&beats),
        };
        let stage = Arc::clone(&self.stage);
        // A task of its own, so that a panic is an answer and not the end of the loop.
        let handler = async move { stage.handle(inputs, &cx).await };
        let mut running = tokio::spawn(handler.instrument(tracing::Span::current()));
        let outcome = tokio::select! {
            joined = &mut running => match joined {
                Ok(Ok(outputs)) => Outcome::Done(outputs),
                Ok(Err(error)) => Outcome::Failed(error),
                Err(panic) => Outcome::Failed(StageError::retry("the handler panicked", panic)),
            },
            why = self.until_stopped(claimed, first, run) => Outcome::Stopped(why),
        };
        if matches!(outcome, Outcome::Stopped(_)) {
            stop.cancel();
            running.abort();
            // The record goes back only when nothing of this run is left; a handler inside blocking work ends it first.
            let _ = running.await;
        }
        beats.end().await;
        outcome
    }

    /// Keeps the claims alive; resolves when the handler must stop.
    async fn until_stopped(&self, claimed: &[Claimed], first: &Record, run: &Run) -> Stop {
        let mut renew = tokio::time::interval(self.options.lease / 3);
        let mut look = tokio::time::interval(CANCEL_LOOK);
        renew.tick().await;
        look.tick().await;
        loop {
            tokio::select! {
                () = self.overdue.cancelled() => return Stop::Drain,
                _ = renew.tick() => {
                    if !self.still_ours(claimed, run).await {
                        return Stop::Lost;
                    }
                }
                _ = look.tick() => {
                    if claimed.len() == 1 && self.is_cancelled(first).await {
                        return Stop::Revision;
                    }
                }
            }
        }
    }

    async fn still_ours(&self, claimed: &[Claimed], run: &Run) -> bool {
        let fresh = claimed.iter().filter(|claimed| claimed.fresh).map(|claimed| &claimed.record);
        let records: Vec<&Record> = fresh.collect();
        if !records.iter().all(|record| self.subscription.owns(record)) {
            return false;
        }
        let entries: Vec<LedgerEntry> = records.iter().map(|record| record.ledger_entry()).collect();
        let request =
            ClaimRequest { namespace: &run.namespace, entries: &entries, owner: &run.owner, lease: self.options.lease };
        match self.ledger.renew(&request).await {
            Ok(held) => held,
            Err(error) => {
                // The claim may still stand; the commit is fenced if the partition was lost meanwhile.
                tracing::warn!(error = %chain(&error), "claims could not be renewed");
                true
            }
        }
    }

    async fn is_cancelled(&self, record: &Record) -> bool {
        let Some(lookup) = &self.cancelled else { return false };
        match serde_json::from_slice::<Asset>(&record.payload) {
            Ok(asset) => lookup(asset).await,
            Err(_) => false,
        }
    }

    /// Returns `media.stage.failed` for a record that is given up. A failure of that event itself is not told again.
    pub(super) fn failed_event(&self, record: &Record, error: &StageError) -> Vec<Message> {
        if StageFailed::topics().contains(&record.topic) {
            return Vec::new();
        }
        let subject: Subject = serde_json::from_slice(&record.payload).unwrap_or_default();
        let story: String = error.chain().chars().take(mcsp_domain::limits::ERROR_CHARS_MAX).collect();
        let event = StageFailed {
            content: subject.content.unwrap_or_else(|| record.key.clone()),
            revision: subject.revision,
            stage: S::NAME.to_owned(),
            group: self.group.to_string(),
            topic: record.topic.to_string(),
            event: record.headers.id,
            attempts: record.attempt,
            rejected: matches!(error, StageError::Reject(..)),
            error: story,
        };
        let seal = Seal {
            source: S::NAME,
            cause: Some(record.headers.id),
            now_us: now_us(),
            traceparent: telemetry::current_traceparent().or_else(|| record.headers.traceparent.clone()),
            worker: Some(&self.options.worker),
            attempt: Some(record.attempt),
            started_us: None,
        };
        // Each end of a record is a fact of its own: one that was tried again and failed again is told again.
        let ended_us = now_us().to_be_bytes();
        let scope = [record.headers.id.as_bytes().as_slice(), &ended_us].concat();
        Outgoing::once(&scope, S::NAME, &event).seal(&seal).into_iter().collect()
    }
}

/// What most payloads say of their subject.
#[derive(Default, Deserialize)]
struct Subject {
    content: Option<String>,
    revision: Option<Revision>,
}
