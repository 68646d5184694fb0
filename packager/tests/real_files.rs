//! Real H.264 and AAC through the whole packager: clips that FFmpeg makes are packaged clear, `cenc` and `cbcs` in memory,
//! and FFmpeg, mp4-atom and mp4box read what came out.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::path::Path;
use std::process::Command;

use mcsp_domain::{ContentKey, Grid, KeyId, Protection, RenditionName, Scheme, TrackKey};
use mcsp_packager::bmff::Movie;
use mcsp_packager::plan::{ObjectInput, PackagePlan, RenditionInput, SegmentBuffer};
use mp4_atom::ReadFrom;

const KEY: &str = "00112233445566778899aabbccddeeff";
/// FFmpeg 5 decrypts a file of several fragments only when it reads them as they come, without looking for an index.
const STREAMED: [&str; 2] = ["-fflags", "+ignidx"];

/// Runs FFmpeg and returns its standard output.
fn ffmpeg(args: &[&str]) -> String {
    let output = Command::new("ffmpeg").args(["-v", "error", "-nostdin", "-y"]).args(args).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && complaint.is_empty(), "ffmpeg {args:?}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

/// Makes a 7 s clip with B frames and a key frame a second, written as `mux` says.
fn clip(dir: &Path, name: &str, mux: &[&str]) -> Vec<u8> {
    let path = dir.join(name);
    let mut args = vec!["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30000/1001:duration=7"];
    args.extend(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=7.2"]);
    args.extend(["-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-g", "30", "-sc_threshold", "0"]);
    args.extend(["-pix_fmt", "yuv420p", "-slices", "2", "-threads", "1", "-c:a", "aac", "-b:a", "96k"]);
    args.extend(["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]);
    args.extend(mux);
    args.push(path.to_str().unwrap());
    ffmpeg(&args);
    std::fs::read(path).unwrap()
}

fn protection(scheme: Scheme) -> Protection {
    let key = |class: u8| TrackKey {
        kid: KeyId::from_bytes([class; 16]),
        key: ContentKey::parse(KEY).unwrap(),
        iv: *b"\xff\xff\xff\xff\xff\xff\xff\xfa89abcdef",
    };
    Protection { scheme, audio: key(1), sd: key(2), hd: key(3) }
}

fn plan<'a>(source: &'a [u8], protection: Option<&Protection>) -> PackagePlan<'a> {
    let tracks = Movie::parse(source).unwrap().tracks;
    let rendition = |(index, track)| RenditionInput {
        name: RenditionName::parse(&format!("track-{index}")).unwrap(),
        objects: vec![ObjectInput { bytes: source, track, chunk: 0 }],
    };
    let renditions = tracks.into_iter().enumerate().map(rendition).collect();
    PackagePlan::new(renditions, Grid::new(2000).unwrap(), protection).unwrap()
}

/// Returns the initialisation segment and all segments of every rendition, one after the other.
fn package(source: &[u8], protection: Option<&Protection>) -> Vec<Vec<u8>> {
    let plan = plan(source, protection);
    let mut buffer = SegmentBuffer::new();
    let mut outputs = Vec::new();
    for (index, rendition) in plan.renditions().iter().enumerate() {
        let mut bytes = rendition.init().to_vec();
        for (number, planned) in rendition.segments().iter().enumerate() {
            let segment = plan.build_segment(index, number, &mut buffer).unwrap();
            if protection.is_none() {
                assert_eq!(segment.len() as u64, planned.clear_size_bytes);
            }
            bytes.extend_from_slice(segment);
        }
        outputs.push(bytes);
    }
    outputs
}

/// Returns FFmpeg's packets of a file: stream, dts, pts, duration, size and hash, a line each.
fn packets(dir: &Path, bytes: &[u8], input: &[&str], map: &str) -> Vec<String> {
    let path = dir.join("packets.mp4");
    std::fs::write(&path, bytes).unwrap();
    let mut args = input.to_vec();
    args.extend(["-i", path.to_str().unwrap(), "-copyts", "-map", map]);
    args.extend(["-c", "copy", "-f", "framemd5", "-"]);
    // Side data follows in more columns: the key id of an encrypted file.
    let packet = |line: &str| line.split(',').take(6).collect::<Vec<_>>().join(",");
    ffmpeg(&args).lines().filter(|line| !line.starts_with('#')).map(packet).collect()
}

/// Cuts packet lines down to display time since the first, size and hash, in display order. The first time itself is no
/// use: FFmpeg delays a fragmented track by its largest negative composition offset.
fn shown(lines: &[String]) -> Vec<(i64, String)> {
    let shown = |line: &String| {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        (fields[2].parse().unwrap(), format!("{} {}", fields[4], fields[5]))
    };
    let mut all: Vec<(i64, String)> = lines.iter().map(shown).collect();
    all.sort();
    let first = all[0].0;
    all.into_iter().map(|(pts, packet)| (pts - first, packet)).collect()
}

#[test]
fn encrypted_renditions_equal_their_clear_twins_packet_by_packet() {
    let dir = tempfile::tempdir().unwrap();
    let source = clip(dir.path(), "source.mp4", &["-movflags", "+faststart"]);
    let clear = package(&source, None);
    for scheme in [Scheme::Cenc, Scheme::Cbcs] {
        for (track, (encrypted, clear)) in package(&source, Some(&protection(scheme))).iter().zip(&clear).enumerate() {
            let clear_packets = packets(dir.path(), clear, &STREAMED, "0");
            let opened = packets(dir.path(), encrypted, &[&STREAMED[..], &["-decryption_key", KEY]].concat(), "0");
            assert!(clear_packets.len() > 200, "{} packets on track {track}", clear_packets.len());
            assert_eq!(opened, clear_packets, "{scheme} track {track}");
            let closed = packets(dir.path(), encrypted, &[&STREAMED[..], &["-v", "fatal"]].concat(), "0");
            let same = closed.iter().zip(&clear_packets).filter(|(closed, clear)| closed == clear).count();
            assert!(same * 10 < clear_packets.len(), "{scheme} track {track}: {same} packets are left clear");
        }
    }
}

#[test]
fn clear_renditions_hold_the_packets_of_their_source_at_the_same_times() {
    let dir = tempfile::tempdir().unwrap();
    let source = clip(dir.path(), "source.mp4", &[]);
    for (track, clear) in package(&source, None).iter().enumerate() {
        let before = shown(&packets(dir.path(), &source, &[], &format!("0:{track}")));
        let after = shown(&packets(dir.path(), clear, &[], "0"));
        assert_eq!(after, before, "track {track}");
    }
}

#[test]
fn fragmented_and_progressive_files_give_the_same_samples() {
    let dir = tempfile::tempdir().unwrap();
    let reference = Movie::parse(&clip(dir.path(), "progressive.mp4", &[])).unwrap();
    // The first keeps the edit list; without it FFmpeg moves the times of the audio.
    let layouts: [(&[&str], bool); 4] = [
        (&["-movflags", "frag_keyframe+delay_moov"], true),
        (&["-movflags", "cmaf", "-frag_duration", "500000"], false),
        (&["-movflags", "frag_keyframe+empty_moov+default_base_moof"], false),
        (&["-movflags", "frag_keyframe+empty_moov+omit_tfhd_offset"], false),
    ];
    for (layout, edited) in layouts {
        let fragmented = Movie::parse(&clip(dir.path(), "fragmented.mp4", layout)).unwrap();
        for (ours, theirs) in fragmented.tracks.iter().zip(&reference.tracks) {
            assert_eq!(ours.samples.sizes(), theirs.samples.sizes(), "{layout:?}");
            assert_eq!(ours.samples.keys(), theirs.samples.keys(), "{layout:?}");
            if edited {
                assert_eq!(ours.config, theirs.config, "{layout:?}");
                assert_eq!(ours.samples.pts(), theirs.samples.pts(), "{layout:?}");
            }
        }
    }
}

#[test]
fn segments_begin_at_key_frames_near_the_grid() {
    let dir = tempfile::tempdir().unwrap();
    let source = clip(dir.path(), "source.mp4", &[]);
    let plan = plan(&source, None);
    let text = |index: usize| {
        let rendition = &plan.renditions()[index];
        let scale = f64::from(rendition.config().timescale);
        let line = |start: i64, duration: u64| format!("{:.3}+{:.3}", start as f64 / scale, duration as f64 / scale);
        let lines = rendition.segments().iter().map(|segment| line(segment.start_ticks, segment.duration_ticks));
        lines.collect::<Vec<_>>().join(" ")
    };
    insta::assert_snapshot!(text(0), @"0.000+2.002 2.002+2.002 4.004+2.002 6.006+1.001");
    insta::assert_snapshot!(text(1), @"0.000+1.997 1.997+1.997 3.994+2.020 6.014+1.186");
    let sizes: Vec<Vec<u64>> = plan.renditions().iter().map(|rendition| vec![1; rendition.segments().len()]).collect();
    let presentation = plan.presentation(&sizes);
    assert_eq!(presentation.renditions[0].frame_rate, Some((30000, 1001)));
}

#[test]
fn independent_readers_take_clear_and_encrypted_output() {
    let dir = tempfile::tempdir().unwrap();
    let source = clip(dir.path(), "source.mp4", &[]);
    for clear in package(&source, None) {
        let (mut moofs, mut reader) = (0, clear.as_slice());
        while let Some(atom) = Option::<mp4_atom::Any>::read_from(&mut reader).unwrap() {
            assert!(!matches!(atom, mp4_atom::Any::Unknown(..)), "{atom:?}");
            moofs += usize::from(matches!(atom, mp4_atom::Any::Moof(_)));
        }
        assert_eq!(moofs, 4);
    }
    for scheme in [Scheme::Cenc, Scheme::Cbcs] {
        for (track, encrypted) in package(&source, Some(&protection(scheme))).iter().enumerate() {
            let mut cursor = std::io::Cursor::new(encrypted);
            let boxes = mp4box::get_boxes(&mut cursor, encrypted.len() as u64, true).unwrap();
            let text = serde_json::to_string(&boxes).unwrap();
            for name in ["sinf", "schm", "tenc", "pssh"] {
                assert!(text.contains(&format!("\"typ\":\"{name}\"")), "{scheme} track {track} lacks {name}");
            }
            let whole_samples_under_one_iv = scheme == Scheme::Cbcs && track == 1;
            for name in ["senc", "saiz", "saio"] {
                let there = text.contains(&format!("\"typ\":\"{name}\""));
                assert_eq!(there, !whole_samples_under_one_iv, "{scheme} track {track}: {name}");
            }
        }
    }
}
