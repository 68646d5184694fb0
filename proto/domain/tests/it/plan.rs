//! The plan's cuts, text in and text out.

use mcsp_domain::{
    AccessPoint, Analysis, AudioAnalysis, AudioTrack, Chunk, Colour, Digest, Grid, Ladder, Orientation, Plan, PlanId,
    PlanRequest, Policy, Preset, Probe, VideoAnalysis, VideoTrack,
};

/// A film: seconds of 25 fps video with access points each `gop_s`, and seconds of 48 kHz audio from `audio_from_s` on.
struct Film {
    video_s: u32,
    gop_s: u32,
    audio_from_s: i64,
    audio_s: i64,
}

fn request(film: &Film, segment_ms: u32, chunk_ms: Option<u32>) -> PlanRequest {
    let video = (film.video_s > 0).then(|| VideoTrack {
        stream_index: 0,
        codec: "h264".into(),
        timescale: 12_800,
        coded_width_px: 640,
        coded_height_px: 360,
        pixel_aspect: (1, 1),
        orientation: Orientation::default(),
        frame_rate: (25, 1),
        pixel_format: "yuv420p".into(),
        bit_depth: 8,
        interlaced: false,
        colour: Colour::UNSPECIFIED,
    });
    let audio = (film.audio_s > 0).then(|| AudioTrack {
        stream_index: 1,
        codec: "aac".into(),
        timescale: 48_000,
        sample_rate_hz: 48_000,
        channels: 2,
        language: "und".into(),
    });
    let point = |pts: i64, position: i64| AccessPoint { pts, dts: Some(pts), offset_bytes: None, position };
    let zero_pts = 1024;
    let frames = film.video_s * 25;
    let keys = (0..film.video_s).step_by(film.gop_s.max(1) as usize);
    let probe = Probe { container: "mov".into(), len_bytes: 9, duration_us: 0, left_out: Vec::new(), video, audio };
    let analysis = Analysis {
        video: (film.video_s > 0).then(|| VideoAnalysis {
            zero_pts,
            end_pts: zero_pts + i64::from(frames) * 512,
            frame_count: frames.into(),
            access_points: keys.map(|s| point(zero_pts + i64::from(s) * 12_800, i64::from(s) * 25)).collect(),
            frame_runs: vec![(frames, 512)],
        }),
        audio: (film.audio_s > 0).then(|| AudioAnalysis {
            first_sample: film.audio_from_s * 48_000,
            end_sample: (film.audio_from_s + film.audio_s) * 48_000,
            access_points: (0..film.audio_s).map(|s| point(s * 48_000, (film.audio_from_s + s) * 48_000)).collect(),
        }),
    };
    PlanRequest {
        id: PlanId::new(1, &[0; 10]),
        source_digest: Digest::of(&[b"film"]),
        engine: "engine 1".into(),
        ladder: Ladder::plan(&probe, &Policy::default()).unwrap(),
        probe,
        analysis,
        preset: Preset::Medium,
        grid: Grid::new(segment_ms).unwrap(),
        chunk_ms,
        scheme: None,
    }
}

fn show(chunk: &Chunk) -> String {
    let end = chunk.end_segment.map_or_else(|| "..".to_owned(), |end| end.to_string());
    let video = chunk.video.as_ref().map_or_else(String::new, |video| {
        let from = video.decode_from.map_or_else(|| "start".to_owned(), |point| point.position.to_string());
        format!(" v {} from {from}", video.expected_frames)
    });
    let audio = chunk.audio.as_ref().map_or_else(String::new, |audio| {
        let from = audio.anchor.map_or_else(|| "start".to_owned(), |point| (point.position / 48_000).to_string());
        format!(" a {}-{} from {from}", audio.first_frame, audio.end_frame)
    });
    format!("[{}-{end}{video}{audio}]", chunk.first_segment)
}

fn plan(film: &Film, segment_ms: u32, chunk_ms: Option<u32>) -> String {
    match Plan::new(request(film, segment_ms, chunk_ms)) {
        Ok(plan) => plan.chunks.iter().map(show).collect::<Vec<_>>().join(" "),
        Err(error) => error.to_string(),
    }
}

const FILM: Film = Film { video_s: 130, gop_s: 2, audio_from_s: 0, audio_s: 130 };

#[test]
fn chunk_lengths_ramp_up_and_a_short_last_one_joins_its_neighbour() {
    insta::assert_snapshot!(plan(&FILM, 6000, None), @"[0-1 v 150 from start a 0-283 from start] [1-3 v 300 from 150 a 283-845 from 4] [3-7 v 600 from 450 a 845-1970 from 16] [7-.. v 2200 from 1050 a 1970-6095 from 40]");
    insta::assert_snapshot!(plan(&FILM, 6000, Some(60_000)), @"[0-10 v 1500 from start a 0-2814 from start] [10-.. v 1750 from 1500 a 2814-6095 from 58]");
}

#[test]
fn chunks_merge_where_access_points_are_rare() {
    insta::assert_snapshot!(plan(&Film { gop_s: 40, audio_s: 0, ..FILM }, 6000, Some(12_000)), @"[0-7 v 1050 from start] [7-14 v 1050 from 1000] [14-20 v 900 from 2000] [20-.. v 250 from 3000]");
    insta::assert_snapshot!(plan(&Film { gop_s: 1000, audio_s: 0, ..FILM }, 6000, None), @"[0-.. v 3250 from start]");
}

#[test]
fn audio_alone_late_or_long_is_laid_on_output_time() {
    insta::assert_snapshot!(plan(&Film { video_s: 0, audio_s: 20, audio_from_s: 3, ..FILM }, 6000, None), @"[0-1 a 0-283 from start] [1-.. a 283-939 from 7]");
    insta::assert_snapshot!(plan(&Film { video_s: 10, audio_s: 5, audio_from_s: 2, ..FILM }, 6000, None), @"[0-.. v 250 from start a 0-470 from start]");
    insta::assert_snapshot!(plan(&Film { video_s: 7, audio_s: 30, ..FILM }, 6000, None), @"[0-.. v 175 from start a 0-1404 from start]");
}

#[test]
fn refuses_what_cannot_be_cut() {
    insta::assert_snapshot!(plan(&FILM, 6000, Some(1000)), @"chunk length 1000 ms is outside 6000 ms (one segment) to 600000 ms");
    let empty = PlanRequest { analysis: Analysis::default(), ..request(&FILM, 6000, None) };
    insta::assert_snapshot!(Plan::new(empty).unwrap_err(), @"source has no decodable video frame and no decodable audio sample");
}

#[test]
fn the_fingerprint_forgets_the_id_and_nothing_else() {
    let plan = |id: u64, preset: Preset| {
        Plan::new(PlanRequest { id: PlanId::new(id, &[0; 10]), preset, ..request(&FILM, 6000, None) }).unwrap()
    };
    assert_eq!(plan(1, Preset::Medium).fingerprint(), plan(2, Preset::Medium).fingerprint());
    assert_ne!(plan(1, Preset::Medium).fingerprint(), plan(1, Preset::Fast).fingerprint());
}
