//! What there is to check: the workspace's crates as cargo sees them, and the project's files as git sees them.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace this tool was built in.
pub(crate) struct Workspace {
    /// The folder of the workspace's `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Where cargo puts what it builds.
    pub(crate) target: PathBuf,
    /// The crates, not their dependencies.
    pub(crate) packages: Vec<Package>,
    /// Tracked and new files that git does not ignore, relative to `root`.
    pub(crate) files: Vec<String>,
}

/// A crate of the workspace, the parts of `cargo metadata` that are used here.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) dependencies: Vec<Dependency>,
}

/// What a crate says it needs.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `dev`, `build` or nothing.
    pub(crate) kind: Option<String>,
    /// The folder, when it is a crate of the workspace.
    pub(crate) path: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

impl Workspace {
    /// Asks cargo and git.
    pub(crate) fn load() -> Result<Self> {
        let json = output(Path::new("."), "cargo", &["metadata", "--format-version=1", "--no-deps", "--offline"])?;
        let metadata: Metadata = serde_json::from_str(&json).context("cargo metadata")?;
        let root = metadata.workspace_root;
        let listed = output(&root, "git", &["ls-files", "--cached", "--others", "--exclude-standard"])?;
        let files = listed.lines().filter(|file| root.join(file).is_file()).map(str::to_owned).collect();
        Ok(Self { target: metadata.target_directory, packages: metadata.packages, files, root })
    }

    /// Reads one of `files` as text.
    pub(crate) fn read(&self, file: &str) -> Result<String> {
        std::fs::read_to_string(self.root.join(file)).with_context(|| format!("file {file}"))
    }
}

/// Runs a command in a folder and returns what it wrote to stdout; its stderr goes through.
pub(crate) fn output(folder: &Path, program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| format!("{program} did not start"))?;
    if !output.status.success() {
        bail!("{program} {} ended with {}", arguments.join(" "), output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("{program} wrote something else than text"))
}
