//! Names: every room says what it holds, and no file speaks of the place it was written in.

/// Names that hold anything and so say nothing (docs: "Every crate and module says what it holds").
const EMPTY_NAMES: &[&str] = &["common", "util", "utils", "helper", "helpers", "misc", "shared", "stuff"];

/// Words of places where the code was written, cut in two so that this file passes its own check.
const FOREIGN_WORDS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/tm", "p/target"),
    concat!("arti", "factory"),
    concat!("../sha", "red/"),
    concat!("rese", "arch/"),
];

/// Returns a finding when a folder or file has a name that says nothing.
pub(super) fn check(path: &str) -> Option<String> {
    let mut stems = path.split('/').map(|part| part.split('.').next().unwrap_or(part));
    let empty = stems.find(|stem| EMPTY_NAMES.contains(stem))?;
    Some(format!("{path}:1: the name `{empty}` does not say what is in it"))
}

/// Returns a finding for each line that speaks of the place it was written in.
pub(super) fn foreign_words(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let found = FOREIGN_WORDS.iter().filter(|word| begins_a_name(line, word));
        findings.extend(found.map(|word| format!("{path}:{}: `{word}` is a place outside the project", index + 1)));
    }
    findings
}

/// Says whether `word` stands in `line` other than as the tail of a longer name.
fn begins_a_name(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| !line[..at].ends_with(|before: char| before.is_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_say_nothing_are_findings() {
        for path in ["a/utils/b.rs", "a/src/helpers.rs", "common/Cargo.toml"] {
            assert!(check(path).is_some(), "{path} passed");
        }
        for path in ["packager/src/bmff/mod.rs", "a/src/retry.rs", ".gitignore"] {
            assert_eq!(check(path), None);
        }
    }

    #[test]
    fn places_outside_are_findings() {
        let text = format!("fine\nsee {}", FOREIGN_WORDS[0]);
        assert_eq!(foreign_words("a.md", &text).len(), 1);
        assert!(foreign_words("a.md", "a net/work/of/art by metaresearch/x").is_empty());
    }
}
