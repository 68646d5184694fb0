//! `mcsp config`: what holds, what is wrong, what there is.

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand};

use super::{Finding, Sources, check, load, reference, show};

#[derive(Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Print the configuration that holds, with where each value came from.
    Show(SourceArgs),
    /// Say what is wrong with the configuration; fails when something is.
    Check(SourceArgs),
    /// Print the page of every key.
    #[command(hide = true)]
    Reference,
}

/// Flags of every command that reads a configuration.
#[derive(Args)]
pub(crate) struct SourceArgs {
    /// The configuration file; by default mcsp.toml in the data folder, or in this one.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The folder of everything that the embedded engines keep.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<String>,
}

impl SourceArgs {
    /// Returns where the configuration comes from.
    pub(crate) fn sources(&self) -> Sources {
        let flags = self.data.iter().map(|data| ("data", data.clone())).collect();
        Sources::of_process(self.config.clone(), flags)
    }
}

/// Runs the command and returns what it prints.
///
/// # Errors
/// When the configuration has findings.
pub(crate) fn run(args: &ConfigArgs) -> anyhow::Result<String> {
    match &args.action {
        Action::Show(sources) => Ok(show(&load(&sources.sources())?)),
        Action::Check(sources) => {
            let findings = check(&sources.sources());
            if findings.is_empty() {
                return Ok("the configuration is sound\n".to_owned());
            }
            let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
            bail!("{} findings\n{}", findings.len(), lines.join("\n"))
        }
        Action::Reference => Ok(reference::reference()),
    }
}
