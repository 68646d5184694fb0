//! Where segments begin: renditions described in a line each, planned segments printed in a line each.

use mcsp_domain::Grid;
use mcsp_packager::TrackConfig;
use mcsp_packager::plan::{PackagePlan, PlanError, RenditionInput};

use crate::kit::{audio, chunk, gop, rendition, video};

/// A rendition at 1000 ticks a second with frames of 100 ms: the lengths of its GOPs in frames, chunk by chunk.
fn pictures(chunks: &[&[usize]]) -> Vec<Vec<u8>> {
    let mut at = 0;
    let mut files = Vec::new();
    for lengths in chunks {
        let mut gops = Vec::new();
        for &frames in *lengths {
            gops.push(gop(at, &vec![100; frames], true));
            at += 100 * frames as i64;
        }
        files.push(chunk(&video(1000), &gops, at));
    }
    files
}

/// Audio at 48 kHz with an encoder delay of one frame: the number of frames in each chunk.
fn sound(chunks: &[usize]) -> Vec<Vec<u8>> {
    let mut at = 0;
    let mut files = Vec::new();
    for &frames in chunks {
        files.push(sound_chunk(&audio(1024), at, frames));
        at += 1024 * frames as i64;
    }
    files
}

fn sound_chunk(config: &TrackConfig, at: i64, frames: usize) -> Vec<u8> {
    let mut gop = gop(at, &vec![1024; frames], false);
    gop.iter_mut().for_each(|frame| frame.key = true);
    chunk(config, &[gop], at + 1024 * frames as i64)
}

fn plan(renditions: &[Vec<Vec<u8>>], segment_ms: u32) -> Result<String, PlanError> {
    let inputs = renditions.iter().enumerate().map(|(index, files)| rendition(&format!("r{index}"), files)).collect();
    let plan = PackagePlan::new(inputs, Grid::new(segment_ms).unwrap(), None)?;
    let mut lines = Vec::new();
    for rendition in plan.renditions() {
        let scale = f64::from(rendition.config().timescale);
        let segments = rendition.segments().iter().map(|segment| {
            let (start, end) = (segment.start_ticks, segment.start_ticks + segment.duration_ticks as i64);
            format!("{}:{:.3}-{:.3}", segment.object, start as f64 / scale, end as f64 / scale)
        });
        lines.push(format!("{} {}", rendition.name(), segments.collect::<Vec<_>>().join(" ")));
    }
    Ok(lines.join("\n"))
}

/// Plans the first files of every rendition and the whole, and checks that the whole begins with what the first plan.
fn assert_begins_alike(renditions: &[Vec<Vec<u8>>], segment_ms: u32) {
    let grid = Grid::new(segment_ms).unwrap();
    let inputs = |count: usize| -> Vec<RenditionInput<'_>> {
        let all = renditions.iter().enumerate();
        all.map(|(index, files)| rendition(&format!("r{index}"), &files[..count])).collect()
    };
    let all = renditions[0].len();
    let whole = PackagePlan::new(inputs(all), grid, None).unwrap();
    for count in 1..all {
        let beginning = PackagePlan::beginning(inputs(count), grid, None).unwrap();
        for (ours, whole) in beginning.renditions().iter().zip(whole.renditions()) {
            assert_eq!(ours.segments(), &whole.segments()[..ours.segments().len()], "{} of {count} files", ours.name());
            assert_eq!(ours.segments().last().unwrap().object, count - 1);
            assert_eq!(ours.init(), whole.init());
        }
    }
}

#[test]
fn a_beginning_is_cut_like_the_whole() {
    // Chunks that end with a short group, and audio whose chunks end a frame after the video's.
    let video = pictures(&[&[10, 10, 5], &[20, 13, 4], &[20, 20], &[20, 7]]);
    assert_begins_alike(std::slice::from_ref(&video), 2000);
    assert_begins_alike(&[video.clone(), video.clone(), sound(&[118, 174, 187, 140])], 2000);
    assert_begins_alike(&[video, sound(&[117, 174, 188, 140])], 1000);
    assert_begins_alike(&[sound(&[94, 94, 47, 200])], 2000);
}

fn error(renditions: &[Vec<Vec<u8>>]) -> String {
    plan(renditions, 2000).unwrap_err().to_string()
}

#[test]
fn segments_begin_at_the_first_key_frame_at_or_after_a_grid_point() {
    let text = plan(&[pictures(&[&[10, 10, 10, 13, 10, 7]])], 2000).unwrap();
    insta::assert_snapshot!(text, @"r0 0:0.000-2.000 0:2.000-4.300 0:4.300-6.000");
}

