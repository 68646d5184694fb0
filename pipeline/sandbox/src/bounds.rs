//! Bounds of a job: how much memory, processor time, output and wall time it may take. In: the work and what the probe
//! says. Out: `JobLimits`, several times what the slowest honest source needs, so that they stop attacks alone.

use std::time::Duration;

use mcsp_child::{
    AudioJob, AudioTaps, CELL_COUNT, JobLimits, STILL_BYTES_MAX, TAP_LUMA_EDGE_PX_MAX, TranscodeJob, VideoJob,
    VideoTaps, Work,
};
use mcsp_domain::{Probe, limits};

/// Samples of one AAC frame.
const AAC_FRAME_SAMPLES: u64 = 1024;

/// Returns a job's bounds; `probe` is what an earlier `Work::Probe` answered.
pub fn limits_for(work: &Work, source_len_bytes: u64, probe: Option<&Probe>) -> JobLimits {
    let source_pixels = source_pixels(probe);
    let (memory_bytes, cpu_ms, output_bytes) = match work {
        Work::Probe | Work::Attempt { .. } => {
            let pictures_bytes = source_pixels.saturating_mul(limits::CHILD_PROBE_MEMORY_BYTES_PER_PIXEL);
            (pictures_bytes, 0, 0)
        }
        // Every byte is read once; no picture is made.
        Work::Scan => (0, source_len_bytes / limits::CHILD_ANALYSIS_BYTES_PER_CPU_MS, 0),
        Work::Analyse => {
            let pictures_bytes = source_pixels.saturating_mul(limits::CHILD_PROBE_MEMORY_BYTES_PER_PIXEL);
            (pictures_bytes, analysis_cpu_ms(source_len_bytes, probe), 0)
        }
        Work::Taps { video, audio } => (
            source_pixels.saturating_mul(limits::CHILD_MEMORY_BYTES_PER_SOURCE_PIXEL),
            analysis_cpu_ms(source_len_bytes, probe).saturating_add(taps_cpu_ms(video.as_ref(), probe, source_pixels)),
            taps_bytes(video.as_ref(), audio.as_ref(), probe),
        ),
        Work::Transcode(job) => {
            (pictures_bytes(job, source_pixels), transcode_cpu_ms(job, source_pixels), media_bytes(job))
        }
    };
    let processors = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let base_bytes = limits::CHILD_MEMORY_BASE_BYTES + processors * limits::CHILD_MEMORY_BYTES_PER_PROCESSOR;
    JobLimits {
        memory_bytes: base_bytes.saturating_add(memory_bytes).min(limits::CHILD_MEMORY_BYTES_MAX),
        cpu_seconds: limits::CHILD_CPU_BASE_S.saturating_add(cpu_ms / 1000).min(limits::CHILD_CPU_S_MAX),
        output_bytes: limits::CHILD_OUTPUT_BASE_BYTES.saturating_add(output_bytes),
        pixels: limits::SOURCE_PIXELS_MAX,
        streams: limits::SOURCE_STREAMS_MAX,
        duration_seconds: limits::SOURCE_DURATION_S_MAX,
    }
}

/// Returns how long a session with these bounds may last: a child that shares its processors may wait for most of it.
pub fn wall_for(job: &JobLimits) -> Duration {
    Duration::from_secs(job.cpu_seconds.saturating_mul(limits::CHILD_WALL_PER_CPU))
}

fn source_pixels(probe: Option<&Probe>) -> u64 {
    let Some(probe) = probe else { return limits::SOURCE_PIXELS_MAX };
    let video = probe.video.as_ref();
    let pixels = video.map_or(0, |video| u64::from(video.coded_width_px) * u64::from(video.coded_height_px));
    pixels.min(limits::SOURCE_PIXELS_MAX)
}

/// Reading costs by bytes, decoding audio by seconds.
fn analysis_cpu_ms(source_len_bytes: u64, probe: Option<&Probe>) -> u64 {
    let claimed_seconds = probe.map_or(0, |probe| probe.duration_us / 1_000_000);
    let seconds = claimed_seconds.min(limits::SOURCE_DURATION_S_MAX);
    let reading_ms = source_len_bytes / limits::CHILD_ANALYSIS_BYTES_PER_CPU_MS;
    reading_ms.saturating_add(seconds * limits::CHILD_AUDIO_CPU_MS_PER_S)
}

/// Returns the length that taps are bounded by: what the headers claim, or the longest source where they claim nothing.
fn claimed_seconds(probe: Option<&Probe>) -> u64 {
    let claimed = probe.map_or(0, |probe| probe.duration_us.div_ceil(1_000_000));
    if claimed == 0 { limits::SOURCE_DURATION_S_MAX } else { claimed.min(limits::SOURCE_DURATION_S_MAX) }
}

