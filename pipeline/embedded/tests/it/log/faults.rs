//! What the log refuses to open, and what it says when the disk or another process is in the way.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use mcsp_embedded::{ExtraTopic, LogOptions, SqliteLog, TopicOverride};
use mcsp_events::{Durability, Topic, TopicName};
use mcsp_runtime::{Completion, EventLog, LogError};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};

use super::{join, message, open, told};

async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap()
}

async fn run(connection: &mut SqliteConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(connection).await.unwrap();
}

#[tokio::test]
async fn a_foreign_file_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    run(&mut raw(&path).await, "CREATE TABLE film (title TEXT); PRAGMA application_id = 7").await;
    let before = std::fs::read(&path).unwrap();
    let error = open(&path).await.err().unwrap();
    let text = told(&error);
    assert!(text.contains(&format!("{} is no file of this kind: application id 7", path.display())), "{text}");
    assert_eq!(std::fs::read(&path).unwrap(), before, "not a byte of it has changed");

    let path = folder.path().join("film.mp4");
    std::fs::write(&path, [0x55; 8192]).unwrap();
    let error = open(&path).await.err().unwrap();
    assert!(told(&error).contains("film.mp4 is no sound SQLite database"), "{}", told(&error));
}

#[tokio::test]
async fn another_schema_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    drop(open(&path).await.unwrap());
    run(&mut raw(&path).await, "PRAGMA user_version = 9").await;
    let error = open(&path).await.err().unwrap();
    let expected = format!("{} has schema version 9, this build knows version 1", path.display());
    assert!(told(&error).contains(&expected), "{}", told(&error));
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), b"").unwrap();
    let path = folder.path().join("file/events.db");
    let error = open(&path).await.err().unwrap();
    assert!(told(&error).contains(&format!("{} cannot be used", folder.path().join("file").display())));

    let mount = tempfile::tempdir().unwrap();
    if !mounted(mount.path(), "size=1m,ro") {
        eprintln!("skipped: no tmpfs can be mounted here, a read-only disk is not tried");
        return;
    }
    let path = mount.path().join("events.db");
    let error = open(&path).await.err();
    unmount(mount.path());
    let error = error.unwrap();
    assert!(told(&error).contains(&format!("{} cannot be opened for writing", path.display())), "{}", told(&error));
    assert!(error.may_pass(), "it may be writable later");
}

#[tokio::test]
async fn a_full_disk_loses_nothing() {
    let mount = tempfile::tempdir().unwrap();
    if !mounted(mount.path(), "size=3m") {
        eprintln!("skipped: no tmpfs can be mounted here, a full disk is not tried");
        return;
    }
    let path = mount.path().join("events.db");
    let log = open(&path).await.unwrap();
    let mut taken = 0;
    let error = loop {
        let batch = (taken..taken + 50).map(|number| message(Topic::UploadCompleted, number, 4000)).collect();
        match log.append(batch).await {
            Ok(()) => taken += 50,
            Err(error) => break error,
        }
        assert!(taken < 10_000, "a disk of 3 MiB took {taken} events of 4 kB");
    };
    let mut held = 0;
    for span in log.partitions(&Topic::UploadCompleted.into()).await.unwrap() {
        let records = log.read(&Topic::UploadCompleted.into(), span.partition, 0, 10_000).await.unwrap();
        held += records.len();
    }
    drop(log);
    unmount(mount.path());
    let text = told(&error);
    assert!(text.contains(&format!("the disk of {} is full", path.display())), "{text}");
    assert!(error.may_pass(), "time may help");
    assert_eq!(u64::try_from(held).unwrap(), taken, "what was taken is there, what was refused is not");
}

#[tokio::test]
async fn a_file_that_is_held_is_waited_for_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    let busy = Duration::from_millis(300);
    let log = SqliteLog::open(&path, LogOptions { busy, ..LogOptions::default() }).await.unwrap();
    let mut holder = raw(&path).await;
    run(&mut holder, "BEGIN IMMEDIATE").await;
    let begin = Instant::now();
    let error = log.append(vec![message(Topic::UploadCompleted, 1, 10)]).await.unwrap_err();
    assert!(begin.elapsed() >= busy, "it waited for {:?} only", begin.elapsed());
    let expected = format!("{} is held by another process for more than 300 ms", path.display());
    assert!(told(&error).contains(&expected), "{}", told(&error));
    assert!(error.may_pass(), "time may help");
    run(&mut holder, "ROLLBACK").await;
    log.append(vec![message(Topic::UploadCompleted, 1, 10)]).await.unwrap();
}

