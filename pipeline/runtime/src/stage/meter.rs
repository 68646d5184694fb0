//! What the loop counts.

use std::time::Duration;

use crate::telemetry::metrics::{SLOTS_BUSY, STAGE_DEAD, STAGE_HANDLE_SECONDS, STAGE_OVERHEAD_SECONDS, STAGE_RECORDS};

/// Counts handled records and notes how long their handler took.
pub(super) fn handled(stage: &'static str, outcome: &'static str, time: Duration, records: usize) {
    metrics::counter!(STAGE_RECORDS, "stage" => stage, "outcome" => outcome).increment(records as u64);
    metrics::histogram!(STAGE_HANDLE_SECONDS, "stage" => stage).record(time.as_secs_f64());
}

/// Notes what the loop itself took around a handler: claim, seal, commit.
pub(super) fn overhead(stage: &'static str, time: Duration) {
    metrics::histogram!(STAGE_OVERHEAD_SECONDS, "stage" => stage).record(time.as_secs_f64());
}

/// Counts a slot as busy until what this returns is dropped.
pub(super) fn busy(stage: &'static str) -> Busy {
    metrics::gauge!(SLOTS_BUSY, "stage" => stage).increment(1.0);
    Busy(stage)
}

/// A slot that has work.
pub(super) struct Busy(&'static str);

impl Drop for Busy {
    fn drop(&mut self) {
        metrics::gauge!(SLOTS_BUSY, "stage" => self.0).decrement(1.0);
    }
}

/// Counts records that were given up.
pub(super) fn dead(stage: &'static str) {
    metrics::counter!(STAGE_DEAD, "stage" => stage).increment(1);
}
