//! The record of a run: one section of `benches/results/peers.md` with date, commit, machine, costs, ratios and commands.

use super::contest::Entry;
use super::measure::Cost;
use super::quality::Quality;
use crate::workspace::{Workspace, output};
use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

const FILE: &str = "benches/results/peers.md";

const PREFACE: &str = "# Beside our peers\n\nWritten by `make bench SUITE=peers`, newest last. CPU seconds are user and system \
time of a program and all it starts,\nthe least of the runs with the most in brackets; wall and memory belong to that least \
run. Memory is that of the largest\nprocess, then of the whole family with the files it maps. Ratios are ours by theirs, so \
less is better; only ratios\nwithin one section compare.\n";

/// What one run measured.
#[derive(Default)]
pub(super) struct Measurements {
    pub(super) rows: Vec<Row>,
    pub(super) quality: Vec<Quality>,
}

/// Us against one peer.
pub(super) struct Row {
    case: String,
    ours: Side,
    theirs: Side,
}

struct Side {
    name: String,
    command: String,
    best: Cost,
    worst_cpu_s: f64,
    written_bytes: u64,
}

impl Row {
    /// Puts two entries side by side.
    pub(super) fn new(case: &str, ours: &Entry, theirs: Entry) -> Self {
        Self { case: case.to_owned(), ours: Side::new(ours), theirs: Side::new(&theirs) }
    }

    fn line(&self) -> String {
        let (ours, theirs) = (&self.ours, &self.theirs);
        let cpu_ratio = ours.best.cpu_s / theirs.best.cpu_s;
        let wall_ratio = ours.best.wall_s / theirs.best.wall_s;
        let (left, right) = (ours.cells(), theirs.cells());
        format!("| {} | {left} | {} | {right} | **{cpu_ratio:.2}** | {wall_ratio:.2} |", self.case, theirs.name)
    }
}

impl Side {
    fn new(entry: &Entry) -> Self {
        Self {
            name: entry.name.clone(),
            command: entry.command.clone(),
            best: entry.best(),
            worst_cpu_s: entry.worst_cpu_s(),
            written_bytes: entry.written_bytes,
        }
    }

    fn cells(&self) -> String {
        let Cost { wall_s, cpu_s, largest_process_mib, family_mib } = self.best;
        let written_mb = self.written_bytes as f64 / 1e6;
        let worst_cpu_s = self.worst_cpu_s;
        let memory = format!("{largest_process_mib:.0} / {family_mib:.0}");
        format!("{cpu_s:.2} ({worst_cpu_s:.2}) | {wall_s:.2} | {memory} | {written_mb:.1}")
    }
}

/// Appends a section and shows it.
pub(super) fn append(workspace: &Workspace, heading: &str, measurements: &Measurements) -> Result<()> {
    let section = section(heading, measurements, &workspace.root);
    let path = workspace.root.join(FILE);
    let folder = path.parent().context("a results file lies in a folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("folder {}", folder.display()))?;
    let is_new = !path.exists();
    let mut file = std::fs::File::options().append(true).create(true).open(&path).with_context(|| FILE)?;
    if is_new {
        file.write_all(PREFACE.as_bytes())?;
    }
    file.write_all(section.as_bytes())?;
    eprintln!("{section}\nappended to {FILE}");
    Ok(())
}

/// Says when, of which commit and where the measurements are; asked for before they begin, since it may fail.
pub(super) fn heading(workspace: &Workspace, repeat_count: usize) -> Result<String> {
    let date = output(&workspace.root, "date", &["--utc", "+%F"])?;
    let commit = output(&workspace.root, "git", &["describe", "--always", "--dirty", "--exclude=*"])?;
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").context("file /proc/cpuinfo")?;
    let model =
        cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let model = model.unwrap_or("unknown CPU");
    Ok(format!("{}, {}, {model}, {cores} cores, {repeat_count} runs in turns", date.trim(), commit.trim()))
}

fn section(heading: &str, measurements: &Measurements, root: &Path) -> String {
    let mut text = format!("\n## {heading}\n\n");
    text.push_str("| case | mcsp CPU s | wall s | MiB | wrote MB | peer | CPU s | wall s | MiB | wrote MB | CPU ratio | wall ratio |\n");
    text.push_str("|---|---|---|---|---|---|---|---|---|---|---|---|\n");
    for row in &measurements.rows {
        let _ = writeln!(text, "{}", row.line());
    }
    if !measurements.quality.is_empty() {
        text.push_str("\n| rung | mcsp bytes | VMAF | FFmpeg, swscale, bytes | VMAF |\n|---|---|---|---|---|\n");
    }
    for Quality { rung, ours, ffmpeg } in &measurements.quality {
        let theirs = format!("{} | {:.2}", ffmpeg.file_bytes, ffmpeg.vmaf);
        let _ = writeln!(text, "| {rung} | {} | {:.2} | {theirs} |", ours.file_bytes, ours.vmaf);
    }
    text.push_str("\nCommands:\n\n```text\n");
    for line in commands(&measurements.rows, root) {
        text.push_str(&line);
        text.push('\n');
    }
    text.push_str("```\n");
    text
}

/// Lists each command once, without the folder of the checkout.
fn commands(rows: &[Row], root: &Path) -> Vec<String> {
    let prefix = format!("{}/", root.display());
    let mut commands = Vec::new();
    for side in rows.iter().flat_map(|row| [&row.ours, &row.theirs]) {
        let command = side.command.replace(&prefix, "");
        if !commands.contains(&command) {
            commands.push(command);
        }
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(name: &str, cpu_s: f64) -> Side {
        let best = Cost { cpu_s, wall_s: cpu_s / 2.0, largest_process_mib: 30.4, family_mib: 50.6 };
        let command = format!("/home/me/mcsp/target/{name} in.mp4");
        Side { name: name.to_owned(), command, best, worst_cpu_s: cpu_s * 1.5, written_bytes: 400_000_000 }
    }

    #[test]
    fn a_row_holds_both_sides_and_their_ratio() {
        let row = Row { case: "package".to_owned(), ours: side("mcsp", 0.4), theirs: side("shaka", 0.8) };
        let line = "| package | 0.40 (0.60) | 0.20 | 30 / 51 | 400.0 | shaka | 0.80 (1.20) | 0.40 | 30 / 51 | 400.0 | **0.50** | 0.50 |";
        assert_eq!(row.line(), line);
    }

    #[test]
    fn commands_do_not_name_the_checkout() {
        let row = Row { case: "package".to_owned(), ours: side("mcsp", 0.4), theirs: side("shaka", 0.8) };
        let told = commands(&[row], Path::new("/home/me/mcsp"));
        assert_eq!(told, ["target/mcsp in.mp4", "target/shaka in.mp4"]);
    }
}