#[tokio::test]
async fn partitions_grow_while_nobody_else_looks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    let with = |partitions| {
        let change = TopicOverride { partitions: Some(partitions), ..TopicOverride::default() };
        LogOptions { overrides: [(Topic::UploadCompleted.into(), change)].into(), ..LogOptions::default() }
    };
    let first = open(&path).await.unwrap();
    let error = SqliteLog::open(&path, with(12)).await.err().unwrap();
    assert!(error.to_string().ends_with("12 asked for: stop the other processes of this log"), "{error}");
    drop(first);
    let log = SqliteLog::open(&path, with(12)).await.unwrap();
    assert_eq!(log.partitions(&Topic::UploadCompleted.into()).await.unwrap().len(), 12);
    drop(log);
    let error = SqliteLog::open(&path, with(4)).await.err().unwrap();
    assert!(error.to_string().contains("has 12 partitions and cannot get fewer, 4 asked for"), "{error}");
    let kept = open(&path).await.unwrap();
    assert_eq!(
        kept.partitions(&Topic::UploadCompleted.into()).await.unwrap().len(),
        12,
        "kept without being asked for"
    );
    drop(kept);

    let mut options = with(2000);
    let error = SqliteLog::open(&path, options.clone()).await.err().unwrap();
    assert!(error.to_string().contains("2000 partitions, 1 to 1024 allowed"), "{error}");
    let name = TopicName::parse("synthetic").unwrap();
    options.overrides = [(name.clone(), TopicOverride::default())].into();
    let error = SqliteLog::open(&path, options.clone()).await.err().unwrap();
    assert_eq!(error.to_string(), "topic synthetic is not in the catalogue");
    let retention = Duration::from_secs(60);
    options.extra_topics =
        vec![ExtraTopic { name: name.clone(), partitions: 3, durability: Durability::Process, retention }];
    let log = SqliteLog::open(&path, options).await.unwrap();
    assert_eq!(log.partitions(&name).await.unwrap().len(), 3);
}

async fn count(connection: &mut SqliteConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
}

#[tokio::test]
async fn a_completion_that_fails_at_its_last_step_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    let log = open(&path).await.unwrap();
    let subscription = join(&log, "readers", Topic::UploadCompleted).await;
    log.append(vec![message(Topic::UploadCompleted, 1, 10)]).await.unwrap();
    let records = subscription.next(1, 1, Duration::from_secs(30)).await.unwrap();
    assert_eq!(records.len(), 1);
    let mut other = raw(&path).await;
    // The ledger's rows are written behind offsets and outputs.
    let trigger = "CREATE TRIGGER refuse BEFORE INSERT ON ledger WHEN
                       (SELECT count(*) FROM record) = 3 AND (SELECT sum(committed) FROM place) = 1
                   BEGIN SELECT raise(ABORT, 'everything else is written'); END";
    run(&mut other, trigger).await;
    let outputs = vec![message(Topic::UserEngagement, 1, 10), message(Topic::UserEngagement, 2, 10)];
    let done = Completion { records, outputs };
    let error = subscription.complete(done.clone()).await.unwrap_err();
    let causes = format!("{error:?}");
    assert!(causes.contains("everything else is written"), "{causes}");
    let visible = "SELECT (SELECT count(*) - 1 FROM record) + (SELECT count(*) FROM ledger)
                       + (SELECT sum(committed) FROM place) + (SELECT sum(next) - 1 FROM part)";
    assert_eq!(count(&mut other, visible).await, 0, "no output, no row in the ledger, no offset");
    assert!(subscription.owns(&done.records[0]), "the record is still out");
    run(&mut other, "DROP TRIGGER refuse").await;
    subscription.complete(done).await.unwrap();
    assert_eq!(count(&mut other, visible).await, 2 + 2 + 1 + 2, "outputs, two keys in the ledger, offset, ends");
}

#[tokio::test]
async fn a_fenced_member_that_cannot_look_gets_its_records_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    let log = open(&path).await.unwrap();
    let subscription = join(&log, "readers", Topic::UploadCompleted).await;
    log.append(vec![message(Topic::UploadCompleted, 1, 10)]).await.unwrap();
    let records = subscription.next(1, 1, Duration::from_secs(30)).await.unwrap();
    assert_eq!(records.len(), 1);
    let mut other = raw(&path).await;
    // It loses the partition and gets it again; until it is told, the look at its group fails.
    let lose = "BEGIN IMMEDIATE; CREATE TABLE hidden AS SELECT * FROM consumer_group; DELETE FROM consumer_group;
                UPDATE place SET generation = generation + 2; COMMIT";
    run(&mut other, lose).await;
    let fenced = subscription.complete(Completion { records: records.clone(), outputs: Vec::new() }).await;
    assert!(matches!(fenced, Err(LogError::Fenced { .. })), "{fenced:?}");
    let show = "BEGIN IMMEDIATE; INSERT INTO consumer_group SELECT * FROM hidden; DROP TABLE hidden; COMMIT";
    run(&mut other, show).await;
    let again = subscription.next(1, 1, Duration::from_secs(30)).await.unwrap();
    assert_eq!(again, records, "the same record, of the right that it has now");
    subscription.complete(Completion { records: again, outputs: Vec::new() }).await.unwrap();
}

/// Mounts a small disk. Returns whether that is allowed here.
fn mounted(at: &Path, options: &str) -> bool {
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(at).output();
    mount.is_ok_and(|output| output.status.success())
}

fn unmount(at: &Path) {
    // Lazily: the log's connections close in threads of their own.
    assert!(Command::new("umount").arg("--lazy").arg(at).status().unwrap().success());
}
