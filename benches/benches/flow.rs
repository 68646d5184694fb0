//! The whole flow on one idle machine, as a creator feels it: how long an upload takes from its last byte to its publication,
//! how much of that nobody works on it, and what the media stages cost beside `mcsp process` on the same film.
//!
//! `cargo bench -p mcsp-benches --bench flow -- FILM [RUNS]`; `MCSP_BIN` names the program, by default the release build's.
//! `… --bench flow -- --beginning FILM [RUNS]` measures instead how soon a long film's beginning can be played.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints its rows and panics as its report")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::Value;

/// The way of a film from its checked upload to its package: each event follows from the one before.
const PATH: [&str; 6] = [
    "media.upload.completed",
    "media.copyright.cleared",
    "media.transcode.requested.interactive",
    "media.chunk.transcoded",
    "media.transcoding.completed",
    "media.drm.packaged",
];

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench").peekable();
    let is_beginning = arguments.next_if(|argument| argument == "--beginning").is_some();
    let default = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/media/cups-720p30-4s.mp4");
    let film = arguments.next().map_or(default, PathBuf::from);
    let runs: usize = arguments.next().map_or(3, |runs| runs.parse().unwrap());
    let program = std::env::var_os("MCSP_BIN").map_or_else(beside, PathBuf::from);
    println!("film {}, {runs} runs, program {}", film.display(), program.display());
    for run in 1..=runs {
        let folder = tempfile::tempdir().unwrap();
        if is_beginning {
            println!("run {run}");
            beginning(&Site::start(&program, folder.path()), &film);
            continue;
        }
        alone(&program, &film, folder.path());
        let site = Site::start(&program, folder.path());
        let content = site.upload(&film);
        let events = site.trace(&content);
        println!("run {run}");
        gaps(&events);
        println!(
            "  node: {:.2} CPU s of which everything but the media children {:.2}",
            site.cpu_s().0,
            site.cpu_s().1
        );
    }
    if !is_beginning {
        media_stages(&program, &film);
    }
}

/// Prints what plan, transcode and package cost, which is what `mcsp process` does: in a node of their own.
fn media_stages(program: &Path, film: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let desk = "api,edge,ingest,copyright,moderate,thumbnails,content,search,notify,licence,relay,objects,upkeep";
    let licence = [("MCSP__LICENCE__LISTEN", "unix:licence/socket"), ("MCSP__LICENCE__URL", "")];
    let site = Site::start_with(program, folder.path(), &["--roles", desk], &licence);
    let socket = folder.path().join("data/licence/socket");
    let address = format!("unix:{}", socket.display());
    let roles = ["--roles", "orchestrate,transcode,package", "--data"];
    let mut worker = Command::new(program)
        .arg("up")
        .args(roles)
        .arg(folder.path().join("data"))
        .args(["--http", "127.0.0.1:0"])
        .env("MCSP__LICENCE__URL", address)
        .env("MCSP__TELEMETRY__LOG", "warn")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(worker.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("health")), "the second node did not start");
    let (start_s, began) = (cpu_s(worker.id()).0, Instant::now());
    site.upload(film);
    println!(
        "plan, transcode and package in a node of their own: {:.2} CPU s in {:.1} s, after {start_s:.2} CPU s of its start",
        cpu_s(worker.id()).0 - start_s,
        began.elapsed().as_secs_f64()
    );
    let _ = worker.kill();
    let _ = worker.wait();
}

fn beside() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("release/mcsp")
}

/// Processes the film without the platform.
fn alone(program: &Path, film: &Path, folder: &Path) {
    let began = Instant::now();
    let script = r#"time "$0" process "$1" --out "$2" >/dev/null 2>&1"#;
    let out = folder.join("alone");
    let output =
        Command::new("bash").args(["-c", script]).arg(program).arg(film).arg(out).env("TIMEFORMAT", "%U %S").output();
    let times = String::from_utf8(output.unwrap().stderr).unwrap();
    let cpu_s: f64 = times.split_whitespace().map(|part| part.parse::<f64>().unwrap()).sum();
    println!("mcsp process: {:.2} s, {cpu_s:.2} CPU s", began.elapsed().as_secs_f64());
}

struct Site {
    program: PathBuf,
    folder: PathBuf,
    node: Child,
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.node.kill();
        let _ = self.node.wait();
    }
}

impl Site {
    fn start(program: &Path, folder: &Path) -> Self {
        Self::start_with(program, folder, &[], &[])
    }

