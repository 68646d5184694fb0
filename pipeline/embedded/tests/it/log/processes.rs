//! Two processes of the operating system on one log: waking each other, and one taking over what the other held when it
//! was killed. The second process is this test's own program, told by a variable what to do.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mcsp_events::Topic;
use mcsp_runtime::{Completion, EventLog};

use super::{join, message, open};

const PATH: &str = "MCSP_TEST_LOG";
const PATIENCE: Duration = Duration::from_secs(30);

fn other(test: &str, path: &Path) -> Child {
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    command.args([test, "--exact", "--nocapture"]).env(PATH, path).stdout(Stdio::null());
    command.spawn().unwrap()
}

/// Answers each upload with a chunk, until it is killed; the second process of a test below, else it does nothing.
#[tokio::test]
async fn echo() {
    let Some(path) = std::env::var_os(PATH) else { return };
    let log = open(Path::new(&path)).await.unwrap();
    let subscription = join(&log, "echo", Topic::UploadCompleted).await;
    loop {
        for record in subscription.next(1, 1, Duration::from_secs(5)).await.unwrap() {
            let number = record.payload.len();
            let outputs = vec![message(Topic::UserEngagement, u64::try_from(number).unwrap(), number)];
            subscription.complete(Completion { records: vec![record], outputs }).await.unwrap();
        }
    }
}

/// Takes a record and holds it, until it is killed; the second process of a test below, else it does nothing.
#[tokio::test]
async fn hold() {
    let Some(path) = std::env::var_os(PATH) else { return };
    let log = open(Path::new(&path)).await.unwrap();
    let subscription = join(&log, "holders", Topic::UploadCompleted).await;
    while subscription.next(1, 1, Duration::from_secs(5)).await.unwrap().is_empty() {}
    log.append(vec![message(Topic::UserEngagement, 1, 1)]).await.unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_wake_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    let log = open(&path).await.unwrap();
    let answers = join(&log, "answers", Topic::UserEngagement).await;
    let mut echo = other("log::processes::echo", &path);
    let mut fastest = Duration::MAX;
    for number in 1..=20 {
        let begin = Instant::now();
        log.append(vec![message(Topic::UploadCompleted, number, usize::try_from(number).unwrap())]).await.unwrap();
        let answer = answers.next(1, 1, PATIENCE).await.unwrap();
        assert_eq!(answer.len(), 1, "no answer to {number} within {PATIENCE:?}");
        assert_eq!(answer[0].payload.len(), usize::try_from(number).unwrap());
        answers.complete(Completion { records: answer, outputs: Vec::new() }).await.unwrap();
        fastest = fastest.min(begin.elapsed());
    }
    echo.kill().unwrap();
    echo.wait().unwrap();
    // The look of each second alone would take longer than this in most of twenty rounds there and back.
    assert!(fastest < Duration::from_millis(500), "the fastest answer took {fastest:?}: nobody was woken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_loses_its_partitions_before_its_lease_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    let log = open(&path).await.unwrap();
    let holds = join(&log, "watchers", Topic::UserEngagement).await;
    log.append(vec![message(Topic::UploadCompleted, 1, 1)]).await.unwrap();
    let mut holder = other("log::processes::hold", &path);
    let says_so = holds.next(1, 1, PATIENCE).await.unwrap();
    assert_eq!(says_so.len(), 1, "the other process took no record");
    let heir = join(&log, "holders", Topic::UploadCompleted).await;
    assert!(heir.next(1, 1, Duration::from_millis(100)).await.unwrap().is_empty(), "the record is out");
    holder.kill().unwrap();
    holder.wait().unwrap();
    let begin = Instant::now();
    let records = heir.next(1, 1, PATIENCE).await.unwrap();
    assert_eq!(records.len(), 1, "the record of the dead process never came");
    assert!(begin.elapsed() < Duration::from_secs(8), "its lock says at once that it is dead: {:?}", begin.elapsed());
    heir.complete(Completion { records, outputs: Vec::new() }).await.unwrap();
}
