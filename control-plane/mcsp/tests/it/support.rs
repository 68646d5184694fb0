//! What the stories share: running `mcsp` and `ffprobe`, and reading what they leave.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Returns the command line of `mcsp`, with `mcsp-media` checked to stand beside it.
pub(crate) fn mcsp() -> Command {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_mcsp"));
    let child = program.with_file_name("mcsp-media");
    assert!(child.is_file(), "{} is missing: run `cargo build --workspace` first", child.display());
    Command::new(program)
}

/// Runs `mcsp process` with options that keep tests short, and returns DIR.
pub(crate) fn process(input: &Path, out: &Path, options: &[&str]) -> PathBuf {
    let output = run_process(input, out, options);
    assert!(output.status.success(), "{}: {}", input.display(), text(&output.stderr));
    out.to_owned()
}

/// Runs `mcsp process` and returns what it printed, whatever its status.
pub(crate) fn run_process(input: &Path, out: &Path, options: &[&str]) -> Output {
    mcsp()
        .arg("process")
        .arg(input)
        .arg("--out")
        .arg(out)
        .args(["--preset", "ultrafast"])
        .args(options)
        .output()
        .unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Returns report.json.
pub(crate) fn report(dir: &Path) -> Value {
    serde_json::from_slice(&fs::read(dir.join("report.json")).unwrap()).unwrap()
}

/// Returns the names of all renditions of one kind.
pub(crate) fn renditions(dir: &Path, kind: &str) -> Vec<String> {
    let report = report(dir);
    let variants = report["variants"].as_array().unwrap();
    let names = variants.iter().filter(|variant| variant["kind"] == kind);
    names.map(|variant| variant["name"].as_str().unwrap().to_owned()).collect()
}

/// Returns the media segments of a rendition in order.
pub(crate) fn segments(dir: &Path, rendition: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir.join(rendition))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "m4s"))
        .collect();
    paths.sort();
    paths
}

/// Writes a rendition's initialisation and media segments as one file, and returns its path.
pub(crate) fn joined(dir: &Path, rendition: &str, folder: &Path) -> PathBuf {
    let mut bytes = fs::read(dir.join(rendition).join("init.mp4")).unwrap();
    for segment in segments(dir, rendition) {
        bytes.extend(fs::read(segment).unwrap());
    }
    let path = folder.join(format!("{}-{rendition}.mp4", dir.file_name().unwrap().to_string_lossy()));
    fs::write(&path, bytes).unwrap();
    path
}

/// One packet as `ffprobe` sees it, times in ticks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) pts: i64,
    pub(crate) dts: i64,
    pub(crate) key: bool,
}

/// Returns the packets of a file's first stream of one kind (`v` or `a`) in decode order.
pub(crate) fn packets(path: &Path, kind: &str) -> Vec<Packet> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", &format!("{kind}:0")])
        .args(["-show_entries", "packet=pts,dts,flags", "-of", "json"])
        .arg(path)
        .output()
        .unwrap();
    assert!(output.status.success(), "ffprobe {}: {}", path.display(), text(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packets = found["packets"].as_array().unwrap().iter();
    packets
        .map(|packet| Packet {
            pts: packet["pts"].as_i64().unwrap(),
            dts: packet["dts"].as_i64().unwrap(),
            key: packet["flags"].as_str().unwrap().starts_with('K'),
        })
        .collect()
}

/// Returns entries of `ffprobe -show_entries` for a file's first stream of one kind.
pub(crate) fn stream(path: &Path, kind: &str, entries: &str) -> Value {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-select_streams", &format!("{kind}:0")])
        .args(["-show_entries", &format!("stream={entries}"), "-of", "json"])
        .arg(path)
        .output()
        .unwrap();
    assert!(output.status.success(), "ffprobe {}: {}", path.display(), text(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    found["streams"][0].clone()
}

/// Runs `ffmpeg` quietly; panics with what it said when it fails.
pub(crate) fn ffmpeg(configure: impl FnOnce(&mut Command) -> &mut Command) -> Vec<u8> {
    let mut command = Command::new("ffmpeg");
    let output = configure(command.args(["-v", "error", "-nostdin", "-y"])).output().unwrap();
    assert!(output.status.success(), "ffmpeg: {}", text(&output.stderr));
    output.stdout
}

/// Returns every file under a folder with its bytes, but for the report, whose times differ.
pub(crate) fn tree(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name != "report.json") {
                let name = path.strip_prefix(dir).unwrap().to_string_lossy().into_owned();
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// Returns the average luma PSNR of two films, the second scaled to the first, as `ffmpeg` measures it.
pub(crate) fn psnr_db(reference: &Path, film: &Path) -> f64 {
    let graph = "[1:v][0:v]scale2ref[b][a];[a]setpts=N[x];[b]setpts=N[y];[x][y]psnr=shortest=1";
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-i"])
        .arg(reference)
        .arg("-i")
        .arg(film)
        .args(["-filter_complex", graph, "-f", "null", "-"])
        .output()
        .unwrap();
    let said = text(&output.stderr);
    let value = said.rsplit_once("PSNR y:").and_then(|(_, rest)| rest.split_whitespace().next());
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no PSNR in: {said}"))
}
