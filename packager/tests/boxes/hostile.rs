//! Hostile files: each lie is an error that names it, no bytes make the reader panic or ask for more memory than they justify.

use mcsp_packager::bmff::Movie;
use proptest::prelude::*;

use crate::kit::{PROGRESSIVE_DATA_OFFSET, Tables, audio, chunk, gop, progressive, video};

fn error(bytes: &[u8]) -> String {
    Movie::parse(bytes).unwrap_err().to_string()
}

/// Returns the error of a progressive file of ten frames whose tables `bend` has changed.
fn bent(bend: impl FnOnce(&mut Tables)) -> String {
    let frames = gop(0, &[1000; 10], true);
    let mut tables = Tables::of(&frames, 10_000, 3000, PROGRESSIVE_DATA_OFFSET);
    bend(&mut tables);
    error(&progressive(&video(30_000), &frames, &tables))
}

/// Returns the file that `bent` bends, as it is.
fn valid() -> Vec<u8> {
    let frames = gop(0, &[1000; 10], true);
    progressive(&video(30_000), &frames, &Tables::of(&frames, 10_000, 3000, PROGRESSIVE_DATA_OFFSET))
}

fn position(bytes: &[u8], name: &[u8; 4]) -> usize {
    bytes.windows(4).position(|window| window == name).unwrap()
}

#[test]
fn files_that_are_no_mp4_are_named() {
    assert_eq!(error(b""), "file is empty (0 bytes)");
    assert_eq!(error(b"WEBVTT\n\n00:00.000"), "no MP4 file: it begins with WEBV, not with a box");
    assert_eq!(error(b"#EXTM3U\n"), "no MP4 file: it begins with #EXT, not with a box");
    assert_eq!(
        error(b"\x1a\x45\xdf\xa3\x01\0\0\0\0\0"),
        "no MP4 file: it begins with \\x1aE\\xdf\\xa3, not with a box"
    );
    assert_eq!(error(b"\0\0\0\x08ftyp"), "file has no box moov");
}

#[test]
fn sizes_that_lie_are_named() {
    let mut bytes = valid();
    let mdat = position(&bytes, b"mdat") - 4;
    let left = bytes.len() - mdat;
    bytes[mdat..mdat + 4].copy_from_slice(&5000_u32.to_be_bytes());
    assert_eq!(error(&bytes), format!("box mdat at byte 16 claims 5000 bytes, {left} available"));
    bytes[mdat..mdat + 4].copy_from_slice(&7_u32.to_be_bytes());
    assert_eq!(error(&bytes), "box mdat at byte 16 claims 7 bytes, its header alone has 8");
    let mut bytes = valid();
    let stsz = position(&bytes, b"stsz") - 4;
    bytes[stsz..stsz + 4].copy_from_slice(&0x7fff_ffff_u32.to_be_bytes());
    assert_eq!(error(&bytes), format!("box stsz at byte {stsz} claims 2147483647 bytes, 60 available"));
    let whole = valid();
    let moov = position(&whole, b"moov") - 4;
    let cut = &whole[..whole.len() - 100];
    let (claimed, left) = (whole.len() - moov, cut.len() - moov);
    assert_eq!(error(cut), format!("box moov at byte {moov} claims {claimed} bytes, {left} available"));
}

#[test]
fn an_mdat_of_size_zero_runs_to_the_end_of_the_file() {
    let mut bytes = chunk(&audio(0), &[gop(0, &[1024; 4], false)], 4096);
    let expected = Movie::parse(&bytes).unwrap();
    let mdat = position(&bytes, b"mdat") - 4;
    bytes[mdat..mdat + 4].fill(0);
    assert_eq!(Movie::parse(&bytes).unwrap(), expected);
}

#[test]
fn boxes_with_sizes_of_64_bits_are_read() {
    let frames = gop(0, &[1000; 10], true);
    let tables = Tables::of(&frames, 10_000, 3000, PROGRESSIVE_DATA_OFFSET + 8);
    let mut bytes = progressive(&video(30_000), &frames, &tables);
    let mdat = position(&bytes, b"mdat") - 4;
    let size = u32::from_be_bytes(bytes[mdat..mdat + 4].try_into().unwrap());
    bytes[mdat..mdat + 4].copy_from_slice(&1_u32.to_be_bytes());
    bytes.splice(mdat + 8..mdat + 8, (u64::from(size) + 8).to_be_bytes());
    assert_eq!(Movie::parse(&bytes).unwrap().tracks[0].samples.len(), 10);
}

