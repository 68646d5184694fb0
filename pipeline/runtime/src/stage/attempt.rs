//! One run over the records of one partition: claim, handle, commit. Failures are sorted here and nowhere else.

use std::time::{Duration, Instant};

use mcsp_events::{Inputs, Message, Outgoing, Seal};
use tracing::Instrument;

use super::outcome::Outcome;
use super::runner::{Driver, chain, stop_or_wait};
use super::{BatchStage, StageError, Stop, meter};
use crate::telemetry;
use crate::{Claim, ClaimRequest, Completed, Completion, LedgerEntry, LogError, Record, now_us};

/// The longest that a held record is waited for before its claim is looked at again.
const HELD_LOOK: Duration = Duration::from_secs(5);

/// A record that the ledger let through.
pub(super) struct Claimed {
    pub(super) record: Record,
    /// Whether it is to be handled; a record that is done is only committed.
    pub(super) fresh: bool,
    /// Earlier runs that ended with their process.
    pub(super) lost_runs: u32,
}

impl Claimed {
    fn new(record: Record, claim: Claim) -> Self {
        let (fresh, lost_runs) = match claim {
            Claim::Fresh => (true, 0),
            Claim::Again(lost_runs) => (true, lost_runs),
            Claim::Done | Claim::HeldUntil(_) => (false, 0),
        };
        Self { record, fresh, lost_runs }
    }
}

impl<S: BatchStage> Driver<S> {
    /// Handles the records of one partition, whatever becomes of them.
    pub(super) async fn attempt(&self, records: Vec<Record>) {
        let Some(first) = records.first() else { return };
        let span = tracing::info_span!(
            "stage",
            stage = S::NAME,
            topic = %first.topic,
            partition = first.partition,
            offset = first.offset,
            event = %first.headers.id,
            key = %first.key,
            attempt = first.attempt,
            records = records.len(),
        );
        telemetry::set_parent(&span, first.headers.traceparent.as_ref());
        let began = Instant::now();
        let owner = self.owner();
        async {
            let claimed = self.claim(records, &owner).await;
            if !claimed.is_empty() {
                self.work(claimed, &owner, began).await;
            }
        }
        .instrument(span)
        .await;
    }

    /// Claims records in their order. The first is waited for while another holds it; records from a later one on that is
    /// held go back, so that order stays.
    async fn claim(&self, mut records: Vec<Record>, owner: &str) -> Vec<Claimed> {
        let mut failures = 0;
        loop {
            let entries: Vec<LedgerEntry> = records.iter().map(Record::ledger_entry).collect();
            let namespace = self.namespace();
            let request = ClaimRequest { namespace: &namespace, entries: &entries, owner, lease: self.options.lease };
            let wait = match self.ledger.claim(&request).await {
                Ok(claims) => {
                    let held = claims.iter().position(|claim| matches!(claim, Claim::HeldUntil(_)));
                    match (held, claims.first()) {
                        (Some(0), Some(Claim::HeldUntil(until_us))) => {
                            self.give_claims_back(&records, owner).await;
                            let left_us = u64::try_from(until_us.saturating_sub(now_us())).unwrap_or(0);
                            Duration::from_micros(left_us).min(HELD_LOOK).max(Duration::from_millis(5))
                        }
                        _ => {
                            let rest = held.map(|held| records.split_off(held)).unwrap_or_default();
                            self.give_claims_back(&rest, owner).await;
                            self.hand_back_all(&rest).await;
                            let claimed = records.into_iter().zip(claims);
                            return claimed.map(|(record, claim)| Claimed::new(record, claim)).collect();
                        }
                    }
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(error = %chain(&error), "the ledger does not answer; the record waits");
                    self.options.backoff.jittered(failures)
                }
            };
            stop_or_wait(&self.overdue, wait).await;
            if self.overdue.is_cancelled() || !records.iter().all(|record| self.subscription.owns(record)) {
                self.hand_back_all(&records).await;
                return Vec::new();
            }
        }
    }

