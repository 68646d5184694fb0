//! The commands of the guide to uploading, run as a reader would run them.

use std::path::Path;
use std::process::Command;

use crate::support::Node;

#[test]
fn the_guide_to_uploading_holds() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), "");
    let guide = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guides/uploading.md")).unwrap();
    let mut script = "set -euo pipefail\n".to_owned();
    for block in guide.split("```sh\n").skip(1) {
        script.push_str(block.split("```").next().unwrap());
    }
    let programs = Path::new(env!("CARGO_BIN_EXE_mcsp")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let film = mcsp_fixtures::media("cups-720p30-4s.mp4");
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(folder.path())
        .env("PATH", path)
        .env("SERVER", node.address())
        .env("FILM", film)
        .env("XDG_CONFIG_HOME", folder.path().join("client"))
        .output()
        .unwrap();
    let (told, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the guide's commands ended with {}:\n{told}\n{complaint}", output.status);
    assert!(told.contains("publish done"), "{told}");
    assert!(told.contains("/t/"), "no manifest address was told: {told}");
}
