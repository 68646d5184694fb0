//! The platform on one data folder: a node and a worker share a film's chunks, what comes out is what `mcsp process` makes
//! with the same keys, an operator can see it, and bad configuration is refused by name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use mcsp_domain::{Plan, Scheme, TrackClass};
use mcsp_grpc::licence::v1::GetOrCreateKeysRequest;
use mcsp_services::licence::{LicenceService, MasterKey, MasterKeys};
use serde_json::{Value, json};

use crate::site::Site;
use crate::support::{process, text, tree};

fn get(address: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

/// Writes the keys that the licence service gave a plan as a key file for `mcsp process`.
fn export_keys(site: &Site, plan: &Plan, content: &str) -> PathBuf {
    let data = site.data();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let protection = runtime.block_on(async {
        let catalog =
            mcsp_catalog::Catalog::open(&format!("sqlite:{}", data.join("catalog.db").display())).await.unwrap();
        let master = MasterKey::read(&data.join("secrets/master.key")).unwrap();
        let service = LicenceService::open(catalog, MasterKeys::new(master, Vec::new())).await.unwrap();
        let request = GetOrCreateKeysRequest::of(plan, content.parse().unwrap(), Scheme::Cbcs);
        let answer = mcsp_services::licence::client(service).get_or_create_keys(request).await.unwrap();
        answer.into_inner().into_protection(Scheme::Cbcs).unwrap()
    });
    let entry = |class: TrackClass| {
        let key = protection.key(class);
        json!({ "track": class.name(), "kid": key.kid.to_string(), "key": hex::encode(key.key.expose()) })
    };
    let path = site.folder.path().join("keys.json");
    let keys: Vec<Value> = [TrackClass::Audio, TrackClass::Sd].map(entry).to_vec();
    fs::write(&path, json!({ "keys": keys }).to_string()).unwrap();
    Command::new("chmod").arg("600").arg(&path).status().unwrap();
    path
}

fn read_plan(folder: &Path) -> Plan {
    serde_json::from_slice(&fs::read(folder.join("plan.json")).unwrap()).unwrap()
}

#[test]
fn two_processes_make_what_one_makes() {
    let mut site = Site::new();
    // Thumbnails lie beside the package, and `mcsp process` makes none.
    site.start("up", &["--http", "127.0.0.1:0", "--roles", "orchestrate,transcode,package,relay,upkeep"]);
    site.start("worker", &[]);
    let clip = mcsp_fixtures::looped("cups-720p30-4s.mp4", 5, site.folder.path());
    let content = site.submit(&clip);

    let (work, media) = (site.plan_folder("work", &content), site.plan_folder("media", &content));
    let plan = read_plan(&work);
    let keys = export_keys(&site, &plan, &content);
    let out = site.folder.path().join("out");
    let (ladder, keys) = (site.folder.path().join("ladder.json"), keys.display().to_string());
    let options =
        ["--segment", "2", "--chunk", "4", "--keep-work", "--keys", &keys, "--ladder", ladder.to_str().unwrap()];
    process(&clip, &out, &options);

    let packaged = without(tree(&media), &["package.json"]);
    assert!(packaged == tree(&out), "segments and manifests are not those of mcsp process");
    let one = site.folder.path().join("out.work");
    let (shared, alone) = (chunks(&work), chunks(&one));
    assert_eq!(shared.keys().collect::<Vec<_>>(), alone.keys().collect::<Vec<_>>());
    assert!(shared == alone, "clear chunks are not those of mcsp process");
    let own = Plan { id: plan.id, ..read_plan(&one) };
    assert_eq!(plan, own, "plans differ in more than their id");

    the_trace_tells_all(&site, &content, plan.chunks.len());
    the_node_tells_of_itself(&site);
    a_node_drains(&mut site);
}

/// Returns the clear chunks of a run; their reports tell times, which differ.
fn chunks(work: &Path) -> BTreeMap<String, Vec<u8>> {
    tree(&work.join("chunks")).into_iter().filter(|(name, _)| !name.starts_with("report-")).collect()
}

fn without(mut files: BTreeMap<String, Vec<u8>>, names: &[&str]) -> BTreeMap<String, Vec<u8>> {
    for name in names {
        assert!(files.remove(*name).is_some(), "{name} is missing");
    }
    files
}

fn the_trace_tells_all(site: &Site, content: &str, chunks: usize) {
    let output = site.command("trace").arg(content).arg("--json").output().unwrap();
    let lines: Vec<Value> = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &'static str| lines.iter().filter(move |line| line["headers"]["kind"] == kind);
    assert_eq!(of("media.copyright.cleared").count(), 1);
    assert_eq!(of("media.transcode.requested.interactive").count(), chunks);
    assert_eq!(of("media.transcoding.completed").count(), 3, "once for each variant");
    assert_eq!(of("media.drm.packaged").count(), 1);
    let workers: BTreeSet<&str> =
        of("media.chunk.transcoded").map(|line| line["headers"]["worker"].as_str().unwrap()).collect();
    assert_eq!(workers.len(), 2, "the chunks were not shared: {workers:?}");
    let traces: BTreeSet<&str> =
        lines.iter().map(|line| &line["headers"]["traceparent"].as_str().unwrap()[3..35]).collect();
    assert_eq!(traces.len(), 1, "one trace from the first event to the last");
    let table = site.command("trace").arg(content).output().unwrap();
    assert!(text(&table.stdout).contains("media.drm.packaged"), "{}", text(&table.stdout));
}

fn the_node_tells_of_itself(site: &Site) {
    for node in &site.nodes {
        assert_eq!(get(&node.health, "/healthz"), ("HTTP/1.1 200 OK".to_owned(), "alive\n".to_owned()));
        let (status, body) = get(&node.health, "/readyz");
        assert_eq!(status, "HTTP/1.1 200 OK", "{body}");
        let (_, metrics) = get(&node.health, "/metrics");
        let handled = metrics.lines().any(|line| line.starts_with("mcsp_stage_records_total") && line.contains("done"));
        assert!(handled, "{metrics}");
    }
    let groups = site.run("group", &["list"]);
    assert!(text(&groups.stdout).contains("drm-packager  epoch 0  runs"), "{}", text(&groups.stdout));
}

fn a_node_drains(site: &mut Site) {
    for node in &mut site.nodes {
        let pid = node.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(node.child.wait().unwrap().success(), "SIGTERM is an orderly end");
    }
}

#[test]
fn a_bad_film_ends_in_a_dead_letter_that_can_be_seen() {
    let mut site = Site::new();
    let bad = site.folder.path().join("bad.mp4");
    fs::write(&bad, b"this is no film at all, only words that go on for a while").unwrap();
    site.start("up", &["--http", "127.0.0.1:0"]);
    let output = site.command("submit").arg(&bad).arg("--wait").output().unwrap();
    assert!(!output.status.success());
    let said = text(&output.stderr);
    assert!(said.contains("stage transcoding-orchestrator gave up after 1 attempts"), "{said}");
    let list = text(&site.run("dead", &["list"]).stdout);
    assert!(list.contains("transcoding-orchestrator  media.copyright.cleared"), "{list}");
    let event = list.split_whitespace().next().unwrap();
    let shown: Value = serde_json::from_slice(&site.run("dead", &["show", event]).stdout).unwrap();
    assert_eq!(shown["payload"]["cleared_by"], "operator");
    assert!(shown["headers"]["dead"]["error"].as_str().unwrap().len() > 10, "{shown}");
    let replayed = site.run("dead", &["replay", event]);
    assert!(replayed.status.success(), "{}", text(&replayed.stderr));
}

#[test]
fn bad_configuration_is_refused_by_name() {
    let site = Site::new();
    let path = site.folder.path().join("mcsp.toml");
    let cases = [
        ("[log]\nurll = \"sqlite:\"\n", "unknown key"),
        ("[worker]\nslots = 0\n", "slots = 0: 1 to 256 allowed"),
        ("[log]\nurl = \"kafka://localhost:9092\"\n", "kafka"),
        ("roles = [\"dance\"]\n", "dance"),
    ];
    for (config, named) in cases {
        fs::write(&path, config).unwrap();
        for command in ["up", "worker"] {
            let output = site.run(command, &[]);
            assert!(!output.status.success(), "{config} was taken");
            assert!(text(&output.stderr).contains(named), "{config}: {}", text(&output.stderr));
        }
    }
    assert!(!site.data().join("events.db").exists(), "a refused configuration touches nothing");
}

#[test]
fn a_foreign_database_is_refused_by_name() {
    let site = Site::new();
    fs::create_dir_all(site.data()).unwrap();
    fs::write(site.data().join("events.db"), b"this is no database, whatever its name says").unwrap();
    let output = site.run("up", &["--http", "127.0.0.1:0"]);
    assert!(!output.status.success());
    let said = text(&output.stderr);
    assert!(said.contains("events.db"), "{said}");
}
