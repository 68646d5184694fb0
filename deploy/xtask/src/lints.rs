//! Lints without a second build. `make` builds with clippy-driver as rustc's wrapper, so cargo has kept every warning and
//! repeats it here from its cache. Without clippy on the machine these are rustc's own warnings.

use crate::workspace::{Workspace, output};
use anyhow::Result;
use serde::Deserialize;

#[derive(Deserialize)]
struct Message {
    message: Option<Diagnostic>,
}

#[derive(Deserialize)]
struct Diagnostic {
    level: String,
    rendered: Option<String>,
}

/// Returns the warnings of every crate and test of the workspace.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let json = output(
        &workspace.root,
        "cargo",
        &["build", "--workspace", "--all-targets", "--quiet", "--message-format=json"],
    )?;
    Ok(warnings(&json))
}

/// Picks the warnings out of cargo's messages, each once: a library and its tests repeat each other's.
fn warnings(json_lines: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    for line in json_lines.lines() {
        let Ok(Message { message: Some(diagnostic) }) = serde_json::from_str(line) else { continue };
        let Some(rendered) = diagnostic.rendered else { continue };
        if matches!(diagnostic.level.as_str(), "warning" | "error") && !warnings.contains(&rendered) {
            warnings.push(rendered);
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_warning_is_told_once() {
        let lines = r#"{"reason":"compiler-artifact","target":{"name":"a"}}
{"reason":"compiler-message","message":{"level":"warning","rendered":"unused"}}
{"reason":"compiler-message","message":{"level":"warning","rendered":"unused"}}
{"reason":"compiler-message","message":{"level":"note","rendered":"by the way"}}
{"reason":"build-finished","success":true}"#;
        assert_eq!(warnings(lines), ["unused"]);
    }
}