    /// Handles claimed records together; where that fails, each alone.
    async fn work(&self, claimed: Vec<Claimed>, owner: &str, began: Instant) {
        let handled_at = Instant::now();
        let started_us = now_us();
        let outcome = match self.killer(&claimed) {
            Some(error) => Outcome::Failed(error),
            None => self.handle(&claimed, owner).await,
        };
        let handle_time = handled_at.elapsed();
        meter::handled(S::NAME, outcome.label(), handle_time, claimed.len());
        match outcome {
            Outcome::Failed(_) if claimed.len() > 1 => {
                for one in claimed {
                    Box::pin(self.work(vec![one], owner, Instant::now())).await;
                }
                return;
            }
            Outcome::Done(outputs) => match self.seal(&claimed, outputs, started_us) {
                Ok(messages) => self.commit(claimed, messages, owner).await,
                Err(error) => self.give_up(claimed, &error, owner).await,
            },
            Outcome::Failed(error) => self.fail(claimed, &error, owner).await,
            Outcome::Stopped(Stop::Revision) => self.commit(claimed, Vec::new(), owner).await,
            Outcome::Stopped(Stop::Drain) => self.put_back(claimed, owner).await,
            Outcome::Stopped(Stop::Lost) => {
                tracing::warn!("the record's lease was lost; what its run did does not count");
                self.put_back(claimed, owner).await;
            }
        }
        meter::overhead(S::NAME, began.elapsed().saturating_sub(handle_time));
    }

    /// Returns why a record must not run again: its runs end with their process, again and again.
    fn killer(&self, claimed: &[Claimed]) -> Option<StageError> {
        let lost = claimed.iter().find(|claimed| claimed.lost_runs >= self.options.attempts_max)?.lost_runs;
        Some(StageError::refuse(format!("{lost} runs ended with their process or were never heard of again")))
    }

    /// Gives outputs their ids and headers.
    fn seal(
        &self,
        claimed: &[Claimed],
        outputs: Vec<Vec<Outgoing>>,
        started_us: i64,
    ) -> Result<Vec<Message>, StageError> {
        let fresh: Vec<&Record> =
            claimed.iter().filter(|claimed| claimed.fresh).map(|claimed| &claimed.record).collect();
        if outputs.len() != fresh.len() {
            let (answered, given) = (outputs.len(), fresh.len());
            return Err(StageError::refuse(format!("stage {} answered {answered} of {given} inputs", S::NAME)));
        }
        let here = telemetry::current_traceparent();
        let mut messages = Vec::new();
        for (record, outputs) in fresh.iter().zip(outputs) {
            let own = if fresh.len() == 1 { here.clone() } else { None };
            let seal = Seal {
                source: S::NAME,
                cause: Some(record.headers.id),
                now_us: now_us(),
                traceparent: own.or_else(|| record.headers.traceparent.clone()),
                worker: Some(&self.options.worker),
                attempt: Some(record.attempt),
                started_us: Some(started_us),
            };
            for output in outputs {
                if !S::OUTPUTS.iter().any(|topic| topic.name() == output.topic().as_str()) {
                    let topic = output.topic();
                    return Err(StageError::refuse(format!("stage {} does not declare its output {topic}", S::NAME)));
                }
                messages.push(output.seal(&seal).map_err(|error| StageError::reject("an output was refused", error))?);
            }
        }
        Ok(messages)
    }

    /// Commits records with what follows from them, again while the log does not answer.
    async fn commit(&self, claimed: Vec<Claimed>, outputs: Vec<Message>, owner: &str) {
        let records: Vec<Record> = claimed.into_iter().map(|claimed| claimed.record).collect();
        let mut failures = 0;
        loop {
            let done = Completion { records: records.clone(), outputs: outputs.clone() };
            match self.subscription.complete(done).await {
                Ok(Completed::WithLedger) => return,
                Ok(Completed::WithoutLedger) => return self.note_done(&records).await,
                Err(error) if error.may_pass() && !self.overdue.is_cancelled() => {
                    failures += 1;
                    tracing::warn!(error = %chain(&error), failures, "the record could not be committed; trying again");
                    stop_or_wait(&self.overdue, self.options.backoff.jittered(failures)).await;
                }
                Err(error) => {
                    if !matches!(error, LogError::Fenced { .. }) {
                        tracing::error!(error = %chain(&error), "the record could not be committed; it will run again");
                        self.hand_back_all(&records).await;
                    }
                    return self.give_claims_back(&records, owner).await;
                }
            }
        }
    }

