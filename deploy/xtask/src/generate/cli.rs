//! `cli.md`: what `mcsp --help` says of every command.

use crate::workspace::output;
use anyhow::Result;
use std::path::Path;

/// Asks the program for the help text of every command, those within commands too.
pub(super) fn page(root: &Path, program: &str) -> Result<String> {
    let mut page = "# The command line\n\nMade from the code by `make gen`.\n".to_owned();
    // Commands that are still to be asked, the next one last.
    let mut waiting: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(command) = waiting.pop() {
        let words: Vec<&str> = command.iter().map(String::as_str).chain(["--help"]).collect();
        let help = output(root, program, &words)?;
        let title = [&["mcsp".to_owned()], command.as_slice()].concat().join(" ");
        page.push('\n');
        page.push_str(&section(&title, &help));
        let within = commands(&help).into_iter().rev();
        waiting.extend(within.map(|name| [command.as_slice(), &[name.to_owned()]].concat()));
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
