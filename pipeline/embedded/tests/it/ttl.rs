//! The expiring store on SQLite keeps its port's promises, over processes and within its time.
#![expect(clippy::unwrap_used, reason = "a panic in a test is its report, in helpers too")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mcsp_domain::EventId;
use mcsp_embedded::SqliteTtl;
use mcsp_runtime::{Claim, ClaimRequest, LedgerEntry, TtlStore, conformance};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

const LONG: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_its_ports_promises() {
    let folder = tempfile::tempdir().unwrap();
    let count = std::sync::atomic::AtomicU32::new(0);
    conformance::ttl_store(|| {
        let path = folder.path().join(format!("{}.db", count.fetch_add(1, std::sync::atomic::Ordering::Relaxed)));
        async move { Arc::new(SqliteTtl::open(&path).await.unwrap()) as Arc<dyn TtlStore> }
    })
    .await;
}

fn entries(count: u64) -> Vec<LedgerEntry> {
    let entry = |offset: u64| LedgerEntry {
        position: format!("media.upload.completed:0:{offset}"),
        event: EventId::derived(&[&offset.to_be_bytes()]),
    };
    (0..count).map(entry).collect()
}

#[tokio::test]
async fn two_handles_share_a_file_and_a_restart_forgets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let (one, other) = (SqliteTtl::open(&path).await.unwrap(), SqliteTtl::open(&path).await.unwrap());
    let entries = entries(2);
    let claim = |owner| ClaimRequest { namespace: "g.0", entries: &entries, owner, lease: LONG };
    assert_eq!(one.claim(&claim("a")).await.unwrap(), [Claim::Fresh; 2]);
    assert!(matches!(other.claim(&claim("b")).await.unwrap()[0], Claim::HeldUntil(_)));
    one.done("g.0", &entries).await.unwrap();
    other.put("session", Bytes::from_static(b"open"), LONG).await.unwrap();
    drop((one, other));
    let again = SqliteTtl::open(&path).await.unwrap();
    assert_eq!(again.claim(&claim("b")).await.unwrap(), [Claim::Done; 2]);
    assert_eq!(again.get("session").await.unwrap(), Some(Bytes::from_static(b"open")));
}

#[tokio::test]
async fn sweep_counts_every_row() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteTtl::open(&folder.path().join("log.db")).await.unwrap();
    let entries = entries(3000);
    let expired = ClaimRequest { namespace: "g.0", entries: &entries, owner: "a", lease: Duration::ZERO };
    store.claim(&expired).await.unwrap();
    store.put("gone", Bytes::new(), Duration::ZERO).await.unwrap();
    store.put("kept", Bytes::new(), LONG).await.unwrap();
    assert_eq!(store.sweep().await.unwrap(), 1, "the value; claims that ran out count lost runs for a day");
    age(&folder.path().join("log.db"), 25).await;
    assert_eq!(store.sweep().await.unwrap(), 6000, "two rows an entry");
    assert_eq!(store.sweep().await.unwrap(), 0);
}

/// Lets everything in the ledger expire some hours earlier.
async fn age(path: &std::path::Path, hours: i64) {
    let mut raw = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    let sql = "UPDATE ledger SET until_us = until_us - ?";
    sqlx::query(sql).bind(hours * 3_600_000_000).execute(&mut raw).await.unwrap();
}

#[tokio::test]
async fn lost_runs_are_counted_over_sweeps_and_long_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let entries = entries(2);
    for lost in 0..3 {
        let store = SqliteTtl::open(&path).await.unwrap();
        let owner = format!("run {lost}");
        let claim = ClaimRequest { namespace: "g.0", entries: &entries[..1], owner: &owner, lease: LONG };
        let expected = if lost == 0 { Claim::Fresh } else { Claim::Again(lost) };
        assert_eq!(store.claim(&claim).await.unwrap(), [expected]);
        // It dies, and its machine is back after 23 hours.
        drop(store);
        age(&path, 23).await;
        assert_eq!(SqliteTtl::open(&path).await.unwrap().sweep().await.unwrap(), 0);
    }
    let store = SqliteTtl::open(&path).await.unwrap();
    store.done("g.0", &entries[1..]).await.unwrap();
    age(&path, 23).await;
    assert_eq!(store.sweep().await.unwrap(), 2, "a claim is forgotten a day after it ran out, here within 46 hours");
    age(&path, 2).await;
    assert_eq!(store.sweep().await.unwrap(), 2, "what is done is forgotten when it expires, a day after it was done");
}

/// Returns the median times of claims, renewals and completions of batches of 500, each in the namespace that it is given.
async fn time_batches(
    store: &SqliteTtl,
    batches: &[LedgerEntry],
    namespace: impl Fn(usize) -> String,
) -> [Duration; 3] {
    let mut rounds = [Vec::new(), Vec::new(), Vec::new()];
    for (number, batch) in batches.chunks(500).enumerate() {
        let namespace = namespace(number);
        let claim = ClaimRequest { namespace: &namespace, entries: batch, owner: "a", lease: LONG };
        let begin = Instant::now();
        assert!(store.claim(&claim).await.unwrap().iter().all(|found| *found == Claim::Fresh));
        let claimed = begin.elapsed();
        assert!(store.renew(&claim).await.unwrap());
        let renewed = begin.elapsed();
        store.done(&namespace, batch).await.unwrap();
        rounds[0].push(claimed);
        rounds[1].push(renewed - claimed);
        rounds[2].push(begin.elapsed() - renewed);
    }
    rounds.map(|mut times| {
        times.sort();
        times[times.len() / 2]
    })
}

/// A ledger holds the records of a day: what a batch costs must not follow from that.
#[tokio::test]
async fn a_full_ledger_is_about_as_fast_as_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteTtl::open(&folder.path().join("log.db")).await.unwrap();
    let all = entries(20_000);
    let empty = time_batches(&store, &all[..5_000], |number| format!("empty.{number}")).await;
    time_batches(&store, &all[..15_000], |_| "full.0".to_owned()).await;
    let full = time_batches(&store, &all[15_000..], |_| "full.0".to_owned()).await;
    println!("batches of 500, [claim, renewal, done]: in an empty ledger {empty:?}, beside 15,000 records {full:?}");
    for (empty, full) in empty.into_iter().zip(full) {
        assert!(full < empty * 10 + Duration::from_millis(50), "{full:?} in a full ledger, {empty:?} in an empty one");
    }
}
