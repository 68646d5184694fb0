//! The project's own chores, called by `make`: `check` (lints, arrows, tidy, generated files), `gen` (docs made from code),
//! `bench peers` (us beside FFmpeg and Shaka Packager in one run). Prints findings as `path:line: what is wrong`.
#![expect(clippy::print_stdout, reason = "a command-line tool speaks on stdout")]

mod arrows;
mod bench;
mod generate;
mod lints;
mod tidy;
mod workspace;

use anyhow::{Result, bail};
use std::process::ExitCode;
use workspace::Workspace;

const USAGE: &str = "usage: cargo xtask check | tidy | gen | bench peers [--only ladder|packaging] [--repeat N]";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["check"] => check(&Workspace::load()?),
        ["tidy"] => tidy(&Workspace::load()?).and_then(settle),
        ["gen"] => generate::write(&Workspace::load()?),
        ["bench", "peers", options @ ..] => bench::peers(&Workspace::load()?, options),
        // The bench starts itself under this name, so that each run's memory is counted alone.
        ["measure", command @ ..] => bench::measure_here(command),
        _ => bail!("{USAGE}"),
    }
}

/// Runs every check and fails when one has findings.
fn check(workspace: &Workspace) -> Result<()> {
    let mut finding_count = tidy(workspace)?;
    finding_count += report("lints", lints::check(workspace)?);
    finding_count += report("generated files", generate::stale(workspace)?);
    settle(finding_count)
}

/// Runs the checks that need no build.
fn tidy(workspace: &Workspace) -> Result<usize> {
    let arrows = report("arrows between crates", arrows::check(&workspace.packages));
    Ok(arrows + report("tidy", tidy::check(workspace)?))
}

fn settle(finding_count: usize) -> Result<()> {
    if finding_count > 0 {
        bail!("{finding_count} findings");
    }
    Ok(())
}

fn report(subject: &str, findings: Vec<String>) -> usize {
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => println!("check: {subject}: ok"),
        count => println!("check: {subject}: {count} findings"),
    }
    findings.len()
}