    async fn note_done(&self, records: &[Record]) {
        let entries: Vec<LedgerEntry> = records.iter().map(Record::ledger_entry).collect();
        if let Err(error) = self.ledger.done(&self.namespace(), &entries).await {
            // Harmless: the offset has moved, and the claim runs out.
            tracing::warn!(error = %chain(&error), "the ledger was not told that a record is done");
        }
    }

    /// Sets a failed record aside, or gives it up.
    async fn fail(&self, claimed: Vec<Claimed>, error: &StageError, owner: &str) {
        let attempt = claimed.first().map_or(1, |claimed| claimed.record.attempt);
        if matches!(error, StageError::Reject(..)) || attempt >= self.options.attempts_max {
            return self.give_up(claimed, error, owner).await;
        }
        let delay = self.options.backoff.jittered(attempt);
        let delay_us = i64::try_from(delay.as_micros()).unwrap_or(i64::MAX);
        tracing::warn!(error = %error.chain(), attempt, delay_ms = delay.as_millis(), "the record is set aside");
        for Claimed { record, .. } in claimed {
            self.give_claims_back(std::slice::from_ref(&record), owner).await;
            let (not_before_us, story) = (now_us().saturating_add(delay_us), error.chain());
            if let Err(error) = self.subscription.retry_later(&record, not_before_us, &story).await {
                self.after_failed_step(&record, &error).await;
            }
        }
    }

    /// Gives a record up: to `dead.<group>`, with `media.stage.failed`.
    async fn give_up(&self, claimed: Vec<Claimed>, error: &StageError, owner: &str) {
        let story = error.chain();
        for Claimed { record, .. } in claimed {
            tracing::error!(error = %story, attempt = record.attempt, "the record is given up");
            meter::dead(S::NAME);
            let failed = self.failed_event(&record, error);
            match self.subscription.dead(&record, &story, failed).await {
                Ok(()) => self.note_done(std::slice::from_ref(&record)).await,
                Err(error) => {
                    self.give_claims_back(std::slice::from_ref(&record), owner).await;
                    self.after_failed_step(&record, &error).await;
                }
            }
        }
    }

    async fn after_failed_step(&self, record: &Record, error: &LogError) {
        if !matches!(error, LogError::Fenced { .. }) {
            tracing::error!(error = %chain(error), "the log did not take the record back; it will run again");
            self.hand_back_all(std::slice::from_ref(record)).await;
        }
    }

    /// Puts records back as they were: the process stops, or no longer owns them.
    async fn put_back(&self, claimed: Vec<Claimed>, owner: &str) {
        let records: Vec<Record> = claimed.into_iter().map(|claimed| claimed.record).collect();
        self.give_claims_back(&records, owner).await;
        self.hand_back_all(&records).await;
    }

    async fn hand_back_all(&self, records: &[Record]) {
        if records.is_empty() {
            return;
        }
        if let Err(error) = self.subscription.release(records).await {
            tracing::warn!(error = %chain(&error), "records go back when their lease runs out");
        }
    }

    async fn give_claims_back(&self, records: &[Record], owner: &str) {
        if records.is_empty() {
            return;
        }
        let entries: Vec<LedgerEntry> = records.iter().map(Record::ledger_entry).collect();
        let namespace = self.namespace();
        let request = ClaimRequest { namespace: &namespace, entries: &entries, owner, lease: self.options.lease };
        if let Err(error) = self.ledger.release(&request).await {
            tracing::warn!(error = %chain(&error), "claims go back when they run out");
        }
    }

    /// Reads the payloads of the records that are to be handled.
    pub(super) fn read(&self, claimed: &[Claimed]) -> Result<Vec<S::Input>, StageError> {
        let fresh = claimed.iter().filter(|claimed| claimed.fresh).map(|claimed| &claimed.record);
        let read = fresh.map(|record| {
            S::Input::read(&record.topic, &record.headers, &record.payload)
                .map_err(|error| StageError::reject("the record cannot be read", error))
        });
        read.collect()
    }
}
