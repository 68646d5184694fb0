//! A real child tries every forbidden act and fails at each; acts that use up a bound end at that bound.
//!
//! Needs the program `mcsp-media` in the target folder, which a build of the workspace puts there.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use std::io::BufRead;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mcsp_child::{Act, ActOutcome, FromChild, Isolation, JobLimits, Work};
use mcsp_sandbox::{Sandbox, SandboxError, Session, Source, limits_for};

const WALL: Duration = Duration::from_secs(60);

fn sandbox() -> Sandbox {
    Sandbox::beside_current_exe(Isolation::Strict)
        .unwrap_or_else(|error| panic!("{error}: build the workspace first (cargo build --package mcsp-media)"))
}

fn source(folder: &tempfile::TempDir) -> Source {
    let path = folder.path().join("source");
    std::fs::write(&path, "not media").unwrap();
    Source::file(Arc::new(std::fs::File::open(path).unwrap())).unwrap()
}

fn limits() -> JobLimits {
    limits_for(&Work::Probe, 9, None)
}

async fn start(sandbox: &Sandbox, act: Act, limits: JobLimits, wall: Duration) -> Session {
    let folder = mcsp_fixtures::temp_dir();
    sandbox.start(&source(&folder), Work::Attempt { act }, limits, wall).await.unwrap()
}

/// Returns the last message, or the error that ended the session.
async fn outcome(session: &mut Session) -> Result<ActOutcome, SandboxError> {
    let mut last = None;
    while let Some(message) = session.next().await? {
        last = Some(message);
    }
    match last {
        Some(FromChild::Outcome(outcome)) => Ok(outcome),
        other => panic!("the child answered {other:?}"),
    }
}

#[tokio::test]
async fn every_forbidden_act_fails() {
    for act in Act::FORBIDDEN {
        let mut session = start(&sandbox(), act, limits(), WALL).await;
        assert!(session.hello().layers.iter().all(|layer| layer.in_force), "{act:?}: {:?}", session.hello());
        let answer = match outcome(&mut session).await {
            Ok(outcome) if !outcome.managed => outcome.detail,
            Err(error @ SandboxError::ForbiddenCall) => error.to_string(),
            other => panic!("{act:?} came to {other:?}"),
        };
        let killed = "media process was killed for a forbidden system call";
        let expected = match act {
            Act::OpenFile | Act::CreateFile | Act::MapExecutable => "Operation not permitted (os error 1)",
            _ => killed,
        };
        assert_eq!(answer, expected, "{act:?}");
    }
    assert!(!std::path::Path::new("/tmp/mcsp-media-attempt").exists());
}

