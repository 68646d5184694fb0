//! The names and kinds of renditions: what came out for one variant.

use serde::{Deserialize, Serialize};

/// The folder name of a rendition: lowercase letters, digits and dashes, 1 to 64 of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RenditionName(String);

crate::schema::text_schema!(RenditionName, "RenditionName", "rendition-name");

impl RenditionName {
    /// Checks and wraps a name. Returns nothing for text that is no rendition name.
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let fits = (1..=64).contains(&text.len()) && text.chars().all(allowed) && !text.starts_with('-');
        fits.then(|| Self(text.to_owned()))
    }

    /// Returns `base`, or `base-2`, `base-3` … where that is taken. Characters that no name has become dashes.
    pub fn unique(base: &str, taken: impl Fn(&Self) -> bool) -> Self {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let clean: String = base.chars().map(|c| if allowed(c) { c } else { '-' }).take(48).collect();
        let clean = clean.trim_start_matches('-');
        let clean = if clean.is_empty() { "rendition" } else { clean };
        let mut name = Self(clean.to_owned());
        let mut number = 1_u64;
        while taken(&name) {
            number += 1;
            name = Self(format!("{clean}-{number}"));
        }
        name
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for RenditionName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<RenditionName> for String {
    fn from(name: RenditionName) -> Self {
        name.0
    }
}

impl TryFrom<String> for RenditionName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("rendition name {text:?} is not 1 to 64 of a-z, 0-9 and -"))
    }
}

/// What a rendition carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RenditionKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unique_names_are_always_names() {
        let first = RenditionName::unique("video-720p", |_| false);
        assert_eq!(first.as_str(), "video-720p");
        assert_eq!(RenditionName::unique("video-720p", |name| name == &first).as_str(), "video-720p-2");
        for base in ["", "---", "Ä B/../c", &"x".repeat(200)] {
            let name = RenditionName::unique(base, |_| false);
            assert_eq!(RenditionName::parse(name.as_str()), Some(name.clone()), "{base:?} became {name}");
        }
    }
}
