//! The expiring store on a real Redis keeps its port's promises, and stops where it cannot: when its server is down, hangs,
//! was wiped or would forget.
#![expect(clippy::unwrap_used, reason = "a panic in a test is its report, in helpers too")]

mod server;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mcsp_distributed::{Forgetting, Login, OnEmpty, RedisError, RedisOptions, RedisTtl};
use mcsp_domain::EventId;
use mcsp_runtime::{Claim, ClaimRequest, LedgerEntry, TtlError, TtlStore, conformance};
use server::Server;

use crate::engine;

const LONG: Duration = Duration::from_secs(600);

/// Options of a store that nobody else has, on any server.
fn options(url: &str) -> RedisOptions {
    RedisOptions {
        prefix: format!("test-{}", uuid::Uuid::now_v7().simple()),
        on_empty: OnEmpty::Begin { settle: Duration::ZERO },
        open_wait: Duration::ZERO,
        ..RedisOptions::new(url)
    }
}

/// The same on the server that `make test-engines` names, whatever its settings.
fn on_named_server() -> Option<RedisOptions> {
    let url = engine::address("redis")?;
    Some(RedisOptions { login: engine::login("redis"), forgetting: Forgetting::Warn, ..options(&url) })
}

fn entries(count: u64) -> Vec<LedgerEntry> {
    let entry = |offset: u64| LedgerEntry {
        position: format!("media.upload.completed:0:{offset}"),
        event: EventId::derived(&[&offset.to_be_bytes()]),
    };
    (0..count).map(entry).collect()
}

fn claim<'a>(entries: &'a [LedgerEntry], owner: &'a str) -> ClaimRequest<'a> {
    ClaimRequest { namespace: "scanner.0", entries, owner, lease: LONG }
}

/// What the store says of its Redis.
fn fault(error: &TtlError) -> &RedisError {
    let TtlError::Engine { source, .. } = error else { panic!("{error}") };
    source.downcast_ref().unwrap()
}

async fn wait_for<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let begin = Instant::now();
    while !condition().await {
        assert!(begin.elapsed() < Duration::from_secs(30), "waited in vain: {what}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_its_ports_promises() {
    let Some(options) = on_named_server() else { return };
    conformance::ttl_store(|| {
        let prefix = format!("test-{}", uuid::Uuid::now_v7().simple());
        let options = RedisOptions { prefix, ..options.clone() };
        async move { Arc::new(RedisTtl::open(&options).await.unwrap()) as Arc<dyn TtlStore> }
    })
    .await;
}

#[tokio::test]
async fn names_of_what_expired_are_swept() {
    let Some(options) = on_named_server() else { return };
    let store = RedisTtl::open(&options).await.unwrap();
    for number in 0..2500 {
        store.put(&format!("beat:{number:04}"), Bytes::new(), Duration::from_millis(1)).await.unwrap();
    }
    store.put("beat:kept", Bytes::from_static(b"x"), LONG).await.unwrap();
    wait_for("the last one expires", async || store.get("beat:2499").await.unwrap().is_none()).await;
    // A scan that meets expired names only goes on behind them.
    let found = store.scan("beat:", None).await.unwrap();
    assert_eq!(found, [("beat:kept".to_owned(), Bytes::from_static(b"x"))]);
    for number in 0..1500 {
        store.put(&format!("more:{number:04}"), Bytes::new(), Duration::from_millis(1)).await.unwrap();
    }
    wait_for("the last one expires", async || store.get("more:1499").await.unwrap().is_none()).await;
    assert_eq!(store.sweep().await.unwrap(), 1500);
    assert_eq!(store.sweep().await.unwrap(), 0);
}

#[tokio::test]
async fn a_killed_server_is_waited_for_and_forgets_nothing() {
    // By default a server that is killed may lose its last two seconds: it answers while its file waits for a slow sync.
    let Some(mut server) = Server::start(&["--appendfsync", "always"]).await else { return };
    let store = RedisTtl::open(&options(&server.url())).await.unwrap();
    let entries = entries(500);
    assert!(store.claim(&claim(&entries, "a")).await.unwrap().iter().all(|found| *found == Claim::Fresh));
    store.done("scanner.0", &entries[..250]).await.unwrap();
    store.put("session", Bytes::from_static(b"open"), LONG).await.unwrap();

    server.kill();
    let begin = Instant::now();
    let error = store.claim(&claim(&entries, "b")).await.unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(6), "told after {:?}", begin.elapsed());
    assert!(fault(&error).may_pass() && fault(&error).to_string().contains(&server.address()), "{error:?}");
    let refused = RedisTtl::open(&options(&server.url())).await.err().unwrap();
    assert!(matches!(refused, RedisError::Unreachable { .. }) && refused.may_pass(), "{refused:?}");

    // Open waits, within its bound, for a server that comes.
    let waiting = RedisOptions { open_wait: Duration::from_secs(30), ..options(&server.url()) };
    let opening = tokio::spawn(async move { RedisTtl::open(&waiting).await.map(drop) });
    server.run().await;
    opening.await.unwrap().unwrap();
    wait_for("the connection is back", async || store.get("session").await.is_ok()).await;
    assert_eq!(store.get("session").await.unwrap(), Some(Bytes::from_static(b"open")));
    let found = store.claim(&claim(&entries, "b")).await.unwrap();
    assert!(found[..250].iter().all(|found| *found == Claim::Done), "{:?}", found[0]);
    assert!(found[250..].iter().all(|found| matches!(found, Claim::HeldUntil(_))), "{:?}", found[250]);
    assert!(store.renew(&claim(&entries[250..], "a")).await.unwrap(), "its owner holds it over the restart");
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_in_time() {
    let Some(server) = Server::start(&[]).await else { return };
    let options = RedisOptions { answer_max: Duration::from_millis(500), ..options(&server.url()) };
    let store = RedisTtl::open(&options).await.unwrap();
    server.signal("STOP");
    let begin = Instant::now();
    let error = store.claim(&claim(&entries(1), "a")).await.unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(5), "told after {:?}", begin.elapsed());
    assert!(fault(&error).may_pass(), "{error:?}");
    let silent = RedisTtl::open(&options).await.err().unwrap();
    assert!(silent.may_pass(), "{silent:?}");
    server.signal("CONT");
    wait_for("it answers again", async || store.claim(&claim(&entries(1), "a")).await.is_ok()).await;
}

