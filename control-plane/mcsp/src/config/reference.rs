//! `docs/generated/config.md`: every key of the configuration.

use std::fmt::Write;

use super::keys::{self, Kind, Leaf, Node};
use super::show::toml_of;

const INTRODUCTION: &str = "\
# Configuration

Made from the code by `make gen`.

A node reads, each stronger than the one before: the defaults below; one TOML file (`--config FILE`, else `mcsp.toml` in the
data folder, else `mcsp.toml` in the working folder); the environment; flags. A list in the environment is written with commas.
Unknown keys are refused. Relative paths begin at the working folder. A URL's scheme picks the engine; log and ledger are both
embedded or both distributed. Passwords stand in the environment alone. `mcsp config check` says what is wrong,
`mcsp config show` what holds and why.
";

/// Writes the page.
pub(crate) fn reference() -> String {
    let mut page = INTRODUCTION.to_owned();
    write_table(&mut page, &keys::tree(), &mut Vec::new());
    page
}

fn write_table(page: &mut String, node: &Node, path: &mut Vec<String>) {
    let keys = match node {
        Node::Table(keys) => keys.clone(),
        Node::Map { of, each } => vec![(format!("<{of}>"), (**each).clone())],
        Node::Leaf(_) => return,
    };
    let leaves: Vec<(&String, &Leaf)> = keys
        .iter()
        .filter_map(|(name, node)| match node {
            Node::Leaf(leaf) => Some((name, leaf)),
            _ => None,
        })
        .collect();
    if !leaves.is_empty() {
        let title = if path.is_empty() { "At the top".to_owned() } else { format!("`[{}]`", path.join(".")) };
        // Writing to a String cannot fail.
        let _ =
            write!(page, "\n## {title}\n\n| key | type | default | environment | meaning |\n|---|---|---|---|---|\n");
    }
    for (name, leaf) in &leaves {
        path.push((*name).clone());
        let default = leaf.default.as_ref().map(|default| format!("`{}`", toml_of(default))).unwrap_or_default();
        let variable = keys::env_name(path).map(|name| format!("`{name}`")).unwrap_or_default();
        let (kind, meaning) = (kind_words(&leaf.kind), leaf.meaning.replace('|', "\\|"));
        let _ = writeln!(page, "| `{name}` | {kind} | {default} | {variable} | {meaning} |");
        path.pop();
    }
    for (name, leaf) in leaves.iter().filter(|(_, leaf)| !leaf.words.is_empty()) {
        let _ = write!(page, "\nThe words of `{name}`:\n\n");
        for (word, meaning) in &leaf.words {
            let _ = writeln!(page, "- `{word}`: {meaning}");
        }
    }
    for (name, node) in keys.iter().filter(|(_, node)| !matches!(node, Node::Leaf(_))) {
        path.push(name.clone());
        write_table(page, node, path);
        path.pop();
    }
}

fn kind_words(kind: &Kind) -> String {
    match kind {
        Kind::Integer { .. } => format!("integer, {}", kind.rule()),
        Kind::Choice(_) => "a word".to_owned(),
        Kind::List(each) if matches!(**each, Kind::Choice(_)) => "a list of words".to_owned(),
        other => other.rule(),
    }
}
