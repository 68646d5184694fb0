//! A data folder with its configuration, the nodes that run on it, and a creator who uploads to it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::support::{mcsp, text};

/// A data folder with its configuration, and the nodes that run on it.
pub(crate) struct Site {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) nodes: Vec<Node>,
}

/// A running node; dropping it kills it.
pub(crate) struct Node {
    pub(crate) child: Child,
    /// Where it answers, `127.0.0.1:PORT`.
    pub(crate) health: String,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Site {
    pub(crate) fn new() -> Self {
        let folder = mcsp_fixtures::temp_dir();
        let ladder = folder.path().join("ladder.json");
        let rungs = r#"{"video":[{"width":426,"height":240,"crf":23,"maxrate_kbps":400},{"width":256,"height":144,"crf":23,"maxrate_kbps":200}],"audio":[{"codec":"aac","bitrate_kbps":96,"channels":2}]}"#;
        fs::write(&ladder, rungs).unwrap();
        let plan = format!(
            "[plan]\nsegment_ms = 2000\nchunk_ms = 4000\npreset = \"ultrafast\"\nladder = {:?}\n",
            ladder.display().to_string()
        );
        let quick = "[log]\nlease_s = 2\n[retry]\nfirst_ms = 50\n[objects.endpoint]\nlisten = \"127.0.0.1:0\"\n";
        fs::write(folder.path().join("mcsp.toml"), format!("{quick}{plan}")).unwrap();
        Self { folder, nodes: Vec::new() }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Returns a command on this site's configuration.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = mcsp();
        command.arg(name).arg("--config").arg(self.folder.path().join("mcsp.toml")).arg("--data").arg(self.data());
        command
    }

    pub(crate) fn run(&self, name: &str, rest: &[&str]) -> Output {
        self.command(name).args(rest).output().unwrap()
    }

    /// Starts a node and waits until it says that it is up.
    pub(crate) fn start(&mut self, name: &str, rest: &[&str]) {
        let mut command = self.command(name);
        let mut child = command.args(rest).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let health = lines.find_map(|line| line.unwrap().strip_prefix("health  http://").map(str::to_owned));
        let health = health.unwrap_or_else(|| panic!("{name} said no address"));
        self.nodes.push(Node { child, health: health.trim_end_matches("/readyz").to_owned() });
    }

    pub(crate) fn submit(&self, clip: &Path) -> String {
        let output = self.command("submit").arg(clip).arg("--wait").output().unwrap();
        assert!(output.status.success(), "submit: {}", text(&output.stderr));
        text(&output.stdout).lines().next().unwrap().to_owned()
    }

    /// Returns the only plan's folder under one of the bucket's folders.
    pub(crate) fn plan_folder(&self, kind: &str, content: &str) -> PathBuf {
        let revision = self.data().join("objects/mcsp-local").join(kind).join(content).join("1");
        let mut plans: Vec<PathBuf> = fs::read_dir(&revision).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(plans.len(), 1, "{}", revision.display());
        plans.remove(0)
    }

    /// Returns a client's command, signed in as whoever signed in last.
    pub(crate) fn client(&self, words: &[&str]) -> Command {
        let mut command = mcsp();
        command.args(words).env("XDG_CONFIG_HOME", self.folder.path().join("client"));
        command.env("MCSP_PASSWORD", "a long pass phrase");
        command
    }

    /// Starts a node of every role and makes a creator's account on it.
    pub(crate) fn open_studio(&mut self) {
        self.start("up", &["--http", "127.0.0.1:0"]);
        let server = format!("http://{}", self.nodes[0].health);
        let login = ["login", "--server", &server, "--email", "creator@example.org", "--register"];
        let output = self.client(&login).output().unwrap();
        assert!(output.status.success(), "login: {}", text(&output.stderr));
    }

    /// Uploads a film, waits for its end, and returns what the client says of it.
    pub(crate) fn upload(&self, film: &Path) -> Value {
        let output = self.client(&["upload", "--wait", "--json"]).arg(film).output().unwrap();
        let line = text(&output.stdout);
        serde_json::from_str(line.trim())
            .unwrap_or_else(|_| panic!("{}: {line}{}", film.display(), text(&output.stderr)))
    }
}
