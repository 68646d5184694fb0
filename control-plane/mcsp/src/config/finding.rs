//! What is wrong with a configuration: where, which key, which value, and what would be right.

use std::fmt;
use std::path::PathBuf;

use super::keys::{dotted, env_name};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nothing says otherwise.
    Default,
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Env,
    /// The command line.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Env => f.write_str("environment"),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    origin: Origin,
    text: String,
}

impl Finding {
    /// Something about a source as a whole.
    pub(super) fn whole(origin: Origin, text: String) -> Self {
        Self { origin, text }
    }

    /// A value that is not allowed.
    pub(super) fn value(origin: Origin, path: &[String], value: &str, rule: String) -> Self {
        let text = match (&origin, env_name(path)) {
            (Origin::Env, Some(name)) => format!("{name} = {value}: {rule}"),
            _ => format!("{} = {value}: {rule}", in_its_table(path)),
        };
        Self { origin, text }
    }

    /// A key that there is not.
    pub(super) fn unknown(origin: Origin, name: &str, meant: Option<&str>) -> Self {
        let hint = meant.map(|meant| format!(", did you mean {meant}?")).unwrap_or_default();
        Self { origin, text: format!("unknown key {name}{hint}") }
    }
}

/// Returns a key as a file has it: `[worker] slots`.
fn in_its_table(path: &[String]) -> String {
    match path {
        [] | [_] => dotted(path),
        [table @ .., key] => format!("[{}] {}", dotted(table), dotted(std::slice::from_ref(key))),
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.origin {
            Origin::Default => f.write_str(&self.text),
            _ => write!(f, "{}: {}", self.origin, self.text),
        }
    }
}
