//! What every `TtlStore` engine promises. Leases are real and short: the suite runs on engines with clocks of their own.

#![expect(clippy::unwrap_used, reason = "a suite's panic is a test's report")]

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mcsp_domain::EventId;
use mcsp_domain::limits::{TTL_KEY_BYTES_MAX, TTL_SCAN_MAX, TTL_VALUE_BYTES_MAX};

use super::eventually::eventually;
use crate::{Claim, ClaimRequest, LedgerEntry, TtlError, TtlStore, now_us};

/// A lease that no test outlives.
const LONG: Duration = Duration::from_secs(600);
/// A lease that runs out while a test waits.
const SHORT: Duration = Duration::from_millis(150);

/// Holds a `TtlStore` engine to its port. `make` gives a fresh, empty store each time.
pub async fn ttl_store<F: Future<Output = Arc<dyn TtlStore>>>(make: impl Fn() -> F) {
    claims_and_completes(&*make().await).await;
    knows_an_event_by_its_id(&*make().await).await;
    keeps_the_entries_of_a_call_apart(&*make().await).await;
    keeps_namespaces_apart(&*make().await).await;
    frees_expired_claims(&*make().await).await;
    keeps_renewed_claims(&*make().await).await;
    gives_a_contested_entry_to_one(make().await).await;
    takes_a_whole_batch(&*make().await).await;
    keeps_values_for_a_while(&*make().await).await;
    counts_under_concurrency(make().await).await;
    scans_by_prefix(&*make().await).await;
    scans_in_pages(&*make().await).await;
    refuses_what_is_too_long(&*make().await).await;
    sweeps_what_expired(&*make().await).await;
}

fn entry(offset: u64) -> LedgerEntry {
    entry_of(offset, offset)
}

fn entry_of(offset: u64, event: u64) -> LedgerEntry {
    let id = EventId::derived(&[b"conformance", &event.to_be_bytes()]);
    LedgerEntry { position: format!("media.upload.completed:3:{offset}"), event: id }
}

fn request<'a>(entries: &'a [LedgerEntry], owner: &'a str, lease: Duration) -> ClaimRequest<'a> {
    ClaimRequest { namespace: "scanner.0", entries, owner, lease }
}

async fn claim(store: &dyn TtlStore, entries: &[LedgerEntry], owner: &str) -> Vec<Claim> {
    store.claim(&request(entries, owner, LONG)).await.unwrap()
}

fn assert_held(claim: Claim) {
    let Claim::HeldUntil(until_us) = claim else { panic!("{claim:?} where another owner holds the entry") };
    let lease_us = until_us - now_us();
    assert!((0..=700_000_000).contains(&lease_us), "held for {lease_us} µs, claimed for {LONG:?}");
}

async fn claims_and_completes(store: &dyn TtlStore) {
    let entries = [entry(0), entry(1), entry(2)];
    assert_eq!(claim(store, &[], "a").await, []);
    assert_eq!(claim(store, &entries[..2], "a").await, [Claim::Fresh, Claim::Fresh]);
    assert_eq!(claim(store, &entries[..2], "a").await, [Claim::Fresh, Claim::Fresh], "its own claims, asked for again");
    let found = claim(store, &entries, "b").await;
    assert_held(found[0]);
    assert_held(found[1]);
    assert_eq!(found[2], Claim::Fresh);

    store.done("scanner.0", &entries[..1]).await.unwrap();
    let found = claim(store, &entries[..2], "b").await;
    assert_eq!(found[0], Claim::Done);
    assert_held(found[1]);
    assert!(!store.renew(&request(&entries[..1], "a", LONG)).await.unwrap(), "what is done is held by nobody");

    store.release(&request(&entries[..2], "b", LONG)).await.unwrap();
    assert_held(claim(store, &entries[1..2], "b").await[0]);
    store.release(&request(&entries[..2], "a", LONG)).await.unwrap();
    assert_eq!(claim(store, &entries[..2], "b").await, [Claim::Done, Claim::Fresh], "a release frees claims alone");

    store.done("scanner.0", &entries[1..2]).await.unwrap();
    assert_eq!(claim(store, &entries[1..2], "b").await, [Claim::Done], "done over another's claim");
    store.forget("scanner.0", &entries).await.unwrap();
    assert_eq!(claim(store, &entries, "c").await, [Claim::Fresh; 3], "forgotten: done, and held by another");
}