#[tokio::test]
async fn layers_are_named_with_what_they_hold() {
    let mut session = start(&sandbox(), Act::OpenFile, limits(), WALL).await;
    let layers = session.hello().layers.iter();
    let text: Vec<String> =
        layers.map(|layer| format!("{} {}: {}", layer.name, layer.in_force, layer.detail)).collect();
    let text = text.join("\n");
    for part in [
        "descriptors true: 4 open",
        "environment true: empty",
        "no_new_privs true: set",
        "capabilities true: none",
        "landlock true: ABI ",
        "rlimits true: ",
        "seccomp true: ",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    session.stop().await;
}

#[tokio::test]
async fn memory_ends_at_its_bound() {
    let limits = JobLimits { memory_bytes: 1 << 30, ..limits() };
    let mut session = start(&sandbox(), Act::Allocate, limits, WALL).await;
    let outcome = outcome(&mut session).await.unwrap();
    assert!(!outcome.managed && outcome.detail.contains("Cannot allocate memory"), "{outcome:?}");
    let usage = session.usage().unwrap();
    assert!(usage.memory_peak_bytes < limits.memory_bytes, "{usage:?}");
}

#[tokio::test]
async fn processor_time_ends_at_its_bound() {
    let limits = JobLimits { cpu_seconds: 1, ..limits() };
    let mut session = start(&sandbox(), Act::Spin, limits, WALL).await;
    let error = outcome(&mut session).await.unwrap_err();
    assert!(matches!(error, SandboxError::CpuLimit { cpu_seconds: 1 }), "{error:?}");
    let usage = session.usage().unwrap();
    // The kernel counts the limit by its clock's ticks and the usage exactly: on a loaded machine they differ by a tenth.
    assert!(usage.cpu >= Duration::from_millis(500) && usage.cpu < Duration::from_secs(3), "{usage:?}");
}

#[tokio::test]
async fn a_hanging_child_meets_the_deadline_of_the_job() {
    let started = Instant::now();
    let mut session = start(&sandbox(), Act::Hang, limits(), Duration::from_secs(2)).await;
    let process_id = session.process_id().unwrap();
    let error = outcome(&mut session).await.unwrap_err();
    assert!(matches!(error, SandboxError::TimedOut { wall_seconds: 2 }), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert!(!is_alive(process_id));
}

#[tokio::test]
async fn a_silent_child_is_stopped_before_the_deadline() {
    let sandbox = sandbox().with_stall(Duration::from_secs(1));
    let error = outcome(&mut start(&sandbox, Act::Hang, limits(), WALL).await).await.unwrap_err();
    assert!(matches!(error, SandboxError::Stalled { stall_seconds: 1 }), "{error:?}");
}

#[tokio::test]
async fn output_ends_at_its_bound() {
    let limits = JobLimits { output_bytes: 10 << 20, ..limits() };
    let mut session = start(&sandbox(), Act::Flood, limits, WALL).await;
    let mut units = 0;
    let error = loop {
        match session.next().await {
            Ok(Some(FromChild::AccessUnit { .. })) => units += 1,
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, SandboxError::OutputLimit { .. }), "{error:?}");
    assert_eq!(units, 9);
}

#[tokio::test]
async fn a_crash_is_named_by_its_signal() {
    let error = outcome(&mut start(&sandbox(), Act::Crash, limits(), WALL).await).await.unwrap_err();
    assert!(matches!(error, SandboxError::Crashed { signal: libc::SIGSEGV }), "{error:?}");
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn a_child_killed_from_outside_may_be_tried_again() {
    let mut session = start(&sandbox(), Act::Hang, limits(), WALL).await;
    kill(session.process_id().unwrap());
    let error = outcome(&mut session).await.unwrap_err();
    assert!(matches!(error, SandboxError::Killed { signal: libc::SIGKILL }), "{error:?}");
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_dropped_session_leaves_no_process() {
    let session = start(&sandbox(), Act::Spin, limits(), WALL).await;
    let process_id = session.process_id().unwrap();
    assert!(is_alive(process_id));
    drop(session);
    wait_for_end(process_id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_outlives_the_thread_that_asked_for_it() {
    let runtime = tokio::runtime::Handle::current();
    let asked = std::thread::spawn(move || runtime.block_on(start(&sandbox(), Act::Hang, limits(), WALL)));
    let session = tokio::task::spawn_blocking(|| asked.join().unwrap()).await.unwrap();
    // A signal that came with the thread's death would have come before another child is up and confined.
    drop(start(&sandbox(), Act::Hang, limits(), WALL).await);
    assert!(is_alive(session.process_id().unwrap()));
}

/// Runs itself as a second process, which starts a child and is then killed.
#[tokio::test]
async fn a_killed_parent_takes_its_child_along() {
    const ROLE: &str = "MCSP_TEST_PARENT";
    if std::env::var_os(ROLE).is_some() {
        let session = start(&sandbox(), Act::Hang, limits(), WALL).await;
        println!("\nchild {}", session.process_id().unwrap());
        return std::future::pending().await;
    }
    let test = ["--exact", "a_killed_parent_takes_its_child_along", "--nocapture"];
    let mut parent = std::process::Command::new(std::env::current_exe().unwrap())
        .args(test)
        .env(ROLE, "1")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(parent.stdout.take().unwrap()).lines();
    let child: u32 = lines.find_map(|line| line.unwrap().strip_prefix("child ")?.parse().ok()).unwrap();
    assert!(is_alive(child));
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_for_end(child).await;
}

async fn wait_for_end(process_id: u32) {
    let deadline = Instant::now() + WALL;
    let mut looks = tokio::time::interval(Duration::from_millis(10));
    while is_alive(process_id) {
        assert!(Instant::now() < deadline, "process {process_id} still runs");
        looks.tick().await;
    }
}

/// Tells whether a process of this id exists and is no zombie.
fn is_alive(process_id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process_id}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}

fn kill(process_id: u32) {
    let status = std::process::Command::new("kill").args(["-9", &process_id.to_string()]).status().unwrap();
    assert!(status.success());
}
