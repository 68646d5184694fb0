//! Scans: what is hidden is found and named, and real media is not suspected. Set `MCSP_MEDIA` to scan the clips of a folder
//! and of the folders in it.

use std::path::{Path, PathBuf};

use mcsp_child::{ScanClass, Work};
use mcsp_fixtures::{media, temp_dir};

use crate::child::{By, run};

/// Returns the matches of a scan, one line each.
fn scan(path: &Path, by: By) -> Vec<String> {
    let said = run(path, by, Work::Scan);
    let report = said.scan.unwrap_or_else(|| panic!("no report on {}: {:?}", path.display(), said.failure));
    assert_eq!(report.scanned_bytes, std::fs::metadata(path).unwrap().len());
    let line = |found: &mcsp_child::ScanMatch| {
        let class = if found.class == ScanClass::Malware { " malware" } else { "" };
        format!("{} at {}{class}", found.rule, found.offset_bytes)
    };
    report.matches.iter().map(line).collect()
}

fn scan_bytes(bytes: &[u8]) -> Vec<String> {
    let folder = temp_dir();
    let path = folder.path().join("film.mp4");
    std::fs::write(&path, bytes).unwrap();
    scan(&path, By::Descriptor)
}

fn cups() -> Vec<u8> {
    std::fs::read(media("cups-720p30-4s.mp4")).unwrap()
}

fn bmff_box(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let len_bytes = u32::try_from(8 + body.len()).unwrap();
    [&len_bytes.to_be_bytes()[..], kind, body].concat()
}

/// The test file of virus scanners, in two pieces so that no scanner takes this file for it.
fn eicar() -> Vec<u8> {
    [&br"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-"[..], b"ANTIVIRUS-TEST-FILE!$H+H*"].concat()
}

