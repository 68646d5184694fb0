//! Sources that lie: each is refused by name before it costs anything.

use std::path::PathBuf;

use mcsp_child::{FailureKind, JobLimits, Work};
use mcsp_domain::{Grid, Preset};
use mcsp_fixtures::{media, temp_dir};
use tempfile::TempDir;

use crate::child::{By, LIMITS, chunk_work, failure_of, plan, run_with, small_ladder};

fn written(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = temp_dir();
    let path = folder.path().join("film.mp4");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn assert_refused(bytes: &[u8], kind: FailureKind, message: &str) {
    let (_folder, path) = written(bytes);
    for work in [Work::Probe, Work::Analyse] {
        let failure = failure_of(&path, work);
        assert_eq!((failure.kind, failure.message.as_str()), (kind, message));
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes.windows(wanted.len()).position(|window| window == wanted).unwrap()
}

fn cups() -> Vec<u8> {
    std::fs::read(media("cups-720p30-4s.mp4")).unwrap()
}

#[test]
fn what_is_no_media_is_refused_by_name() {
    assert_refused(b"", FailureKind::Corrupt, "source is empty (0 bytes)");
    assert_refused(
        b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nfile:///etc/passwd\n",
        FailureKind::Unsupported,
        "source begins with text, not with a media container: \"#EXTM3U\" (an HLS playlist)",
    );
    assert_refused(
        b"just a letter to a friend\n",
        FailureKind::Unsupported,
        "source begins with text, not with a media container: \"just a letter to a frien\"",
    );
}

#[test]
fn sizes_past_the_end_are_refused() {
    let mut film = cups();
    let (len, half) = (film.len(), film.len() / 2);
    let mdat = find(&film, b"mdat") - 4;
    let claimed = u32::from_be_bytes(film[mdat..mdat + 4].try_into().unwrap());
    film.truncate(half.max(mdat + 16));
    let end = film.len();
    assert!(end < len);
    let message = format!("box mdat claims {claimed} bytes at byte {mdat}, the source ends at byte {end}");
    assert_refused(&film, FailureKind::Corrupt, &message);
}

#[test]
fn a_lying_sample_table_is_refused() {
    let mut film = cups();
    let stsz = find(&film, b"stsz");
    let size = u32::from_be_bytes(film[stsz - 4..stsz].try_into().unwrap());
    film[stsz + 12..stsz + 16].copy_from_slice(&0x7fff_fff0u32.to_be_bytes());
    let held_bytes = size - 20;
    let message = format!("box stsz claims 2147483632 entries, its {held_bytes} bytes hold {}", held_bytes / 4);
    assert_refused(&film, FailureKind::Corrupt, &message);
    // One size for all samples needs no table, and lies just as well.
    film[stsz + 8..stsz + 12].copy_from_slice(&1000u32.to_be_bytes());
    let message =
        format!("box stsz claims 2147483632 samples of 2147483632000 bytes in all, the source has {}", film.len());
    assert_refused(&film, FailureKind::Corrupt, &message);
}

#[test]
fn encrypted_tracks_are_refused() {
    let mut film = cups();
    let entry = find(&film, b"avc1\0\0\0\0\0\0\0\x01");
    film[entry..entry + 4].copy_from_slice(b"encv");
    assert_refused(&film, FailureKind::Unsupported, "source is encrypted (sample entry encv)");
}

/// Returns an element: identifier, 8-byte size, body.
fn element(id: &[u8], body: &[u8]) -> Vec<u8> {
    let size = (1u64 << 56) | body.len() as u64;
    [id, &size.to_be_bytes(), body].concat()
}

fn matroska(width: u32, height: u32) -> Vec<u8> {
    let number = |id: &[u8], value: u32| element(id, &value.to_be_bytes());
    let header = element(&[0x1a, 0x45, 0xdf, 0xa3], &element(&[0x42, 0x82], b"matroska"));
    let size = element(&[0xe0], &[number(&[0xb0], width), number(&[0xba], height)].concat());
    let codec = element(&[0x86], b"V_VP8");
    let track = [number(&[0xd7], 1), number(&[0x73, 0xc5], 1), number(&[0x83], 1), codec, size].concat();
    let tracks = element(&[0x16, 0x54, 0xae, 0x6b], &element(&[0xae], &track));
    let info = element(&[0x15, 0x49, 0xa9, 0x66], &number(&[0x2a, 0xd7, 0xb1], 1_000_000));
    let block = element(&[0xa3], &[0x81, 0, 0, 0x80, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 16, 0, 16, 0]);
    let cluster = element(&[0x1f, 0x43, 0xb6, 0x75], &[number(&[0xe7], 0), block].concat());
    [header, element(&[0x18, 0x53, 0x80, 0x67], &[info, tracks, cluster].concat())].concat()
}

#[test]
fn pictures_past_the_limit_are_refused_before_they_are_decoded() {
    assert_refused(
        &matroska(100_000, 100_000),
        FailureKind::Limit,
        "stream 0 claims pictures of 100000x100000 pixels, 35651584 pixels allowed",
    );
}

#[test]
fn matroska_sizes_past_the_end_are_refused() {
    let mut film = matroska(16, 16);
    let segment = find(&film, &[0x18, 0x53, 0x80, 0x67]);
    let (claimed, len) = (film.len() - segment, film.len() - 9);
    film.truncate(len);
    let message = format!("element Segment claims {claimed} bytes at byte {segment}, the source ends at byte {len}");
    assert_refused(&film, FailureKind::Corrupt, &message);
}

#[test]
fn output_past_the_limit_ends_the_job() {
    let path = media("cups-720p30-4s.mp4");
    let policy = small_ladder(&[240], &[2]);
    let (plan, _) = plan(&path, Grid::new(2000).unwrap(), 6000, &policy, Preset::Ultrafast).unwrap();
    let limits = JobLimits { output_bytes: 50_000, ..LIMITS };
    let said = run_with(&path, By::Descriptor, chunk_work(&plan, &plan.chunks[0]), limits);
    let failure = said.failure.unwrap();
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Limit, "output passes 50000 bytes"));
}
