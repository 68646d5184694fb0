//! What a creator may upload: sound films pass, all else is stopped with the words that the command line gives.

use std::fs;
use std::path::Path;

use mcsp_domain::SessionId;
use mcsp_events::{BlockReason, UploadBlocked, UploadCompleted, UploadInitiated};
use mcsp_fixtures::{media, temp_dir};
use mcsp_runtime::stage::Stage as _;
use mcsp_stages::ingest::{Blocked, IngestPolicy, Sound, UploadIngestor, ingest};
use mcsp_stages::plan::probe;

use crate::world::{World, context, file, only, sandbox};

/// Asks for the verdict on a file, as a stage does.
async fn verdict_of(path: &Path) -> Result<Sound, Blocked> {
    ingest(&file(path), &IngestPolicy::default(), &sandbox(), 1).await.unwrap()
}

/// Returns the verdict on some bytes in one line.
async fn verdict(bytes: &[u8]) -> String {
    let folder = temp_dir();
    let path = folder.path().join("film.mp4");
    fs::write(&path, bytes).unwrap();
    match verdict_of(&path).await {
        Ok(sound) => format!("{} {:?}", sound.container, sound.duration_ms),
        Err(blocked) => format!("{:?}: {}", blocked.reason, blocked.detail),
    }
}

fn clip() -> Vec<u8> {
    fs::read(media("cups-720p30-4s.mp4")).unwrap()
}

fn position(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes.windows(wanted.len()).position(|window| window == wanted).unwrap()
}

fn encrypted() -> Vec<u8> {
    let mut film = clip();
    let entry = position(&film, b"avc1\0\0\0\0\0\0\0\x01");
    film[entry..entry + 4].copy_from_slice(b"encv");
    film
}

fn truncated() -> Vec<u8> {
    let film = clip();
    film[..film.len() * 6 / 10].to_vec()
}

const ZIP: &[u8] = b"PK\x03\x04\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0aPK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

#[tokio::test]
async fn harm_is_named_as_such() {
    // In two pieces, so that no scanner takes this program for its test file.
    let eicar = [&br"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-"[..], b"ANTIVIRUS-TEST-FILE!$H+H*"].concat();
    assert_eq!(verdict(&eicar).await, "Malware: source holds the EICAR test virus at byte 0");
    let elf = [&b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0"[..], &[0; 100]].concat();
    assert_eq!(verdict(&elf).await, "Malware: source holds a Linux program (ELF) at byte 0");
    let film = clip();
    let page = b"<html><script>alert(1)</script>";
    let len_bytes = u32::try_from(8 + page.len()).unwrap().to_be_bytes();
    let polyglot = [&film[..], &len_bytes, b"free", page].concat();
    assert_eq!(verdict(&polyglot).await, format!("Malware: source holds a web page at byte {}", film.len() + 8));
    let archive = [&film[..], ZIP].concat();
    assert_eq!(verdict(&archive).await, format!("Malware: source holds a ZIP archive at byte {}", film.len()));
}

#[tokio::test]
async fn files_of_another_kind_are_refused_for_their_format() {
    let zip = "Format: source begins with 50 4b 03 04 0a 00 00 00, which no known container does; it is a ZIP archive";
    assert_eq!(verdict(ZIP).await, zip);
    let script =
        "Format: source begins with text, not with a media container: \"#!/bin/sh\" (a script); it is a script";
    assert_eq!(verdict(b"#!/bin/sh\necho hello\n").await, script);
}

#[tokio::test]
async fn a_film_that_claims_more_than_half_a_day_is_over_the_limit() {
    let mut film = clip();
    let mvhd = position(&film, b"mvhd");
    // Version 0: version and flags, two times, ticks per second, then the length (ISO/IEC 14496-12 §8.2.2).
    assert_eq!(film[mvhd + 4], 0);
    film[mvhd + 16..mvhd + 24].copy_from_slice(&[1_u32.to_be_bytes(), 72_000_u32.to_be_bytes()].concat());
    assert_eq!(verdict(&film).await, "Limit: source lasts 72000 s, 43200 s allowed");
}

#[tokio::test]
async fn the_words_are_those_of_the_headers_alone() {
    let folder = temp_dir();
    for (name, bytes, words) in [
        ("encrypted.mp4", encrypted(), "source is encrypted (sample entry encv)"),
        ("truncated.mp4", truncated(), "box mdat claims "),
        ("letter.mp4", b"once upon a time\n".to_vec(), "source begins with text, not with a media container: "),
        ("empty.mp4", Vec::new(), "source is empty (0 bytes)"),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let blocked = verdict_of(&path).await.unwrap_err();
        assert_eq!(blocked.reason, BlockReason::Format, "{name}");
        assert!(blocked.detail.starts_with(words), "{name}: {}", blocked.detail);
        // What `mcsp process` prints.
        assert_eq!(probe(&file(&path), &sandbox(), 1).await.unwrap_err().to_string(), blocked.detail);
    }
}

#[tokio::test]
async fn an_event_comes_out_with_what_was_found() {
    let world = World::new();
    let stage = UploadIngestor::new(world.stores.clone(), sandbox(), IngestPolicy::default());
    let initiated = |upload: UploadCompleted| UploadInitiated {
        asset: upload.asset,
        owner: upload.owner,
        session: SessionId::new(1, &[2; 10]),
        source: upload.source,
        file_name: upload.file_name,
        title: upload.title,
    };
    let sound = world.uploaded(&media("cups-720p30-4s.mp4"), "Cups").await;
    let event = initiated(sound.clone());
    let completed: UploadCompleted = only(&stage.handle(event.clone(), &context(&event)).await.unwrap());
    assert_eq!(completed, UploadCompleted { duration_ms: completed.duration_ms, ..sound });
    let path = world.folder.path().join("letter.mp4");
    fs::write(&path, "once upon a time").unwrap();
    let event = initiated(world.uploaded(&path, "Letter").await);
    let blocked: UploadBlocked = only(&stage.handle(event.clone(), &context(&event)).await.unwrap());
    assert_eq!((blocked.reason, blocked.owner), (BlockReason::Format, event.owner));
    assert!(blocked.detail.contains("once upon a time"), "{}", blocked.detail);
}

#[tokio::test]
async fn sound_films_pass() {
    for (name, seconds) in [
        ("bbb-1080p60.mp4", 10.0),
        ("cups-720p30-4s.mp4", 4.0),
        ("phone-vfr-13s.mp4", 13.0),
        ("chaplin-mp3-4s.mp4", 4.0),
    ] {
        let sound = verdict_of(&media(name)).await.unwrap();
        let duration_ms = sound.duration_ms.unwrap() as f64;
        assert_eq!(sound.container, "mp4", "{name}");
        assert!((duration_ms / 1000.0 - seconds).abs() < 1.0, "{name} lasts {duration_ms} ms");
    }
}
