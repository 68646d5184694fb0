//! What the muxer writes, the reader reads; what the planner cuts, adds up to its input.

use mcsp_domain::Grid;
use mcsp_packager::TrackConfig;
use mcsp_packager::bmff::Movie;
use mcsp_packager::plan::{PackagePlan, SegmentBuffer};
use proptest::prelude::*;

use crate::kit::{Frame, PROGRESSIVE_DATA_OFFSET, Tables, audio, chunk, frames_of, gop, progressive, rendition, video};

/// GOPs of frames with random durations, one behind the other, and where they end.
fn gops(b_frames: bool) -> impl Strategy<Value = (Vec<Vec<Frame>>, i64)> {
    let durations = prop::collection::vec(prop::collection::vec(1_i64..3000, 1..12), 1..8);
    (0_i64..90_000, durations).prop_map(move |(start, durations)| {
        let mut at = start;
        let mut gops = Vec::new();
        for durations in durations {
            gops.push(gop(at, &durations, b_frames));
            at += durations.iter().sum::<i64>();
        }
        (gops, at)
    })
}

fn config(is_video: bool) -> TrackConfig {
    if is_video { video(30_000) } else { audio(1024) }
}

#[test]
fn threads_can_share_a_plan() {
    fn shared<T: Send + Sync>() {}
    shared::<PackagePlan>();
}

proptest! {
    #[test]
    fn chunk_objects_are_read_as_written((gops, end) in gops(true)) {
        let config = video(90_000);
        let bytes = chunk(&config, &gops, end);
        let track = Movie::parse(&bytes).unwrap().into_single_track().unwrap();
        prop_assert_eq!(track.config, config);
        prop_assert_eq!(track.samples.end(), end);
        let mut shown = track.samples.pts().to_vec();
        shown.sort_unstable();
        prop_assert_eq!(track.samples.dts(), shown);
        prop_assert_eq!(frames_of(&bytes), gops.concat());
    }

    #[test]
    fn progressive_files_are_read_as_written((gops, end) in gops(true), reorder in 3000_i64..9000) {
        let (frames, config) = (gops.concat(), video(90_000));
        let tables = Tables::of(&frames, end, reorder, PROGRESSIVE_DATA_OFFSET);
        let bytes = progressive(&config, &frames, &tables);
        let track = Movie::parse(&bytes).unwrap().into_single_track().unwrap();
        prop_assert_eq!(&track.config, &config);
        let start = frames[0].pts;
        prop_assert_eq!(track.samples.end(), end - start);
        let moved = frames.into_iter().map(|frame| Frame { pts: frame.pts - start, ..frame });
        prop_assert_eq!(frames_of(&bytes), moved.collect::<Vec<_>>());
    }

    #[test]
    fn segments_together_are_their_source((gops, end) in gops(true), is_video: bool, segment_ms in 500_u32..4000) {
        let frames = if is_video { gops.concat() } else {
            let mut all = gops.concat();
            all.sort_by_key(|frame| frame.pts);
            all.into_iter().map(|frame| Frame { key: true, ..frame }).collect()
        };
        let files = [chunk(&config(is_video), std::slice::from_ref(&frames), end)];
        let Ok(plan) = PackagePlan::new(vec![rendition("a", &files)], Grid::new(segment_ms).unwrap(), None) else {
            // Audio that ends before its edit begins.
            prop_assert!(!is_video && end <= 1024);
            return Ok(());
        };
        let planned = &plan.renditions()[0];
        let mut bytes = planned.init().to_vec();
        let mut buffer = SegmentBuffer::new();
        let mut until = planned.segments()[0].start_ticks;
        for (index, segment) in planned.segments().iter().enumerate() {
            prop_assert_eq!(segment.start_ticks, until);
            until += i64::try_from(segment.duration_ticks).unwrap();
            let built = plan.build_segment(0, index, &mut buffer).unwrap();
            prop_assert_eq!(built.len() as u64, segment.clear_size_bytes);
            bytes.extend_from_slice(built);
        }
        // What starts late is brought forward to zero.
        let edit = if is_video { 0 } else { 1024 };
        let late = frames.iter().map(|frame| frame.pts - edit).min().unwrap_or(0).max(0);
        prop_assert_eq!(until, end - edit - late);
        let moved: Vec<Frame> = frames.into_iter().map(|frame| Frame { pts: frame.pts - late, ..frame }).collect();
        prop_assert_eq!(frames_of(&bytes), moved);
    }
}