#[tokio::test]
async fn a_wiped_server_stops_everything_until_a_ledger_is_begun() {
    let Some(mut server) = Server::start(&[]).await else { return };
    let options = options(&server.url());
    let (store, other) = (RedisTtl::open(&options).await.unwrap(), RedisTtl::open(&options).await.unwrap());
    let entries = entries(3);
    store.claim(&claim(&entries, "a")).await.unwrap();
    store.done("scanner.0", &entries[..1]).await.unwrap();

    server.command(&["FLUSHALL"]).await;
    refuses_everything(&store, &entries).await;
    refuses_everything(&other, &entries).await;
    assert_eq!(server.command(&["DBSIZE"]).await, "0", "nothing was written");
    let strict = RedisOptions { on_empty: OnEmpty::Refuse, ..options.clone() };
    let error = RedisTtl::open(&strict).await.err().unwrap();
    assert!(matches!(&error, RedisError::NoMark { prefix, .. } if *prefix == options.prefix), "{error:?}");
    // A restart of the server does not change that.
    server.kill();
    server.run().await;
    for store in [&store, &other] {
        wait_for("it answers", async || is_answered(store).await).await;
    }
    refuses_everything(&store, &entries).await;

    let settle = Duration::from_millis(1500);
    assert!(RedisTtl::begin(&options, settle).await.unwrap());
    assert!(!RedisTtl::begin(&options, settle).await.unwrap(), "there is one");
    assert!(!store.renew(&claim(&entries[1..], "a")).await.unwrap(), "its owner learns that it lost");
    let error = other.claim(&claim(&entries, "b")).await.unwrap_err();
    let RedisError::Settling { left, .. } = fault(&error) else { panic!("{error:?}") };
    assert!(*left <= settle && fault(&error).may_pass(), "{left:?}");
    wait_for("claims are given", async || other.claim(&claim(&entries, "b")).await.is_ok()).await;
    let found = other.claim(&claim(&entries, "b")).await.unwrap();
    assert_eq!(found, [Claim::Fresh; 3], "what was done before is forgotten, and that was accepted");
    assert!(matches!(store.claim(&claim(&entries, "a")).await.unwrap()[0], Claim::HeldUntil(_)));
}

/// Whether a store has its connection back, whatever it is told by it.
async fn is_answered(store: &RedisTtl) -> bool {
    match store.get("session").await {
        Ok(_) => true,
        Err(error) => !matches!(fault(&error), RedisError::Unreachable { .. } | RedisError::Silent { .. }),
    }
}

