//! What one command costs: wall time, CPU seconds and memory of it and of all it starts. The command runs below a fresh
//! process of this tool, so that getrusage(RUSAGE_CHILDREN) counts that one run and nothing before it.

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often the memory of the whole family is summed up.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(20);

/// The cost of one run.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Cost {
    /// From start to end.
    pub(super) wall_s: f64,
    /// User and system time of the command and its descendants.
    pub(super) cpu_s: f64,
    /// The largest process at its largest (`ru_maxrss`).
    pub(super) largest_process_mib: f64,
    /// The family together, mapped files included, at its largest as sampled.
    pub(super) family_mib: f64,
}

/// Runs a command in a process of its own and returns what it cost; what it prints goes to `log`.
pub(super) fn measure(command: &[String], log: &Path) -> Result<Cost> {
    let this_program = std::env::current_exe().context("where this program lies")?;
    let log_file = File::create(log).with_context(|| format!("file {}", log.display()))?;
    let output = Command::new(this_program)
        .arg("measure")
        .args(command)
        .stderr(log_file)
        .output()
        .context("the measuring process did not start")?;
    ensure!(output.status.success(), "{} failed, see {}:\n{}", command.join(" "), log.display(), tail(log));
    serde_json::from_slice(&output.stdout).context("the measuring process wrote something else than a cost")
}

/// The measuring process: runs the command with its output on stderr, then prints the cost on stdout.
#[expect(clippy::print_stdout, reason = "its caller reads the cost from stdout")]
pub(crate) fn measure_here(command: &[&str]) -> Result<()> {
    let (program, arguments) = command.split_first().context("measure needs a command")?;
    let started = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .stdout(std::io::stderr())
        .spawn()
        .with_context(|| format!("{program} did not start"))?;
    let root_id = child.id();
    let ended = AtomicBool::new(false);
    let (status, wall_s, family_kib) = std::thread::scope(|scope| {
        let sampler = scope.spawn(|| sample_family(root_id, &ended));
        let status = child.wait();
        let wall_s = started.elapsed().as_secs_f64();
        ended.store(true, Ordering::Relaxed);
        (status, wall_s, sampler.join().unwrap_or(0))
    });
    let status = status.context("waiting for the command")?;
    ensure!(status.success(), "{program} ended with {status}");
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("getrusage")?;
    let cpu_us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    let cost = Cost {
        wall_s,
        cpu_s: cpu_us as f64 / 1e6,
        largest_process_mib: usage.max_rss() as f64 / 1024.0,
        family_mib: family_kib as f64 / 1024.0,
    };
    println!("{}", serde_json::to_string(&cost)?);
    Ok(())
}

/// Sums up the resident memory of a process and its descendants until it has ended; returns the largest sum in KiB.
fn sample_family(root_id: u32, ended: &AtomicBool) -> u64 {
    let mut largest_kib = 0;
    while !ended.load(Ordering::Relaxed) {
        largest_kib = family_kib(root_id).max(largest_kib);
        std::thread::sleep(SAMPLE_INTERVAL);
    }
    largest_kib
}

fn family_kib(root_id: u32) -> u64 {
    let mut waiting = vec![root_id];
    let mut sum_kib = 0;
    while let Some(id) = waiting.pop() {
        sum_kib += resident_kib(id).unwrap_or(0);
        waiting.extend(child_ids(id));
    }
    sum_kib
}

/// Reads `VmRSS` (proc(5)); a process that has just ended has none.
fn resident_kib(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Reads the children of every thread of a process, since any thread may start one.
fn child_ids(id: u32) -> Vec<u32> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{id}/task")) else { return Vec::new() };
    let mut ids = Vec::new();
    for thread in threads.flatten() {
        let listed = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        ids.extend(listed.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
    }
    ids
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_counts_itself() {
        assert!(family_kib(std::process::id()) > 500);
    }

    #[test]
    fn a_process_that_is_gone_weighs_nothing() {
        let mut child = Command::new("true").spawn().unwrap();
        let id = child.id();
        child.wait().unwrap();
        assert_eq!(family_kib(id), 0);
    }
}
