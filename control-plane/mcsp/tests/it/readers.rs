//! Second opinions: what we write is read by readers that we did not write.

use std::fs;
use std::path::Path;

use mp4_atom::{Any, ReadFrom};

use crate::support::{joined, process, renditions, report, segments};

fn film(folder: &Path, scheme: &str) -> std::path::PathBuf {
    let clip = mcsp_fixtures::media("cups-720p30-4s.mp4");
    process(&clip, &folder.join(scheme), &["--segment", "2", "--chunk", "2", "--scheme", scheme])
}

#[test]
fn clear_files_are_read_by_mp4_atom() {
    let folder = mcsp_fixtures::temp_dir();
    let dir = film(folder.path(), "clear");
    for name in [renditions(&dir, "video"), renditions(&dir, "audio")].concat() {
        let bytes = fs::read(joined(&dir, &name, folder.path())).unwrap();
        let mut rest = bytes.as_slice();
        let (mut boxes, mut samples) = (Vec::new(), 0);
        while !rest.is_empty() {
            match Any::read_from(&mut rest).unwrap() {
                Any::Ftyp(_) => boxes.push("ftyp"),
                Any::Moov(moov) => {
                    assert_eq!(moov.trak.len(), 1, "{name}");
                    boxes.push("moov");
                }
                Any::Styp(_) => boxes.push("styp"),
                Any::Sidx(_) => boxes.push("sidx"),
                Any::Moof(moof) => {
                    assert_eq!((moof.traf.len(), moof.traf[0].trun.len()), (1, 1), "{name}");
                    samples += moof.traf[0].trun[0].samples.len();
                    boxes.push("moof");
                }
                Any::Mdat(_) => boxes.push("mdat"),
                other => panic!("{name} holds {other:?}"),
            }
        }
        let segment = ["styp", "sidx", "moof", "mdat"];
        let expected = [&["ftyp", "moov"][..], &segment.repeat(segments(&dir, &name).len())].concat();
        assert_eq!(boxes, expected, "{name}");
        let report = report(&dir);
        let variant = report["variants"].as_array().unwrap().iter().find(|v| v["name"] == name.as_str()).unwrap();
        assert_eq!(variant["frames"], samples, "{name}");
    }
}

#[test]
fn encrypted_files_are_read_by_mp4box() {
    let folder = mcsp_fixtures::temp_dir();
    for scheme in ["cbcs", "cenc"] {
        let dir = film(folder.path(), scheme);
        for name in [renditions(&dir, "video"), renditions(&dir, "audio")].concat() {
            let bytes = fs::read(joined(&dir, &name, folder.path())).unwrap();
            let len_bytes = bytes.len() as u64;
            let boxes = mp4box::get_boxes(&mut std::io::Cursor::new(bytes), len_bytes, true).unwrap();
            let text = serde_json::to_string(&boxes).unwrap();
            for wanted in ["sinf", "schm", "tenc", "pssh"] {
                assert!(text.contains(&format!("\"{wanted}\"")), "{scheme} {name} has no {wanted}");
            }
            assert!(text.contains(scheme), "{name} does not say {scheme}");
        }
    }
}

#[test]
fn playlists_and_the_mpd_are_read_and_agree_with_the_files() {
    let folder = mcsp_fixtures::temp_dir();
    let dir = film(folder.path(), "cbcs");
    let (video, audio) = (renditions(&dir, "video"), renditions(&dir, "audio"));

    let master = fs::read(dir.join("master.m3u8")).unwrap();
    let (_, master) = m3u8_rs::parse_master_playlist(&master).unwrap();
    assert_eq!(master.variants.len(), video.len());
    assert_eq!(master.alternatives.len(), audio.len());
    for name in video.iter().chain(&audio) {
        let playlist = fs::read(dir.join(name).join("media.m3u8")).unwrap();
        let (_, playlist) = m3u8_rs::parse_media_playlist(&playlist).unwrap();
        assert!(playlist.end_list, "{name}");
        let files: Vec<_> = segments(&dir, name).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
        let listed: Vec<std::ffi::OsString> =
            playlist.segments.iter().map(|segment| segment.uri.clone().into()).collect();
        assert_eq!(files, listed, "{name}");
        let longest = playlist.segments.iter().map(|segment| segment.duration.round()).fold(0.0, f32::max);
        assert_eq!(playlist.target_duration as f32, longest, "{name}");
    }

    let mpd = fs::read_to_string(dir.join("manifest.mpd")).unwrap();
    let mpd = dash_mpd_core::parse(&mpd).unwrap();
    let sets = &mpd.periods[0].adaptations;
    let ids: Vec<_> = sets.iter().flat_map(|set| &set.representations).filter_map(|r| r.id.clone()).collect();
    let mut expected = [video, audio].concat();
    expected.sort();
    let mut ids = ids;
    ids.sort();
    assert_eq!(ids, expected);
}