    fn start_with(program: &Path, folder: &Path, options: &[&str], settings: &[(&str, &str)]) -> Self {
        let mut node = Command::new(program)
            .args(["up", "--http", "127.0.0.1:0", "--data"])
            .arg(folder.join("data"))
            .args(options)
            .envs(settings.iter().copied())
            .env("MCSP__OBJECTS__ENDPOINT__LISTEN", "127.0.0.1:0")
            .env("MCSP__TELEMETRY__LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(node.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| line.unwrap().strip_prefix("health  ").map(str::to_owned)).unwrap();
        let site = Self { program: program.to_owned(), folder: folder.to_owned(), node };
        let server = address.trim_end_matches("/readyz").to_owned();
        site.client(&["login", "--server", &server, "--email", "bench@example.org", "--register"]);
        site
    }

    fn client(&self, words: &[&str]) -> String {
        let mut command = Command::new(&self.program);
        command
            .args(words)
            .env("XDG_CONFIG_HOME", self.folder.join("client"))
            .env("MCSP_PASSWORD", "a long pass phrase");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn upload(&self, film: &Path) -> String {
        let line = self.client(&["upload", "--wait", "--json", film.to_str().unwrap()]);
        let told: Value = serde_json::from_str(line.trim()).unwrap();
        assert_eq!(told["state"], "PUBLISHED", "{told}");
        told["content"].as_str().unwrap().to_owned()
    }

    fn trace(&self, content: &str) -> Vec<Value> {
        let data = self.folder.join("data");
        let lines = self.client(&["trace", content, "--json", "--data", data.to_str().unwrap()]);
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn cpu_s(&self) -> (f64, f64) {
        cpu_s(self.node.id())
    }
}

/// Returns the processor seconds of a process with its ended children, and of itself alone (proc_pid_stat(5)).
fn cpu_s(process: u32) -> (f64, f64) {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<f64> = stat.rsplit(')').next().unwrap().split_whitespace().filter_map(|f| f.parse().ok()).collect();
    // After the name and the state: utime, stime, cutime, cstime are fields 14 to 17.
    let [own, children] = [fields[10] + fields[11], fields[12] + fields[13]];
    ((own + children) / 100.0, own / 100.0)
}

/// Uploads a film and prints when its beginning can be played: as soon as both manifests list segments of it.
fn beginning(site: &Site, film: &Path) {
    let told: Value = serde_json::from_str(site.client(&["upload", "--json", film.to_str().unwrap()]).trim()).unwrap();
    let content = told["content"].as_str().unwrap().to_owned();
    let cleared = |events: &[Value]| {
        let event = events.iter().find(|event| event["headers"]["kind"] == "media.copyright.cleared")?;
        event["headers"]["time_us"].as_i64()
    };
    let mut cpu_s = None;
    let media = site.folder.join("data/objects/mcsp-local/media").join(&content);
    let began = Instant::now();
    let playable_us = loop {
        assert!(began.elapsed().as_secs() < 600, "nothing of {} could be played in ten minutes", film.display());
        if cpu_s.is_none() && cleared(&site.trace(&content)).is_some() {
            cpu_s = Some(site.cpu_s().0);
        }
        if has_segments(&media) {
            break i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_micros()).unwrap();
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    let cpu_s = site.cpu_s().0 - cpu_s.unwrap();
    let cleared_us = cleared(&site.trace(&content)).unwrap();
    println!(
        "  cleared to playable {:.2} s, in which the node and its ended children used {cpu_s:.2} CPU s",
        (playable_us - cleared_us) as f64 / 1e6
    );
}

/// Returns whether a package below the folder has both manifests, and a playlist of media with a segment.
fn has_segments(media: &Path) -> bool {
    let mut found = (false, false, false);
    let mut folders = vec![media.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            match path.file_name().and_then(|name| name.to_str()) {
                Some("master.m3u8") => found.0 = true,
                Some("manifest.mpd") => found.1 = true,
                _ if path.extension().is_some_and(|extension| extension == "m3u8") => {
                    found.2 |= std::fs::read_to_string(path).is_ok_and(|text| text.contains("#EXTINF"));
                }
                _ => {}
            }
        }
    }
    found == (true, true, true)
}

/// Prints how long each step of the path worked, how long it waited, and the sum of what nobody worked.
fn gaps(events: &[Value]) {
    let time = |event: &Value, name: &str| event["headers"][name].as_i64();
    let mut last: BTreeMap<&str, &Value> = BTreeMap::new();
    for event in events {
        last.insert(event["headers"]["kind"].as_str().unwrap_or_default(), event);
    }
    let mut worked_us = 0;
    let mut before_us = None;
    for kind in PATH {
        let event = last.get(kind).unwrap_or_else(|| panic!("no {kind} in the trace"));
        let (said_us, began_us) = (time(event, "time_us").unwrap(), time(event, "started_us").unwrap());
        if let Some(before_us) = before_us {
            let (waited_us, took_us) = (began_us - before_us, said_us - began_us);
            worked_us += took_us;
            println!("  {kind:<40} waited {:>7.1} ms, worked {:>9.1} ms", waited_us as f64 / 1e3, took_us as f64 / 1e3);
        }
        before_us = Some(said_us);
    }
    let first_us = time(last["media.upload.completed"], "time_us").unwrap();
    let published_us = time(last["media.published"], "time_us").unwrap();
    let cleared_us = time(last["media.copyright.cleared"], "time_us").unwrap();
    let packaged_us = time(last["media.drm.packaged"], "time_us").unwrap();
    let (total_us, media_us) = (published_us - first_us, packaged_us - cleared_us);
    println!("  packaged to published {:.1} ms", (published_us - packaged_us) as f64 / 1e3);
    println!(
        "  checked to published {:.1} ms, of which nobody worked {:.1} ms; cleared to packaged {:.2} s",
        total_us as f64 / 1e3,
        (total_us - worked_us) as f64 / 1e3,
        media_us as f64 / 1e6
    );
}
