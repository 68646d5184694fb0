//! Hostile and broken inputs: each one line that names the cause, an exit status, and no DIR.

use std::fs;

use crate::support::{mcsp, run_process, text};

/// Runs `mcsp process` on some bytes and returns its one line of error.
fn refusal(name: &str, bytes: &[u8]) -> String {
    let folder = mcsp_fixtures::temp_dir();
    let input = folder.path().join(name);
    fs::write(&input, bytes).unwrap();
    let out = folder.path().join("out");
    let output = run_process(&input, &out, &[]);
    assert!(!output.status.success(), "{name} was processed");
    assert!(!out.exists() && !folder.path().join("out.work").exists(), "{name} left something behind");
    let error = text(&output.stderr);
    assert_eq!(error.lines().count(), 1, "not one line: {error}");
    let line = error.trim().rsplit_once(&format!("{name}: ")).map(|(_, cause)| cause.to_owned());
    line.unwrap_or(error)
}

/// Returns a real clip's bytes.
fn clip() -> Vec<u8> {
    fs::read(mcsp_fixtures::media("cups-720p30-4s.mp4")).unwrap()
}

/// Returns where a box's payload starts, by its name.
fn payload_of(bytes: &[u8], name: &[u8; 4]) -> usize {
    bytes.windows(4).position(|window| window == name).unwrap() + 4
}

#[test]
fn what_is_no_film_is_refused_by_name() {
    assert!(refusal("zero.mp4", b"").contains("empty (0 bytes)"));
    let words = refusal("text.mp4", b"once upon a time there was a film\n".repeat(50).as_slice());
    assert!(words.contains("text"), "{words}");
    let playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n/etc/passwd\n#EXT-X-ENDLIST\n";
    let playlist = refusal("playlist.mp4", playlist);
    assert!(playlist.contains("playlist"), "{playlist}");
}

#[test]
fn lying_sizes_are_refused_by_name() {
    let whole = clip();
    let cut = refusal("cut.mp4", &whole[..whole.len() * 6 / 10]);
    assert!(cut.contains("mdat") || cut.contains("moov"), "{cut}");

    let mut stsz = whole.clone();
    let at = payload_of(&stsz, b"stsz") + 8;
    stsz[at..at + 4].copy_from_slice(&0xffff_fff0_u32.to_be_bytes());
    let lying = refusal("stsz.mp4", &stsz);
    assert!(lying.contains("stsz"), "{lying}");

    let mut huge = whole;
    // The first sample entry's width and height, ISO/IEC 14496-12 §8.5.2 and §12.1.3.
    let at = payload_of(&huge, b"stsd") + 8 + 8 + 24;
    huge[at..at + 4].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
    let huge = refusal("huge.mp4", &huge);
    assert!(huge.contains("65535x65535 pixels"), "{huge}");
}

#[test]
fn options_that_make_no_sense_are_refused_by_name() {
    let folder = mcsp_fixtures::temp_dir();
    let clip = mcsp_fixtures::media("cups-720p30-4s.mp4");
    let out = folder.path().join("out");
    let refused = |options: &[&str]| {
        let output = run_process(&clip, &out, options);
        assert!(!output.status.success() && !out.exists(), "{options:?} was taken");
        text(&output.stderr)
    };
    assert!(refused(&["--segment", "0.1"]).contains("segment length 100 ms is outside"));
    assert!(refused(&["--chunk", "1"]).contains("chunk length 1000 ms is outside 6000 ms"));
    let ladder = folder.path().join("ladder.json");
    fs::write(&ladder, r#"{"video":[{"width":640,"height":360,"crf":23,"maxrate_kbps":900,"fps":3}]}"#).unwrap();
    assert!(refused(&["--ladder", ladder.to_str().unwrap()]).contains("unknown field `fps`"));
    fs::create_dir(&out).unwrap();
    let output = run_process(&clip, &out, &[]);
    assert!(text(&output.stderr).contains("exists already"));
    let output = mcsp().args(["process", "/nonexistent.mp4", "--out"]).arg(folder.path().join("x")).output().unwrap();
    assert!(text(&output.stderr).contains("could not open /nonexistent.mp4"));
}
