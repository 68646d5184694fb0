//! Packaging: a film of about 400 MB, one H.264 and one AAC track, into CMAF with HLS and DASH, against Shaka Packager.

use super::Setting;
use super::contest::{self, Contender};
use super::results::Row;
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// About how much there is to package.
const SOURCE_BYTES: u64 = 400_000_000;

const KEY_ID: &str = "aaaaaaaabbbbccccddddeeeeeeeeeeee";
const KEY: &str = "00112233445566778899aabbccddeeff";

/// The tracks to package, one file each.
struct Source {
    video: PathBuf,
    audio: PathBuf,
}

/// Runs every scheme and returns us against Shaka for each.
pub(super) fn contest(setting: &Setting) -> Result<Vec<Row>> {
    let source = make_source(setting)?;
    let keys_file = write_keys(&setting.scratch)?;
    let mut rows = Vec::new();
    for scheme in ["cbcs", "cenc", "clear"] {
        let contenders = [ours(setting, &source, &keys_file, scheme), shaka(setting, &source, scheme)];
        let mut entries = contest::run(&contenders, setting.repeat_count, &setting.scratch)?.into_iter();
        let (Some(ours), Some(shaka)) = (entries.next(), entries.next()) else {
            bail!("two contenders give two entries");
        };
        for entry in [&ours, &shaka] {
            let written = entry.written_bytes;
            ensure!(written > SOURCE_BYTES / 10 * 9, "{} wrote {written} bytes of {scheme}, too few", entry.name);
        }
        rows.push(Row::new(&format!("package 400 MB, {scheme}"), &ours, shaka));
    }
    Ok(rows)
}

/// Encodes the clip once at about 12 Mb/s with keyframes every 2 s and writes it over and over until the size is reached.
fn make_source(setting: &Setting) -> Result<Source> {
    let once = setting.scratch.join("once.mp4");
    let x264 =
        "-c:v libx264 -preset veryfast -b:v 12M -bf 2 -g 120 -keyint_min 120 -sc_threshold 0 -c:a aac -b:a 128k -ac 2";
    ffmpeg(setting, &format!("-i {} {x264} {}", setting.clip.display(), once.display()))?;
    let once_bytes = std::fs::metadata(&once).context("the source of the packaging bench")?.len();
    let more_count = SOURCE_BYTES / once_bytes;
    let source = Source { video: setting.scratch.join("video.mp4"), audio: setting.scratch.join("audio.mp4") };
    for (path, stream) in [(&source.video, "0:v"), (&source.audio, "0:a")] {
        let looped = format!("-stream_loop {more_count} -i {} -map {stream}", once.display());
        ffmpeg(setting, &format!("{looped} -c copy -movflags +faststart {}", path.display()))?;
    }
    std::fs::remove_file(&once).context("the source of the packaging bench")?;
    Ok(source)
}

fn ffmpeg(setting: &Setting, words: &str) -> Result<()> {
    let status = Command::new(&setting.ffmpeg)
        .args("-v error -nostdin -y".split_whitespace())
        .args(words.split_whitespace())
        .status()
        .context("FFmpeg did not start")?;
    ensure!(status.success(), "FFmpeg could not make the source of the packaging bench: {status}");
    Ok(())
}

fn write_keys(scratch: &Path) -> Result<PathBuf> {
    let path = scratch.join("bench.keys.json");
    let keys = format!(r#"{{"keys":[{{"track":"*","kid":"{KEY_ID}","key":"{KEY}"}}]}}"#);
    std::fs::write(&path, keys).with_context(|| format!("file {}", path.display()))?;
    Ok(path)
}

fn ours(setting: &Setting, source: &Source, keys_file: &Path, scheme: &str) -> Contender {
    let out = setting.scratch.join("packaged-mcsp");
    let mut command: Vec<String> = [setting.mcsp.as_path(), Path::new("package"), &source.video, &source.audio]
        .map(|part| part.display().to_string())
        .to_vec();
    command.extend(["--segment", "6", "--scheme", scheme, "--out"].map(str::to_owned));
    command.push(out.display().to_string());
    if scheme != "clear" {
        command.extend(["--keys".to_owned(), keys_file.display().to_string()]);
    }
    Contender { name: "mcsp".to_owned(), command, out, wants_folder: false }
}

fn shaka(setting: &Setting, source: &Source, scheme: &str) -> Contender {
    let out = setting.scratch.join("packaged-shaka");
    let at = out.display();
    let mut command = vec![setting.shaka.display().to_string()];
    for (track, path) in [("video", &source.video), ("audio", &source.audio)] {
        let names = format!("init_segment={at}/{track}/init.mp4,segment_template={at}/{track}/$Number$.m4s");
        command.push(format!("in={},stream={track},{names},playlist_name={track}.m3u8", path.display()));
    }
    let manifests =
        format!("--mpd_output {at}/m.mpd --hls_master_playlist_output {at}/m.m3u8 --generate_static_live_mpd");
    command.extend(format!("--segment_duration 6 {manifests}").split_whitespace().map(str::to_owned));
    if scheme != "clear" {
        let keys = format!("--enable_raw_key_encryption --keys label=:key_id={KEY_ID}:key={KEY} --clear_lead 0");
        let protection = format!("{keys} --protection_systems Widevine,PlayReady --protection_scheme {scheme}");
        command.extend(protection.split_whitespace().map(str::to_owned));
    }
    Contender { name: "Shaka Packager".to_owned(), command, out, wants_folder: true }
}
