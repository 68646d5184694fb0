//! Us beside our peers in one run, on one machine, in turns: the encoding ladder against a static FFmpeg, packaging against
//! Shaka Packager. In: what `deploy/setup-debian.sh --bench` fetched. Out: a section of `benches/results/peers.md`.

mod contest;
mod ladder;
mod measure;
mod packaging;
mod quality;
mod results;

use crate::workspace::Workspace;
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) use measure::measure_here;

/// Least free space of a scratch folder: two packaged outputs of 400 MB, their source, and the ladder's outputs.
const SCRATCH_BYTES_MIN: u64 = 4 << 30;

/// Fewer runs than this say nothing about the spread.
const REPEAT_MIN: usize = 3;

/// What a bench needs to know: programs, the source clip, and a folder on fast storage.
struct Setting {
    mcsp: PathBuf,
    ffmpeg: PathBuf,
    shaka: PathBuf,
    clip: PathBuf,
    ladder_file: PathBuf,
    scratch: PathBuf,
    repeat_count: usize,
}

/// Runs the contests and appends what they measured.
pub(crate) fn peers(workspace: &Workspace, options: &[&str]) -> Result<()> {
    let (only, repeat_count) = parse(options)?;
    let heading = results::heading(workspace, repeat_count)?;
    build_release(workspace)?;
    let scratch = scratch_folder(workspace)?;
    let setting = Setting {
        mcsp: program(workspace.target.join("release/mcsp"))?,
        ffmpeg: program(workspace.root.join("target/peers/ffmpeg"))?,
        shaka: program(workspace.root.join("target/peers/packager"))?,
        clip: workspace.root.join("fixtures/media/bbb-1080p60.mp4"),
        ladder_file: workspace.root.join("benches/ladder-five.json"),
        scratch,
        repeat_count,
    };
    let measured = run(&setting, only);
    std::fs::remove_dir_all(&setting.scratch).with_context(|| format!("folder {}", setting.scratch.display()))?;
    results::append(workspace, &heading, &measured?)
}

/// Runs the contests that were asked for, both when none was named.
fn run(setting: &Setting, only: Option<&str>) -> Result<results::Measurements> {
    let mut measurements = results::Measurements::default();
    if only.is_none_or(|name| name == "ladder") {
        measurements.rows.extend(ladder::contest(setting)?);
        measurements.quality = quality::compare(setting)?;
    }
    if only.is_none_or(|name| name == "packaging") {
        measurements.rows.extend(packaging::contest(setting)?);
    }
    Ok(measurements)
}

fn parse<'a>(options: &[&'a str]) -> Result<(Option<&'a str>, usize)> {
    let (mut only, mut repeat_count) = (None, REPEAT_MIN);
    for pair in options.chunks(2) {
        match pair {
            ["--only", name @ ("ladder" | "packaging")] => only = Some(*name),
            ["--repeat", count] => repeat_count = count.parse().context("--repeat takes a number")?,
            _ => bail!("unknown option {pair:?}, known are --only ladder|packaging and --repeat N"),
        }
    }
    ensure!(repeat_count >= REPEAT_MIN, "--repeat {repeat_count} is below {REPEAT_MIN}");
    Ok((only, repeat_count))
}

fn build_release(workspace: &Workspace) -> Result<()> {
    // Without the lints' wrapper: clippy-driver turns off the compiler's own middle optimisations.
    let status = Command::new("cargo")
        .args(["build", "--release", "--package", "mcsp", "--package", "mcsp-media"])
        .current_dir(&workspace.root)
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .status()
        .context("cargo did not start")?;
    ensure!(status.success(), "the release build ended with {status}");
    Ok(())
}

fn program(path: PathBuf) -> Result<PathBuf> {
    ensure!(path.is_file(), "{} is not there: run `deploy/setup-debian.sh --bench`", path.display());
    Ok(path)
}

/// Returns an empty folder in memory where there is room, else beside the build, so that no disk is measured if possible.
fn scratch_folder(workspace: &Workspace) -> Result<PathBuf> {
    let name = format!("mcsp-bench-{}", std::process::id());
    let in_memory = Path::new("/dev/shm");
    let folder = match free_bytes(in_memory) {
        Some(free) if free >= SCRATCH_BYTES_MIN => in_memory.join(name),
        _ => workspace.target.join(name),
    };
    std::fs::create_dir_all(&folder).with_context(|| format!("folder {}", folder.display()))?;
    Ok(folder)
}

fn free_bytes(folder: &Path) -> Option<u64> {
    let output = Command::new("df").args(["--output=avail", "--block-size=1"]).arg(folder).output().ok()?;
    String::from_utf8(output.stdout).ok()?.lines().nth(1)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_in_any_order() {
        assert_eq!(parse(&[]).unwrap(), (None, 3));
        assert_eq!(parse(&["--repeat", "5", "--only", "ladder"]).unwrap(), (Some("ladder"), 5));
    }

    #[test]
    fn odd_options_are_refused() {
        for options in [&["--repeat", "2"][..], &["--only", "licence"], &["--repeat"], &["--loud", "1"]] {
            assert!(parse(options).is_err(), "{options:?} passed");
        }
    }
}
