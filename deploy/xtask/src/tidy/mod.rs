//! House rules that neither rustfmt nor clippy know. In: the project's files. Out: findings as `path:line: what is wrong`.

mod code;
mod links;
mod names;
mod rust;
mod script;

use crate::workspace::Workspace;
use anyhow::Result;

/// Files that are read as text, by the end of their name.
const TEXT_FILES: &[&str] =
    &[".rs", ".toml", ".md", ".sh", ".js", ".mjs", ".html", ".css", ".json", "Makefile", ".ci/run", ".gitignore"];

/// Returns what is untidy in the whole project.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for file in &workspace.files {
        findings.extend(names::check(file));
        if !TEXT_FILES.iter().any(|end| file.ends_with(end)) || file.ends_with("package-lock.json") {
            continue;
        }
        let text = workspace.read(file)?;
        findings.extend(names::foreign_words(file, &text));
        if file.ends_with(".rs") {
            findings.extend(rust::check(file, &text));
        }
        if file.ends_with(".js") || file.ends_with(".mjs") {
            findings.extend(script::check(file, &text));
        }
        if file.ends_with(".md") {
            let exists = |target: &str| workspace.root.join(target).exists();
            findings.extend(links::check(file, &text, &exists));
        }
    }
    Ok(findings)
}