async fn knows_an_event_by_its_id(store: &dyn TtlStore) {
    let (first, again) = (entry_of(10, 77), entry_of(500, 77));
    assert_eq!(claim(store, std::slice::from_ref(&first), "a").await, [Claim::Fresh]);
    assert_held(claim(store, std::slice::from_ref(&again), "b").await[0]);
    store.done("scanner.0", std::slice::from_ref(&first)).await.unwrap();
    assert_eq!(claim(store, &[again, entry_of(10, 78)], "b").await, [Claim::Done, Claim::Done]);
}

async fn keeps_the_entries_of_a_call_apart(store: &dyn TtlStore) {
    let twins = [entry_of(0, 1), entry_of(1, 1)];
    let found = claim(store, &twins, "a").await;
    assert_eq!(found[0], Claim::Fresh);
    assert_held(found[1]);
    store.done("scanner.0", &twins[..1]).await.unwrap();
    assert_eq!(claim(store, &twins[1..], "a").await, [Claim::Done]);
}

async fn keeps_namespaces_apart(store: &dyn TtlStore) {
    let entries = [entry(0)];
    assert_eq!(claim(store, &entries, "a").await, [Claim::Fresh]);
    store.done("scanner.0", &entries).await.unwrap();
    let raised = ClaimRequest { namespace: "scanner.1", ..request(&entries, "a", LONG) };
    assert_eq!(store.claim(&raised).await.unwrap(), [Claim::Fresh], "a raised epoch knows nothing");
    store.forget("scanner.1", &entries).await.unwrap();
    assert_eq!(claim(store, &entries, "a").await, [Claim::Done]);
}

async fn frees_expired_claims(store: &dyn TtlStore) {
    let entries = [entry(0), entry(1)];
    assert_eq!(store.claim(&request(&entries, "dead", SHORT)).await.unwrap(), [Claim::Fresh; 2]);
    let taken = || async { claim(store, &entries, "heir").await == [Claim::Again(1); 2] };
    eventually("an expired claim is fresh again", taken).await;
    assert!(!store.renew(&request(&entries, "dead", LONG)).await.unwrap(), "the old owner learns that it lost");
    store.release(&request(&entries, "dead", LONG)).await.unwrap();
    assert_held(claim(store, &entries, "third").await[0]);
    assert!(store.renew(&request(&entries, "heir", LONG)).await.unwrap());

    let unclaimed = [entry(0), entry(5)];
    assert!(!store.renew(&request(&unclaimed, "heir", LONG)).await.unwrap(), "one of two is not held");
    let lapsed = [entry(9)];
    assert_eq!(store.claim(&request(&lapsed, "late", SHORT)).await.unwrap(), [Claim::Fresh]);
    let end_us = now_us() + 2 * i64::try_from(SHORT.as_micros()).unwrap();
    eventually("the lease has passed", || async { now_us() > end_us }).await;
    assert!(!store.renew(&request(&lapsed, "late", LONG)).await.unwrap(), "a lease that ran out is not renewed");
}

async fn keeps_renewed_claims(store: &dyn TtlStore) {
    let entries = [entry(0)];
    // A loaded machine may take long between the claim and its renewal, so the first lease is not the shortest.
    let first = Duration::from_millis(500);
    assert_eq!(store.claim(&request(&entries, "a", first)).await.unwrap(), [Claim::Fresh]);
    assert!(store.renew(&request(&entries, "a", LONG)).await.unwrap());
    let end_us = now_us() + 600_000;
    eventually("the first lease has passed", || async { now_us() > end_us }).await;
    assert_held(claim(store, &entries, "b").await[0]);
    assert!(store.renew(&request(&entries, "a", LONG)).await.unwrap());
}

