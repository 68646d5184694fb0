//! The library of references: what is added is found in what is uploaded, what is removed is not.

use std::path::Path;

use mcsp_fixtures::{media, temp_dir};
use serde_json::Value;

use crate::support::{mcsp, text};

/// Runs `mcsp` with a data folder and returns what it printed.
fn run(data: &Path, command: &[&str], arguments: &[&str]) -> String {
    let output = mcsp().args(command).arg("--data").arg(data).args(arguments).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn verdict(data: &Path, clip: &str) -> Value {
    let clip = media(clip);
    serde_json::from_str(&run(data, &["match"], &["--json", clip.to_str().unwrap()])).unwrap()
}

#[test]
fn a_reference_is_found_until_it_is_removed() {
    let folder = temp_dir();
    let data = folder.path().join("data");
    let film = media("phone-vfr-13s.mp4");
    assert_eq!(verdict(&data, "phone-vfr-13s.mp4")["verdict"], "cleared");

    let added = run(&data, &["library"], &["add", film.to_str().unwrap(), "--owner", "a studio", "--title", "Chairs"]);
    let id = added.lines().next().unwrap();
    assert!(run(&data, &["library"], &["list"]).contains("Chairs  (a studio)"));

    let found = verdict(&data, "phone-vfr-13s.mp4");
    assert_eq!((&found["verdict"], &found["assets"][0]["reference"]), (&Value::from("blocked"), &Value::from(id)));
    let segment = &found["assets"][0]["segments"][0];
    for span in ["query", "reference"] {
        assert!(segment[span]["start_ms"].as_u64().unwrap() < 1000, "{segment}");
        assert!(segment[span]["end_ms"].as_u64().unwrap() > 11_500, "{segment}");
    }
    assert_eq!(verdict(&data, "cups-720p30-4s.mp4")["verdict"], "cleared");

    run(&data, &["library"], &["remove", id]);
    assert_eq!(run(&data, &["library"], &["list"]), "no references\n");
    assert_eq!(verdict(&data, "phone-vfr-13s.mp4")["verdict"], "cleared");
}
