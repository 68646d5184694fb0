//! Where the real engines are: each is named by a variable that `make test-engines` sets. A test whose engine is not named
//! says so and passes; with `MCSP_ENGINES_MUST` it fails, so that a run on engines cannot pass without them.

use std::path::PathBuf;

use mcsp_distributed::{Login, Tls};

/// Returns the address of an engine, such as `MCSP_KAFKA` for `kafka`; nothing where it is not named.
pub(crate) fn address(engine: &str) -> Option<String> {
    named(engine, "")
}

/// Returns the address at which an engine speaks TLS, such as `MCSP_KAFKA_TLS`.
pub(crate) fn tls_address(engine: &str) -> Option<String> {
    named(engine, "_TLS")
}

/// Returns who we are to an engine, from the file that a variable such as `MCSP_KAFKA_LOGIN` names:
/// `{"user": …, "password": …}`. Nothing where there is no such variable: the engine asks nobody.
pub(crate) fn login(engine: &str) -> Option<Login> {
    let file = std::env::var_os(variable(engine, "_LOGIN"))?;
    let text = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let read: serde_json::Value =
        serde_json::from_slice(&text).unwrap_or_else(|_| panic!("{} is no JSON", file.display()));
    let part =
        |name: &str| read[name].as_str().unwrap_or_else(|| panic!("{} has no {name}", file.display())).to_owned();
    Some(Login { user: part("user"), password: part("password").into() })
}

/// Returns TLS that believes the authority of the engines, which `MCSP_CA` names.
pub(crate) fn tls() -> Tls {
    let authorities = std::env::var_os("MCSP_CA").map(PathBuf::from);
    assert!(authorities.is_some(), "MCSP_CA names no authority");
    Tls { authorities, certificate: None }
}

fn variable(engine: &str, what: &str) -> String {
    format!("MCSP_{}{what}", engine.to_uppercase())
}

fn named(engine: &str, what: &str) -> Option<String> {
    let name = variable(engine, what);
    let found = std::env::var(&name).ok().filter(|address| !address.is_empty());
    if found.is_none() {
        let wanted = std::env::var("MCSP_ENGINES_MUST").unwrap_or_default();
        assert!(!wanted.split(',').any(|name| name == engine), "{name} names no {engine}");
        eprintln!("skipped: {name} names no {engine}");
    }
    found
}
