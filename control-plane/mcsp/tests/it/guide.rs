//! The commands of the guide to uploading, run as a reader would run them.

use std::path::Path;
use std::process::Command;

use crate::site::Site;

#[test]
fn the_guide_to_uploading_holds() {
    let mut site = Site::new();
    site.start("up", &["--http", "127.0.0.1:0"]);
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guides/uploading.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let mut script = "set -euo pipefail\n".to_owned();
    for block in guide.split("```sh\n").skip(1) {
        script.push_str(block.split("```").next().unwrap());
    }
    let programs = Path::new(env!("CARGO_BIN_EXE_mcsp")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(site.folder.path())
        .env("PATH", path)
        .env("SERVER", format!("http://{}", site.nodes[0].health))
        .env("FILM", mcsp_fixtures::media("cups-720p30-4s.mp4"))
        .env("XDG_CONFIG_HOME", site.folder.path().join("client"))
        .output()
        .unwrap();
    let (told, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the guide's commands ended with {}:\n{told}\n{complaint}", output.status);
    assert!(told.contains("publish done"), "{told}");
    assert!(told.contains("/t/"), "no manifest address was told: {told}");
}
