//! Deaths: of a process in a step and while its saga waits, and of the server in a step. The process that is killed is this
//! test's own program, told by variables what to do.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mcsp_runtime::saga::{SagaDefinition, Step};
use mcsp_runtime::{SagaEngine, SagaState};
use serde_json::json;
use tokio::sync::Notify;

use super::server::Server;
use super::{open, quick, reaches, status, until};

const ADDRESS: &str = "MCSP_TEST_TEMPORAL";
const NAMESPACE: &str = "MCSP_TEST_NAMESPACE";
const LOG: &str = "MCSP_TEST_LOG";
const HANGS: &str = "MCSP_TEST_HANGS";

fn say(log: &Path, line: &str) {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
    // One write a line: two processes share the file.
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn said(log: &Path) -> Vec<String> {
    std::fs::read_to_string(log).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Run a, run b, wait for `go`, run c. Each run says so; b hangs where it is told to.
fn list(log: &Path, hangs: bool) -> Vec<SagaDefinition> {
    let run = |name: &'static str| {
        let log = log.to_owned();
        Step::run(name, move |(): (), cx| {
            say(&log, &format!("{name} {} {}", cx.attempt, cx.idempotency_key));
            let hangs = hangs && name == "b";
            async move { if hangs { std::future::pending().await } else { Ok(()) } }
        })
    };
    let wait = Step::wait("w", "go", Duration::from_secs(600), |(): &mut (), seen| Ok(!seen.is_empty()));
    vec![SagaDefinition { name: "deaths", version: 1, steps: vec![run("a"), run("b"), wait, run("c")] }]
}

fn other(address: &str, namespace: &str, log: &Path, hangs: bool) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["temporal::deaths::other_process", "--exact", "--nocapture"]);
    command.env(ADDRESS, address).env(NAMESPACE, namespace).env(LOG, log).env(HANGS, hangs.to_string());
    command.stdout(Stdio::null()).spawn().unwrap()
}

/// Starts a saga and drives it, until it is killed; the second process of a test below, else it does nothing.
#[tokio::test]
async fn other_process() {
    let (Ok(address), Ok(namespace)) = (std::env::var(ADDRESS), std::env::var(NAMESPACE)) else { return };
    let log = PathBuf::from(std::env::var_os(LOG).unwrap());
    let hangs = std::env::var(HANGS).unwrap() == "true";
    let engine = open(&quick(&address, &namespace), list(&log, hangs)).await;
    engine.start("film:1", "deaths", json!(null)).await.unwrap();
    until("it waits", || async { status(&engine, "film:1").await.waits_for.is_some() }).await;
    say(&log, "waits");
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_killed_in_a_step_leaves_it_to_another() {
    let Some(address) = crate::engine::address("temporal") else { return };
    let (options, folder) = (super::fresh(&address).await, tempfile::tempdir().unwrap());
    let log = folder.path().join("log");
    let mut doomed = other(&address, &options.namespace, &log, true);
    until("b begins", || async { said(&log).len() == 2 }).await;
    doomed.kill().unwrap();
    doomed.wait().unwrap();
    let begin = Instant::now();
    let heir = open(&options, list(&log, false)).await;
    until("b is done by the heir", || async { said(&log).len() >= 3 }).await;
    println!("step of a killed process taken over in {:?}", begin.elapsed());
    heir.signal("film:1", "go", json!(1)).await.unwrap();
    reaches(&heir, "film:1", SagaState::Completed).await;
    let expected = ["a 1 film:1/a", "b 1 film:1/b", "b 2 film:1/b", "c 1 film:1/c"];
    assert_eq!(said(&log), expected, "the step in hand is repeated, with its key, and nothing else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_killed_while_its_saga_waits_loses_nothing() {
    let Some(address) = crate::engine::address("temporal") else { return };
    let (options, folder) = (super::fresh(&address).await, tempfile::tempdir().unwrap());
    let log = folder.path().join("log");
    let mut doomed = other(&address, &options.namespace, &log, false);
    until("the saga waits", || async { said(&log).last().is_some_and(|line| line == "waits") }).await;
    doomed.kill().unwrap();
    doomed.wait().unwrap();
    // Nobody is there when the signal comes; another engine, without this list, takes it.
    let desk = open(&options, Vec::new()).await;
    desk.signal("film:1", "go", json!(1)).await.unwrap();
    drop(desk);
    let begin = Instant::now();
    let heir = open(&options, list(&log, false)).await;
    reaches(&heir, "film:1", SagaState::Completed).await;
    println!("saga of a killed process that waited ended in {:?}", begin.elapsed());
    assert_eq!(said(&log), ["a 1 film:1/a", "b 1 film:1/b", "waits", "c 1 film:1/c"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_in_a_step_goes_on_where_it_was() {
    let Some(mut server) = Server::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let freed = Arc::new(Notify::new());
    let hold = {
        let (log, freed) = (log.clone(), freed.clone());
        Step::run("hold", move |(): (), cx| {
            let freed = freed.clone();
            say(&log, &format!("hold {}", cx.idempotency_key));
            async move {
                freed.notified().await;
                Ok(())
            }
        })
    };
    let mut lists = list(&log, false);
    lists[0].steps.insert(2, hold);
    let address = server.address();
    // It is not there yet: opening waits for it.
    let engine = open(&quick(&address, "default"), lists).await;
    engine.signal("film:1", "go", json!(1)).await.unwrap();
    engine.start("film:1", "deaths", json!(null)).await.unwrap();
    until("the step is in hand", || async { said(&log).len() == 3 }).await;
    server.kill();
    engine.check().await.unwrap_err();
    server.restart();
    let begin = Instant::now();
    until("the server is back", || async { engine.check().await.is_ok() }).await;
    println!("server back after {:?}", begin.elapsed());
    until("the saga completes", || async {
        freed.notify_one();
        engine.status("film:1").await.is_ok_and(|status| status.unwrap().state == SagaState::Completed)
    })
    .await;
    println!("saga ended {:?} after its server was killed", begin.elapsed());
    let mut lines = said(&log);
    lines.dedup();
    assert_eq!(lines, ["a 1 film:1/a", "b 1 film:1/b", "hold film:1/hold", "c 1 film:1/c"], "nothing else is repeated");
}