async fn gives_a_contested_entry_to_one(store: Arc<dyn TtlStore>) {
    let mut racers = tokio::task::JoinSet::new();
    for racer in 0..16 {
        let store = store.clone();
        // Half of them know the event from another offset.
        let entries = [entry_of(racer % 2, 1)];
        racers.spawn(async move { claim(&*store, &entries, &format!("racer {racer}")).await[0] });
    }
    let mut won = 0;
    while let Some(found) = racers.join_next().await {
        match found.unwrap() {
            Claim::Fresh => won += 1,
            held => assert_held(held),
        }
    }
    assert_eq!(won, 1, "winners of one entry");
}

async fn takes_a_whole_batch(store: &dyn TtlStore) {
    let entries: Vec<LedgerEntry> = (0..500).map(entry).collect();
    assert!(claim(store, &entries, "a").await.iter().all(|claim| *claim == Claim::Fresh));
    assert!(store.renew(&request(&entries, "a", LONG)).await.unwrap());
    store.done("scanner.0", &entries[..250]).await.unwrap();
    let found = claim(store, &entries, "b").await;
    assert!(found[..250].iter().all(|claim| *claim == Claim::Done));
    found[250..].iter().for_each(|claim| assert_held(*claim));
}

async fn keeps_values_for_a_while(store: &dyn TtlStore) {
    let bytes = Bytes::from_static(&[0, 255, b'\'', 0]);
    assert_eq!(store.get("session").await.unwrap(), None);
    store.delete("session").await.unwrap();
    store.put("session", bytes.clone(), LONG).await.unwrap();
    assert_eq!(store.get("session").await.unwrap(), Some(bytes.clone()));
    assert!(!store.put_absent("session", Bytes::from_static(b"other"), LONG).await.unwrap());
    store.put("session", Bytes::new(), SHORT).await.unwrap();
    let gone = || async { store.get("session").await.unwrap().is_none() };
    eventually("a value expires, by the later put", gone).await;
    assert!(store.put_absent("session", bytes.clone(), LONG).await.unwrap(), "an expired value is absent");
    assert_eq!(store.get("session").await.unwrap(), Some(bytes));
    store.delete("session").await.unwrap();
    assert_eq!(store.get("session").await.unwrap(), None);

    store.put("short", Bytes::from_static(b"1"), SHORT).await.unwrap();
    store.put("short", Bytes::from_static(b"2"), LONG).await.unwrap();
    let end_us = now_us() + 300_000;
    eventually("the first end has passed", || async { now_us() > end_us }).await;
    assert_eq!(store.get("short").await.unwrap(), Some(Bytes::from_static(b"2")));
}

async fn counts_under_concurrency(store: Arc<dyn TtlStore>) {
    let mut adders = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let store = store.clone();
        adders.spawn(async move {
            let mut sums = Vec::new();
            for _ in 0..10 {
                sums.push(store.add("views", 1, LONG).await.unwrap());
            }
            sums
        });
    }
    let mut sums = HashSet::new();
    while let Some(seen) = adders.join_next().await {
        sums.extend(seen.unwrap());
    }
    assert_eq!(sums, (1..=160).collect(), "each addition answers with a sum of its own");
    assert_eq!(store.add("views", -160, LONG).await.unwrap(), 0);
    assert_eq!(store.get("views").await.unwrap(), Some(Bytes::from_static(b"0")));

    assert_eq!(store.add("rate", 3, SHORT).await.unwrap(), 3);
    let restarted = || async { store.add("rate", 0, SHORT).await.unwrap() == 0 };
    eventually("a counter expires from its first addition, not its last", restarted).await;
    store.put("word", Bytes::from_static(b"ten"), LONG).await.unwrap();
    let error = store.add("word", 1, LONG).await.unwrap_err();
    assert!(matches!(&error, TtlError::NoCounter { key } if key == "word"), "{error}");
    store.add("full", i64::MAX, LONG).await.unwrap();
    store.add("full", 1, LONG).await.unwrap_err();
    assert_eq!(store.add("full", 0, LONG).await.unwrap(), i64::MAX, "a sum that does not fit changes nothing");
}

