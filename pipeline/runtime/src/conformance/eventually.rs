//! Waiting for a condition, as a suite on a real engine must: looked at every few milliseconds, given up after a while.

use std::time::{Duration, Instant};

/// How long a suite waits for what an engine owes it: far above what a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Returns once the condition holds.
pub(super) async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let begin = Instant::now();
    while !condition().await {
        assert!(begin.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
