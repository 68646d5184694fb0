//! Three nodes of one platform: one that answers clients and keeps the desk, two that do the media work.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context;

use super::engines::Settings;

/// What each node does. Desk work runs on two of them, so that a dead one is taken over from.
const ROLES: [&str; 3] = [
    "api,edge,objects,content,search,notify,relay,upkeep",
    "ingest,copyright,moderate,orchestrate,transcode,package,thumbnails,content,relay",
    "ingest,copyright,moderate,orchestrate,transcode,package,thumbnails,search,notify,relay",
];

/// Running nodes.
pub(super) struct Nodes {
    /// Where the first one answers.
    pub(super) api: String,
    data: PathBuf,
    listen: String,
    /// What leads the nodes to engines that are servers.
    settings: Settings,
    running: Vec<Child>,
    kills: [u32; ROLES.len()],
}

impl Nodes {
    /// Starts all nodes on an empty folder.
    pub(super) fn start(data: &Path, settings: Settings) -> anyhow::Result<Self> {
        let (listen, objects) = (free_address()?, free_address()?);
        // A death costs the records in hand a run: where somebody kills all the time, more runs are due before a record is
        // taken for what kills.
        let config = format!(
            "[objects.endpoint]\nlisten = \"{objects}\"\n[plan]\npreset = \"ultrafast\"\nsegment_ms = 2000\nchunk_ms = 2000\n\
             [log]\nlease_s = 2\n[retry]\nattempts_max = 100\nfirst_ms = 50\nlongest_ms = 2000\n[webhooks]\nreach = \"private\"\n[telemetry]\nlog = \"warn\"\n"
        );
        std::fs::write(data.join("mcsp.toml"), config)?;
        let api = format!("http://{listen}");
        let mut nodes =
            Self { api, data: data.to_owned(), listen, settings, running: Vec::new(), kills: [0; ROLES.len()] };
        for index in 0..ROLES.len() {
            let node = nodes.spawn(index)?;
            nodes.running.push(node);
        }
        Ok(nodes)
    }

    fn spawn(&self, index: usize) -> anyhow::Result<Child> {
        let program = super::mcsp()?;
        let listen = if index == 0 { &self.listen } else { "127.0.0.1:0" };
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(self.data.join(format!("node{index}.log")))?;
        let mut command = Command::new(&program);
        command.arg("up").arg("--data").arg(&self.data).args(["--roles", ROLES[index], "--http", listen]);
        command.envs(&self.settings);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.spawn().with_context(|| format!("could not start {}", program.display()))
    }

    /// Kills one node (`SIGKILL`) and starts it again. A node that ended by itself is a fault.
    pub(super) fn kill_one(&mut self, kill: u32) -> anyhow::Result<()> {
        for (index, node) in self.running.iter_mut().enumerate() {
            if let Some(status) = node.try_wait()? {
                anyhow::bail!("node {index} ended by itself: {status}; see {}/node{index}.log", self.data.display());
            }
        }
        let victim = fastrand::usize(..self.running.len());
        self.kill(victim).with_context(|| format!("kill {kill}"))?;
        self.kills[victim] += 1;
        Ok(())
    }

    /// Kills a node and starts it again.
    pub(super) fn kill(&mut self, victim: usize) -> anyhow::Result<()> {
        let node = &mut self.running[victim];
        node.kill()?;
        node.wait()?;
        self.running[victim] = self.spawn(victim)?;
        Ok(())
    }

    pub(super) fn kills(&self) -> &[u32] {
        &self.kills
    }

    /// Ends all nodes.
    pub(super) fn stop(&mut self) {
        for node in &mut self.running {
            let _ = node.kill();
            let _ = node.wait();
        }
        self.running.clear();
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Returns an address that nobody has right now: a node that is started again needs the one it had.
fn free_address() -> anyhow::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
