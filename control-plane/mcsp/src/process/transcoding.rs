//! Runs a plan's chunks in order: those that are stored are skipped, those that were killed run again.

use anyhow::Context;
use mcsp_domain::Plan;
use mcsp_runtime::{ObjectStore, StageError};
use mcsp_sandbox::{Sandbox, Source};
use mcsp_stages::transcode::{stored_report, transcode};
use serde_json::json;

use super::failure;
use crate::reporter::Reporter;

/// Runs of one stage before it is given up: a killed child may have been killed by the system's need of memory.
const ATTEMPTS_MAX: u32 = 3;

/// Makes every chunk of a plan that the store does not hold yet.
///
/// # Errors
/// When a chunk is rejected or its attempts run out.
pub(super) async fn transcode_all(
    plan: &Plan,
    source: &Source,
    sandbox: &Sandbox,
    store: &dyn ObjectStore,
    reporter: &Reporter,
) -> anyhow::Result<()> {
    let mut begun = false;
    for chunk in &plan.chunks {
        if stored_report(chunk, store).await.map_err(failure)?.is_some() {
            reporter.event("chunk_kept", json!({ "chunk": chunk.index, "of": plan.chunks.len() }));
            continue;
        }
        if !begun {
            let start_ms = chunk.first_segment * u64::from(plan.grid.segment_ms());
            reporter.begin_encoding(plan, start_ms as f64 / 1000.0);
            begun = true;
        }
        reporter.event("chunk_started", json!({ "chunk": chunk.index, "of": plan.chunks.len() }));
        let on = |progress: mcsp_stages::Progress<'_>| reporter.progress(progress);
        let what = format!("chunk {}", chunk.index);
        let once = async |attempt| transcode(plan, chunk, source, sandbox, store, attempt, &on).await;
        let report = retried(&what, reporter, once).await;
        let report = report.with_context(|| format!("chunk {} of {}", chunk.index, plan.chunks.len()))?;
        reporter.event("chunk_done", json!({ "chunk": chunk.index, "of": plan.chunks.len(), "report": report }));
    }
    Ok(())
}

/// Runs a stage until it succeeds, is rejected, or its attempts run out; `once` gets the number of the attempt, from 1.
pub(super) async fn retried<T>(
    what: &str,
    reporter: &Reporter,
    once: impl AsyncFn(u32) -> Result<T, StageError>,
) -> anyhow::Result<T> {
    for attempt in 1.. {
        match once(attempt).await {
            Ok(done) => return Ok(done),
            Err(error @ StageError::Retry(..)) if attempt < ATTEMPTS_MAX => {
                let cause = format!("{:#}", failure(error));
                reporter.event("retried", json!({ "what": what, "attempt": attempt, "cause": cause }));
                reporter.line(&format!("{what}: attempt {attempt} failed ({cause}), trying again"));
            }
            Err(error) => return Err(failure(error)),
        }
    }
    unreachable!("the last attempt returns");
}
