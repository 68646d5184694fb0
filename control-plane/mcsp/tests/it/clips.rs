//! Real clips through the whole path: orientation, frames, keyframes, sizes, sound.

use std::path::Path;

use crate::support::{Packet, joined, packets, process, renditions, report, stream};

/// Holds a processed film to what every film must keep; returns its report.
fn check(dir: &Path, folder: &Path, upright: (u64, u64)) -> serde_json::Value {
    let report = report(dir);
    let video = renditions(dir, "video");
    let mut first: Option<Vec<Packet>> = None;
    for name in &video {
        let file = joined(dir, name, folder);
        let seen = stream(&file, "v", "width,height,nb_read_frames");
        let (width, height) = (seen["width"].as_u64().unwrap(), seen["height"].as_u64().unwrap());
        assert!(width <= upright.0 && height <= upright.1, "{name} is {width}x{height}, the source {upright:?}");
        assert_eq!(width > height, upright.0 > upright.1, "{name} lies on its side");
        let frames = &report["frames"];
        assert_eq!(seen["nb_read_frames"].as_str().unwrap(), frames["encoded"].to_string(), "{name}");
        let dropped = frames["dropped"].as_array().unwrap();
        assert!(frames["encoded"] == frames["source"] || !dropped.is_empty(), "frames vanished: {frames}");
        let packets = packets(&file, "v");
        check_times(name, &packets);
        let keys = |packets: &[Packet]| -> Vec<i64> { packets.iter().filter(|p| p.key).map(|p| p.pts).collect() };
        match &first {
            Some(first) => assert_eq!(keys(&packets), keys(first), "keyframes of {name}"),
            None => first = Some(packets),
        }
    }
    report
}

/// No frame is lost or doubled: times of display are all different, times of decoding rise, and both are the same set.
fn check_times(name: &str, packets: &[Packet]) {
    let mut shown: Vec<i64> = packets.iter().map(|packet| packet.pts).collect();
    shown.sort_unstable();
    assert_eq!(shown.first(), Some(&0), "{name} does not start at zero");
    let rise = |times: &[i64]| times.windows(2).all(|pair| pair[0] < pair[1]);
    assert!(rise(&shown), "{name}: two frames share a time");
    let decoded: Vec<i64> = packets.iter().map(|packet| packet.dts).collect();
    assert!(rise(&decoded), "{name}: decode times do not rise");
    assert_eq!(decoded, shown, "{name}: the i-th decode time is the i-th time of display");
}

#[test]
fn a_rotated_phone_video_stands_upright() {
    let folder = mcsp_fixtures::temp_dir();
    let clip = mcsp_fixtures::media("phone-rotated270-2s.mp4");
    let dir = process(&clip, &folder.path().join("film"), &["--scheme", "clear", "--segment", "1"]);
    let report = check(&dir, folder.path(), (720, 1280));
    assert_eq!(report["variants"][0]["width_px"], 720);
    assert_eq!(report["variants"][0]["height_px"], 1280);
    // Pixels, not labels: a frame turned by FFmpeg's own autorotation looks like ours.
    let ours = joined(&dir, &renditions(&dir, "video")[0], folder.path());
    let psnr = crate::support::psnr_db(&clip, &ours);
    assert!(psnr > 30.0, "the picture differs from the source's: {psnr} dB");
}

#[test]
fn variable_frame_rate_keeps_its_times_over_chunks() {
    let folder = mcsp_fixtures::temp_dir();
    let clip = mcsp_fixtures::media("phone-vfr-13s.mp4");
    let options = ["--scheme", "clear", "--segment", "2", "--chunk", "4"];
    let dir = process(&clip, &folder.path().join("film"), &options);
    let report = check(&dir, folder.path(), (480, 720));
    assert!(report["frames"]["dropped"].as_array().unwrap().is_empty());
    let source: Vec<i64> = {
        let mut times: Vec<i64> = packets(&clip, "v").iter().map(|packet| packet.pts).collect();
        times.sort_unstable();
        times.iter().map(|time| time - times[0]).collect()
    };
    for name in renditions(&dir, "video") {
        let mut times: Vec<i64> = packets(&joined(&dir, &name, folder.path()), "v").iter().map(|p| p.pts).collect();
        times.sort_unstable();
        assert_eq!(times, source, "{name}");
    }
}

#[test]
fn mp3_in_mp4_and_a_film_without_a_ladder_above_it() {
    let folder = mcsp_fixtures::temp_dir();
    let clip = mcsp_fixtures::media("chaplin-mp3-4s.mp4");
    let dir = process(&clip, &folder.path().join("film"), &["--scheme", "clear"]);
    let report = check(&dir, folder.path(), (640, 360));
    assert_eq!(report["scheme"], "clear");
    assert!(!folder.path().join("film.keys.json").exists(), "a clear run makes no keys");
    let audio = joined(&dir, &renditions(&dir, "audio")[0], folder.path());
    assert_eq!(stream(&audio, "a", "codec_name,channels")["codec_name"], "aac");
}

#[test]
fn sound_alone_and_five_channels_come_out_in_stereo() {
    let folder = mcsp_fixtures::temp_dir();
    for (channel_count, sample_rate_hz) in [(1, 44_100), (6, 48_000), (2, 96_000)] {
        let tone = mcsp_fixtures::Tone { duration_ms: 7000, tone_hz: 440, sample_rate_hz, channel_count };
        let clip = folder.path().join(format!("tone-{channel_count}.wav"));
        std::fs::write(&clip, tone.wav()).unwrap();
        let dir = process(&clip, &folder.path().join(format!("tone-{channel_count}")), &["--scheme", "clear"]);
        let audio = joined(&dir, &renditions(&dir, "audio")[0], folder.path());
        let seen = stream(&audio, "a", "channels,sample_rate");
        assert_eq!(seen["channels"], 2);
        assert_eq!(seen["sample_rate"], sample_rate_hz.min(48_000).to_string().as_str());
        let report = report(&dir);
        let seconds = report["variants"][0]["duration_s"].as_f64().unwrap();
        assert!((seconds - 7.0).abs() < 0.03, "{channel_count} channels last {seconds} s");
    }
}

/// The clips that the acceptance of the main job names, where a folder of larger media is at hand.
#[test]
fn larger_clips_are_processed_or_refused_with_a_reason() {
    let Some(media) = mcsp_fixtures::larger_media() else { return };
    let folder = mcsp_fixtures::temp_dir();
    let mut table = String::new();
    let mut paths: Vec<_> = std::fs::read_dir(&media).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for clip in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension != "md")) {
        let name = clip.file_stem().unwrap().to_string_lossy().into_owned();
        let out = folder.path().join(&name);
        let output = crate::support::run_process(clip, &out, &["--scheme", "clear"]);
        let line = if output.status.success() {
            let report = report(&out);
            let (frames, top) = (&report["frames"], &report["variants"][0]);
            format!("{name}: {}x{} {} of {}", top["width_px"], top["height_px"], frames["encoded"], frames["source"])
        } else {
            let error = crate::support::text(&output.stderr);
            assert!(error.contains("not supported"), "{name} was refused without a clear reason: {error}");
            format!("{name}: {}", error.trim())
        };
        table.push_str(&line);
        table.push('\n');
    }
    println!("{table}");
}
