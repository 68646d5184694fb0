//! The same with a real film: three nodes of `mcsp up` share its chunks and are killed at random. Clear packages, so that what
//! comes out can be compared byte for byte with an undisturbed run (keys are random).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::say;

/// Nodes on the data folder.
const NODES: usize = 3;
/// How long a run may take.
const RUN_MAX: Duration = Duration::from_secs(1200);

/// Every object under a folder's plan, by its name in it.
type Objects = BTreeMap<String, Vec<u8>>;

/// Runs the film disturbed and undisturbed, and compares.
pub(crate) fn run(film: &Path, data: &Path, kills: u32) -> anyhow::Result<()> {
    let undisturbed = one(film, &data.join("film-undisturbed"), 0)?;
    let disturbed = one(film, &data.join("film-disturbed"), kills)?;
    let (names, other): (Vec<_>, Vec<_>) = (disturbed.keys().collect(), undisturbed.keys().collect());
    ensure!(names == other, "the disturbed run has other objects; both runs are kept in {}", data.display());
    ensure!(disturbed == undisturbed, "objects hold other bytes; both runs are kept in {}", data.display());
    say(&format!("film: {} objects, all as in the undisturbed run", disturbed.len()))?;
    for run in ["film-disturbed", "film-undisturbed"] {
        std::fs::remove_dir_all(data.join(run))?;
    }
    Ok(())
}

fn one(film: &Path, data: &Path, kills: u32) -> anyhow::Result<Objects> {
    std::fs::create_dir_all(data)?;
    let config = data.join("mcsp.toml");
    let text = "[plan]\nsegment_ms = 2000\nchunk_ms = 4000\npreset = \"veryfast\"\nscheme = \"clear\"\n[log]\nlease_s = 2\n[retry]\nfirst_ms = 50\n[objects.endpoint]\nlisten = \"\"\n";
    std::fs::write(&config, text)?;
    let mcsp = std::env::current_exe()?.with_file_name("mcsp");
    let command = |name: &str| {
        let mut command = Command::new(&mcsp);
        command.arg(name).arg("--config").arg(&config).arg("--data").arg(data).stdin(Stdio::null());
        command
    };
    let start = || {
        let mut node = command("up");
        node.args(["--roles", "orchestrate,transcode,package", "--http", "127.0.0.1:0"]).stdout(Stdio::null());
        node.spawn().with_context(|| format!("could not start {}", mcsp.display())).map(Node)
    };
    let mut nodes = (0..NODES).map(|_| start()).collect::<anyhow::Result<Vec<Node>>>()?;
    let began = Instant::now();
    let mut submit = command("submit").arg(film).arg("--wait").stdout(Stdio::piped()).spawn()?;
    let mut killed = 0;
    while submit.try_wait()?.is_none() {
        ensure!(began.elapsed() < RUN_MAX, "the film was not packaged within {RUN_MAX:?}");
        std::thread::sleep(Duration::from_millis(fastrand::u64(500..3000)));
        if killed < kills {
            let victim = fastrand::usize(..NODES);
            drop(std::mem::replace(&mut nodes[victim], start()?));
            killed += 1;
        }
    }
    let output = submit.wait_with_output()?;
    ensure!(output.status.success(), "submit ended with {}", output.status);
    ensure!(killed == kills, "the film was packaged after {killed} of {kills} kills: take a longer one");
    let content = String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned();
    say(&format!("film: {killed} kills of {NODES} nodes, packaged after {:.1} s", began.elapsed().as_secs_f64()))?;
    objects(&data.join("objects/mcsp-local"), &content)
}

/// A running node; dropping it is `kill -9`.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads the objects of the content's only plan. Reports tell times and ids, which differ.
fn objects(bucket: &Path, content: &str) -> anyhow::Result<Objects> {
    let mut objects = Objects::new();
    for kind in ["work", "media"] {
        let revision = bucket.join(kind).join(content).join("1");
        let plans: Vec<PathBuf> =
            std::fs::read_dir(&revision)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
        ensure!(plans.len() == 1, "{} has {} plans", revision.display(), plans.len());
        let mut folders = plans.clone();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder)? {
                let path = entry?.path();
                let name = path.strip_prefix(&plans[0])?.display().to_string();
                if path.is_dir() {
                    folders.push(path);
                } else if name != "plan.json" && !name.starts_with("chunks/report-") {
                    objects.insert(format!("{kind}/{name}"), std::fs::read(&path)?);
                }
            }
        }
    }
    Ok(objects)
}
