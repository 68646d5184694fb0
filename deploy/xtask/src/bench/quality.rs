//! What the encoders' work is worth: bit rate and VMAF of each rung, ours beside FFmpeg's, since speed alone says nothing.

use super::Setting;
use super::ladder::{VideoRung, read_ladder};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Bit rate and VMAF of one rung.
pub(super) struct Quality {
    pub(super) rung: String,
    pub(super) ours: Score,
    pub(super) ffmpeg: Score,
}

/// The size of one rung's file and its likeness to the source.
pub(super) struct Score {
    pub(super) file_bytes: u64,
    /// VMAF v0.6.1 of every sixth frame, scaled up to the source's size.
    pub(super) vmaf: f64,
}

/// Compares the outputs that the last round of the ladder contest left in the scratch folder.
pub(super) fn compare(setting: &Setting) -> Result<Vec<Quality>> {
    let ours = join_renditions(setting, &setting.scratch.join("ladder-mcsp"))?;
    let mut rows = Vec::new();
    for rung in read_ladder(&setting.ladder_file)?.video {
        let VideoRung { width, height, .. } = rung;
        let rung = format!("{width}x{height}");
        let found = ours.iter().find(|(described, _)| described.contains(&format!(" {rung}")));
        let (_, our_file) = found.with_context(|| format!("mcsp made no rendition of {rung}"))?;
        let their_file = setting.scratch.join(format!("ladder-ffmpeg/{height}.mp4"));
        eprintln!("VMAF of {rung}");
        rows.push(Quality { ours: score(setting, our_file)?, ffmpeg: score(setting, &their_file)?, rung });
    }
    Ok(rows)
}

/// Joins each rendition's initialisation and media segments to one file; returns what FFmpeg says of it, and the file.
fn join_renditions(setting: &Setting, out: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut joined = Vec::new();
    for entry in std::fs::read_dir(out).with_context(|| format!("folder {}", out.display()))? {
        let folder = entry?.path();
        if !folder.join("init.mp4").is_file() {
            continue;
        }
        let name = folder.file_name().context("a rendition has a name")?.to_string_lossy().into_owned();
        let path = setting.scratch.join(format!("joined-{name}.mp4"));
        std::fs::write(&path, joined_bytes(&folder)?).with_context(|| format!("file {}", path.display()))?;
        let described = Command::new(&setting.ffmpeg).arg("-hide_banner").arg("-i").arg(&path).output()?;
        joined.push((String::from_utf8_lossy(&described.stderr).into_owned(), path));
    }
    Ok(joined)
}

fn joined_bytes(folder: &Path) -> Result<Vec<u8>> {
    let mut segments = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "m4s") {
            segments.push(path);
        }
    }
    segments.sort();
    let mut bytes = std::fs::read(folder.join("init.mp4"))?;
    for segment in segments {
        bytes.extend(std::fs::read(&segment).with_context(|| format!("file {}", segment.display()))?);
    }
    Ok(bytes)
}

fn score(setting: &Setting, file: &Path) -> Result<Score> {
    let scaled = "[0:v]scale=1920:1080:flags=bicubic,setpts=N/60/TB[distorted];[1:v]setpts=N/60/TB[source]";
    let output = Command::new(&setting.ffmpeg)
        .args(["-hide_banner", "-nostdin", "-i"])
        .arg(file)
        .arg("-i")
        .arg(&setting.clip)
        .arg("-lavfi")
        .arg(format!("{scaled};[distorted][source]libvmaf=n_subsample=6:n_threads=2"))
        .args(["-f", "null", "-"])
        .output()
        .context("FFmpeg did not start")?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "VMAF of {} failed:\n{told}", file.display());
    let vmaf = vmaf_of(&told).with_context(|| format!("no VMAF score for {}", file.display()))?;
    Ok(Score { file_bytes: std::fs::metadata(file)?.len(), vmaf })
}

fn vmaf_of(told: &str) -> Option<f64> {
    told.rsplit_once("VMAF score:")?.1.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_is_read_from_the_log() {
        assert_eq!(vmaf_of("[Parsed_libvmaf_4 @ 0x5] VMAF score: 90.159594\n"), Some(90.159594));
        assert_eq!(vmaf_of("no score"), None);
    }
}