async fn refuses_everything(store: &RedisTtl, entries: &[LedgerEntry]) {
    let claim = claim(entries, "a");
    let value = Bytes::from_static(b"x");
    let answers = [
        store.claim(&claim).await.map(drop),
        store.renew(&claim).await.map(drop),
        store.done("scanner.0", entries).await,
        store.release(&claim).await,
        store.forget("scanner.0", entries).await,
        store.get("session").await.map(drop),
        store.put("session", value.clone(), LONG).await,
        store.put_absent("session", value, LONG).await.map(drop),
        store.delete("session").await,
        store.add("views", 1, LONG).await.map(drop),
        store.scan("", None).await.map(drop),
        store.sweep().await.map(drop),
    ];
    for (index, answer) in answers.into_iter().enumerate() {
        let error = answer.unwrap_err();
        assert!(matches!(fault(&error), RedisError::NoMark { .. }) && fault(&error).may_pass(), "{index}: {error:?}");
    }
}

#[tokio::test]
async fn settings_that_forget_are_refused() {
    for (arguments, expected) in [
        (["--appendonly", "no"], "appendonly is off, so that a restart brings an old state back; yes is wanted"),
        (["--maxmemory-policy", "allkeys-lru"], "maxmemory-policy is allkeys-lru, noeviction is wanted"),
    ] {
        let Some(server) = Server::start(&arguments).await else { return };
        let error = RedisTtl::open(&options(&server.url())).await.err().unwrap();
        assert_eq!(error.to_string(), format!("redis at {} may forget: {expected}", server.address()));
        assert!(!error.may_pass());
        let warned = RedisOptions { forgetting: Forgetting::Warn, ..options(&server.url()) };
        RedisTtl::open(&warned).await.unwrap();
    }
}

#[tokio::test]
async fn a_full_server_refuses_and_keeps_what_it_has() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = RedisTtl::open(&options(&server.url())).await.unwrap();
    let entries = entries(2);
    store.claim(&claim(&entries[..1], "a")).await.unwrap();
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let error = store.claim(&claim(&entries[1..], "a")).await.unwrap_err();
    assert!(fault(&error).may_pass(), "{error:?}");
    server.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
    let found = store.claim(&claim(&entries, "b")).await.unwrap();
    assert!(matches!(found[..], [Claim::HeldUntil(_), Claim::Fresh]), "{found:?}");
}

#[tokio::test]
async fn a_wrong_login_is_told_without_its_password() {
    let Some(server) = Server::start(&["--requirepass", "open sesame"]).await else { return };
    let login = |user: &str, password: &str| {
        let login = Login { user: user.to_owned(), password: password.to_owned().into() };
        RedisOptions { login: Some(login), open_wait: Duration::from_secs(30), ..options(&server.url()) }
    };
    let nobody = RedisOptions { open_wait: Duration::from_secs(30), ..options(&server.url()) };
    for (options, named) in
        [(login("", "wr0ng"), "\"\""), (login("eve", "wr0ng"), "\"eve\""), (nobody, "without a login")]
    {
        let error = RedisTtl::open(&options).await.err().unwrap();
        assert!(matches!(error, RedisError::Login { .. }) && !error.may_pass(), "{error:?}");
        let told = format!("{error} {error:?}");
        assert!(told.contains(named) && told.contains(&server.address()) && !told.contains("wr0ng"), "{told}");
    }
    RedisTtl::open(&login("", "open sesame")).await.unwrap();
    RedisTtl::open(&login("default", "open sesame")).await.unwrap();
}

/// Returns the median times of claims, renewals and completions of batches of 500.
async fn time_batches(store: &RedisTtl, entries: &[LedgerEntry]) -> [Duration; 3] {
    let mut rounds = [Vec::new(), Vec::new(), Vec::new()];
    for batch in entries.chunks(500) {
        let claim = claim(batch, "a");
        let begin = Instant::now();
        assert!(store.claim(&claim).await.unwrap().iter().all(|found| *found == Claim::Fresh));
        let claimed = begin.elapsed();
        assert!(store.renew(&claim).await.unwrap());
        let renewed = begin.elapsed();
        store.done("scanner.0", batch).await.unwrap();
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
    let Some(options) = on_named_server() else { return };
    let store = RedisTtl::open(&options).await.unwrap();
    let all = entries(40_000);
    let empty = time_batches(&store, &all[..5_000]).await;
    time_batches(&store, &all[5_000..35_000]).await;
    let full = time_batches(&store, &all[35_000..]).await;
    println!("batches of 500, [claim, renewal, done]: in an empty ledger {empty:?}, beside 35,000 records {full:?}");
    for (empty, full) in empty.into_iter().zip(full) {
        assert!(full < empty * 10 + Duration::from_millis(50), "{full:?} in a full ledger, {empty:?} in an empty one");
    }
    store.forget("scanner.0", &all).await.unwrap();
}
