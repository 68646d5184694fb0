//! Taps of short clips against what FFmpeg's own tools give: times, sizes, luma, sound, stills.

use std::path::Path;
use std::process::Command;

use mcsp_child::{
    AudioTaps, CELL_COUNT, DenseTap, FailureKind, PosterTap, StillKind, StoryboardTap, TAP_SAMPLE_RATE_HZ, VideoTaps,
    Work,
};
use mcsp_fixtures::{media, temp_dir};

use crate::child::{By, Said, failure_of, run};

const PLAIN: VideoTaps = VideoTaps {
    every_ms: 1000,
    pictures_max: 100,
    luma_edge_px: Some(512),
    dense: None,
    storyboard: None,
    poster: None,
};

fn video(path: &Path, taps: VideoTaps) -> Said {
    let said = run(path, By::Requests, Work::Taps { video: Some(taps), audio: None });
    assert!(said.done, "{:?}", said.failure);
    assert!(said.taps_end.as_ref().unwrap().pictures as usize >= said.pictures.len());
    said
}

fn times(said: &Said) -> Vec<u64> {
    said.pictures.iter().map(|picture| picture.time_ms).collect()
}

fn output(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(["-v", "error"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Returns the times of a clip's packets in milliseconds, those of key frames or all.
fn packet_times(path: &Path, keys_only: bool) -> Vec<u64> {
    let entries = ["-select_streams", "v:0", "-show_entries", "packet=pts_time,flags", "-of", "csv=p=0"];
    let printed = output("ffprobe", &[&entries[..], &[path.to_str().unwrap()]].concat());
    let lines = String::from_utf8(printed).unwrap();
    let wanted = lines.lines().filter(|line| !keys_only || line.contains(",K"));
    let millis = |line: &str| -> u64 {
        let (seconds, micros) = line.split(',').next().unwrap().split_once('.').unwrap();
        seconds.parse::<u64>().unwrap() * 1000 + micros[..3].parse::<u64>().unwrap()
    };
    let mut times: Vec<u64> = wanted.map(millis).collect();
    times.sort_unstable();
    times
}

/// Returns one frame as FFmpeg shows it, scaled by area.
fn frame_of(path: &Path, time_ms: u64, width: u16, height: u16) -> Vec<u8> {
    let chain = format!("select='gte(t,{})',scale={width}:{height}:flags=area,format=gray", time_ms as f64 / 1000.0);
    let arguments = ["-nostdin", "-i", path.to_str().unwrap(), "-vf", &chain, "-frames:v", "1", "-f", "rawvideo", "-"];
    output("ffmpeg", &arguments)
}

fn mean_difference(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
}

#[test]
fn key_frames_alone_are_decoded_where_they_stand_near_enough() {
    let clip = media("bbb-1080p60.mp4");
    let said = video(&clip, VideoTaps { every_ms: 4000, ..PLAIN });
    assert_eq!(times(&said), packet_times(&clip, true));
    assert_eq!(said.taps_end.unwrap().video_end_ms, 10_000);
}

#[test]
fn pictures_between_far_key_frames_are_decoded_when_they_are_due() {
    let clip = media("cups-720p30-4s.mp4");
    assert_eq!(packet_times(&clip, true), [0]);
    let frames = packet_times(&clip, false);
    let said = video(&clip, PLAIN);
    let due: Vec<u64> =
        [0, 1000, 2000, 3000].iter().map(|due| *frames.iter().find(|time| *time >= due).unwrap()).collect();
    assert_eq!(times(&said)[..4], due);
}

#[test]
fn pictures_are_spread_over_the_film_when_few_are_wanted() {
    let said = video(&media("phone-vfr-13s.mp4"), VideoTaps { pictures_max: 4, ..PLAIN });
    let times = times(&said);
    assert!(times.len() >= 3 && times.len() <= 4 && times[times.len() - 1] > 8000, "{times:?}");
}

#[test]
fn luma_is_what_ffmpeg_scales_by_area_upright_and_in_full_range() {
    for (name, size) in [("cups-720p30-4s.mp4", (512, 288)), ("phone-rotated270-2s.mp4", (288, 512))] {
        let clip = media(name);
        let said = video(&clip, PLAIN);
        for picture in &said.pictures {
            assert_eq!((picture.width_px, picture.height_px), size, "{name}");
            let theirs = frame_of(&clip, picture.time_ms, size.0, size.1);
            let apart = mean_difference(&picture.luma, &theirs);
            assert!(apart < 1.5, "{name} at {} ms is {apart} from ffmpeg's", picture.time_ms);
        }
    }
}

#[test]
fn dense_stretches_tell_every_frame() {
    let clip = media("phone-vfr-13s.mp4");
    let dense = DenseTap { first_ms: 1000, window_ms: 500, every_ms: 5000 };
    let said = video(&clip, VideoTaps { every_ms: 5000, luma_edge_px: None, dense: Some(dense), ..PLAIN });
    let frames: Vec<u64> = packet_times(&clip, false).into_iter().filter(|time| dense.covers(*time)).collect();
    let told: Vec<u64> = said.cells.iter().map(|cells| cells.time_ms).collect();
    assert_eq!(told, frames);
    assert!(said.cells.iter().all(|cells| cells.means.len() == CELL_COUNT));
}

/// Returns the correlation of two sounds.
fn correlation(ours: &[i16], theirs: &[i16]) -> f64 {
    let pairs = ours.iter().zip(theirs).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    let (products, ours, theirs) =
        pairs.fold((0.0, 0.0, 0.0), |sum, (a, b)| (sum.0 + a * b, sum.1 + a * a, sum.2 + b * b));
    products / (ours * theirs).sqrt().max(1.0)
}

#[test]
fn sound_is_what_ffmpeg_resamples() {
    for name in ["bbb-1080p60.mp4", "chaplin-mp3-4s.mp4", "phone-vfr-13s.mp4"] {
        let clip = media(name);
        let audio = Some(AudioTaps { samples_max: u64::from(TAP_SAMPLE_RATE_HZ) * 60 });
        let said = run(&clip, By::Descriptor, Work::Taps { video: None, audio });
        assert!(said.done, "{:?}", said.failure);
        let arguments = ["-nostdin", "-i", clip.to_str().unwrap(), "-ac", "1", "-ar", "11025", "-f", "s16le", "-"];
        let theirs = output("ffmpeg", &arguments);
        let theirs: Vec<i16> = theirs.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
        let agreement = correlation(&said.samples, &theirs);
        assert!(agreement > 0.9999, "{name} agrees by {agreement}");
        assert_eq!(said.samples.len(), theirs.len(), "{name}");
        assert_eq!(said.taps_end.unwrap().samples, said.samples.len() as u64);
    }
}

#[test]
fn sound_stops_where_it_is_told_to() {
    let audio = Some(AudioTaps { samples_max: 5000 });
    let said = run(&media("chaplin-mp3-4s.mp4"), By::Descriptor, Work::Taps { video: None, audio });
    assert_eq!(said.samples.len(), 5000);
    assert!(said.taps_end.unwrap().is_cut);
}

#[test]
fn stills_are_jpegs_of_the_pictures_at_their_times() {
    let clip = media("phone-rotated270-2s.mp4");
    let taps = VideoTaps {
        every_ms: 400,
        storyboard: Some(StoryboardTap { tile_edge_px: 160, columns: 2, rows: 2 }),
        poster: Some(PosterTap { edge_px: 640, at_ms: 700 }),
        ..PLAIN
    };
    let said = video(&clip, taps);
    let folder = temp_dir();
    let tile_times: Vec<u64> = said
        .stills
        .iter()
        .filter(|still| still.kind == StillKind::Sheet)
        .flat_map(|still| still.times_ms.clone())
        .collect();
    assert_eq!(tile_times, times(&said));
    for (index, still) in said.stills.iter().enumerate() {
        let path = folder.path().join(format!("{index}.jpg"));
        std::fs::write(&path, &still.jpeg).unwrap();
        let entries = ["-show_entries", "stream=codec_name,width,height,pix_fmt", "-of", "csv=p=0"];
        let printed = output("ffprobe", &[&entries[..], &[path.to_str().unwrap()]].concat());
        let expected = format!("mjpeg,{},{},yuvj420p\n", still.width_px, still.height_px);
        assert_eq!(String::from_utf8(printed).unwrap(), expected);
    }
    let poster = said.stills.iter().position(|still| still.kind == StillKind::Poster).unwrap();
    let still = &said.stills[poster];
    assert_eq!((still.width_px, still.height_px), (360, 640));
    let at = said.pictures.iter().find(|picture| picture.time_ms >= 700).unwrap();
    assert_eq!(still.times_ms, [at.time_ms]);
    let shown = frame_of(&folder.path().join(format!("{poster}.jpg")), 0, at.width_px, at.height_px);
    let apart = mean_difference(&shown, &at.luma);
    assert!(apart < 2.5, "the poster is {apart} from its picture");
}

#[test]
fn hostile_sources_are_refused_as_in_any_other_work() {
    let folder = temp_dir();
    let path = folder.path().join("film.mp4");
    let taps = || Work::Taps { video: Some(PLAIN), audio: None };
    std::fs::write(&path, b"#EXTM3U\n#EXTINF:4,\nfile:///etc/passwd\n").unwrap();
    assert_eq!(failure_of(&path, taps()).kind, FailureKind::Unsupported);
    let mut film = std::fs::read(media("cups-720p30-4s.mp4")).unwrap();
    film.truncate(film.len() / 2);
    std::fs::write(&path, &film).unwrap();
    assert_eq!(failure_of(&path, taps()).kind, FailureKind::Corrupt);
}
