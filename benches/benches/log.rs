//! The event log on SQLite, as operators feel it: how many records a second go in and come out, what completing costs, and
//! how soon a handler hears of an append, in one process and over two. Each row names its data, durability and batch.
//!
//! Plain timing: the figures are rates of a file that grows, which repeated short samples would not show.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints its rows and panics as its report")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mcsp_domain::EventId;
use mcsp_embedded::{LogOptions, SqliteLog, TopicOverride};
use mcsp_events::{Durability, GroupName, Headers, Message, Topic, TopicName};
use mcsp_runtime::{Completion, EventLog, SubscribeOptions, Subscription, now_us};

/// A topic whose appends survive the process, and one whose appends are on the disk.
const PROCESS: Topic = Topic::UserEngagement;
const SYNCED: Topic = Topic::UploadCompleted;
const PAYLOAD_BYTES: usize = 512;
/// Tells the second process where the log is.
const PATH: &str = "MCSP_BENCH_LOG";
/// Tells it whether appends are synced.
const SYNC: &str = "MCSP_BENCH_LOG_SYNCED";

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    if let Some(path) = std::env::var_os(PATH) {
        return second_process(Path::new(&path)).await;
    }
    // Beside the build, so that the disk is measured and not a file system in memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    appends(&folder.path().join("appends.db")).await;
    fdatasync(&folder.path().join("plain"));
    fio(folder.path());
    completes(&folder.path().join("completes.db")).await;
    for durability in [Durability::Process, Durability::Synced] {
        for two in [false, true] {
            latency(&folder.path().join(format!("{durability:?}-{two}/events.db")), durability, two).await;
        }
    }
}

fn message(topic: Topic, number: u64) -> Message {
    let headers = Headers {
        id: EventId::derived(&[topic.name().as_bytes(), &number.to_be_bytes()]),
        kind: topic.name().to_owned(),
        version: 1,
        source: "bench".to_owned(),
        time_us: now_us(),
        traceparent: None,
        cause: None,
        worker: Some("bench-1".to_owned()),
        attempt: Some(1),
        started_us: Some(now_us()),
        dead: None,
    };
    let key = format!("key {}", number % 1000);
    Message { topic: topic.into(), key, spread: 0, headers, payload: vec![b'x'; PAYLOAD_BYTES] }
}

fn messages(topic: Topic, numbers: std::ops::Range<u64>) -> Vec<Message> {
    numbers.map(|number| message(topic, number)).collect()
}

/// Returns options that make the requests of the latency rows as durable as is asked for.
fn with(durability: Durability) -> LogOptions {
    let change = TopicOverride { durability: Some(durability), ..TopicOverride::default() };
    LogOptions { overrides: [(Topic::SubscriptionChanged.into(), change)].into(), ..LogOptions::default() }
}

async fn join(log: &SqliteLog, group: &str, topic: Topic) -> Box<dyn Subscription> {
    let options = SubscribeOptions { member: "bench".to_owned(), lease: Duration::from_secs(30) };
    log.subscribe(&GroupName::parse(group).unwrap(), &[topic.into()], options).await.unwrap()
}

fn rate(what: &str, count: u64, begin: Instant) {
    let seconds = begin.elapsed().as_secs_f64();
    println!("{what:<72} {:>10.0} /s", f64::from(u32::try_from(count).unwrap()) / seconds);
}

fn percentiles(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |permille: usize| times[(times.len() * permille / 1000).min(times.len() - 1)].as_secs_f64() * 1000.0;
    println!("{what:<72} p50 {:>7.3} ms  p99 {:>7.3} ms", at(500), at(990));
}

async fn appends(path: &Path) {
    let log = SqliteLog::open(path, LogOptions::default()).await.unwrap();
    let prepared: Vec<_> = (0..200).map(|batch| messages(PROCESS, batch * 500..batch * 500 + 500)).collect();
    let begin = Instant::now();
    for batch in prepared {
        log.append(batch).await.unwrap();
    }
    rate("append, 512 B, process, batches of 500", 100_000, begin);
    let begin = Instant::now();
    for number in 100_000..105_000 {
        log.append(vec![message(PROCESS, number)]).await.unwrap();
    }
    rate("append, 512 B, process, one by one", 5_000, begin);
    let begin = Instant::now();
    for number in 0..500 {
        log.append(vec![message(SYNCED, number)]).await.unwrap();
    }
    rate("append, 512 B, synced, one by one", 500, begin);
    let begin = Instant::now();
    for batch in 2..22 {
        log.append(messages(SYNCED, batch * 500..batch * 500 + 500)).await.unwrap();
    }
    rate("append, 512 B, synced, batches of 500", 10_000, begin);
    let topic = TopicName::from(PROCESS);
    let begin = Instant::now();
    let mut count = 0;
    for span in log.partitions(&topic).await.unwrap() {
        let mut from = span.begin_offset;
        while from < span.end_offset {
            let records = log.read(&topic, span.partition, from, 2000).await.unwrap();
            count += u64::try_from(records.len()).unwrap();
            from = records.last().unwrap().offset + 1;
        }
    }
    rate("read, 512 B, by offset, 2000 a call", count, begin);
}

