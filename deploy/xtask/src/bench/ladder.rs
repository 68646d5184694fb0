//! The encoding ladder: one decode, five H.264 rungs and one AAC track, against FFmpeg in one command with the same x264
//! settings; once as people write it (swscale), once as well as it can be asked (zimg Lanczos, one thread an encoder).

use super::Setting;
use super::contest::{self, Contender};
use super::results::Row;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::path::Path;

/// The x264 preset of every contender.
const PRESET: &str = "veryfast";

/// Keyframes 2 s apart at 60 frames a second, none between, closed groups.
const X264: &str = "-sc_threshold 0 -g 120 -keyint_min 120 -x264-params open-gop=0 -profile:v high -pix_fmt yuv420p";

/// A ladder file, as `mcsp process --ladder` reads it.
#[derive(Deserialize)]
pub(super) struct LadderFile {
    pub(super) video: Vec<VideoRung>,
    pub(super) audio: Vec<AudioRung>,
}

/// A video rung of a ladder file.
#[derive(Deserialize)]
pub(super) struct VideoRung {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) crf: u32,
    pub(super) maxrate_kbps: u32,
}

/// An audio rung of a ladder file.
#[derive(Deserialize)]
pub(super) struct AudioRung {
    pub(super) bitrate_kbps: u32,
    pub(super) channels: u32,
}

/// How FFmpeg is asked to scale and encode.
#[derive(Clone, Copy)]
enum Style {
    Usual,
    Tuned,
}

/// Runs all three and returns us against each of the other two.
pub(super) fn contest(setting: &Setting) -> Result<Vec<Row>> {
    let ladder = read_ladder(&setting.ladder_file)?;
    let contenders = [ours(setting), ffmpeg(setting, &ladder, Style::Usual)?, ffmpeg(setting, &ladder, Style::Tuned)?];
    let mut entries = contest::run(&contenders, setting.repeat_count, &setting.scratch)?.into_iter();
    let (Some(ours), Some(usual), Some(tuned)) = (entries.next(), entries.next(), entries.next()) else {
        bail!("three contenders give three entries");
    };
    let case = format!("ladder of {}, {PRESET}", ladder.video.len());
    Ok(vec![Row::new(&case, &ours, usual), Row::new(&case, &ours, tuned)])
}

/// Reads a ladder file.
pub(super) fn read_ladder(path: &Path) -> Result<LadderFile> {
    let text = std::fs::read_to_string(path).with_context(|| format!("file {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("file {}", path.display()))
}

fn ours(setting: &Setting) -> Contender {
    let out = setting.scratch.join("ladder-mcsp");
    let mut command =
        vec![setting.mcsp.display().to_string(), "process".to_owned(), setting.clip.display().to_string()];
    command.extend(["--scheme", "clear", "--preset", PRESET, "--ladder"].map(str::to_owned));
    command.extend([setting.ladder_file.display().to_string(), "--out".to_owned(), out.display().to_string()]);
    Contender { name: "mcsp".to_owned(), command, out, wants_folder: false }
}

fn ffmpeg(setting: &Setting, ladder: &LadderFile, style: Style) -> Result<Contender> {
    let (name, folder) = match style {
        Style::Usual => ("FFmpeg, swscale", "ladder-ffmpeg"),
        Style::Tuned => ("FFmpeg, zimg Lanczos, 1 thread an encoder", "ladder-ffmpeg-tuned"),
    };
    let out = setting.scratch.join(folder);
    let mut command = vec![setting.ffmpeg.display().to_string()];
    command.extend(split("-hide_banner -nostdin -y -i"));
    command.push(setting.clip.display().to_string());
    command.push("-filter_complex".to_owned());
    command.push(graph(&ladder.video, style));
    for (index, rung) in ladder.video.iter().enumerate() {
        command.extend(encoder(index, rung, style));
        command.push(out.join(format!("{}.mp4", rung.height)).display().to_string());
    }
    let audio = ladder.audio.first().context("the bench's ladder has an audio rung")?;
    command.extend(split(&format!("-map 0:a -c:a aac -b:a {}k -ac {}", audio.bitrate_kbps, audio.channels)));
    command.push(out.join("audio.mp4").display().to_string());
    Ok(Contender { name: name.to_owned(), command, out, wants_folder: true })
}

/// Returns the filter graph: the first rung is the source's size and goes through as it is.
fn graph(rungs: &[VideoRung], style: Style) -> String {
    let inputs: String =
        (0..rungs.len()).map(|index| if index == 0 { "[v0]".to_owned() } else { format!("[s{index}]") }).collect();
    let mut graph = format!("[0:v]split={}{inputs}", rungs.len());
    for (index, VideoRung { width, height, .. }) in rungs.iter().enumerate().skip(1) {
        graph.push_str(&match style {
            Style::Usual => format!(";[s{index}]scale={width}:{height}[v{index}]"),
            Style::Tuned => format!(";[s{index}]zscale={width}:{height}:filter=lanczos[v{index}]"),
        });
    }
    graph
}

fn encoder(index: usize, rung: &VideoRung, style: Style) -> Vec<String> {
    let VideoRung { crf, maxrate_kbps, .. } = rung;
    let threads = match style {
        Style::Usual => "",
        Style::Tuned => "-threads 1",
    };
    let bufsize_kbps = 2 * maxrate_kbps;
    let rates = format!("-crf {crf} -maxrate {maxrate_kbps}k -bufsize {bufsize_kbps}k");
    split(&format!("-map [v{index}] -c:v libx264 -preset {PRESET} {rates} {X264} {threads}"))
}

fn split(words: &str) -> Vec<String> {
    words.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rung(width: u32, height: u32) -> VideoRung {
        VideoRung { width, height, crf: 21, maxrate_kbps: 6000 }
    }

    #[test]
    fn the_first_rung_is_not_scaled() {
        let rungs = [rung(1920, 1080), rung(1280, 720)];
        assert_eq!(graph(&rungs, Style::Usual), "[0:v]split=2[v0][s1];[s1]scale=1280:720[v1]");
        assert_eq!(graph(&rungs, Style::Tuned), "[0:v]split=2[v0][s1];[s1]zscale=1280:720:filter=lanczos[v1]");
    }

    #[test]
    fn the_buffer_is_twice_the_rate() {
        let words = encoder(0, &rung(1920, 1080), Style::Usual).join(" ");
        assert!(words.starts_with(
            "-map [v0] -c:v libx264 -preset veryfast -crf 21 -maxrate 6000k -bufsize 12000k -sc_threshold 0"
        ));
    }
}
