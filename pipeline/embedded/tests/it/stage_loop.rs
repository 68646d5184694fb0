//! The stage loop on the embedded log and ledger.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mcsp_embedded::{LogOptions, SqliteLog};
use mcsp_runtime::conformance::{Engines, stage_loop};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_loop_keeps_its_promises_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let count = AtomicU32::new(0);
    stage_loop(|| async {
        let path = folder.path().join(count.fetch_add(1, Ordering::Relaxed).to_string()).join("events.db");
        let log = SqliteLog::open(&path, LogOptions::default()).await.unwrap();
        let ledger = Arc::new(log.ttl());
        let engines: Engines = (Arc::new(log), ledger);
        engines
    })
    .await;
}