/// The same disk without a database: one block written and synced at a time.
fn fdatasync(path: &Path) {
    let mut file = std::fs::File::create(path).unwrap();
    let begin = Instant::now();
    for _ in 0..500 {
        file.write_all(&[0; 4096]).unwrap();
        file.sync_data().unwrap();
    }
    rate("plain file, 4 KiB written and fdatasync", 500, begin);
}

fn fio(folder: &Path) {
    let fio = Command::new("fio")
        .args(["--name=sync", "--rw=write", "--bs=4k", "--size=2m", "--fdatasync=1", "--output-format=terse"])
        .arg("--directory")
        .arg(folder)
        .output();
    match fio {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            // Field 49 of the terse format, version 3, is the write IOPS.
            println!("{:<72} {:>10} /s", "fio, 4 KiB writes, --fdatasync=1", text.split(';').nth(48).unwrap_or("?"));
        }
        Err(_) => println!("fio is not installed"),
    }
}

async fn completes(path: &Path) {
    let log = SqliteLog::open(path, LogOptions::default()).await.unwrap();
    let count = 50_000;
    for batch in 0..count / 500 {
        log.append(messages(PROCESS, batch * 500..batch * 500 + 500)).await.unwrap();
    }
    let subscription = join(&log, "batches", PROCESS).await;
    let (mut taken, mut took, mut settled) = (0, Duration::ZERO, Duration::ZERO);
    let begin = Instant::now();
    while taken < count {
        let start = Instant::now();
        let records = subscription.next(500, 500, Duration::from_secs(5)).await.unwrap();
        took += start.elapsed();
        taken += u64::try_from(records.len()).unwrap();
        let start = Instant::now();
        subscription.complete(Completion { records, outputs: Vec::new() }).await.unwrap();
        settled += start.elapsed();
    }
    rate("take and complete, 512 B, process, 500 a call", count, begin);
    let each = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(u32::try_from(count).unwrap());
    println!("{:<72} {:>10.1} us/record", "  of that next", each(took));
    println!("{:<72} {:>10.1} us/record", "  of that complete (offsets, ledger)", each(settled));

    let subscription = join(&log, "singles", PROCESS).await;
    let mut times = Vec::new();
    let mut synced = Vec::new();
    for number in 0..2000 {
        let start = Instant::now();
        let records = subscription.next(1, 1, Duration::from_secs(5)).await.unwrap();
        let topic = if number % 10 == 0 { SYNCED } else { PROCESS };
        let outputs = vec![message(topic, 1_000_000 + number)];
        subscription.complete(Completion { records, outputs }).await.unwrap();
        if topic == SYNCED { &mut synced } else { &mut times }.push(start.elapsed());
    }
    percentiles("take and complete one, one output, process", times);
    percentiles("take and complete one, one output, synced", synced);
}

/// Measures from before an append until its record is in a handler's hands; over two processes the handler's process tells
/// when that was, by the machine's one clock.
async fn latency(path: &Path, durability: Durability, two: bool) {
    let log = SqliteLog::open(path, with(durability)).await.unwrap();
    let answers = join(&log, "answers", PROCESS).await;
    let mut other = two.then(|| {
        let program = std::env::current_exe().unwrap();
        let synced = u8::from(durability == Durability::Synced).to_string();
        Command::new(program).env(PATH, path).env(SYNC, synced).stdout(Stdio::null()).spawn().unwrap()
    });
    let echo = async { if two { std::future::pending().await } else { answer(&log).await } };
    let measure = async {
        let mut times = Vec::new();
        for number in 0..1000 {
            let begin_us = now_us();
            log.append(vec![message(Topic::SubscriptionChanged, number)]).await.unwrap();
            let records = answers.next(1, 1, Duration::from_secs(10)).await.unwrap();
            let heard_us = records[0].headers.started_us.unwrap();
            answers.complete(Completion { records, outputs: Vec::new() }).await.unwrap();
            // The first rounds wait for the second process to start.
            if number >= 50 {
                times.push(Duration::from_micros(u64::try_from(heard_us - begin_us).unwrap_or(0)));
            }
        }
        times
    };
    let times = tokio::select! {
        times = measure => times,
        () = echo => unreachable!("the echo has no end"),
    };
    if let Some(other) = other.as_mut() {
        other.kill().unwrap();
        other.wait().unwrap();
    }
    let processes = if two { "two processes" } else { "one process" };
    percentiles(&format!("append to handler, {durability:?}, one by one, {processes}").to_lowercase(), times);
}

/// Answers each record with one that says when it was heard.
async fn answer(log: &SqliteLog) {
    let subscription = join(log, "echo", Topic::SubscriptionChanged).await;
    loop {
        for record in subscription.next(1, 1, Duration::from_secs(5)).await.unwrap() {
            let heard_us = now_us();
            let mut output = message(PROCESS, record.offset * 8 + u64::from(record.partition));
            output.headers.started_us = Some(heard_us);
            subscription.complete(Completion { records: vec![record], outputs: vec![output] }).await.unwrap();
        }
    }
}

async fn second_process(path: &Path) {
    let synced = std::env::var(SYNC).is_ok_and(|text| text == "1");
    let durability = if synced { Durability::Synced } else { Durability::Process };
    let log = SqliteLog::open(path, with(durability)).await.unwrap();
    answer(&log).await;
}