#[test]
fn audio_follows_the_cuts_of_the_video_and_then_the_grid() {
    let text = plan(&[pictures(&[&[10, 13, 10, 10]]), sound(&[400])], 2000).unwrap();
    insta::assert_snapshot!(text, @"
    r0 0:0.000-2.300 0:2.300-4.300
    r1 0:0.000-2.304 0:2.304-4.309 0:4.309-5.995 0:5.995-8.512
    ");
}

#[test]
fn audio_alone_follows_the_grid() {
    insta::assert_snapshot!(plan(&[sound(&[236])], 2000).unwrap(), @"r0 0:0.000-2.005 0:2.005-4.011 0:4.011-5.013");
}

#[test]
fn objects_begin_segments_and_nothing_spans_them() {
    let video = pictures(&[&[20, 20], &[20]]);
    // The first frame that begins at or after 4 s is number 189 of 1024 samples, with the delay of one before it.
    let text = plan(&[video, sound(&[189, 94])], 2000).unwrap();
    insta::assert_snapshot!(text, @"
    r0 0:0.000-2.000 0:2.000-4.000 1:4.000-6.000
    r1 0:0.000-2.005 0:2.005-4.011 1:4.011-6.016
    ");
}

#[test]
fn a_short_last_segment_joins_its_neighbour() {
    insta::assert_snapshot!(plan(&[pictures(&[&[20, 20, 9]])], 2000).unwrap(), @"r0 0:0.000-2.000 0:2.000-4.900");
    insta::assert_snapshot!(plan(&[pictures(&[&[20, 20, 10]])], 2000).unwrap(), @"r0 0:0.000-2.000 0:2.000-4.000 0:4.000-5.000");
    insta::assert_snapshot!(plan(&[pictures(&[&[9]])], 2000).unwrap(), @"r0 0:0.000-0.900");
}

#[test]
fn renditions_that_do_not_fit_are_named() {
    let whole = || pictures(&[&[20, 20]]);
    assert_eq!(
        error(&[whole(), pictures(&[&[21, 19]])]),
        "rendition r1 has no key frame at 2.000000 s, where r0 has a segment"
    );
    assert_eq!(
        error(&[whole(), pictures(&[&[10], &[10, 20]])]),
        "rendition r0 has no key frame at 1.000000 s, where r1 has a segment"
    );
    let other = chunk(&video(2000), &[gop(8000, &[200; 5], false)], 9000);
    assert_eq!(
        error(&[[whole(), vec![other]].concat()]),
        "rendition r0: object 1 differs from object 0 in its timescale"
    );
    let late = chunk(&video(1000), &[gop(4100, &[100; 5], false)], 4600);
    assert_eq!(
        error(&[[whole(), vec![late]].concat()]),
        "rendition r0: object 1 begins at 4.100000 s, the one before ends at 4.000000 s"
    );
    let mut delta = gop(0, &[100; 5], false);
    delta[0].key = false;
    assert_eq!(
        error(&[vec![chunk(&video(1000), &[delta], 500)]]),
        "rendition r0: object 0 does not begin with a key frame of a closed group of pictures"
    );
    assert_eq!(error(&[]), "no renditions to package");
    assert_eq!(error(&[vec![]]), "rendition r0: object 0 has no samples");
}

#[test]
fn open_groups_of_pictures_are_no_place_to_cut() {
    let mut frames = gop(0, &[100; 40], false);
    // The key frame at 2.0 s is decoded before a frame that is shown at 1.9 s; the one at 2.5 s is not.
    for index in [20, 25] {
        (frames[index].key, frames[index].data[4]) = (true, 0x65);
    }
    frames.swap(19, 20);
    let text = plan(&[vec![chunk(&video(1000), &[frames], 4000)]], 2000).unwrap();
    insta::assert_snapshot!(text, @"r0 0:0.000-2.500 0:2.500-4.000");

    // A sync sample that is no IDR picture may refer to what came before.
    let mut frames = gop(0, &[100; 40], false);
    (frames[20].key, frames[30].key, frames[30].data[4]) = (true, true, 0x65);
    let text = plan(&[vec![chunk(&video(1000), &[frames], 4000)]], 1000).unwrap();
    insta::assert_snapshot!(text, @"r0 0:0.000-3.000 0:3.000-4.000");
}

#[test]
fn a_film_that_starts_late_starts_at_zero_and_its_renditions_end_together() {
    let late = |end: i64| vec![chunk(&video(1000), &[gop(7000, &[100; 20], false)], end)];
    let text = plan(&[late(9000), late(9000)], 1000).unwrap();
    assert_eq!(text.lines().collect::<Vec<_>>(), ["r0 0:0.000-2.000", "r1 0:0.000-2.000"]);
    let apart = error(&[late(9000), late(9900)]);
    assert_eq!(apart, "rendition r1 ends at 2.900 s, r0 at 2.000 s");
}
