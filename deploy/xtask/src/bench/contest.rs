//! A contest: the same work by several programs, in turns, so that a change of the machine's mood meets all of them.

use super::measure::{Cost, measure};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// One program and how it is asked.
pub(super) struct Contender {
    /// How the results call it.
    pub(super) name: String,
    /// Program and arguments.
    pub(super) command: Vec<String>,
    /// The folder it writes, removed before each run.
    pub(super) out: PathBuf,
    /// Whether `out` must be there before it starts.
    pub(super) wants_folder: bool,
}

/// The costs of one contender, in the order they were run.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) command: String,
    pub(super) costs: Vec<Cost>,
    /// What lies in `out` after the last run.
    pub(super) written_bytes: u64,
}

/// Runs all contenders `repeat_count` times in turns.
pub(super) fn run(contenders: &[Contender], repeat_count: usize, scratch: &Path) -> Result<Vec<Entry>> {
    let mut entries: Vec<Entry> = contenders.iter().map(Entry::new).collect();
    for round in 1..=repeat_count {
        for (contender, entry) in contenders.iter().zip(&mut entries) {
            prepare(contender)?;
            let cost = measure(&contender.command, &scratch.join("log.txt"))?;
            eprintln!("{} {round}/{repeat_count}: {:.2} CPU s, {:.2} s", contender.name, cost.cpu_s, cost.wall_s);
            entry.costs.push(cost);
            entry.written_bytes = folder_bytes(&contender.out)?;
        }
    }
    Ok(entries)
}

impl Entry {
    fn new(contender: &Contender) -> Self {
        let command = contender.command.join(" ");
        Self { name: contender.name.clone(), command, costs: Vec::new(), written_bytes: 0 }
    }

    /// Returns the run that cost least CPU, the figure least disturbed by neighbours.
    pub(super) fn best(&self) -> Cost {
        let least = |best: Cost, cost: &Cost| if cost.cpu_s < best.cpu_s { *cost } else { best };
        self.costs.iter().fold(Cost { cpu_s: f64::INFINITY, ..Cost::default() }, least)
    }

    /// Returns the most CPU seconds of any run.
    pub(super) fn worst_cpu_s(&self) -> f64 {
        self.costs.iter().map(|cost| cost.cpu_s).fold(0.0, f64::max)
    }
}

fn prepare(contender: &Contender) -> Result<()> {
    let out = &contender.out;
    if out.exists() {
        std::fs::remove_dir_all(out).with_context(|| format!("folder {}", out.display()))?;
    }
    if contender.wants_folder {
        std::fs::create_dir_all(out).with_context(|| format!("folder {}", out.display()))?;
    }
    Ok(())
}

fn folder_bytes(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder).with_context(|| format!("folder {}", folder.display()))? {
        let entry = entry?;
        sum += if entry.file_type()?.is_dir() { folder_bytes(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_run_is_the_one_with_least_cpu() {
        let cost = |cpu_s, wall_s| Cost { cpu_s, wall_s, ..Cost::default() };
        let costs = vec![cost(2.0, 1.0), cost(1.5, 3.0), cost(1.8, 0.5)];
        let entry = Entry { name: String::new(), command: String::new(), costs, written_bytes: 0 };
        assert!(entry.best().wall_s == 3.0 && entry.worst_cpu_s() == 2.0);
    }
}