/// An archive of one stored file named `a`.
fn zip() -> Vec<u8> {
    let entry =
        [&b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0"[..], &[0; 4], &[1, 0, 0, 0, 1, 0, 0, 0], &[1, 0, 0, 0], b"ab"].concat();
    let central = [&b"PK\x01\x02\x14\0\x14\0"[..], &[0; 20], &[1, 0], &[0; 16], b"a"].concat();
    let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_le_bytes();
    let end = [&b"PK\x05\x06\0\0\0\0\x01\0\x01\0"[..], &len(&central), &len(&entry), &[0, 0]].concat();
    [entry, central, end].concat()
}

fn elf() -> Vec<u8> {
    [&b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0"[..], &[0; 100]].concat()
}

fn pe() -> Vec<u8> {
    let mut bytes = vec![0; 0x100];
    bytes[..2].copy_from_slice(b"MZ");
    bytes[0x3c] = 0x80;
    bytes[0x4e..0x4e + 38].copy_from_slice(b"This program cannot be run in DOS mode");
    bytes[0x80..0x84].copy_from_slice(b"PE\0\0");
    bytes
}

#[test]
fn what_is_something_else_is_named() {
    let tar = [&[b'a'; 257][..], b"ustar\x0000", &[0; 300]].concat();
    let rows: [(Vec<u8>, &[&str]); 14] = [
        (eicar(), &["eicar at 0 malware"]),
        ([&[b' '; 5000][..], &eicar()].concat(), &["eicar at 5000 malware"]),
        (zip(), &["zip_archive at 0", "archive_inside at 0", "zip_directory at 79"]),
        (elf(), &["linux_program at 0 malware", "linux_program_inside at 0 malware"]),
        (pe(), &["windows_program at 0 malware", "windows_program_inside at 78 malware"]),
        (b"#!/bin/sh\nrm -rf /\n".to_vec(), &["script at 0", "script_inside at 0"]),
        (b"<?php system($_GET['c']);".to_vec(), &["php_script at 0", "script_inside at 0"]),
        (b"\xef\xbb\xbf <!DOCTYPE HTML><p>".to_vec(), &["web_page at 4", "web_page_inside at 4"]),
        (b"%PDF-1.7\n%\xe2\xe3".to_vec(), &["document at 0", "document_inside at 0"]),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec(), &["archive at 0"]),
        (b"7z\xbc\xaf\x27\x1c\0\x04".to_vec(), &["archive at 0", "archive_inside at 0"]),
        (tar, &["archive at 0"]),
        (b"\xcf\xfa\xed\xfe\x07\0\0\x01".to_vec(), &["mac_program at 0 malware", "mac_program_inside at 0 malware"]),
        (Vec::new(), &[]),
    ];
    for (bytes, expected) in rows {
        assert_eq!(scan_bytes(&bytes), expected, "{:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(20)]));
    }
}

#[test]
fn what_hides_in_a_film_is_found_where_it_lies() {
    let film = cups();
    let end = film.len();
    let page = b"<html><script>alert(1)</script>";
    let appended = |bytes: &[u8]| scan_bytes(&[&film, bytes].concat());
    let at = |rule: &str, offset: usize| format!("{rule} at {offset}");
    // A box of padding behind the film, a box nobody knows, user data inside the movie, and no box at all.
    assert_eq!(appended(&bmff_box(b"free", page)), [at("web_page", end + 8), at("web_page_inside", end + 14)]);
    assert_eq!(appended(&bmff_box(b"uuid", &[&[7; 16][..], b"Rar!\x1a\x07\0"].concat()))[0], at("archive", end + 24));
    assert_eq!(appended(&bmff_box(b"zzzz", b"@echo off"))[0], at("script", end + 8));
    assert_eq!(appended(&bmff_box(b"free", b"\x1f\x8b\x08\0"))[0], at("archive", end + 8));
    assert_eq!(appended(&elf())[0], at("linux_program", end) + " malware");
    let archive = appended(&zip());
    assert_eq!(archive, [at("zip_archive", end), at("archive_inside", end), at("zip_directory", end + 79)]);
    // The same page among samples, which no browser looks at, but a server might be made to serve.
    let mut mixed = film.clone();
    let middle = end / 2;
    mixed[middle..middle + page.len()].copy_from_slice(page);
    assert_eq!(scan_bytes(&mixed), [at("web_page_inside", middle + 6)]);
}

#[test]
fn a_pattern_across_two_windows_is_found() {
    let mut bytes = vec![0x47; 3 << 20];
    let program = pe();
    for start in [(1 << 20) - 0x60, (2 << 20) - 0x50] {
        let mut bytes = bytes.clone();
        bytes[start..start + program.len()].copy_from_slice(&program);
        assert_eq!(scan_bytes(&bytes), [format!("windows_program_inside at {} malware", start + 0x4e)]);
    }
    // A sentence alone is a subtitle.
    bytes[5000..5038].copy_from_slice(b"This program cannot be run in DOS mode");
    assert_eq!(scan_bytes(&bytes), [""; 0]);
}

#[test]
fn real_media_is_not_suspected() {
    let mut clips: Vec<PathBuf> = std::fs::read_dir(media("cups-720p30-4s.mp4").parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    clips.extend(mcsp_fixtures::larger_media().iter().flat_map(|folder| files_below(folder)));
    // Beside the clips lie their licences, and a film that is packed for being long.
    clips.retain(|path| path.extension().is_none_or(|extension| extension != "md" && extension != "gz"));
    assert!(clips.len() >= 5, "{clips:?}");
    for clip in clips {
        let started = std::time::Instant::now();
        assert_eq!(scan(&clip, By::Descriptor), [""; 0], "{}", clip.display());
        let len_bytes = std::fs::metadata(&clip).unwrap().len();
        println!("{}: {len_bytes} bytes in {} ms", clip.display(), started.elapsed().as_millis());
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[test]
fn both_ways_of_reading_find_the_same() {
    let folder = temp_dir();
    let path = folder.path().join("film.mp4");
    std::fs::write(&path, [cups(), bmff_box(b"free", b"<html>"), zip()].concat()).unwrap();
    let by_descriptor = scan(&path, By::Descriptor);
    assert_eq!(by_descriptor.len(), 4, "{by_descriptor:?}");
    assert_eq!(scan(&path, By::Requests), by_descriptor);
}
