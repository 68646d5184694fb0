//! The audio line: chunks join without a seam, and rates, channels and lengths are what was asked for.

use std::path::Path;
use std::process::Command;

use mcsp_domain::{Grid, Plan, Preset};
use mcsp_fixtures::{Tone, temp_dir};

use crate::child::{By, chunk_work, plan, run, small_ladder};

/// Sampling frequency indices, ISO/IEC 14496-3 table 1.18.
const RATES_HZ: [u32; 8] = [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050];

/// Encodes all chunks and returns the codec frames of one track.
fn frames_of(path: &Path, plan: &Plan, track: u16) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for chunk in &plan.chunks {
        let said = run(path, By::Descriptor, chunk_work(plan, chunk));
        assert!(said.done, "{:?}", said.failure);
        let span = chunk.audio.as_ref().unwrap();
        let numbers: Vec<i64> = said.units[&track].iter().map(|unit| unit.pts / 1024).collect();
        assert_eq!(numbers, (span.first_frame..span.end_frame).collect::<Vec<_>>());
        assert!(said.units[&track].iter().all(|unit| unit.key && unit.pts % 1024 == 0));
        assert_eq!(said.ends[&track].next_pts, span.end_frame * 1024);
        frames.extend(said.units[&track].iter().map(|unit| unit.bytes.clone()));
    }
    frames
}

/// Decodes codec frames to floats of one channel, priming included.
fn decode(frames: &[Vec<u8>], rate_hz: u32, channels: u8, folder: &Path) -> Vec<f32> {
    let rate_index = u8::try_from(RATES_HZ.iter().position(|&rate| rate == rate_hz).unwrap()).unwrap();
    let mut stream = Vec::new();
    for frame in frames {
        let len = u32::try_from(frame.len() + 7).unwrap();
        // ADTS, ISO/IEC 13818-7 §6.2: sync, AAC-LC without protection, rate, channels, length, full buffer.
        let fixed = 0xfff1_4000 | u32::from(rate_index) << 10 | u32::from(channels) << 6 | len >> 11;
        stream.extend_from_slice(&fixed.to_be_bytes());
        stream.extend_from_slice(&((len & 0x7ff) << 13 | 0x1ffc).to_be_bytes()[1..]);
        stream.extend_from_slice(frame);
    }
    let path = folder.join("track.aac");
    std::fs::write(&path, stream).unwrap();
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-i"]).arg(&path);
    let output = command.args(["-map_channel", "0.0.0", "-f", "f32le", "-c:a", "pcm_f32le", "-"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

fn rms(a: &[f32], b: &[f32]) -> f64 {
    let sum: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    (sum / a.len() as f64).sqrt()
}

/// Encodes a tone in chunks of 3 s and at once; returns both, decoded, and where the chunks meet, in samples.
fn both_ways(tone: &Tone, out_hz: u32, channels: u8) -> (Vec<f32>, Vec<f32>, Vec<usize>) {
    let folder = temp_dir();
    let path = folder.path().join("tone.wav");
    std::fs::write(&path, tone.wav()).unwrap();
    let planned = |chunk_ms| {
        let policy = small_ladder(&[], &[channels]);
        plan(&path, Grid::new(1000).unwrap(), chunk_ms, &policy, Preset::Ultrafast).unwrap().0
    };
    let (chunked, whole) = (planned(3000), planned(60_000));
    assert_eq!((chunked.audio.as_ref().unwrap().sample_rate_hz, whole.chunks.len()), (out_hz, 1));
    let seams: Vec<usize> = chunked.chunks[1..]
        .iter()
        .map(|chunk| usize::try_from(chunk.audio.as_ref().unwrap().first_frame * 1024).unwrap())
        .collect();
    assert!(seams.len() >= 2, "{} seams", seams.len());
    let frames = [frames_of(&path, &chunked, 100), frames_of(&path, &whole, 100)];
    assert_eq!(frames[0].len(), frames[1].len());
    let [chunked, whole] = frames.map(|frames| decode(&frames, out_hz, channels, folder.path()));
    (chunked, whole, seams)
}

fn assert_seamless(tone: &Tone, out_hz: u32, channels: u8) {
    let (chunked, whole, seams) = both_ways(tone, out_hz, channels);
    assert_eq!(chunked.len(), whole.len());
    let level = rms(&whole, &vec![0.0; whole.len()]);
    assert!(level > 0.1, "the tone is gone: level {level}");
    let blocks = chunked.chunks_exact(1024).zip(whole.chunks_exact(1024));
    let apart: Vec<f64> = blocks.map(|(a, b)| rms(a, b)).collect();
    let near = |block: usize| seams.iter().any(|seam| (seam / 1024).abs_diff(block) <= 3);
    // Both encodes choose their noise differently once their rate control differs; the first chunk is the same.
    let elsewhere = (0..apart.len()).filter(|&block| !near(block)).map(|block| apart[block]).fold(0.0, f64::max);
    let at_seams = (0..apart.len()).filter(|&block| near(block)).map(|block| apart[block]).fold(0.0, f64::max);
    let bound = elsewhere.max(level / 1000.0);
    assert!(at_seams <= bound, "{at_seams} at the seams, {elsewhere} elsewhere, level {level}");
}

#[test]
fn chunks_of_a_tone_join_without_a_seam() {
    let tone = Tone { duration_ms: 10_000, tone_hz: 441, sample_rate_hz: 48_000, channel_count: 2 };
    assert_seamless(&tone, 48_000, 2);
}

#[test]
fn chunks_of_a_resampled_surround_tone_join_without_a_seam() {
    let tone = Tone { duration_ms: 10_000, tone_hz: 441, sample_rate_hz: 88_200, channel_count: 6 };
    assert_seamless(&tone, 48_000, 2);
}

#[test]
fn a_mono_tone_is_as_loud_in_stereo() {
    let tone = Tone { duration_ms: 10_000, tone_hz: 441, sample_rate_hz: 44_100, channel_count: 1 };
    let (stereo, ..) = both_ways(&tone, 44_100, 2);
    let (mono, ..) = both_ways(&tone, 44_100, 1);
    let level = |samples: &[f32]| rms(samples, &vec![0.0; samples.len()]);
    // Half of full scale, as a sine.
    for level in [level(&stereo), level(&mono)] {
        assert!((level - 0.5 / 2f64.sqrt()).abs() < 0.01, "level {level}");
    }
}

#[test]
fn the_tone_starts_where_the_priming_ends() {
    let tone = Tone { duration_ms: 10_000, tone_hz: 441, sample_rate_hz: 48_000, channel_count: 2 };
    let (_, whole, _) = both_ways(&tone, 48_000, 2);
    // The sample at n + 1024 is the source's sample n.
    let expected: Vec<f32> =
        (0..48_000).map(|n| 0.5 * (std::f32::consts::TAU * 441.0 * n as f32 / 48_000.0).sin()).collect();
    let apart = rms(&whole[1024 + 4096..1024 + 44_096], &expected[4096..44_096]);
    assert!(apart < 0.01, "{apart} from the source");
}
