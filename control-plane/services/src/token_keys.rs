//! The files of HMAC key sets, one an audience: `<kid> <64 hexadecimal digits>` a line, the newest first, mode 0600. To
//! rotate a set, a line is put first and every reader started again; the old line goes once its tokens have expired.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use mcsp_token::{HmacKey, HmacKeys, TokenError};
use zeroize::Zeroizing;

use crate::secret_file::{self, SecretFile};

/// Eight lines of an id and a key.
const FILE_BYTES_MAX: u64 = 2048;

/// Why there is no key set.
#[derive(Debug, thiserror::Error)]
pub enum TokenKeysError {
    /// The file could not be used.
    #[error("could not {action} token keys {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Others may read the file.
    #[error("token keys {} have mode {mode:03o}, others may read them: set mode 600, and think the keys known", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file holds something else.
    #[error("token keys {} cannot be read", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong; never a key.
        #[source]
        source: TokenError,
    },
    /// The operating system gave no randomness.
    #[error("no randomness for a token key: {0}")]
    Randomness(getrandom::Error),
}

/// Reads a key set, or makes one of one key, with its folder, where there is none. Two processes that make it at once agree.
///
/// # Errors
/// When the file is open to others, holds something else, or cannot be made.
pub fn read_or_make_token_keys(path: &Path) -> Result<HmacKeys, TokenKeysError> {
    match read(path) {
        Err(TokenKeysError::File { source, .. }) if source.kind() == ErrorKind::NotFound => {}
        other => return other,
    }
    let (mut id, mut secret) = ([0; 4], Zeroizing::new([0; 32]));
    getrandom::fill(&mut id)
        .and_then(|()| getrandom::fill(secret.as_mut_slice()))
        .map_err(TokenKeysError::Randomness)?;
    let malformed = |source| TokenKeysError::Malformed { path: path.to_owned(), source };
    let key = HmacKey::new(&hex::encode(id), *secret).map_err(malformed)?;
    let keys = HmacKeys::new(key, Vec::new()).map_err(malformed)?;
    match secret_file::write_new(path, keys.to_text().as_bytes()) {
        Err(source) if source.kind() != ErrorKind::AlreadyExists => {
            Err(TokenKeysError::File { path: path.to_owned(), action: "make", source })
        }
        // Another process may have made it meanwhile: its keys are the platform's.
        _ => read(path),
    }
}

fn read(path: &Path) -> Result<HmacKeys, TokenKeysError> {
    let read = secret_file::read(path, FILE_BYTES_MAX);
    match read.map_err(|source| TokenKeysError::File { path: path.to_owned(), action: "read", source })? {
        SecretFile::Text(text) => {
            HmacKeys::parse(&text).map_err(|source| TokenKeysError::Malformed { path: path.to_owned(), source })
        }
        SecretFile::Open(mode) => Err(TokenKeysError::Open { path: path.to_owned(), mode }),
        SecretFile::Oversized(len_bytes) => {
            let source = TokenError::Keys { what: format!("{len_bytes} bytes, or no file") };
            Err(TokenKeysError::Malformed { path: path.to_owned(), source })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_set_is_made_once_and_is_its_owners_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets/edge.keys");
        let texts: Vec<_> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8).map(|_| scope.spawn(|| read_or_make_token_keys(&path).unwrap())).collect();
            makers.into_iter().map(|maker| maker.join().unwrap().to_text()).collect()
        });
        assert!(texts.iter().all(|text| **text == *texts[0]));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no half-written file is left");

        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(read_or_make_token_keys(&path), Err(TokenKeysError::Open { mode: 0o640, .. })));
        let other = folder.path().join("other");
        secret_file::write_new(&other, b"k1 5e5e\n").unwrap();
        let error = mcsp_runtime::chain(&read_or_make_token_keys(&other).err().unwrap());
        assert!(error.contains("line 1") && !error.contains("5e5e"), "{error}");
    }
}
