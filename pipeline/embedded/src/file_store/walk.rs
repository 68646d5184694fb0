//! Lists keys in the order of their bytes, a page at a time, reading only the folders that the page touches.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use mcsp_domain::ObjectKey;

/// Sorts behind every character that a key may hold.
const BEHIND_ALL: char = '\u{10FFFF}';

/// A walk over the keys that begin with a text and come after another.
pub(crate) struct Walk {
    root: PathBuf,
    prefix: String,
    after: String,
    stack: Vec<Level>,
}

struct Level {
    /// Empty, or ending in a slash.
    folder: String,
    /// Sorted; those of folders end in a slash, which gives the order that whole keys have.
    names: std::vec::IntoIter<String>,
}

impl Walk {
    /// Begins a walk. The prefix need not end with a key part.
    pub(crate) fn new(root: &Path, prefix: &str, after: &str) -> std::io::Result<Self> {
        let mut walk =
            Self { root: root.to_owned(), prefix: prefix.to_owned(), after: after.to_owned(), stack: Vec::new() };
        // Straight to the deepest folder that the prefix names.
        let folder = prefix.rfind('/').map_or("", |slash| &prefix[..=slash]);
        let named = folder.is_empty() || ObjectKey::parse(&folder[..folder.len() - 1]).is_ok();
        if named {
            walk.enter(folder.to_owned())?;
        }
        Ok(walk)
    }

    /// Returns the text that stands behind all keys that begin with `prefix`.
    pub(crate) fn behind(prefix: &str) -> String {
        format!("{prefix}{BEHIND_ALL}")
    }

    /// Leaves out what does not come after `after`.
    pub(crate) fn skip_to(&mut self, after: String) {
        self.after = after;
    }

    /// Returns the next key.
    pub(crate) fn next_key(&mut self) -> std::io::Result<Option<ObjectKey>> {
        while let Some(level) = self.stack.last_mut() {
            let Some(name) = level.names.next() else {
                self.stack.pop();
                continue;
            };
            let path = format!("{}{name}", level.folder);
            if path.ends_with('/') {
                let touched = path.starts_with(&self.prefix) || self.prefix.starts_with(&path);
                if touched && Self::behind(&path) > self.after {
                    self.enter(path)?;
                }
            } else if path.starts_with(&self.prefix)
                && path > self.after
                && let Ok(key) = ObjectKey::parse(&path)
            {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    fn enter(&mut self, folder: String) -> std::io::Result<()> {
        let entries = match fs::read_dir(self.root.join(&folder)) {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            let Ok(mut name) = entry.file_name().into_string() else { continue };
            if name.starts_with('.') {
                continue;
            }
            if entry.file_type()?.is_dir() {
                name.push('/');
            }
            names.push(name);
        }
        names.sort_unstable();
        self.stack.push(Level { folder, names: names.into_iter() });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(root: &Path, prefix: &str, after: &str) -> String {
        let mut walk = Walk::new(root, prefix, after).unwrap();
        let mut keys = Vec::new();
        while let Some(key) = walk.next_key().unwrap() {
            keys.push(key.to_string());
        }
        keys.join(" ")
    }

    #[test]
    fn walks_in_the_order_of_whole_keys() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a/b/c", "a/b0", "a-b", "a0", "a/z", ".hidden/x", "b/c"] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"x").unwrap();
        }
        let root = folder.path();
        assert_eq!(keys(root, "", ""), "a-b a/b/c a/b0 a/z a0 b/c");
        assert_eq!(keys(root, "a/b", ""), "a/b/c a/b0");
        assert_eq!(keys(root, "a/", "a/b/c"), "a/b0 a/z");
        assert_eq!(keys(root, "", &Walk::behind("a/")), "a0 b/c");
        assert_eq!(keys(root, "../", ""), "");
        assert_eq!(keys(root, "a/b/c/", ""), "");
    }
}
