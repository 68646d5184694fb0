//! One run over the records of one partition: claim, handle, commit. Failures are sorted here and nowhere else.

use std::time::{Duration, Instant};

use mcsp_events::{Inputs, Message, Outgoing, Seal};
use tracing::Instrument;

use super::outcome::Outcome;
use super::runner::{Driver, Run, stop_or_wait};
use super::{BatchStage, StageError, Stop, meter};
use crate::telemetry;
use crate::{Claim, ClaimRequest, Completed, Completion, LedgerEntry, LogError, Record, chain, now_us};

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
        let _busy = meter::busy(S::NAME);
        let run = self.new_run();
        async {
            let claimed = self.claim(records, &run).await;
            if !claimed.is_empty() {
                self.work(claimed, &run, began).await;
            }
        }
        .instrument(span)
        .await;
    }

    /// Claims records in their order. The first is waited for while another holds it; records from a later one on that is
    /// held go back, so that order stays.
    async fn claim(&self, mut records: Vec<Record>, run: &Run) -> Vec<Claimed> {
        let mut failures = 0;
        loop {
            let entries: Vec<LedgerEntry> = records.iter().map(Record::ledger_entry).collect();
            let request = ClaimRequest {
                namespace: &run.namespace,
                entries: &entries,
                owner: &run.owner,
                lease: self.options.lease,
            };
            let wait = match self.ledger.claim(&request).await {
                Ok(claims) => {
                    let held = claims.iter().position(|claim| matches!(claim, Claim::HeldUntil(_)));
                    match (held, claims.first()) {
                        (Some(0), Some(Claim::HeldUntil(until_us))) => {
                            self.give_claims_back(&records, run).await;
                            let left_us = u64::try_from(until_us.saturating_sub(now_us())).unwrap_or(0);
                            Duration::from_micros(left_us).min(HELD_LOOK).max(Duration::from_millis(5))
                        }
                        _ => {
                            let rest = held.map(|held| records.split_off(held)).unwrap_or_default();
                            self.give_claims_back(&rest, run).await;
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
    async fn work(&self, claimed: Vec<Claimed>, run: &Run, began: Instant) {
        let claimed = self.suspects_alone(claimed, run).await;
        let (handled_at, started_us) = (Instant::now(), now_us());
        let outcome = match self.killer(&claimed) {
            Some(error) => Outcome::Failed(error),
            None => self.handle(&claimed, run).await,
        };
        let handle_time = handled_at.elapsed();
        meter::handled(S::NAME, outcome.label(), handle_time, claimed.len());
        let failed = match outcome {
            Outcome::Done(outputs) => match self.seal(&claimed, outputs, started_us) {
                Ok(messages) => self.commit(&claimed, messages, run).await.err(),
                Err(error) => Some(error),
            },
            Outcome::Failed(error) => Some(error),
            Outcome::Stopped(Stop::Revision) => self.commit(&claimed, Vec::new(), run).await.err(),
            Outcome::Stopped(why) => {
                tracing::info!(?why, "the record goes back as it was");
                return self.put_back(claimed, run).await;
            }
        };
        match failed {
            Some(_) if claimed.len() > 1 => {
                for one in claimed {
                    Box::pin(self.work(vec![one], run, Instant::now())).await;
                }
            }
            Some(error) => self.fail(claimed, &error, run).await,
            None => meter::overhead(S::NAME, began.elapsed().saturating_sub(handle_time)),
        }
    }

    /// Takes the first record out of a batch that ended with its process before; the others go back without a count, so
    /// that only the one that is at work can be blamed.
    async fn suspects_alone(&self, mut claimed: Vec<Claimed>, run: &Run) -> Vec<Claimed> {
        if claimed.len() > 1 && claimed.iter().any(|claimed| claimed.lost_runs > 0) {
            let rest = claimed.split_off(1);
            self.put_back(rest, run).await;
        }
        claimed
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

    /// Commits records with what follows from them, again while the log does not answer. Fails where it never will.
    async fn commit(&self, claimed: &[Claimed], outputs: Vec<Message>, run: &Run) -> Result<(), StageError> {
        let records: Vec<Record> = claimed.iter().map(|claimed| claimed.record.clone()).collect();
        let mut failures = 0;
        loop {
            let done = Completion { records: records.clone(), outputs: outputs.clone() };
            match self.subscription.complete(done).await {
                Ok(Completed::WithLedger) => return Ok(()),
                Ok(Completed::WithoutLedger) => {
                    self.note_done(&records, run).await;
                    return Ok(());
                }
                Err(LogError::Fenced { .. }) => {
                    tracing::warn!("the record went to somebody else; what its run did does not count");
                    self.give_claims_back(&records, run).await;
                    return Ok(());
                }
                Err(error) if error.may_pass() && self.overdue.is_cancelled() => {
                    tracing::error!(error = %chain(&error), "the record could not be committed; it will run again");
                    self.hand_back_all(&records).await;
                    self.give_claims_back(&records, run).await;
                    return Ok(());
                }
                Err(error) if error.may_pass() => {
                    failures += 1;
                    tracing::warn!(error = %chain(&error), failures, "the record could not be committed; trying again");
                    stop_or_wait(&self.overdue, self.options.backoff.jittered(failures)).await;
                }
                Err(error) => return Err(StageError::reject("the log refuses what the stage did", error)),
            }
        }
    }

    async fn note_done(&self, records: &[Record], run: &Run) {
        let entries: Vec<LedgerEntry> = records.iter().map(Record::ledger_entry).collect();
        if let Err(error) = self.ledger.done(&run.namespace, &entries).await {
            // Harmless: the offset has moved, and the claim runs out.
            tracing::warn!(error = %chain(&error), "the ledger was not told that a record is done");
        }
    }

    /// Sets a failed record aside, or gives it up.
    async fn fail(&self, claimed: Vec<Claimed>, error: &StageError, run: &Run) {
        let attempt = claimed.first().map_or(1, |claimed| claimed.record.attempt);
        let is_final = attempt >= self.options.attempts_max && !error.waits_for_the_disk();
        if matches!(error, StageError::Reject(..)) || is_final {
            return self.give_up(claimed, error, run).await;
        }
        let delay = self.options.backoff.jittered(attempt);
        let delay_us = i64::try_from(delay.as_micros()).unwrap_or(i64::MAX);
        tracing::warn!(error = %error.chain(), attempt, delay_ms = delay.as_millis(), "the record is set aside");
        for Claimed { record, .. } in claimed {
            self.give_claims_back(std::slice::from_ref(&record), run).await;
            let (not_before_us, story) = (now_us().saturating_add(delay_us), error.chain());
            if let Err(error) = self.subscription.retry_later(&record, not_before_us, &story).await {
                self.after_failed_step(&record, &error).await;
            }
        }
    }

    /// Gives a record up: to `dead.<group>`, with `media.stage.failed`.
    async fn give_up(&self, claimed: Vec<Claimed>, error: &StageError, run: &Run) {
        let story = error.chain();
        for Claimed { record, .. } in claimed {
            tracing::error!(error = %story, attempt = record.attempt, "the record is given up");
            meter::dead(S::NAME);
            let failed = self.failed_event(&record, error);
            match self.subscription.dead(&record, &story, failed).await {
                Ok(Completed::WithLedger) => {}
                Ok(Completed::WithoutLedger) => self.note_done(std::slice::from_ref(&record), run).await,
                Err(error) => {
                    self.give_claims_back(std::slice::from_ref(&record), run).await;
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
    async fn put_back(&self, claimed: Vec<Claimed>, run: &Run) {
        let records: Vec<Record> = claimed.into_iter().map(|claimed| claimed.record).collect();
        self.give_claims_back(&records, run).await;
        self.hand_back_all(&records).await;
    }

    /// Hands records back to the log as they were.
    pub(super) async fn hand_back_all(&self, records: &[Record]) {
        if records.is_empty() {
            return;
        }
        if let Err(error) = self.subscription.release(records).await {
            tracing::warn!(error = %chain(&error), "records go back when their lease runs out");
        }
    }

    async fn give_claims_back(&self, records: &[Record], run: &Run) {
        if records.is_empty() {
            return;
        }
        let entries: Vec<LedgerEntry> = records.iter().map(Record::ledger_entry).collect();
        let request =
            ClaimRequest { namespace: &run.namespace, entries: &entries, owner: &run.owner, lease: self.options.lease };
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
