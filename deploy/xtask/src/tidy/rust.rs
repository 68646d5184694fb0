//! House rules of a Rust file: its first line, its length, where `unsafe` may stand, and tests that neither wait nor rest.
//! (The length of functions is clippy's `too_many_lines`, the sentence at each `unsafe` its `undocumented_unsafe_blocks`.)

use super::code;

/// docs: "Aim for 300 lines and stay below 500, tests included".
const FILE_LINES_MAX: usize = 499;

/// The crates that talk to the kernel and to C; besides them only files named `map.rs`, which map files into memory.
const UNSAFE_FOLDERS: &[&str] = &["pipeline/mcsp-media/", "pipeline/sandbox/"];

/// Returns what is untidy in one Rust file.
pub(super) fn check(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    if !text.starts_with("//! ") {
        findings.push(format!("{path}:1: begins without a `//!` line that says what it is for"));
    }
    let line_count = text.lines().count();
    if line_count > FILE_LINES_MAX {
        findings.push(format!("{path}:{line_count}: is longer than {FILE_LINES_MAX} lines"));
    }
    let mut in_test = path.contains("/tests/");
    for (index, line) in code::only(text).lines().enumerate() {
        in_test |= line.contains("#[cfg(test)]");
        findings.extend(line_fault(path, line, in_test).map(|fault| format!("{path}:{}: {fault}", index + 1)));
    }
    findings
}

fn line_fault(path: &str, line: &str, in_test: bool) -> Option<&'static str> {
    if has_word(line, "unsafe") && !may_be_unsafe(path) {
        return Some("`unsafe` lives in mcsp-media, sandbox and map.rs alone");
    }
    if line.contains("#[ignore") {
        return Some("a test is never ignored: assert today's wrong behaviour with a FIXME sentence");
    }
    if in_test && (line.contains("sleep(") || line.contains("sleep_ms(")) {
        return Some("a test waits for a condition, never for a while");
    }
    None
}

fn may_be_unsafe(path: &str) -> bool {
    path.ends_with("/map.rs") || UNSAFE_FOLDERS.iter().any(|folder| path.starts_with(folder))
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|character: char| !character.is_alphanumeric() && character != '_').any(|found| found == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, body: &str) -> String {
        check(path, &format!("//! Says.\n{body}")).join("\n")
    }

    #[test]
    fn a_header_is_wanted() {
        assert_eq!(check("a/src/b.rs", "fn f() {}\n").len(), 1);
        assert_eq!(check("a/src/b.rs", "//! Says.\nfn f() {}\n").len(), 0);
    }

    #[test]
    fn a_long_file_is_a_finding() {
        assert_eq!(findings("a.rs", &"\n".repeat(498)), "");
        assert_eq!(findings("a.rs", &"\n".repeat(499)), "a.rs:500: is longer than 499 lines");
    }

    #[test]
    fn unsafe_is_at_home_in_three_places() {
        let block = "let x = unsafe { y() };";
        assert!(findings("packager/src/lib.rs", block).starts_with("packager/src/lib.rs:2: `unsafe` lives"));
        assert_eq!(findings("pipeline/embedded/src/map.rs", block), "");
        assert_eq!(findings("pipeline/sandbox/src/spawn.rs", block), "");
        assert_eq!(findings("packager/src/lib.rs", "// unsafe\n#![deny(unsafe_code)] // \"unsafe\""), "");
    }

    #[test]
    fn tests_neither_rest_nor_wait() {
        assert_eq!(findings("a/tests/b.rs", "#[ignore = \"slow\"]").lines().count(), 1);
        assert_eq!(findings("a/tests/b.rs", "std::thread::sleep(second);").lines().count(), 1);
        assert_eq!(findings("a/src/b.rs", "std::thread::sleep(second);"), "");
        assert_eq!(findings("a/src/b.rs", "#[cfg(test)]\nmod tests { fn f() { sleep(second); } }").lines().count(), 1);
    }
}