/// Where key frames are rare, every frame is decoded.
fn taps_cpu_ms(video: Option<&VideoTaps>, probe: Option<&Probe>, source_pixels: u64) -> u64 {
    if video.is_none() {
        return 0;
    }
    let rate = probe.and_then(|probe| probe.video.as_ref()).map_or((120, 1), |track| track.frame_rate);
    let frames = claimed_seconds(probe).saturating_mul(u64::from(rate.0)) / u64::from(rate.1.max(1));
    frames.saturating_mul(source_pixels) / limits::CHILD_DECODED_PIXELS_PER_CPU_MS
}

fn taps_bytes(video: Option<&VideoTaps>, audio: Option<&AudioTaps>, probe: Option<&Probe>) -> u64 {
    let video_bytes = video.map_or(0, |video| {
        let edge = u64::from(video.luma_edge_px.unwrap_or(0).min(TAP_LUMA_EDGE_PX_MAX));
        let rate = probe.and_then(|probe| probe.video.as_ref()).map_or((120, 1), |track| track.frame_rate);
        let frames = claimed_seconds(probe).saturating_mul(u64::from(rate.0)) / u64::from(rate.1.max(1));
        // Cells of one frame with their headers; averages of variable rates may be far off, which the base makes good.
        let dense_bytes = video.dense.map_or(0, |_| frames.saturating_mul(CELL_COUNT as u64 * 2));
        let sheets = video.storyboard.map_or(0, |board| {
            let tiles = u32::from(board.columns.max(1)) * u32::from(board.rows.max(1));
            u64::from(video.pictures_max.div_ceil(tiles))
        });
        let stills_bytes = (sheets + u64::from(video.poster.is_some())).saturating_mul(STILL_BYTES_MAX as u64);
        let pictures_bytes = u64::from(video.pictures_max).saturating_mul(edge * edge + 64);
        pictures_bytes.saturating_add(dense_bytes).saturating_add(stills_bytes)
    });
    // Two bytes a sample, and a header for each message.
    let audio_bytes = audio.map_or(0, |audio| audio.samples_max.saturating_mul(3));
    video_bytes.saturating_add(audio_bytes)
}

fn pictures_bytes(job: &TranscodeJob, source_pixels: u64) -> u64 {
    let Some(video) = &job.video else { return 0 };
    let source_bytes = source_pixels.saturating_mul(limits::CHILD_MEMORY_BYTES_PER_SOURCE_PIXEL);
    source_bytes.saturating_add(rung_pixels(video).saturating_mul(limits::CHILD_MEMORY_BYTES_PER_RUNG_PIXEL))
}

fn transcode_cpu_ms(job: &TranscodeJob, source_pixels: u64) -> u64 {
    let video_ms = job.video.as_ref().map_or(0, |video| {
        let decoded = decoded_frames(video).saturating_mul(source_pixels) / limits::CHILD_DECODED_PIXELS_PER_CPU_MS;
        let encoded = video.expected_frames.saturating_mul(rung_pixels(video));
        decoded.saturating_add(encoded / limits::CHILD_ENCODED_PIXELS_PER_CPU_MS)
    });
    let audio_ms = job.audio.as_ref().map_or(0, |audio| {
        let lines = audio.rungs.len() as u64 + 1;
        read_audio_seconds(audio).saturating_mul(limits::CHILD_AUDIO_CPU_MS_PER_S).saturating_mul(lines)
    });
    video_ms.saturating_add(audio_ms)
}

/// Returns the frames of the chunk and those that are decoded before it and thrown away.
fn decoded_frames(video: &VideoJob) -> u64 {
    let from_pts = video.decode_from.map_or(video.zero_pts.min(video.start_pts), |point| point.pts);
    let lead_ticks = span(from_pts, video.start_pts);
    let (numerator, denominator) = video.frame_rate;
    let ticks = u64::from(video.timescale.max(1)).saturating_mul(u64::from(denominator.max(1)));
    let lead_frames = lead_ticks.saturating_mul(u64::from(numerator)) / ticks;
    // Variable frame rates stray from their average.
    lead_frames.saturating_mul(2).saturating_add(video.expected_frames)
}

fn read_audio_seconds(audio: &AudioJob) -> u64 {
    let from_sample = audio.read_from.map_or(0, |point| point.position);
    let rate_hz = u64::from(audio.sample_rate_hz.max(1));
    let end_sample_of_output = u64::try_from(audio.end_frame).unwrap_or(0).saturating_mul(AAC_FRAME_SAMPLES);
    let from_seconds = span(audio.zero_sample, from_sample) / u64::from(audio.source_rate_hz.max(1));
    (end_sample_of_output / rate_hz).saturating_add(1).saturating_sub(from_seconds)
}

