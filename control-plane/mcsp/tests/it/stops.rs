//! Uploads that must not pass: each is stopped where it should be, and its creator is told why.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::site::Site;
use crate::support::{joined, process, renditions, run_process, text};

/// The clip that the others are made of.
const CLIP: &str = "cups-720p30-4s.mp4";

/// Writes a file of that name and returns its path.
fn written(site: &Site, name: &str, bytes: &[u8]) -> PathBuf {
    let path = site.folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// Uploads a film that must be blocked; returns the reason.
fn reason(site: &Site, film: &Path) -> String {
    let told = site.upload(film);
    assert_eq!(told["state"], "BLOCKED", "{}: {told}", film.display());
    told["reason"].as_str().unwrap().to_owned()
}

/// Returns the words with which `mcsp process` refuses a film.
fn refusal(site: &Site, film: &Path) -> String {
    let output = run_process(film, &site.folder.path().join("refused"), &[]);
    assert!(!output.status.success(), "{} was processed", film.display());
    let name = film.file_name().unwrap().to_string_lossy().into_owned();
    let said = text(&output.stderr);
    said.trim().rsplit_once(&format!("{name}: ")).map_or(said.clone(), |(_, words)| words.to_owned())
}

#[test]
fn what_must_not_pass_is_stopped_with_its_reason() {
    let mut site = Site::new();
    site.open_studio();
    let clip = fs::read(mcsp_fixtures::media(CLIP)).unwrap();

    // Split, so that no scanner takes this program for what it tests with.
    let eicar = ["X5O!P%@AP[4\\PZX54(P^)7CC)7}$", "EICAR-STANDARD-ANTIVIRUS-TEST-FILE", "!$H+H*"].concat();
    let eicar = reason(&site, &written(&site, "eicar.mp4", eicar.as_bytes()));
    assert!(eicar.contains("EICAR"), "{eicar}");

    let zip = [b"PK\x03\x04\x14\0\0\0".as_slice(), &[0; 2000], b"PK\x05\x06".as_slice(), &[0; 18]].concat();
    let zip = reason(&site, &written(&site, "archive.mp4", &zip));
    assert!(zip.to_lowercase().contains("zip"), "{zip}");

    let page = b"<html><body><script>alert(document.cookie)</script></body></html>";
    let size = u32::try_from(page.len() + 8).unwrap().to_be_bytes();
    let polyglot = [clip.as_slice(), &size, b"free", page].concat();
    let polyglot = reason(&site, &written(&site, "polyglot.mp4", &polyglot));
    assert!(polyglot.contains("web page"), "{polyglot}");

    let packaged = process(&mcsp_fixtures::media(CLIP), &site.folder.path().join("packaged"), &["--segment", "2"]);
    let encrypted = joined(&packaged, &renditions(&packaged, "video")[0], site.folder.path());
    let encrypted = reason(&site, &encrypted);
    assert!(encrypted.contains("encrypted"), "{encrypted}");

    // Its bytes are few, since silence is; longer than the twelve hours that are allowed.
    let silence = Command::new("gzip").arg("-dc").arg(mcsp_fixtures::media("silent-20h.mp4.gz")).output().unwrap();
    assert!(silence.status.success(), "{}", text(&silence.stderr));
    let silence = reason(&site, &written(&site, "silence.mp4", &silence.stdout));
    assert_eq!(silence, "source lasts 72000 s, 43200 s allowed");

    for (name, bytes) in [("cut.mp4", &clip[..clip.len() / 2]), ("text.mp4", b"once upon a time there was a film\n")] {
        let film = written(&site, name, bytes);
        let (told, said) = (reason(&site, &film), refusal(&site, &film));
        assert!(told.contains(&said), "{name}: the platform says {told:?}, mcsp process {said:?}");
    }
}

#[test]
fn an_excerpt_of_a_film_in_the_library_is_stopped() {
    let mut site = Site::new();
    site.open_studio();
    let film = mcsp_fixtures::looped("bbb-1080p60.mp4", 1, site.folder.path());
    let added = site
        .command("library")
        .arg("add")
        .arg(&film)
        .args(["--owner", "a studio", "--title", "Big Buck Bunny"])
        .output()
        .unwrap();
    assert!(added.status.success(), "{}", text(&added.stderr));
    let told = site.upload(&mcsp_fixtures::media("bbb-1080p60.mp4"));
    assert_eq!(told["state"], "BLOCKED", "{told}");
    assert!(told["reason"].as_str().unwrap().contains("Big Buck Bunny"), "{told}");
    // Another film is none of it.
    assert_eq!(site.upload(&mcsp_fixtures::media(CLIP))["state"], "PUBLISHED");
}

/// Every clip of a folder of larger media: what `mcsp process` takes is published, what it refuses is refused in its words.
#[test]
fn larger_clips_end_as_mcsp_process_has_it() {
    let Some(media) = mcsp_fixtures::larger_media() else { return };
    let mut site = Site::new();
    site.open_studio();
    let mut paths: Vec<_> = fs::read_dir(&media).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut wrong = Vec::new();
    for film in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension != "md")) {
        let told: Value = site.upload(film);
        let output = run_process(film, &site.folder.path().join("alone"), &["--scheme", "clear"]);
        let _ = fs::remove_dir_all(site.folder.path().join("alone"));
        let words = text(&output.stderr);
        let name = film.file_name().unwrap().to_string_lossy().into_owned();
        let words = words.trim().rsplit_once(&format!("{name}: ")).map_or("", |(_, words)| words);
        let reason = told["reason"].as_str().unwrap_or_default();
        let is_as_alone = match output.status.success() {
            true => told["state"] == "PUBLISHED",
            // What only the analysis sees, such as interlaced pictures, fails later than at the door.
            false => told["state"] != "PUBLISHED" && !words.is_empty() && reason.contains(words),
        };
        println!("{name}: {} {reason}", told["state"]);
        if !is_as_alone {
            wrong.push(format!("{name}: {told}; mcsp process: {words}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
