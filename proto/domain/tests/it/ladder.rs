//! The ladder's rules, text in and text out.

use mcsp_domain::{Colour, Ladder, LadderFile, Orientation, Policy, Probe, Variant, VideoTrack};

fn probe(size: (u32, u32)) -> Probe {
    Probe {
        container: "mov".into(),
        len_bytes: 1,
        duration_us: 1,
        video: Some(VideoTrack {
            stream_index: 0,
            codec: "h264".into(),
            timescale: 1000,
            coded_width_px: size.0,
            coded_height_px: size.1,
            pixel_aspect: (1, 1),
            orientation: Orientation::default(),
            frame_rate: (25, 1),
            pixel_format: "yuv420p".into(),
            bit_depth: 8,
            interlaced: false,
            colour: Colour::UNSPECIFIED,
        }),
        audio: None,
        left_out: Vec::new(),
    }
}

fn show(ladder: &Ladder) -> String {
    let line = |variant: &Variant| match variant {
        Variant::Video(v) => format!("{} {}x{} {}k", v.name, v.width_px, v.height_px, v.maxrate_kbps),
        Variant::Audio(a) => format!("{} {}ch", a.name, a.channels),
    };
    ladder.variants().iter().map(line).collect::<Vec<_>>().join(", ")
}

fn plan(width: u32, height: u32) -> String {
    show(&Ladder::plan(&probe((width, height)), &Policy::default()).unwrap())
}

fn plan_file(width: u32, height: u32, file: &str) -> String {
    let rungs: LadderFile = serde_json::from_str(file).unwrap();
    match Ladder::plan(&probe((width, height)), &Policy { rungs, explicit: true }) {
        Ok(ladder) => show(&ladder),
        Err(error) => error.to_string(),
    }
}

#[test]
fn never_upscales() {
    insta::assert_snapshot!(plan(1920, 1080), @"video-1080p 1920x1080 6000k, video-720p 1280x720 3000k, video-480p 854x480 1500k, video-360p 640x360 800k, video-240p 426x240 400k");
    insta::assert_snapshot!(plan(1280, 720), @"video-720p 1280x720 3000k, video-480p 854x480 1500k, video-360p 640x360 800k, video-240p 426x240 400k");
    insta::assert_snapshot!(plan(320, 180), @"video-180p 320x180 400k");
}

#[test]
fn odd_wide_tall_and_square_sources_keep_their_shape() {
    insta::assert_snapshot!(plan(800, 332), @"video-332p 800x332 1500k, video-266p 640x266 800k, video-176p 426x176 400k");
    insta::assert_snapshot!(plan(720, 405), @"video-404p 720x404 1500k, video-240p 426x240 400k");
    insta::assert_snapshot!(plan(480, 720), @"video-480p 480x720 1500k, video-360p 360x540 800k, video-240p 240x360 400k");
    insta::assert_snapshot!(plan(1200, 1200), @"video-1200p 1200x1200 10000k, video-720p 720x720 3000k, video-480p 480x480 1500k, video-360p 360x360 800k, video-240p 240x240 400k");
}

#[test]
fn a_users_ladder_is_kept_but_never_grows_the_picture() {
    let two = r#"{"video":[{"width":640,"height":360,"crf":23,"maxrate_kbps":900},{"width":1280,"height":720,"crf":23,"maxrate_kbps":3000}]}"#;
    insta::assert_snapshot!(plan_file(1920, 1080, two), @"video-720p 1280x720 3000k, video-360p 640x360 900k");
    insta::assert_snapshot!(plan_file(320, 240, two), @"video-240p 320x240 900k");
    let bad = r#"{"video":[{"width":640,"height":360,"crf":99,"maxrate_kbps":900}]}"#;
    insta::assert_snapshot!(plan_file(320, 240, bad), @"ladder video 0: crf is 99, 0 to 51 allowed");
    insta::assert_snapshot!(plan_file(320, 240, "{}"), @"ladder has no entry for the source's video");
    insta::assert_snapshot!(plan_file(8, 8, two), @"source picture of 8 x 8 pixels is below the 16 x 16 that H.264 encoders take");
}