async fn scans_by_prefix(store: &dyn TtlStore) {
    let awkward =
        ["a%", "a%b", "a*c", "a?", "a[", "a\\", "a_", "a_b", "a'\"--", "aé", "a\u{10ffff}z", "A%", "b", "axb"];
    for key in awkward {
        store.put(key, Bytes::from(key), LONG).await.unwrap();
    }
    for prefix in awkward.into_iter().chain(["", "a", "a\u{10ffff}", "nothing"]) {
        let mut expected: Vec<&str> = awkward.into_iter().filter(|key| key.starts_with(prefix)).collect();
        expected.sort_unstable();
        let found = store.scan(prefix, None).await.unwrap();
        assert_eq!(found.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), expected, "scan of {prefix:?}");
        assert_eq!(store.count(prefix).await.unwrap(), expected.len(), "count of {prefix:?}");
        assert!(found.iter().all(|(key, value)| key.as_bytes() == value), "values stand beside their keys");
        for after in awkward {
            let found = store.scan(prefix, Some(after)).await.unwrap();
            let expected: Vec<&str> = expected.iter().copied().filter(|key| *key > after).collect();
            let found: Vec<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
            assert_eq!(found, expected, "scan of {prefix:?} after {after:?}");
        }
    }
}

async fn scans_in_pages(store: &dyn TtlStore) {
    store.put("beat:gone", Bytes::new(), Duration::ZERO).await.unwrap();
    for number in 0..TTL_SCAN_MAX + 3 {
        store.put(&format!("beat:{number:05}"), Bytes::new(), LONG).await.unwrap();
    }
    let page = store.scan("beat:", None).await.unwrap();
    assert_eq!(page.len(), TTL_SCAN_MAX);
    let rest = store.scan("beat:", page.last().map(|(key, _)| key.as_str())).await.unwrap();
    let rest: Vec<&str> = rest.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(rest, ["beat:01000", "beat:01001", "beat:01002"], "without the expired one");
}

async fn refuses_what_is_too_long(store: &dyn TtlStore) {
    let key = "k".repeat(TTL_KEY_BYTES_MAX);
    store.put(&key, Bytes::from(vec![7; TTL_VALUE_BYTES_MAX]), LONG).await.unwrap();
    assert_eq!(store.get(&key).await.unwrap().unwrap().len(), TTL_VALUE_BYTES_MAX);

    let large = Bytes::from(vec![7; TTL_VALUE_BYTES_MAX + 1]);
    for error in [
        store.put("fat", large.clone(), LONG).await.unwrap_err(),
        store.put_absent("fat", large, LONG).await.unwrap_err(),
    ] {
        assert_eq!(error.to_string(), "value of \"fat\" has 65537 bytes, 65536 allowed");
    }
    let long = format!("{key}k");
    for error in [
        store.put(&long, Bytes::new(), LONG).await.unwrap_err(),
        store.put_absent(&long, Bytes::new(), LONG).await.unwrap_err(),
        store.add(&long, 1, LONG).await.unwrap_err(),
    ] {
        assert_eq!(error.to_string(), format!("key of \"{}\" has 513 bytes, 512 allowed", "k".repeat(100)));
    }
}

async fn sweeps_what_expired(store: &dyn TtlStore) {
    let entries = [entry(0), entry(1)];
    store.claim(&request(&entries[..1], "dead", Duration::ZERO)).await.unwrap();
    store.done("scanner.0", &entries[1..]).await.unwrap();
    store.put("gone", Bytes::new(), Duration::ZERO).await.unwrap();
    store.put("kept", Bytes::new(), LONG).await.unwrap();
    // An engine that removes by itself, as Redis does, has nothing left to count.
    store.sweep().await.unwrap();
    assert_eq!(store.sweep().await.unwrap(), 0, "a second sweep finds nothing");
    let found = claim(store, &entries, "a").await;
    assert_eq!(found, [Claim::Again(1), Claim::Done], "a run that was lost counts for a day, a sweep or not");
    assert_eq!(store.get("gone").await.unwrap(), None);
    assert_eq!(store.get("kept").await.unwrap(), Some(Bytes::new()));
}
