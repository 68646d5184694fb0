//! The whole flow on one idle machine, as a creator feels it: how long an upload takes from its last byte to its publication,
//! how much of that nobody works on it, and what the media stages cost beside `mcsp process` on the same film.
//!
//! `cargo bench -p mcsp-benches --bench flow -- FILM [RUNS]`; `MCSP_BIN` names the program, by default the release build's.

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
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let default = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/media/cups-720p30-4s.mp4");
    let film = arguments.next().map_or(default, PathBuf::from);
    let runs: usize = arguments.next().map_or(3, |runs| runs.parse().unwrap());
    let program = std::env::var_os("MCSP_BIN").map_or_else(beside, PathBuf::from);
    println!("film {}, {runs} runs, program {}", film.display(), program.display());
    for run in 1..=runs {
        let folder = tempfile::tempdir().unwrap();
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
        let mut node = Command::new(program)
            .args(["up", "--http", "127.0.0.1:0", "--data"])
            .arg(folder.join("data"))
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

    /// Returns the processor seconds of the node with its children, and of itself alone (proc_pid_stat(5)).
    fn cpu_s(&self) -> (f64, f64) {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.node.id())).unwrap();
        let fields: Vec<f64> =
            stat.rsplit(')').next().unwrap().split_whitespace().filter_map(|f| f.parse().ok()).collect();
        // After the name and the state: utime, stime, cutime, cstime are fields 14 to 17.
        let [own, children] = [fields[10] + fields[11], fields[12] + fields[13]];
        ((own + children) / 100.0, own / 100.0)
    }
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
