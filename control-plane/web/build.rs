//! Checks that npm has put the players where `src/lib.rs` embeds them from, and says what to do when it has not.

use std::path::Path;
use std::process::ExitCode;

/// The players' files, relative to this crate.
const PLAYERS: [&str; 2] =
    ["node_modules/shaka-player/dist/shaka-player.compiled.js", "node_modules/hls.js/dist/hls.min.js"];

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    for player in PLAYERS {
        println!("cargo::rerun-if-changed={player}");
        if !Path::new(player).is_file() {
            println!("cargo::error=control-plane/web/{player} is missing: run `make setup` (deploy/setup-debian.sh)");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
