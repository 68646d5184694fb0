//! Members in processes of their own: three of them while one is killed, and one that is stopped and goes on later.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mcsp_domain::EventId;
use mcsp_events::GroupName;
use mcsp_runtime::{Completion, EventLog, LogError};

use super::{
    INPUT, OUTPUT, all_in, eventually, join, message, messages, namespace, number, numbers, open, servers, take,
};

/// Tells a process that it is a member: what it does, the namespace, its name.
const ROLE: &str = "MCSP_KAFKA_MEMBER";

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "member: {line}").unwrap();
    out.flush().unwrap();
}

/// What a process of the tests below runs; in a plain run of the tests it has nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_in_a_process_of_its_own() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let (role, rest) = role.split_once(' ').unwrap();
    let (namespace, name) = rest.split_once(' ').unwrap();
    let log = open(&servers().unwrap(), namespace, name).await;
    let member = join(&log, "workers", name).await;
    if role == "holder" {
        let records = take(&*member, 1, 1).await;
        say("holds");
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).unwrap();
        let done = Completion { records, outputs: messages(OUTPUT, "zombie", 0..1) };
        match member.complete(done).await {
            Err(LogError::Fenced { .. }) => say("fenced"),
            other => say(&format!("{other:?}")),
        }
        // Nobody reads what the test harness says.
        std::process::exit(0);
    }
    let mut count = 0_u64;
    loop {
        let records = match member.next(8, 2, Duration::from_secs(5)).await {
            Err(error) if error.may_pass() => continue,
            records => records.unwrap(),
        };
        for record in records {
            let mut effect = message(OUTPUT, &record.key, number(&record));
            // An id of its own, so that a record that counts twice is seen twice.
            effect.headers.id = EventId::derived(&[name.as_bytes(), &count.to_be_bytes()]);
            let done = Completion { records: vec![record], outputs: vec![effect] };
            // A broker that comes again may cost some tries, and no effect.
            let settled = loop {
                match member.complete(done.clone()).await {
                    Err(error) if error.may_pass() => {}
                    settled => break settled,
                }
            };
            match settled {
                Ok(_) => count += 1,
                Err(LogError::Fenced { .. }) => {}
                Err(error) => panic!("{name}: {error:?}"),
            }
            if count == 10 {
                say("has handled 10");
            }
        }
    }
}

/// A member's process, killed when it is dropped.
struct Process(Child);

impl Process {
    fn start(role: &str, namespace: &str, name: &str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kafka::groups::a_member_in_a_process_of_its_own", "--nocapture"])
            .env(ROLE, format!("{role} {namespace} {name}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// Waits until the process says something; its other lines are passed over.
    fn says(&mut self) -> impl FnMut() -> String + use<> {
        let mut lines = BufReader::new(self.0.stdout.take().unwrap()).lines();
        move || {
            let said = lines.find_map(|line| Some(line.ok()?.split_once("member: ")?.1.to_owned()));
            said.unwrap_or_else(|| "nothing more".to_owned())
        }
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success(), "kill {signal}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_and_a_killed_one_double_no_effect() {
    let Some(servers) = servers() else { return };
    let namespace = namespace();
    let log = open(&servers, &namespace, "desk").await;
    let keys: Vec<String> = (0..24).map(|key| format!("key {key}")).collect();
    let feed = async |numbers: std::ops::Range<u64>| {
        for number in numbers {
            let batch: Vec<_> = keys.iter().map(|key| message(INPUT, key, number)).collect();
            while let Err(error) = log.append(batch.clone()).await {
                assert!(error.may_pass(), "{error:?}");
            }
        }
    };
    feed(0..4).await;
    let mut members: Vec<Process> =
        ["one", "two", "three"].iter().map(|name| Process::start("worker", &namespace, name)).collect();
    let mut said: Vec<_> = members.iter_mut().map(Process::says).collect();
    let (mut first, mut second) = (said.remove(0), said.remove(0));
    let heard = tokio::task::spawn_blocking(move || (first(), second()));
    let mut fed = 4;
    while !heard.is_finished() {
        feed(fed..fed + 1).await;
        fed += 1;
    }
    assert_eq!(heard.await.unwrap(), ("has handled 10".to_owned(), "has handled 10".to_owned()));
    drop(members.remove(0));
    feed(fed..fed + 4).await;
    fed += 4;
    let workers = GroupName::parse("workers").unwrap();
    let is_done = || async { log.lag(&workers).await.is_ok_and(|lag| lag.iter().all(|lag| lag.records == 0)) };
    eventually("the others handle everything", is_done).await;
    drop(members);
    let mut effects: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for effect in all_in(&log, OUTPUT).await {
        effects.entry(effect.key.clone()).or_default().push(number(&effect));
    }
    assert_eq!(effects.len(), keys.len());
    for (key, numbers) in effects {
        assert_eq!(numbers, (0..fed).collect::<Vec<u64>>(), "{key}: each once, in order");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_was_stopped_is_fenced_when_it_goes_on() {
    let Some(servers) = servers() else { return };
    let namespace = namespace();
    let log = open(&servers, &namespace, "desk").await;
    log.append(messages(INPUT, "film", 0..2)).await.unwrap();
    let mut zombie = Process::start("holder", &namespace, "zombie");
    let mut says = zombie.says();
    let says = tokio::task::spawn_blocking(move || (says(), says));
    let (said, says) = says.await.unwrap();
    assert_eq!(said, "holds");
    zombie.signal("-STOP");
    let heir = join(&log, "workers", "heir").await;
    let records = take(&*heir, 1, 1).await;
    assert_eq!(numbers(&records), [0], "the heir gets what the zombie holds");
    zombie.signal("-CONT");
    zombie.0.stdin.take().unwrap().write_all(b"go on\n").unwrap();
    assert_eq!(tokio::task::spawn_blocking(says).await.unwrap(), "fenced");
    heir.complete(Completion { records, outputs: messages(OUTPUT, "heir", 7..8) }).await.unwrap();
    let effects = all_in(&log, OUTPUT).await;
    assert_eq!(effects.iter().map(|effect| effect.key.as_str()).collect::<Vec<_>>(), ["heir"]);
}
