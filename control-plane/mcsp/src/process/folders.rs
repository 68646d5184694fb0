//! Where a run keeps its things: DIR appears whole at the end, `DIR.work` holds plan and clear chunks (mode 0700).
//! Both `process` and `package` build their output under `DIR.work/out` and rename it into place.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// The folders of one run, locked against a second run.
pub(crate) struct RunFolders {
    out: PathBuf,
    work: PathBuf,
    /// Locked while this run lives; the kernel lets go of it however the process ends.
    _lock: File,
}

/// What stands where a run is to begin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing: a fresh run.
    Nothing,
    /// A run that was interrupted.
    Unfinished,
    /// A run that ended but for its tidying.
    Finished,
}

impl RunFolders {
    /// Takes the folders of a run that makes `out`.
    ///
    /// # Errors
    /// When DIR exists, when another run holds DIR.work, or when an interrupted run stands there and `resume` is not set.
    pub(crate) fn take(out: &Path, resume: bool) -> anyhow::Result<(Self, Found)> {
        let out = absolute(out)?;
        let work = beside(&out, "work");
        let (out_exists, work_exists) = (out.symlink_metadata().is_ok(), work.symlink_metadata().is_ok());
        if out_exists && !(resume && work_exists) {
            bail!("{} exists already: remove it or name another folder", out.display());
        }
        if work_exists && !resume {
            bail!("{} holds an unfinished run: go on with --resume, or remove it", work.display());
        }
        if resume && !work_exists {
            bail!("nothing to resume: {} does not exist", work.display());
        }
        let parent = out.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(parent).with_context(|| format!("could not make {}", parent.display()))?;
        if !work_exists {
            let made = fs::DirBuilder::new().mode(0o700).create(&work);
            made.with_context(|| format!("could not make {}", work.display()))?;
        }
        let lock = lock(&work.join("lock"))?;
        let found = match (out_exists, work_exists) {
            (true, _) => Found::Finished,
            (false, true) => Found::Unfinished,
            (false, false) => Found::Nothing,
        };
        Ok((Self { out, work, _lock: lock }, found))
    }

    /// Returns DIR.
    pub(crate) fn out(&self) -> &Path {
        &self.out
    }

    /// Returns DIR.work.
    pub(crate) fn work(&self) -> &Path {
        &self.work
    }

    /// Returns DIR.keys.json.
    pub(crate) fn keys(&self) -> PathBuf {
        keys_beside(&self.out)
    }

    /// Returns the empty folder in which DIR is built.
    pub(crate) fn fresh_staging(&self) -> anyhow::Result<PathBuf> {
        let staging = self.work.join("out");
        remove_tree(&staging)?;
        fs::create_dir(&staging).with_context(|| format!("could not make {}", staging.display()))?;
        Ok(staging)
    }

    /// Makes everything under the staging folder durable and turns it into DIR, whole and at once.
    pub(crate) fn publish(&self, staging: &Path) -> anyhow::Result<()> {
        sync_file_system(staging)?;
        fs::rename(staging, &self.out).with_context(|| format!("could not make {}", self.out.display()))?;
        let parent = self.out.parent().unwrap_or(Path::new("/"));
        File::open(parent)?.sync_all().with_context(|| format!("could not sync {}", parent.display()))
    }

    /// Removes DIR.work.
    pub(crate) fn remove_work(&self) -> anyhow::Result<()> {
        remove_tree(&self.work)
    }
}

/// Returns the key file's place for an output folder.
pub(crate) fn keys_beside(out: &Path) -> PathBuf {
    beside(out, "keys.json")
}

/// Returns the absolute form of a path without asking the file system, and without a trailing slash.
fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    let absolute = std::path::absolute(path).with_context(|| format!("{} is no path", path.display()))?;
    let clean: PathBuf = absolute.components().collect();
    if clean.file_name().is_none() {
        bail!("{} names no folder to make", path.display());
    }
    Ok(clean)
}

fn beside(out: &Path, extension: &str) -> PathBuf {
    let clean: PathBuf = out.components().collect();
    let mut name = clean.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(extension);
    clean.with_file_name(name)
}

fn remove_tree(path: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("could not remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn lock(path: &Path) -> anyhow::Result<File> {
    let file = File::options().write(true).create(true).truncate(false).open(path);
    let file = file.with_context(|| format!("could not open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => bail!("another run holds {}", path.display()),
        Err(fs::TryLockError::Error(error)) => Err(error).with_context(|| format!("could not lock {}", path.display())),
    }
}

/// Syncs the file system that holds `path`: one call for a thousand segments.
fn sync_file_system(path: &Path) -> anyhow::Result<()> {
    let folder = File::open(path).with_context(|| format!("could not open {}", path.display()))?;
    rustix::fs::syncfs(&folder).with_context(|| format!("could not sync {}", path.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_and_an_unfinished_one_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("film/");
        let refusal = |resume| RunFolders::take(&out, resume).err().unwrap().to_string();
        assert!(refusal(true).starts_with("nothing to resume: "));
        let (first, found) = RunFolders::take(&out, false).unwrap();
        assert_eq!(found, Found::Nothing);
        assert!(refusal(false).contains("film.work holds an unfinished run"));
        assert!(refusal(true).contains("another run holds"));
        drop(first);
        let (again, found) = RunFolders::take(&out, true).unwrap();
        assert_eq!(found, Found::Unfinished);
        let staging = again.fresh_staging().unwrap();
        fs::write(staging.join("manifest.mpd"), "x").unwrap();
        again.publish(&staging).unwrap();
        drop(again);
        let (done, found) = RunFolders::take(&out, true).unwrap();
        assert_eq!(found, Found::Finished);
        done.remove_work().unwrap();
        drop(done);
        assert!(refusal(false).contains("film exists already"));
        assert!(keys_beside(&out).ends_with("film.keys.json"));
    }
}
