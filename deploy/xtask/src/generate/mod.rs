//! Docs made from code, committed and kept fresh below `docs/generated`: the command line, the configuration and the REST
//! interface as `mcsp` itself tells them, events as their catalogue does.

mod cli;

use crate::workspace::{Workspace, output};
use anyhow::{Context, Result};
use mcsp_events::document::Document;
use std::path::Path;

const FOLDER: &str = "docs/generated";

/// Writes the generated files and removes what is no longer made.
pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    let made = make(workspace)?;
    for path in leftovers(workspace, &made) {
        std::fs::remove_file(workspace.root.join(&path)).with_context(|| format!("file {path}"))?;
    }
    for document in made {
        let path = workspace.root.join(FOLDER).join(&document.path);
        let folder = path.parent().context("a page lies in a folder")?;
        std::fs::create_dir_all(folder).with_context(|| format!("folder {}", folder.display()))?;
        std::fs::write(&path, document.text).with_context(|| format!("file {}", path.display()))?;
    }
    Ok(())
}

/// Returns a finding for each generated file that is not what the code says now.
pub(crate) fn stale(workspace: &Workspace) -> Result<Vec<String>> {
    let made = make(workspace)?;
    let mut findings = Vec::new();
    for document in &made {
        let path = format!("{FOLDER}/{}", document.path);
        let committed = std::fs::read_to_string(workspace.root.join(&path)).unwrap_or_default();
        if committed != document.text {
            findings.push(format!("{path}:1: is stale, run `make gen`"));
        }
    }
    findings.extend(
        leftovers(workspace, &made).into_iter().map(|path| format!("{path}:1: is no longer made, run `make gen`")),
    );
    Ok(findings)
}

fn make(workspace: &Workspace) -> Result<Vec<Document>> {
    output(&workspace.root, "cargo", &["build", "--workspace", "--all-targets", "--quiet"])?;
    let program = workspace.target.join("debug/mcsp");
    let program = program.to_str().context("the target folder's name is text")?;
    let config = output(&workspace.root, program, &["config", "reference"])?;
    let openapi = output(&workspace.root, program, &["openapi"])?;
    let mut made = mcsp_events::document::all();
    made.push(Document { path: "openapi.json".to_owned(), text: openapi });
    made.push(Document { path: "cli.md".to_owned(), text: cli::page(&workspace.root, program)? });
    made.push(Document { path: "config.md".to_owned(), text: config });
    Ok(made)
}

/// Returns the files of the folder that nothing makes.
fn leftovers(workspace: &Workspace, made: &[Document]) -> Vec<String> {
    let ours = |file: &&String| Path::new(file).starts_with(FOLDER);
    let known = |file: &String| made.iter().any(|document| format!("{FOLDER}/{}", document.path) == *file);
    workspace.files.iter().filter(ours).filter(|file| !known(file)).cloned().collect()
}
