//! `kill -9` at any moment: nothing half-written is visible, and `--resume` ends with the undisturbed run's bytes.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{mcsp, process, run_process, text, tree};

/// A clip with an access point each four seconds, and options that cut it into several chunks and need no random keys.
struct Story {
    folder: tempfile::TempDir,
    clip: PathBuf,
    options: Vec<String>,
}

impl Story {
    fn new() -> Self {
        let folder = mcsp_fixtures::temp_dir();
        let keys = mcsp_fixtures::write_keys_file(folder.path());
        let ladder = folder.path().join("ladder.json");
        let rungs = r#"{"video":[{"width":640,"height":360,"crf":23,"maxrate_kbps":800},{"width":426,"height":240,"crf":23,"maxrate_kbps":400}],"audio":[{"codec":"aac","bitrate_kbps":96,"channels":2}]}"#;
        std::fs::write(&ladder, rungs).unwrap();
        let clip = mcsp_fixtures::looped("cups-720p30-4s.mp4", 4, folder.path());
        let named = [("--keys", keys), ("--ladder", ladder)];
        let mut options: Vec<String> = ["--segment", "2", "--chunk", "4"].map(str::to_owned).to_vec();
        options.extend(named.into_iter().flat_map(|(name, path)| [name.to_owned(), path.display().to_string()]));
        Self { folder, clip, options }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn options(&self, more: &[&'static str]) -> Vec<&str> {
        self.options.iter().map(String::as_str).chain(more.iter().copied()).collect()
    }

    fn undisturbed(&self) -> std::collections::BTreeMap<String, Vec<u8>> {
        tree(&process(&self.clip, &self.path("undisturbed"), &self.options(&[])))
    }

    fn start(&self, out: &Path) -> Child {
        start(&self.clip, out, &self.options(&[]))
    }
}

fn start(clip: &Path, out: &Path, options: &[&str]) -> Child {
    let mut command = mcsp();
    command.arg("process").arg(clip).arg("--out").arg(out).args(["--preset", "ultrafast", "--json"]).args(options);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Counts the events of one name.
fn count(events: &[u8], name: &str) -> usize {
    let wanted = format!("\"event\":\"{name}\"");
    text(events).lines().filter(|line| line.contains(&wanted)).count()
}

fn stored_chunks(work: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(work.join("chunks")) else { return 0 };
    entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("report-")).count()
}

#[test]
fn a_killed_run_resumes_to_the_same_bytes() {
    let story = Story::new();
    let began = Instant::now();
    let undisturbed = story.undisturbed();
    let whole = began.elapsed();
    let mut resumed_over_chunks = 0;
    for (run, share) in [5, 30, 55, 75, 97].into_iter().enumerate() {
        let (out, work) = (story.path(&format!("killed-{run}")), story.path(&format!("killed-{run}.work")));
        let mut child = story.start(&out);
        // Any moment will do: the story must hold at each.
        let moment = Instant::now() + whole * share / 100;
        while Instant::now() < moment {
            thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // DIR appears whole or not at all.
        assert!(!out.exists() || tree(&out) == undisturbed, "at {share} %: DIR is half there");
        let stored = stored_chunks(&work);
        let more: &[&str] = if work.exists() { &["--resume", "--json"] } else { &["--json"] };
        if !out.exists() {
            let resumed = run_process(&story.clip, &out, &story.options(more));
            assert!(resumed.status.success(), "at {share} %: {}", text(&resumed.stderr));
            let (made, kept) = (count(&resumed.stdout, "chunk_started"), count(&resumed.stdout, "chunk_kept"));
            assert_eq!(kept, stored, "at {share} %: a stored chunk was made again");
            assert!(made + kept >= 3, "the clip has too few chunks to mean anything");
            resumed_over_chunks += usize::from(kept > 0);
        } else if work.exists() {
            assert!(run_process(&story.clip, &out, &story.options(more)).status.success());
        }
        assert!(tree(&out) == undisturbed, "killed at {share} %: other bytes");
        assert!(!work.exists(), "DIR.work stays after success");
    }
    assert!(resumed_over_chunks > 0, "no run was killed between two chunks");
}

#[test]
fn a_killed_child_is_run_again() {
    let story = Story::new();
    let undisturbed = story.undisturbed();
    let out = story.path("wounded");
    let mut run = story.start(&out);
    let mut killed = false;
    let deadline = Instant::now() + Duration::from_secs(300);
    while run.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "the run did not end");
        if !killed && stored_chunks(&story.path("wounded.work")) > 0 {
            killed = kill_children(run.id());
        }
        thread::yield_now();
    }
    assert!(killed, "the run ended before its child could be killed");
    assert!(run.wait().unwrap().success());
    assert!(tree(&out) == undisturbed, "other bytes");
}

/// Kills the children of a process; returns whether there was one.
fn kill_children(parent: u32) -> bool {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{parent}/task")) else { return false };
    let lists = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let children: Vec<String> =
        lists.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect();
    if children.is_empty() {
        return false;
    }
    // The shell's own `kill`: a bare machine has no other.
    let command = format!("kill -KILL {}", children.join(" "));
    std::process::Command::new("sh").args(["-c", &command]).status().unwrap().success()
}

#[test]
fn a_resumed_run_must_be_the_same_run() {
    let folder = mcsp_fixtures::temp_dir();
    let clip = mcsp_fixtures::media("cups-720p30-4s.mp4");
    let out = folder.path().join("film");
    let mut child = start(&clip, &out, &["--chunk", "1", "--segment", "1"]);
    let plan = folder.path().join("film.work/plan.json");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !plan.exists() {
        assert!(Instant::now() < deadline, "no plan was written");
        thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let refusal = |options: &[&str]| {
        let output = run_process(&clip, &out, options);
        assert!(!output.status.success());
        text(&output.stderr)
    };
    let unfinished = refusal(&["--chunk", "1", "--segment", "1"]);
    assert!(unfinished.contains("film.work holds an unfinished run"), "{unfinished}");
    let other = refusal(&["--resume", "--chunk", "2", "--segment", "1"]);
    assert!(other.contains("--chunk differs from the interrupted run"), "{other}");
}
