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
    _lock: Option<File>,
}

/// What to do with an interrupted run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Earlier {
    /// Leave it alone and refuse to begin.
    Refuse,
    /// Go on with it; where there is none, begin.
    Resume,
    /// Begin anew, unless it made chunks that are worth keeping.
    Replace,
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
    /// Takes the folders of a run that makes `out`; `earlier` says what to do with an interrupted run that stands there.
    ///
    /// # Errors
    /// When DIR exists and is not what `Earlier::Resume` would have made, when another run holds DIR.work, or when an
    /// interrupted run stands there that may not be touched.
    pub(crate) fn take(out: &Path, earlier: Earlier) -> anyhow::Result<(Self, Found)> {
        let out = absolute(out)?;
        let work = beside(&out, "work");
        let (out_exists, work_exists) = (out.symlink_metadata().is_ok(), work.symlink_metadata().is_ok());
        let is_whole = ["manifest.mpd", "report.json"].iter().all(|name| out.join(name).is_file());
        if out_exists && !(is_whole && earlier == Earlier::Resume) {
            bail!("{} exists already: remove it or name another folder", out.display());
        }
        let may_go_on = match earlier {
            Earlier::Refuse => false,
            Earlier::Resume => true,
            Earlier::Replace => !work.join("plan.json").exists(),
        };
        if work_exists && !may_go_on {
            bail!("{} holds an unfinished run: go on with mcsp process --resume, or remove it", work.display());
        }
        let parent = out.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(parent).with_context(|| format!("could not make {}", parent.display()))?;
        if !work_exists && !out_exists {
            let made = fs::DirBuilder::new().mode(0o700).create(&work);
            made.with_context(|| format!("could not make {}", work.display()))?;
        }
        let lock = if work_exists || !out_exists { Some(lock(&work.join("lock"))?) } else { None };
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
        let refusal = |earlier| RunFolders::take(&out, earlier).err().unwrap().to_string();
        let (first, found) = RunFolders::take(&out, Earlier::Resume).unwrap();
        assert_eq!(found, Found::Nothing, "with nothing to resume a run begins");
        assert!(refusal(Earlier::Refuse).contains("film.work holds an unfinished run"));
        assert!(refusal(Earlier::Resume).contains("another run holds"));
        drop(first);
        drop(RunFolders::take(&out, Earlier::Replace).unwrap());
        fs::write(folder.path().join("film.work/plan.json"), "{}").unwrap();
        assert!(refusal(Earlier::Replace).contains("film.work holds an unfinished run"));
        let (again, found) = RunFolders::take(&out, Earlier::Resume).unwrap();
        assert_eq!(found, Found::Unfinished);
        let staging = again.fresh_staging().unwrap();
        fs::write(staging.join("manifest.mpd"), "x").unwrap();
        again.publish(&staging).unwrap();
        drop(again);
        assert!(refusal(Earlier::Resume).contains("film exists already"), "a folder that is not whole is not ours");
        fs::write(out.join("report.json"), "{}").unwrap();
        let (done, found) = RunFolders::take(&out, Earlier::Resume).unwrap();
        assert_eq!(found, Found::Finished);
        done.remove_work().unwrap();
        drop(done);
        assert_eq!(RunFolders::take(&out, Earlier::Resume).unwrap().1, Found::Finished);
        assert!(!folder.path().join("film.work").exists(), "a finished run makes no DIR.work");
        assert!(refusal(Earlier::Refuse).contains("film exists already"));
        assert!(keys_beside(&out).ends_with("film.keys.json"));
    }
}
