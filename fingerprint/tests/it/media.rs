//! Real clips: edited copies are found, other clips are not. Runs over the folder that `MCSP_FINGERPRINT_MEDIA` names, with
//! the `ffmpeg` program as the decoder, and says so when there is none.

use std::path::{Path, PathBuf};
use std::process::Command;

use mcsp_domain::{ReferenceId, UserId};
use mcsp_fingerprint::audio::AudioHasher;
use mcsp_fingerprint::video::{Frame, VideoHasher};
use mcsp_fingerprint::{
    Fingerprint, Index, IndexBuilder, ReferenceAsset, RightsDecision, RightsPolicy, Verdict, decide,
};

const WIDTH_PX: usize = 256;
const HEIGHT_PX: usize = 144;

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("MCSP_FINGERPRINT_MEDIA").map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: MCSP_FINGERPRINT_MEDIA names no folder of clips");
    }
    folder
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

fn ffmpeg(before: &[&str], path: &Path, after: &[&str]) -> Vec<u8> {
    let output = Command::new("ffmpeg").args(["-v", "error"]).args(before).arg("-i").arg(path).args(after).output();
    let output = output.unwrap_or_else(|error| panic!("ffmpeg does not start: {error}"));
    assert!(output.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn pictures(path: &Path, before: &[&str], filter: &str, per_s: u64) -> Fingerprint {
    let filter = format!("{filter}fps={per_s},scale={WIDTH_PX}:{HEIGHT_PX}:flags=area,format=gray");
    let bytes = ffmpeg(before, path, &["-an", "-vf", &filter, "-f", "rawvideo", "-"]);
    let mut hasher = VideoHasher::new();
    for (count, luma) in (0..).zip(bytes.chunks_exact(WIDTH_PX * HEIGHT_PX)) {
        let frame = Frame { time_ms: count * 1000 / per_s, width_px: WIDTH_PX, height_px: HEIGHT_PX, luma };
        hasher.push(frame).unwrap();
    }
    hasher.finish_alone()
}

fn sound(path: &Path, before: &[&str], filter: &str) -> Fingerprint {
    let filter = format!("{filter}aresample=11025");
    let bytes = ffmpeg(before, path, &["-vn", "-af", &filter, "-ac", "1", "-f", "s16le", "-"]);
    let samples: Vec<i16> = bytes.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
    let mut hasher = AudioHasher::new();
    for piece in samples.chunks(5000) {
        hasher.push(piece).unwrap();
    }
    hasher.finish_alone()
}

fn asset(at: usize, title: String, fingerprint: &Fingerprint) -> ReferenceAsset {
    ReferenceAsset {
        id: ReferenceId::new(at as u64, &[0; 10]),
        title,
        owner: "their makers".to_owned(),
        duration_ms: fingerprint.duration_ms(),
        policy: RightsPolicy::default(),
    }
}

fn library(references: &[(String, Fingerprint)]) -> Vec<u8> {
    let mut builder = IndexBuilder::new().slotted_from(1);
    for (at, (title, fingerprint)) in references.iter().enumerate() {
        builder.add(&asset(at, title.clone(), fingerprint), fingerprint).unwrap();
    }
    builder.build()
}

fn judge(index: &Index<'_>, query: &Fingerprint) -> RightsDecision {
    decide(&index.search(query).unwrap(), UserId::new(1, &[1; 10]))
}

/// Clips of one family show the same room (asl: a person may have to look, a block is wrong) or are edits of one (tx).
fn family(name: &str) -> &str {
    ["asl", "tx"].into_iter().find(|family| name.starts_with(family)).unwrap_or(name)
}

/// What queries of a library gave.
#[derive(Default)]
struct Tally {
    blocked: usize,
    reviewed: usize,
    foreign_blocked: Vec<String>,
    foreign_reviewed: Vec<String>,
}

/// Looks for clips that begin `start_ms` into those of the same name.
fn tally(what: &str, index: &Index<'_>, queries: &[(String, Fingerprint)], start_ms: i64) -> Tally {
    let mut tally = Tally::default();
    for (name, query) in queries {
        for found in &judge(index, query).assets {
            let first = found.segments.first().unwrap();
            let pair = || format!("{name} in {}, evidence {}", found.title, first.evidence);
            match found.verdict {
                Verdict::Cleared => {}
                _ if family(name) == "tx" && found.title != *name => {}
                Verdict::Blocked if found.title == *name => tally.blocked += 1,
                Verdict::Blocked => tally.foreign_blocked.push(pair()),
                Verdict::Review if found.title == *name => tally.reviewed += 1,
                Verdict::Review => tally.foreign_reviewed.push(pair()),
            }
            if found.title == *name && found.verdict != Verdict::Blocked {
                println!("  {name} {:?}: {}, evidence {}", found.verdict, found.reason, first.evidence);
            }
            if found.title == *name && found.verdict == Verdict::Blocked {
                let offset_ms = first.reference.start_ms as i64 - first.query.start_ms as i64 - start_ms;
                assert!(offset_ms.abs() < 1000, "{name} ({what}) is found {offset_ms} ms beside its place");
            }
        }
    }
    let Tally { blocked, reviewed, foreign_blocked, foreign_reviewed } = &tally;
    println!("{what}: {blocked} copies of {} blocked, {reviewed} to review", queries.len());
    println!("  others blocked: {foreign_blocked:?}");
    println!("  others to review: {foreign_reviewed:?}");
    tally
}

#[test]
fn edited_pictures_are_found_and_others_are_not() {
    let Some(folder) = folder() else { return };
    let files = files(&folder.join("video"));
    let clips: Vec<_> = files.iter().map(|path| (name(path), pictures(path, &[], "", 2))).collect();
    let bytes = library(&clips);
    let index = Index::open(&bytes).unwrap();
    for (what, filter) in [
        ("from 0.37 s on", ""),
        ("240 lines, grey", "scale=426:240,hue=s=0,"),
        ("mirrored", "hflip,"),
        ("brighter", "eq=brightness=.12:contrast=1.3,"),
        ("turned", "transpose=1,"),
    ] {
        let queries: Vec<_> =
            files.iter().map(|path| (name(path), pictures(path, &["-ss", "0.37"], filter, 2))).collect();
        let tally = tally(what, &index, &queries, 370);
        // Ten clips have fewer than eight pictures, and two show a road and a wall: too little to be sure of.
        assert!(tally.blocked >= 12, "{what}: {} blocked", tally.blocked);
        assert!(tally.foreign_blocked.is_empty(), "{:?}", tally.foreign_blocked);
        let other_rooms = tally.foreign_reviewed.iter().filter(|pair| !pair.starts_with("asl"));
        assert_eq!(other_rooms.count(), 0, "{:?}", tally.foreign_reviewed);
    }
}

#[test]
fn edited_sound_is_found_and_other_sound_is_not() {
    let Some(folder) = folder() else { return };
    let files = files(&folder.join("audio"));
    let clips: Vec<_> = files.iter().map(|path| (name(path), sound(path, &[], ""))).collect();
    for (name, clip) in &clips {
        let per_s = clip.audio.len() as u64 * 1000 / clip.duration_ms().max(1);
        assert!((20..=60).contains(&per_s), "{name} has {per_s} landmarks a second");
    }
    let bytes = library(&clips);
    let index = Index::open(&bytes).unwrap();
    for (what, filter) in [
        ("10 s", ""),
        ("telephone", "highpass=f=300,lowpass=f=3400,"),
        ("quiet", "volume=0.1,"),
        ("echo", "aecho=0.8:0.7:60:0.4,"),
    ] {
        let queries: Vec<_> =
            files.iter().map(|path| (name(path), sound(path, &["-ss", "3.217", "-t", "10"], filter))).collect();
        let tally = tally(what, &index, &queries, 3217);
        assert!(tally.blocked >= 30, "{what}: {} blocked", tally.blocked);
        assert!(tally.foreign_blocked.is_empty(), "{:?}", tally.foreign_blocked);
    }
    // Two versions of one piece, each without the other in the library.
    for version in ["wesnoth_frantic-old", "libri_198", "brahms_hungarian5"] {
        let others: Vec<_> = clips.iter().filter(|(name, _)| name != version).cloned().collect();
        let bytes = library(&others);
        let query = &clips.iter().find(|(name, _)| name == version).unwrap().1;
        let decision = judge(&Index::open(&bytes).unwrap(), query);
        assert_eq!(decision.verdict, Verdict::Cleared, "{version}: {}", decision.reason);
    }
}
