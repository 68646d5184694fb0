//! Links of Markdown pages: one that leads into the project leads to a file or folder that is there.

/// Returns a finding for each link of `text` whose target `exists` does not know; targets are relative to the page.
pub(super) fn check(path: &str, text: &str, exists: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut findings = Vec::new();
    let mut in_fence = false;
    for (index, line) in text.lines().enumerate() {
        in_fence ^= line.trim_start().starts_with("```");
        if in_fence {
            continue;
        }
        for target in targets(line) {
            if !exists(&resolve(path, target)) {
                findings.push(format!("{path}:{}: the link to {target} leads nowhere", index + 1));
            }
        }
    }
    findings
}

/// Picks out the relative targets of `[text](target)`, without their `#fragment`.
fn targets(line: &str) -> Vec<&str> {
    let ends = line.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    let inside = ends.filter(|target| !target.contains("://") && !target.starts_with("mailto:"));
    inside.filter_map(|target| target.split(['#', ' ']).next()).filter(|target| !target.is_empty()).collect()
}

/// Returns a target as a path from the project's root.
fn resolve(page: &str, target: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Vec<String> {
        check("docs/guides/page.md", text, &|target| matches!(target, "README.md" | "docs/ARCHITECTURE.md" | "docs"))
    }

    #[test]
    fn links_that_lead_somewhere_pass() {
        let text =
            "[a](../../README.md) and [b](../ARCHITECTURE.md#1-the-rooms), [c](..), [d](https://x.org/y), [e](#here)";
        assert!(findings(text).is_empty());
        assert!(findings("```\n[a](nowhere.md)\n```").is_empty());
    }

    #[test]
    fn links_that_lead_nowhere_are_findings() {
        assert_eq!(findings("\n[a](gone.md)"), ["docs/guides/page.md:2: the link to gone.md leads nowhere"]);
    }
}
