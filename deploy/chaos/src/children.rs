//! Worker processes that are killed and started again.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context;

use crate::Cli;

/// The running workers.
pub(crate) struct Children {
    program: PathBuf,
    arguments: Vec<String>,
    running: Vec<Child>,
    kills: Vec<u32>,
}

impl Children {
    /// Starts all workers.
    pub(crate) fn start(cli: &Cli, data: &Path) -> anyhow::Result<Self> {
        let data = data.to_str().context("the data folder's name is no text")?.to_owned();
        let arguments = [
            "--worker".to_owned(),
            "--data".to_owned(),
            data,
            "--seed".to_owned(),
            cli.seed.to_string(),
            "--contents".to_owned(),
            cli.contents.to_string(),
        ];
        let program = std::env::current_exe()?;
        let mut children =
            Self { program, arguments: arguments.to_vec(), running: Vec::new(), kills: vec![0; cli.workers] };
        for _ in 0..cli.workers {
            let child = children.spawn()?;
            children.running.push(child);
        }
        Ok(children)
    }

    fn spawn(&self) -> anyhow::Result<Child> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null());
        command.spawn().with_context(|| format!("could not start {}", self.program.display()))
    }

    /// Kills one worker (`SIGKILL`) and starts it again. A worker that ended by itself is a fault.
    pub(crate) fn kill_one(&mut self, kill: u32) -> anyhow::Result<()> {
        self.check()?;
        let victim = fastrand::usize(..self.running.len());
        let child = &mut self.running[victim];
        child.kill().with_context(|| format!("kill {kill}"))?;
        child.wait()?;
        self.kills[victim] += 1;
        self.running[victim] = self.spawn()?;
        Ok(())
    }

    /// Looks whether all workers live.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        for child in &mut self.running {
            if let Some(status) = child.try_wait()? {
                anyhow::bail!("worker {} ended by itself: {status}", child.id());
            }
        }
        Ok(())
    }

    pub(crate) fn killed(&self) -> u32 {
        self.kills.iter().sum()
    }

    pub(crate) fn kills_by_worker(&self) -> &[u32] {
        &self.kills
    }

    /// Kills all workers for good.
    pub(crate) fn stop(&mut self) {
        for child in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.running.clear();
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.stop();
    }
}
