//! The tree of boxes that is written, printed by a walker of its own and read by mp4-atom and mp4box.

use mcsp_domain::{ContentKey, Grid, KeyId, Protection, Scheme, TrackKey};
use mcsp_packager::bmff::{TrackProtection, init_segment};
use mcsp_packager::cenc::pssh;
use mcsp_packager::plan::{PackagePlan, SegmentBuffer};
use mp4_atom::{Any, ReadFrom};

use crate::kit::{audio, chunk, gop, rendition, video};

/// Boxes that hold boxes, and how many bytes of fields stand before them.
const CONTAINERS: [(&[u8; 4], usize); 19] = [
    (b"moov", 0),
    (b"trak", 0),
    (b"edts", 0),
    (b"mdia", 0),
    (b"minf", 0),
    (b"dinf", 0),
    (b"stbl", 0),
    (b"stsd", 8),
    (b"avc1", 78),
    (b"encv", 78),
    (b"mp4a", 28),
    (b"enca", 28),
    (b"sinf", 0),
    (b"schi", 0),
    (b"mvex", 0),
    (b"moof", 0),
    (b"traf", 0),
    (b"dref", 8),
    (b"udta", 0),
];
/// Boxes whose payload is printed.
const SHOWN: [&[u8; 4]; 14] = [
    b"ftyp", b"styp", b"elst", b"frma", b"schm", b"tenc", b"colr", b"sidx", b"tfhd", b"tfdt", b"saiz", b"saio",
    b"senc", b"trun",
];

fn tree(bytes: &[u8], indent: usize, out: &mut String) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let size = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        let name: &[u8; 4] = rest[4..8].try_into().unwrap();
        let payload = &rest[8..size];
        let shown = if SHOWN.contains(&name) { format!(" {}", hex(payload)) } else { String::new() };
        out.push_str(&format!("{}{} {size}{shown}\n", " ".repeat(indent), String::from_utf8_lossy(name)));
        if let Some((_, skip)) = CONTAINERS.iter().find(|(container, _)| *container == name) {
            tree(&payload[*skip..], indent + 1, out);
        }
        rest = &rest[size..];
    }
}

fn hex(bytes: &[u8]) -> String {
    let text: Vec<String> =
        bytes.chunks(4).map(|word| word.iter().map(|byte| format!("{byte:02x}")).collect()).collect();
    text.join(" ")
}

fn printed(bytes: &[u8]) -> String {
    let mut out = String::new();
    tree(bytes, 0, &mut out);
    out
}

fn key(class: u8) -> TrackKey {
    let key = ContentKey::from_bytes([class; 16]);
    TrackKey { kid: KeyId::from_bytes([class; 16]), key, iv: [0xa0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15] }
}

/// Returns a whole rendition of audio: its initialisation segment and its one segment.
fn packaged_audio(scheme: Option<Scheme>) -> Vec<u8> {
    let mut frames = gop(0, &[1024; 3], false);
    frames.iter_mut().for_each(|frame| frame.key = true);
    let files = [chunk(&audio(1024), &[frames], 3072)];
    let protection = scheme.map(|scheme| Protection { scheme, audio: key(1), sd: key(2), hd: key(3) });
    let plan = PackagePlan::new(vec![rendition("a", &files)], Grid::new(2000).unwrap(), protection.as_ref()).unwrap();
    let mut buffer = SegmentBuffer::new();
    [plan.renditions()[0].init(), plan.build_segment(0, 0, &mut buffer).unwrap()].concat()
}

#[test]
fn clear_audio() {
    insta::assert_snapshot!(printed(&packaged_audio(None)));
}

#[test]
fn cenc_audio_has_an_iv_for_each_sample() {
    insta::assert_snapshot!(printed(&packaged_audio(Some(Scheme::Cenc))));
}

#[test]
fn cbcs_audio_needs_no_senc() {
    insta::assert_snapshot!(printed(&packaged_audio(Some(Scheme::Cbcs))));
}

#[test]
fn cbcs_video_init_segment() {
    let pssh = pssh::common(&[KeyId::from_bytes([2; 16])]);
    let kid = KeyId::from_bytes([2; 16]);
    let protection = TrackProtection { scheme: Scheme::Cbcs, kid, constant_iv: [7; 16], pssh: &pssh };
    insta::assert_snapshot!(printed(&init_segment(&video(30_000), Some(&protection))));
}

#[test]
fn video_chunk_object() {
    insta::assert_snapshot!(printed(&chunk(&video(30_000), &[gop(0, &[1000, 1000, 1500, 1000, 1000], true)], 5500)));
}

#[test]
fn mp4_atom_reads_clear_output() {
    for bytes in [packaged_audio(None), chunk(&video(30_000), &[gop(0, &[1000; 5], true)], 5000)] {
        let mut reader = bytes.as_slice();
        let mut kinds = Vec::new();
        while let Some(atom) = Option::<Any>::read_from(&mut reader).unwrap() {
            assert!(!matches!(atom, Any::Unknown(..)), "{atom:?}");
            if let Any::Moov(moov) = &atom {
                assert_eq!(moov.trak.len(), 1);
                assert!(moov.mvex.is_some());
            }
            kinds.push(atom.kind().to_string());
        }
        assert!(kinds.ends_with(&["moof".into(), "mdat".into()]), "{kinds:?}");
    }
}

#[test]
fn mp4box_reads_encrypted_output() {
    for scheme in [Scheme::Cenc, Scheme::Cbcs] {
        let bytes = packaged_audio(Some(scheme));
        let boxes = mp4box::get_boxes(&mut std::io::Cursor::new(&bytes), bytes.len() as u64, true).unwrap();
        let text = serde_json::to_string(&boxes).unwrap();
        for expected in ["\"typ\":\"tenc\"", "\"typ\":\"pssh\"", "01010101010101010101010101010101"] {
            assert!(text.contains(expected), "{scheme}: {expected} is not in {text}");
        }
        assert_eq!(text.contains("\"typ\":\"senc\""), scheme == Scheme::Cenc);
    }
}
