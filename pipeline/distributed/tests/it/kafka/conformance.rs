//! The suites of the port and of the stage loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mcsp_distributed::{KafkaLog, KafkaOptions};
use mcsp_embedded::{LogOptions, SqliteLog};
use mcsp_events::Topic;
use mcsp_runtime::conformance::{Engines, LogProcess, event_log, stage_loop};

use super::{INPUT, OUTPUT, namespace, options, servers};

fn of(servers: &str, namespace: &str, topics: &[Topic]) -> KafkaOptions {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let process = format!("process-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let topics = topics.iter().copied().map(Into::into).collect();
    KafkaOptions { topics, ..options(servers, namespace, &process) }
}

async fn process(options: KafkaOptions) -> LogProcess {
    let log = Arc::new(KafkaLog::open(options).await.unwrap());
    let stalled = Arc::downgrade(&log);
    let stall = Box::new(move || stalled.upgrade().unwrap().stall());
    LogProcess { log, stall, shares_ids: false }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_its_ports_promises() {
    let Some(servers) = servers() else { return };
    event_log(|| {
        let (servers, namespace) = (servers.clone(), namespace());
        async move {
            let topics = [INPUT, OUTPUT, Topic::TranscodeRequestedInteractive];
            move || process(of(&servers, &namespace, &topics))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loop_keeps_its_promises_on_kafka() {
    let Some(servers) = servers() else { return };
    let folder = tempfile::tempdir().unwrap();
    let count = AtomicU32::new(0);
    stage_loop(|| async {
        let path = folder.path().join(count.fetch_add(1, Ordering::Relaxed).to_string()).join("ledger.db");
        let ledger = Arc::new(SqliteLog::open(&path, LogOptions::default()).await.unwrap().ttl());
        let topics = [Topic::UploadInitiated, INPUT, Topic::StageFailed];
        let log = KafkaLog::open(of(&servers, &namespace(), &topics)).await.unwrap();
        let engines: Engines = (Arc::new(log), ledger);
        engines
    })
    .await;
}
