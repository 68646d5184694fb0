//! The arrows between crates (docs/ARCHITECTURE.md section 2). In: the crates and what they need. Out: one finding for each
//! arrow that the table does not draw. Dev-dependencies are free, since tests may look at everything.

use crate::workspace::{Dependency, Package};

/// What each room may use besides `domain` and `events`.
const ARROWS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("events", &[]),
    ("child", &[]),
    ("token", &[]),
    ("packager", &[]),
    ("fingerprint", &[]),
    ("grpc", &[]),
    ("runtime", &[]),
    ("catalog", &[]),
    ("embedded", &["runtime"]),
    ("distributed", &["runtime"]),
    ("sandbox", &["runtime", "child"]),
    ("stages", &["runtime", "sandbox", "packager", "fingerprint", "grpc"]),
    ("services", &["runtime", "catalog", "grpc", "token", "sagas"]),
    ("sagas", &["runtime", "catalog", "grpc", "token"]),
    ("edge", &["runtime", "token"]),
    ("web", &[]),
    ("api", &["services", "grpc", "token", "runtime", "web"]),
    ("mcsp", &[ANY]),
    ("media", &["child"]),
    ("chaos", &[ANY]),
    ("xtask", &[]),
    ("fixtures", &[]),
    ("benches", &[ANY]),
];

/// Stands in the table for every crate but `fixtures` and the child's program.
const ANY: &str = "*";

/// Layers 0 and 1: bytes and values in, bytes and values out.
const PURE: &[&str] = &["domain", "events", "child", "token", "packager", "fingerprint", "grpc"];

/// Crates that bring threads, files, clocks or randomness, which pure crates leave to their caller.
const IMPURE: &[&str] = &["tokio", "rayon", "memmap2", "getrandom", "rand", "tempfile", "libc", "chrono", "time"];

/// Bindings of C media libraries, by the start of their name; only `mcsp-media` links those.
const MEDIA_LIBRARIES: &[&str] = &["ffmpeg", "rsmpeg", "gstreamer", "x264"];

/// Returns what is wrong with the arrows of all crates.
pub(crate) fn check(packages: &[Package]) -> Vec<String> {
    let mut findings = Vec::new();
    for package in packages {
        let from = room(&package.name);
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == from) else {
            findings
                .push(format!("crate {from} stands in no layer: give it one in docs/ARCHITECTURE.md and arrows.rs"));
            continue;
        };
        for dependency in &package.dependencies {
            findings.extend(fault(from, allowed, dependency).map(|fault| format!("{}: {fault}", package.name)));
        }
    }
    findings
}

/// Returns why one dependency is not allowed, if it is not.
fn fault(from: &str, allowed: &[&str], dependency: &Dependency) -> Option<String> {
    let to = dependency.name.as_str();
    if MEDIA_LIBRARIES.iter().any(|library| to.starts_with(library)) && from != "media" {
        return Some(format!("links {to}, but only mcsp-media links C media libraries"));
    }
    if dependency.kind.as_deref() == Some("dev") {
        return None;
    }
    if PURE.contains(&from) && IMPURE.contains(&to) {
        return Some(format!("uses {to}, but layers 0 and 1 are pure"));
    }
    dependency.path.as_ref()?;
    let to = room(to);
    if to == "fixtures" {
        return Some("only tests depend on fixtures".to_owned());
    }
    let drawn = matches!(to, "domain" | "events") && from != "domain" || allowed.contains(&to);
    let everything = allowed.contains(&ANY) && to != "media";
    (!drawn && !everything).then(|| format!("no arrow leads from {from} to {to}"))
}

fn room(crate_name: &str) -> &str {
    crate_name.strip_prefix("mcsp-").unwrap_or(crate_name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// Reads `crate -> needs, dev:needs, extern:needs`.
    fn findings(text: &str) -> String {
        let packages: Vec<Package> = text.lines().map(package).collect();
        check(&packages).join("\n")
    }

    fn package(line: &str) -> Package {
        let (name, needs) = line.split_once("->").unwrap();
        let dependencies = needs.split(',').map(str::trim).filter(|need| !need.is_empty()).map(dependency).collect();
        Package { name: name.trim().to_owned(), dependencies }
    }

    fn dependency(need: &str) -> Dependency {
        let (kind, need) = match need.strip_prefix("dev:") {
            Some(rest) => (Some("dev".to_owned()), rest),
            None => (None, need),
        };
        match need.strip_prefix("extern:") {
            Some(name) => Dependency { name: name.to_owned(), kind, path: None },
            None => Dependency { name: need.to_owned(), kind, path: Some(PathBuf::from("/")) },
        }
    }

    #[test]
    fn drawn_arrows_pass() {
        assert_eq!(findings("mcsp-stages -> mcsp-domain, mcsp-runtime, mcsp-sandbox, mcsp-packager, extern:tokio"), "");
        assert_eq!(findings("mcsp-media -> mcsp-child, mcsp-domain, extern:ffmpeg-next"), "");
        assert_eq!(findings("mcsp -> mcsp-embedded, mcsp-web, mcsp-stages"), "");
        assert_eq!(findings("mcsp-stages -> dev:mcsp-embedded, dev:mcsp-fixtures"), "");
    }

    #[test]
    fn other_arrows_are_findings() {
        assert_eq!(findings("mcsp-stages -> mcsp-embedded"), "mcsp-stages: no arrow leads from stages to embedded");
        assert_eq!(findings("mcsp-domain -> mcsp-events"), "mcsp-domain: no arrow leads from domain to events");
        assert_eq!(findings("mcsp -> mcsp-media"), "mcsp: no arrow leads from mcsp to media");
        assert_eq!(findings("mcsp -> mcsp-fixtures"), "mcsp: only tests depend on fixtures");
    }

    #[test]
    fn an_unknown_crate_is_a_finding() {
        assert!(findings("mcsp-drawer ->").starts_with("crate drawer stands in no layer"));
    }

    #[test]
    fn pure_crates_use_nothing_impure() {
        assert_eq!(
            findings("mcsp-packager -> extern:rayon, dev:tokio"),
            "mcsp-packager: uses rayon, but layers 0 and 1 are pure"
        );
    }

    #[test]
    fn media_libraries_stay_in_one_crate_even_for_tests() {
        assert_eq!(
            findings("mcsp-packager -> dev:extern:ffmpeg-next"),
            "mcsp-packager: links ffmpeg-next, but only mcsp-media links C media libraries"
        );
    }
}
