//! House rules of JavaScript tests: none is left out, none waits for a while.

/// What a test must not say, and why.
const FORBIDDEN: &[(&str, &str)] = &[
    ("waitForTimeout(", "a test waits for a condition, never for a while"),
    (".only(", "one test alone hides the others"),
    (".todo(", "a test asserts something"),
];

/// Returns what is untidy in one script; only tests are looked at.
pub(super) fn check(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    if !path.contains("/tests/") {
        return findings;
    }
    for (index, line) in text.lines().enumerate() {
        let told = FORBIDDEN.iter().filter(|(word, _)| line.contains(word));
        findings.extend(told.map(|(_, why)| format!("{path}:{}: {why}", index + 1)));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_a_finding_in_tests_alone() {
        let line = "await page.waitForTimeout(3000);\n";
        assert_eq!(
            check("web/tests/a.mjs", line),
            ["web/tests/a.mjs:1: a test waits for a condition, never for a while"]
        );
        assert!(check("web/src/a.js", line).is_empty());
    }
}
