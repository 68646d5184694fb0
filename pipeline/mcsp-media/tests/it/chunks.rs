//! The video line: chunks share the frames of a clip exactly, keys stand on the grid, and the same job gives the same
//! bytes however the source comes.

use std::path::Path;
use std::process::Command;

use mcsp_domain::{Analysis, Grid, Plan, Preset};
use mcsp_fixtures::{looped, media, temp_dir};

use crate::child::{By, Said, Unit, chunk_work, plan, run, small_ladder};

fn planned(name: &str, heights: &[u32]) -> (Plan, Analysis) {
    plan(&media(name), Grid::new(2000).unwrap(), 6000, &small_ladder(heights, &[2]), Preset::Ultrafast).unwrap()
}

fn chunks_of(name: &str, plan: &Plan, by: By) -> Vec<Said> {
    let run_chunk = |chunk| {
        let said = run(&media(name), by, chunk_work(plan, chunk));
        assert!(said.done, "{:?}", said.failure);
        said
    };
    plan.chunks.iter().map(run_chunk).collect()
}

fn display_times(units: &[Unit]) -> Vec<i64> {
    let mut times: Vec<i64> = units.iter().map(|unit| unit.pts).collect();
    times.sort_unstable();
    times
}

#[test]
fn chunks_share_the_frames_of_a_variable_rate_clip() {
    let (plan, analysis) = planned("phone-vfr-13s.mp4", &[480, 240]);
    let chunks = chunks_of("phone-vfr-13s.mp4", &plan, By::Descriptor);
    assert!(chunks.len() >= 2);
    let video = analysis.video.unwrap();
    let times: Vec<i64> = video.frame_times().map(|pts| pts - video.zero_pts).collect();
    assert_eq!(times.len() as u64, video.frame_count);
    let timescale = plan.probe.video.as_ref().unwrap().timescale;
    let keys: Vec<i64> = (0..10)
        .map(|gop| plan.grid.gop_start_ticks(gop, timescale))
        .filter_map(|start| times.iter().copied().find(|&pts| pts >= start))
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect();
    for track in [0, 1] {
        let coded: Vec<i64> = chunks.iter().flat_map(|said| display_times(&said.units[&track])).collect();
        assert_eq!(coded, times, "track {track}");
        let units = chunks.iter().flat_map(|said| &said.units[&track]);
        let coded_keys: Vec<i64> = units.filter(|unit| unit.key).map(|unit| unit.pts).collect();
        assert_eq!(coded_keys, keys, "track {track}");
        for pair in chunks.windows(2) {
            assert_eq!(pair[0].ends[&track].next_pts, display_times(&pair[1].units[&track])[0]);
            assert_eq!(pair[0].configs[&track], pair[1].configs[&track], "headers depend on the chunk");
        }
        assert_eq!(chunks.last().unwrap().ends[&track].next_pts, video.end_pts - video.zero_pts);
    }
}

#[test]
fn the_same_job_gives_the_same_bytes_by_either_way() {
    let (plan, _) = planned("phone-vfr-13s.mp4", &[240]);
    let (first, second) =
        (chunks_of("phone-vfr-13s.mp4", &plan, By::Descriptor), chunks_of("phone-vfr-13s.mp4", &plan, By::Requests));
    for (first, second) in first.iter().zip(&second) {
        assert_eq!(first.units, second.units);
        assert_eq!(first.configs, second.configs);
        assert_eq!(first.ends, second.ends);
    }
}

/// Writes a track as a byte stream and lets FFmpeg decode it to grey pictures.
fn decode_units(said: &Said, track: u16, size_px: (u32, u32), folder: &Path) -> Vec<u8> {
    let record = &said.configs[&track];
    let (sps_len, rest) = (usize::from(u16::from_be_bytes([record[6], record[7]])), &record[8..]);
    let (sps, rest) = rest.split_at(sps_len);
    let pps_len = usize::from(u16::from_be_bytes([rest[1], rest[2]]));
    let mut stream = Vec::new();
    for set in [sps, &rest[3..3 + pps_len]] {
        stream.extend_from_slice(&[0, 0, 0, 1]);
        stream.extend_from_slice(set);
    }
    for unit in &said.units[&track] {
        let mut rest = unit.bytes.as_slice();
        while let Some((len, tail)) = rest.split_first_chunk() {
            let (nal, tail) = tail.split_at(u32::from_be_bytes(*len) as usize);
            stream.extend_from_slice(&[0, 0, 0, 1]);
            stream.extend_from_slice(nal);
            rest = tail;
        }
    }
    let path = folder.join("track.h264");
    std::fs::write(&path, stream).unwrap();
    grey_pictures(&path, size_px)
}

fn grey_pictures(path: &Path, (width, height): (u32, u32)) -> Vec<u8> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-i"]).arg(path);
    command.args(["-map", "0:v:0", "-vf", &format!("scale={width}:{height}:flags=lanczos,format=gray")]);
    let output = command.args(["-fps_mode", "passthrough", "-f", "rawvideo", "-"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn a_rotated_clip_stands_upright() {
    let (name, folder) = ("phone-rotated270-2s.mp4", temp_dir());
    let (plan, analysis) = planned(name, &[240]);
    let rung = plan.ladder.video().next().unwrap();
    assert!(rung.height_px > rung.width_px, "{}x{}", rung.width_px, rung.height_px);
    let chunks = chunks_of(name, &plan, By::Descriptor);
    assert_eq!(chunks.len(), 1);
    let size_px = (rung.width_px, rung.height_px);
    let ours = decode_units(&chunks[0], 0, size_px, folder.path());
    // FFmpeg's command turns pictures by itself.
    let theirs = grey_pictures(&media(name), size_px);
    assert_eq!(ours.len(), theirs.len());
    assert_eq!(analysis.video.unwrap().frame_count, ours.len() as u64 / u64::from(size_px.0 * size_px.1));
    let apart: u64 = ours.iter().zip(&theirs).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    let mean = apart as f64 / ours.len() as f64;
    assert!(mean < 4.0, "pictures are {mean} levels apart on average");
}

#[test]
fn a_damaged_access_point_falls_back_to_the_start() {
    let name = "phone-vfr-13s.mp4";
    let (mut plan, _) = planned(name, &[240]);
    let sound = run(&media(name), By::Descriptor, chunk_work(&plan, &plan.chunks[1]));
    let point = plan.chunks[1].video.as_mut().unwrap().decode_from.as_mut().unwrap();
    point.pts += 7;
    let fallen = run(&media(name), By::Descriptor, chunk_work(&plan, &plan.chunks[1]));
    assert_eq!(sound.units, fallen.units);
}

#[test]
fn a_late_chunk_reads_its_part_of_the_source() {
    let folder = temp_dir();
    let path = looped("phone-vfr-13s.mp4", 8, folder.path());
    let (plan, _) =
        plan(&path, Grid::new(2000).unwrap(), 6000, &small_ladder(&[240], &[2]), Preset::Ultrafast).unwrap();
    let last = plan.chunks.last().unwrap();
    let said = run(&path, By::Requests, chunk_work(&plan, last));
    assert!(said.done, "{:?}", said.failure);
    let (read, len) = (said.read_bytes, plan.source_len_bytes);
    assert!(read < len / 3, "{read} of {len} bytes were read for one of {} chunks", plan.chunks.len());
}
