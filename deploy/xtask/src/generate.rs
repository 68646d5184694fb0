//! Docs made from code, committed and kept fresh: `docs/generated/cli.md` is what `mcsp --help` says of every command.

use crate::workspace::{Workspace, output};
use anyhow::{Context, Result};

const CLI_PAGE: &str = "docs/generated/cli.md";

/// Writes the generated files.
pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    let path = workspace.root.join(CLI_PAGE);
    let folder = path.parent().context("a page lies in a folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("folder {}", folder.display()))?;
    std::fs::write(&path, cli_page(workspace)?).with_context(|| format!("file {CLI_PAGE}"))
}

/// Returns a finding for each generated file that is not what the code says now.
pub(crate) fn stale(workspace: &Workspace) -> Result<Vec<String>> {
    let committed = std::fs::read_to_string(workspace.root.join(CLI_PAGE)).unwrap_or_default();
    if committed == cli_page(workspace)? {
        return Ok(Vec::new());
    }
    Ok(vec![format!("{CLI_PAGE}:1: is stale, run `make gen`")])
}

fn cli_page(workspace: &Workspace) -> Result<String> {
    output(&workspace.root, "cargo", &["build", "--workspace", "--all-targets", "--quiet"])?;
    let program = workspace.target.join("debug/mcsp");
    let program = program.to_str().context("the target folder's name is text")?;
    let help = output(&workspace.root, program, &["--help"])?;
    let mut page = format!("# The command line\n\nMade from the code by `make gen`.\n\n{}", section("mcsp", &help));
    for command in commands(&help) {
        let text = output(&workspace.root, program, &[command, "--help"])?;
        page.push('\n');
        page.push_str(&section(&format!("mcsp {command}"), &text));
    }
    Ok(page)
}

fn section(title: &str, help: &str) -> String {
    let lines: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
    format!("## {title}\n\n```text\n{}\n```\n", lines.join("\n"))
}

/// Reads the names of commands from the help text that clap writes.
fn commands(help: &str) -> Vec<&str> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = listed.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_from_help() {
        let help = "Does media.\n\nUsage: mcsp <COMMAND>\n\nCommands:\n  process  Makes\n           more\n  serve    Shows\n  help     Print\n\nOptions:\n  -h  Help\n";
        assert_eq!(commands(help), ["process", "serve"]);
    }

    #[test]
    fn a_section_has_no_trailing_blanks() {
        assert_eq!(section("mcsp", "Usage:  \n  x\n\n"), "## mcsp\n\n```text\nUsage:\n  x\n```\n");
    }
}
