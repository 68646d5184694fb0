//! Encrypted renditions: decrypted by FFmpeg, each packet equals its clear twin's.

use std::path::Path;

use crate::support::{ffmpeg, joined, process, renditions};

/// Returns one line a packet with its times, size and hash, of a file that is decrypted with `key` where one is given.
fn packet_hashes(path: &Path, key: Option<&str>) -> String {
    let hashes = ffmpeg(|command| {
        if let Some(key) = key {
            command.args(["-decryption_key", key]);
        }
        // FFmpeg 5.1 reads ahead in a file that it can seek in, and then takes the last fragment's `senc` for the first
        // sample, whoever wrote the file; without its index it reads in order.
        command.args(["-fflags", "+ignidx"]);
        command.arg("-i").arg(path).args(["-map", "0", "-c", "copy", "-f", "framemd5", "-"])
    });
    let lines = String::from_utf8(hashes).unwrap();
    // Stream, dts, pts, duration, size, hash; what follows is side data, which an encrypted file has and a clear one lacks.
    let columns = |line: &str| line.split(',').take(6).collect::<Vec<_>>().join(",");
    lines.lines().filter(|line| !line.starts_with('#')).map(columns).collect::<Vec<_>>().join("\n")
}

#[test]
fn decrypted_by_ffmpeg_every_packet_equals_its_clear_twin() {
    let folder = mcsp_fixtures::temp_dir();
    let keys = mcsp_fixtures::write_keys_file(folder.path());
    let keys = keys.to_str().unwrap();
    // A clip with sound that is not silence: frames below one cipher block stay clear under cbcs.
    let clip = mcsp_fixtures::looped("chaplin-mp3-4s.mp4", 2, folder.path());
    let common = ["--segment", "2", "--chunk", "4", "--keys", keys];
    let make = |scheme: &str| {
        let options = [&common[..], &["--scheme", scheme]].concat();
        process(&clip, &folder.path().join(scheme), &options)
    };
    let clear = make("clear");
    for scheme in ["cbcs", "cenc"] {
        let sealed = make(scheme);
        let names = [renditions(&clear, "video"), renditions(&clear, "audio")].concat();
        assert!(names.len() >= 3, "too few renditions to mean anything: {names:?}");
        for name in names {
            let twin = packet_hashes(&joined(&clear, &name, folder.path()), None);
            let sealed_file = joined(&sealed, &name, folder.path());
            // The tables are long: a difference is told by its first line.
            let opened = packet_hashes(&sealed_file, Some(mcsp_fixtures::KEY_HEX));
            let differs = opened.lines().zip(twin.lines()).find(|(opened, clear)| opened != clear);
            assert_eq!((differs, opened.lines().count()), (None, twin.lines().count()), "{scheme} {name}");
            assert!(packet_hashes(&sealed_file, None) != twin, "{scheme} {name} is not encrypted");
        }
    }
}
