//! The file of signing keys, `viewer-keys.json`: mode 0600, made where it is missing, rotated by putting a newer key first.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use mcsp_token::ViewerKeys;
use zeroize::Zeroizing;

use super::{IdentityError, random};
use crate::secret_file::{self, SecretFile};

/// Seconds after which a start puts a newer key first: 30 days.
pub const ROTATE_AFTER_S: i64 = 30 * 24 * 3600;

/// Seconds that a key which no longer signs is kept. Its last tokens end after minutes; a week lets every cache of the
/// public set run out.
const KEEP_S: i64 = ROTATE_AFTER_S + 7 * 24 * 3600;
/// Some keys of some 250 bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Reads the signing keys, or makes the file, with its folder, where there is none. A newest key older than
/// `ROTATE_AFTER_S` gets a successor.
///
/// # Errors
/// When the file is open to others, holds something else, or cannot be made.
pub fn read_or_make_keys(path: &Path, now_s: i64) -> Result<ViewerKeys, IdentityError> {
    let keys = match read(path) {
        Ok(keys) => keys,
        Err(IdentityError::KeyFile { source: Some(source), .. }) if source.kind() == ErrorKind::NotFound => {
            let fresh = ViewerKeys::new(Zeroizing::new(random()?), now_s);
            match secret_file::write_new(path, fresh.to_secret_json().as_bytes()) {
                // Another process made it meanwhile: its keys are the platform's.
                Err(source) if source.kind() == ErrorKind::AlreadyExists => {}
                written => written.map_err(|source| fault(path, "could not be made", Some(source)))?,
            }
            read(path)?
        }
        Err(error) => return Err(error),
    };
    if now_s.saturating_sub(keys.newest_created_s()) < ROTATE_AFTER_S {
        return Ok(keys);
    }
    rotate(path, now_s, ROTATE_AFTER_S)
}

/// Puts a newer key first, now. Processes that run take it up when they start again, or by `AuthService::use_keys`.
///
/// # Errors
/// As `read_or_make_keys`.
pub fn rotate_keys(path: &Path, now_s: i64) -> Result<ViewerKeys, IdentityError> {
    rotate(path, now_s, 0)
}

/// Rotates keys of at least that age. Of processes that start at once one does, and the others take its keys.
fn rotate(path: &Path, now_s: i64, age_s: i64) -> Result<ViewerKeys, IdentityError> {
    let at = |source| fault(path, "could not be held for a rotation", Some(source));
    let held = fs::File::open(path).map_err(at)?;
    held.lock().map_err(at)?;
    let keys = read(path)?;
    if now_s.saturating_sub(keys.newest_created_s()) < age_s {
        return Ok(keys);
    }
    let keys = keys.rotated(Zeroizing::new(random()?), now_s, now_s.saturating_sub(KEEP_S));
    replace(path, &keys).map_err(|source| fault(path, "could not be replaced", Some(source)))?;
    read(path)
}

fn read(path: &Path) -> Result<ViewerKeys, IdentityError> {
    let file = secret_file::read(path, FILE_BYTES_MAX);
    let text = match file.map_err(|source| fault(path, "could not be read", Some(source)))? {
        SecretFile::Text(text) => text,
        SecretFile::Open(mode) => {
            let what = format!("has mode {mode:03o}, others may read it: set mode 600, and think the keys known");
            return Err(fault(path, &what, None));
        }
        SecretFile::Oversized(_) => return Err(fault(path, "is no key file", None)),
    };
    ViewerKeys::from_secret_json(&text).map_err(|error| fault(path, &error.to_string(), None))
}

/// Replaces the file: whoever reads it finds the old keys or the new ones, whole.
fn replace(path: &Path, keys: &ViewerKeys) -> io::Result<()> {
    let mut salt = [0; 8];
    getrandom::fill(&mut salt).map_err(io::Error::other)?;
    let next = path.with_extension(format!("next-{}", hex::encode(salt)));
    secret_file::write_new(&next, keys.to_secret_json().as_bytes())?;
    fs::rename(&next, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder)?.sync_all()
}

fn fault(path: &Path, what: &str, source: Option<io::Error>) -> IdentityError {
    IdentityError::KeyFile { path: path.display().to_string(), what: what.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_file_is_made_once_private_and_rotated_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets/viewer-keys.json");
        let made: Vec<ViewerKeys> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8).map(|_| scope.spawn(|| read_or_make_keys(&path, 1000).unwrap())).collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        let kids = |keys: &ViewerKeys| keys.kids().map(str::to_owned).collect::<Vec<_>>();
        assert!(made.iter().all(|keys| kids(keys) == kids(&made[0])));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);

        let month: Vec<ViewerKeys> = std::thread::scope(|scope| {
            let (path, now_s) = (&path, 1000 + ROTATE_AFTER_S);
            let all: Vec<_> = (0..8).map(|_| scope.spawn(move || read_or_make_keys(path, now_s).unwrap())).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(month.iter().all(|keys| kids(keys) == kids(&month[0])), "one of those that start at once rotates");
        let month = &month[0];
        assert_eq!((month.kids().count(), kids(month)[1].clone()), (2, kids(&made[0])[0].clone()));
        assert_eq!(kids(&read_or_make_keys(&path, 1001 + ROTATE_AFTER_S).unwrap()), kids(month));
        let later = rotate_keys(&path, 1000 + 2 * ROTATE_AFTER_S).unwrap();
        assert_eq!(kids(&later)[1..], kids(month)[..1], "the first key signed long ago");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing unfinished stays");
    }

    #[test]
    fn a_file_open_to_others_or_of_another_kind_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("viewer-keys.json");
        fs::write(&path, "{\"keys\":[]}").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = read_or_make_keys(&path, 0).unwrap_err().to_string();
        assert!(error.ends_with("has mode 640, others may read it: set mode 600, and think the keys known"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let error = read_or_make_keys(&path, 0).unwrap_err().to_string();
        assert!(error.ends_with("0 keys, 1 to 13 allowed"), "{error}");
    }
}
