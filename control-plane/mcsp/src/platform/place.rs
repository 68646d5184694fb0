//! The name of a process among those of the platform that stays over restarts: data folder and the lowest free place in it.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use anyhow::{Context, bail};

/// Processes of one data folder that run side by side: a node, and commands beside it.
const PLACES_MAX: u32 = 256;

/// A place in a data folder, held until it is dropped or the process ends.
pub(super) struct Place {
    /// Unique among those that run. Whoever starts after a crash gets the name of whoever died.
    pub(super) name: String,
    _lock: File,
}

/// Takes the lowest free place of a data folder.
///
/// # Errors
/// When the folder cannot be written to, or all places are taken.
pub(super) fn take(data: &Path) -> anyhow::Result<Place> {
    let folder = data.join("processes");
    let named = || format!("folder {}", folder.display());
    fs::create_dir_all(&folder).with_context(named)?;
    let id = id_of(&folder).with_context(named)?;
    for number in 0..PLACES_MAX {
        let lock =
            File::options().create(true).append(true).open(folder.join(number.to_string())).with_context(named)?;
        match lock.try_lock() {
            Ok(()) => return Ok(Place { name: format!("{id}-{number}"), _lock: lock }),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error).with_context(named),
        }
    }
    bail!("{}: {PLACES_MAX} processes run on it", data.display())
}

/// The folder's own word, drawn once: two folders of one machine share no names.
fn id_of(folder: &Path) -> anyhow::Result<String> {
    let path = folder.join("id");
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    let beside = folder.join(format!(".{}", hex::encode(random)));
    if !path.exists() {
        fs::write(&beside, hex::encode(random))?;
        let linked = fs::hard_link(&beside, &path);
        fs::remove_file(&beside)?;
        // Another process was first: its word holds.
        if let Err(error) = linked
            && error.kind() != std::io::ErrorKind::AlreadyExists
        {
            return Err(error.into());
        }
    }
    let id = fs::read_to_string(&path)?;
    anyhow::ensure!(
        id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{} holds no id",
        path.display()
    );
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_place_is_taken_again() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (take(folder.path()).unwrap(), take(folder.path()).unwrap());
        assert_ne!(first.name, second.name);
        let name = first.name.clone();
        drop(first);
        assert_eq!(take(folder.path()).unwrap().name, name);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(take(other.path()).unwrap().name, name);
    }
}
