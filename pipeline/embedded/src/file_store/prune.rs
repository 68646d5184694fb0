//! Folders that no object is in any more. They cost a block each, and for a store of years they add up.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

/// The age from which an empty folder is removed: whoever is about to write to it has long done so.
pub(super) const FOLDER_AGE_MIN: Duration = Duration::from_secs(24 * 3600);

/// Removes the folders under `root` that have been empty for `older_than`, those that become empty thereby another time.
/// Returns how many. The store's own folders stay. Whoever writes to a folder in that moment has to make it again: its write
/// fails, and the next try finds what is missing.
pub(super) fn prune(root: &Path, older_than: Duration) -> std::io::Result<usize> {
    let mut removed = 0;
    let mut waiting = vec![root.to_owned()];
    while let Some(folder) = waiting.pop() {
        let mut is_empty = true;
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            is_empty = false;
            let is_own = folder == root && entry.file_name().as_encoded_bytes().starts_with(b".");
            if !is_own && entry.file_type()?.is_dir() {
                waiting.push(entry.path());
            }
        }
        let age = fs::metadata(&folder)?.modified()?.elapsed().unwrap_or_default();
        if is_empty && folder != root && age >= older_than {
            match fs::remove_dir(&folder) {
                Ok(()) => removed += 1,
                // Somebody was faster, or put something in.
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_empty_folders_go_and_one_floor_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let made = |name: &str| fs::create_dir_all(root.path().join(name)).unwrap();
        made("media/gone/1");
        made("media/kept/1");
        made(".unfinished");
        fs::write(root.path().join("media/kept/1/object"), b"x").unwrap();
        assert_eq!(prune(root.path(), Duration::from_secs(3600)).unwrap(), 0);
        assert_eq!(prune(root.path(), Duration::ZERO).unwrap(), 1);
        assert_eq!(prune(root.path(), Duration::ZERO).unwrap(), 1);
        assert_eq!(prune(root.path(), Duration::ZERO).unwrap(), 0);
        assert!(root.path().join("media/kept/1/object").is_file() && root.path().join(".unfinished").is_dir());
    }
}