#[test]
fn sample_tables_that_lie_are_named() {
    let cases: [(&str, String); 12] = [
        ("box stsz claims 4294967280 entries, its payload holds 10", bent(|t| t.stsz.1 = 0xffff_fff0)),
        ("box stsz claims 4294967280 samples, ", bent(|t| t.stsz = (1, 0xffff_fff0, vec![]))),
        ("box stsz claims 11 entries, its payload holds 10", bent(|t| t.stsz.1 = 11)),
        ("box stts: describes 9 samples, the size table 10", bent(|t| t.stts.truncate(9))),
        ("box stts: describes 4294967295 samples, the size table 10", bent(|t| t.stts[0][0] = u32::MAX)),
        ("box ctts: describes 11 samples, the size table 10", bent(|t| t.ctts[9][0] = 2)),
        ("box stsc: the first run does not begin at chunk 1", bent(|t| t.stsc[0][0] = 2)),
        ("box stsc: a run goes from chunk 1 to 900, the track has 4", bent(|t| t.stsc[1][0] = 900)),
        ("box stsc: chunk 1 has 0 samples of sample entry 1", bent(|t| t.stsc[0][1] = 0)),
        ("box stsc: describes 4294967295 samples, the size table 10", bent(|t| t.stsc[0][1] = u32::MAX)),
        ("sample 0 of track 1 lies at bytes 4000000000 to ", bent(|t| t.stco[0] = 4_000_000_000)),
        ("box stss: names sample 11 of 10", bent(|t| t.stss = vec![1, 11])),
    ];
    for (expected, found) in cases {
        assert!(found.starts_with(expected), "{found:?} is not {expected:?}");
    }
}

#[test]
fn times_that_lie_are_named() {
    let cases: [(&str, String); 5] = [
        ("box stbl: two samples of track 1 are shown at tick 0", bent(|t| t.ctts[1][1] = 2000)),
        ("box elst: presentation of track 1 begins 1 ticks after its first sample", bent(|t| t.elst[0][1] += 1)),
        ("box elst: 2 edits, one from media time 3000 at rate 0x10000", bent(|t| t.elst.push(t.elst[0]))),
        ("box elst: 1 edits, one from media time 3000 at rate 0x20000", bent(|t| t.elst[0][2] = 0x0002_0000)),
        ("box mdhd: track 1 ends at 143165 s, 86400 s allowed", bent(|t| t.stts[9][1] = u32::MAX)),
    ];
    for (expected, found) in cases {
        assert!(found.starts_with(expected), "{found:?} is not {expected:?}");
    }
}

#[test]
fn a_lost_fragment_is_named() {
    let gops: Vec<_> = (0..3).map(|index| gop(index * 3000, &[100; 30], false)).collect();
    let whole = chunk(&video(1000), &gops, 9000);
    let fragments: Vec<usize> =
        (0..whole.len()).filter(|at| whole[*at..].starts_with(b"moof")).map(|at| at - 4).collect();
    let [_, second, third] = fragments[..] else { panic!("{} fragments", fragments.len()) };
    let lost = [&whole[..second], &whole[third..]].concat();
    let expected = "box tfdt: decode time 6000 of track 1 leaves a gap after 3000, where its samples end";
    assert_eq!(error(&lost), expected);
}

#[test]
fn codecs_and_protection_are_refused_by_name() {
    let renamed = |from: &[u8; 4], to: &[u8; 4]| {
        let mut bytes = valid();
        let at = position(&bytes, from);
        bytes[at..at + 4].copy_from_slice(to);
        error(&bytes)
    };
    assert_eq!(renamed(b"avc1", b"hvc1"), "sample entry hvc1 is not supported (avc1 and mp4a are)");
    assert_eq!(renamed(b"avc1", b"avc3"), "sample entry avc3 is not supported (avc1 and mp4a are)");
    assert_eq!(renamed(b"avc1", b"encv"), "sample entry encv: the track is encrypted already");
    assert_eq!(renamed(b"avcC", b"free"), "avc1 has no box avcC");
    assert_eq!(renamed(b"vide", b"text"), "box moov: no track of pictures or sound");
}

#[test]
fn runs_without_bytes_cannot_multiply_samples() {
    let mut bytes = chunk(&audio(0), &[gop(0, &[1024; 4], false)], 4096);
    let trun = position(&bytes, b"trun");
    bytes[trun + 8..trun + 12].copy_from_slice(&0x00ff_ffff_u32.to_be_bytes());
    assert!(error(&bytes).starts_with("box trun claims 16777215 samples, "), "{}", error(&bytes));
    bytes[trun + 4..trun + 8].fill(0);
    bytes[trun + 8..trun + 12].copy_from_slice(&4_u32.to_be_bytes());
    assert_eq!(error(&bytes), "box stbl: sample 0 of track 1 has no bytes");
}

/// A file with a few bytes changed, and perhaps cut.
fn mutated(bytes: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let len = bytes.len();
    let values = prop_oneof![any::<u8>(), Just(0), Just(0xff), Just(1)];
    (prop::collection::vec((0..len, values), 1..8), 0..len).prop_map(move |(changes, cut)| {
        let mut bytes = bytes.clone();
        for (at, value) in changes {
            bytes[at] = value;
        }
        bytes.truncate(if cut % 5 == 0 { cut } else { len });
        bytes
    })
}

fn fragmented() -> Vec<u8> {
    chunk(&video(30_000), &[gop(0, &[1000; 5], true), gop(5000, &[1000; 5], true)], 10_000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn changed_bytes_neither_panic_nor_swell(bytes in prop_oneof![mutated(valid()), mutated(fragmented())]) {
        if let Ok(movie) = Movie::parse(&bytes) {
            let held: usize = movie.tracks.iter().map(|track| track.samples.heap_bytes()).sum();
            prop_assert!(held <= 64 * bytes.len(), "{held} bytes for {}", bytes.len());
            for track in &movie.tracks {
                for (&offset, &size) in track.samples.offsets().iter().zip(track.samples.sizes()) {
                    prop_assert!(offset + u64::from(size) <= bytes.len() as u64);
                }
            }
        }
    }
}
