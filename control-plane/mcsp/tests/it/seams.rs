//! Sound over chunks: a tone cut into chunks is no further from the one-shot encode at the seams than elsewhere.

use std::path::Path;

use crate::support::{ffmpeg, joined, process, renditions};

/// Samples around a seam that count as the seam: two codec frames on each side.
const SEAM_SAMPLES: usize = 2048;

fn decoded(path: &Path) -> Vec<f32> {
    let raw = ffmpeg(|command| command.arg("-i").arg(path).args(["-ac", "1", "-f", "f32le", "-"]));
    raw.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn rms(samples: impl Iterator<Item = f32>) -> f64 {
    let (mut sum, mut count) = (0.0, 0_u32);
    for sample in samples {
        sum += f64::from(sample) * f64::from(sample);
        count += 1;
    }
    (sum / f64::from(count.max(1))).sqrt()
}

/// Returns the decoded sound of a clip in chunks of `chunk_s` seconds.
fn sound(clip: &Path, folder: &Path, chunk_s: &str) -> Vec<f32> {
    let out = folder.join(format!("chunks-of-{chunk_s}"));
    let dir = process(clip, &out, &["--scheme", "clear", "--segment", "2", "--chunk", chunk_s]);
    decoded(&joined(&dir, &renditions(&dir, "audio")[0], folder))
}

fn check_seams(clip: &Path, folder: &Path, sample_rate_hz: usize) {
    let (once, chunked) = (sound(clip, folder, "60"), sound(clip, folder, "4"));
    assert_eq!(once.len(), chunked.len(), "sound was lost or doubled");
    let seams: Vec<usize> =
        (1..).map(|index| index * 4 * sample_rate_hz).take_while(|at| at + 4096 < once.len()).collect();
    assert!(seams.len() >= 2, "no seams to look at");
    let near = |at: usize| seams.iter().any(|seam| at.abs_diff(*seam) <= SEAM_SAMPLES);
    let difference = |keep: &dyn Fn(usize) -> bool| {
        rms(once.iter().zip(&chunked).enumerate().filter(|(at, _)| keep(*at)).map(|(_, (a, b))| a - b))
    };
    let at_seams = difference(&|at| near(at));
    let elsewhere = difference(&|at| !near(at) && at > sample_rate_hz * 4);
    let loudness = rms(once.iter().copied());
    assert!(loudness > 0.05, "the sound is silent");
    // Two encoders of the same sound differ by their quantisers' history; a seam must not add to that.
    let floor = loudness * 1e-4;
    assert!(at_seams <= elsewhere.max(floor) * 1.5, "at seams {at_seams:.6}, elsewhere {elsewhere:.6}");
    // A click is a step between neighbours that the tone itself does not have.
    let step = |samples: &[f32], at: usize| (samples[at + 1] - samples[at]).abs();
    let largest = |keep: &dyn Fn(usize) -> bool| {
        (0..chunked.len() - 1).filter(|at| keep(*at)).map(|at| step(&chunked, at)).fold(0.0, f32::max)
    };
    let (seam_step, step) = (largest(&|at| near(at)), largest(&|at| !near(at) && at > 4096));
    assert!(seam_step <= step * 1.05, "a step of {seam_step} at a seam, {step} elsewhere");
}

#[test]
fn a_tone_has_no_seam_and_no_click() {
    let folder = mcsp_fixtures::temp_dir();
    let tone = mcsp_fixtures::Tone { duration_ms: 13_000, tone_hz: 997, sample_rate_hz: 48_000, channel_count: 2 };
    let clip = folder.path().join("tone.wav");
    std::fs::write(&clip, tone.wav()).unwrap();
    check_seams(&clip, folder.path(), 48_000);
}

#[test]
fn a_resampled_tone_has_no_seam_either() {
    let folder = mcsp_fixtures::temp_dir();
    let tone = mcsp_fixtures::Tone { duration_ms: 13_000, tone_hz: 997, sample_rate_hz: 96_000, channel_count: 1 };
    let clip = folder.path().join("tone.wav");
    std::fs::write(&clip, tone.wav()).unwrap();
    check_seams(&clip, folder.path(), 48_000);
}