/// Returns several times what the rungs' rates give, since a hard picture may overshoot its rate.
fn media_bytes(job: &TranscodeJob) -> u64 {
    let video_bytes = job.video.as_ref().map_or(0, |video| {
        let ticks = span(video.start_pts, video.end_pts.unwrap_or(video.source_end_pts));
        let milliseconds = ticks.saturating_mul(1000) / u64::from(video.timescale.max(1));
        let kbps: u64 = video.rungs.iter().map(|rung| u64::from(rung.maxrate_kbps)).sum();
        milliseconds.saturating_mul(kbps) / 8
    });
    let audio_bytes = job.audio.as_ref().map_or(0, |audio| {
        let samples = span(audio.first_frame, audio.end_frame).saturating_mul(AAC_FRAME_SAMPLES);
        let milliseconds = samples.saturating_mul(1000) / u64::from(audio.sample_rate_hz.max(1));
        let kbps: u64 = audio.rungs.iter().map(|rung| u64::from(rung.bitrate_kbps)).sum();
        milliseconds.saturating_mul(kbps) / 8
    });
    video_bytes.saturating_add(audio_bytes).saturating_mul(limits::CHILD_OUTPUT_PER_RATE)
}

fn rung_pixels(video: &VideoJob) -> u64 {
    let pixels = video.rungs.iter().map(|rung| u64::from(rung.width_px) * u64::from(rung.height_px));
    pixels.fold(0, u64::saturating_add)
}

/// Returns the length of a half-open span of ticks; none when it is turned around.
fn span(start: i64, end: i64) -> u64 {
    u64::try_from(end.saturating_sub(start)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcsp_child::VideoRung;
    use mcsp_domain::{Colour, Grid, Orientation, Preset};

    fn transcode(frames: u64, timescale: u32, span_pts: (i64, i64), rung_px: (u32, u32)) -> Work {
        let (width_px, height_px) = rung_px;
        let video = VideoJob {
            stream_index: 0,
            timescale,
            frame_rate: (25, 1),
            orientation: Orientation::default(),
            colour: Colour::UNSPECIFIED,
            zero_pts: 0,
            start_pts: span_pts.0,
            end_pts: Some(span_pts.1),
            source_end_pts: span_pts.1,
            decode_from: None,
            expected_frames: frames,
            preset: Preset::Medium,
            rungs: vec![VideoRung { track: 0, width_px, height_px, crf: 23, maxrate_kbps: 8000 }],
        };
        let grid = Grid::new(2000).unwrap();
        Work::Transcode(Box::new(TranscodeJob { grid, video: Some(video), audio: None }))
    }

    #[test]
    fn a_chunk_has_room_for_its_rates_and_pictures() {
        // One minute of 1080p at 25 frames a second, from the start of a source of unknown size.
        let bounds = limits_for(&transcode(1500, 1000, (0, 60_000), (1920, 1080)), 1 << 30, None);
        assert_eq!(bounds.output_bytes, limits::CHILD_OUTPUT_BASE_BYTES + 4 * 60_000_000);
        assert_eq!(
            bounds.cpu_seconds,
            60 + (1500 * limits::SOURCE_PIXELS_MAX / 4000 + 1500 * 1920 * 1080 / 400) / 1000
        );
        assert!(bounds.memory_bytes > (1536 << 20) + 1920 * 1080 * 512, "{bounds:?}");
        assert_eq!(wall_for(&bounds).as_secs(), bounds.cpu_seconds * 4);
    }

    #[test]
    fn frames_before_the_chunk_count_as_decoded() {
        let first = limits_for(&transcode(250, 1000, (0, 10_000), (640, 360)), 0, None);
        let later = limits_for(&transcode(250, 1000, (600_000, 610_000), (640, 360)), 0, None);
        let lead_seconds = 2 * 15_000 * limits::SOURCE_PIXELS_MAX / 4_000_000;
        assert!((later.cpu_seconds - first.cpu_seconds).abs_diff(lead_seconds) <= 1, "{first:?} {later:?}");
    }

    #[test]
    fn taps_have_room_for_what_they_ask_for() {
        let video = VideoTaps {
            every_ms: 1000,
            pictures_max: 600,
            luma_edge_px: Some(512),
            dense: None,
            storyboard: None,
            poster: None,
        };
        let audio = Some(AudioTaps { samples_max: 11_025 * 600 });
        let bounds = limits_for(&Work::Taps { video: Some(video), audio }, 1 << 30, None);
        assert_eq!(bounds.output_bytes, limits::CHILD_OUTPUT_BASE_BYTES + 600 * (512 * 512 + 64) + 11_025 * 600 * 3);
        let silent = limits_for(&Work::Taps { video: None, audio }, 0, None);
        assert!(silent.cpu_seconds < bounds.cpu_seconds, "{silent:?} {bounds:?}");
    }

    #[test]
    fn absurd_jobs_meet_the_caps() {
        let bounds = limits_for(&transcode(u64::MAX, 0, (i64::MIN, i64::MAX), (u32::MAX, u32::MAX)), u64::MAX, None);
        assert_eq!(bounds.memory_bytes, limits::CHILD_MEMORY_BYTES_MAX);
        assert_eq!(bounds.cpu_seconds, limits::CHILD_CPU_S_MAX);
        let analysis = limits_for(&Work::Analyse, u64::MAX, None);
        assert_eq!(analysis.cpu_seconds, limits::CHILD_CPU_S_MAX);
    }
}
