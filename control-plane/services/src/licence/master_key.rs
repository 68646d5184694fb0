//! Master keys: 32 secret bytes that seal content keys, in a file of their own, 64 hexadecimal digits, mode 0600.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use mcsp_domain::Digest;
use zeroize::Zeroizing;

use crate::secret_file::{self, SecretFile};

/// Bytes of a master key: AES-256.
const KEY_BYTES: usize = 32;
/// A file of 64 digits and a line end; more is not one.
const FILE_BYTES_MAX: u64 = 128;

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The file could not be used.
    #[error("could not {action} master key {}", path.display())]
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
    #[error("master key {} has mode {mode:03o}, others may read it: set mode 600, and think the key known", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The text is no key; it is not repeated.
    #[error("{from} is not 64 hexadecimal digits ({len_chars} characters given)")]
    Malformed {
        /// Where the text stood.
        from: String,
        /// How long it was.
        len_chars: usize,
    },
    /// The operating system gave no randomness.
    #[error("no randomness for a master key: {0}")]
    Randomness(getrandom::Error),
}

/// A master key: wiped when dropped, without `Debug` or `Serialize`.
#[derive(Clone)]
pub struct MasterKey {
    id: String,
    key: Zeroizing<[u8; KEY_BYTES]>,
}

impl MasterKey {
    /// Wraps 32 secret bytes.
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        let digest = Digest::of(&[b"mcsp master key id", &bytes]);
        Self { id: hex::encode(&digest.as_bytes()[..8]), key: Zeroizing::new(bytes) }
    }

    /// Reads 64 hexadecimal digits; `from` says in errors where they stood.
    ///
    /// # Errors
    /// When the text is anything else; the error does not repeat it.
    pub fn parse(text: &str, from: &str) -> Result<Self, MasterKeyError> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        hex::decode_to_slice(text, key.as_mut_slice())
            .map_err(|_| MasterKeyError::Malformed { from: from.to_owned(), len_chars: text.chars().count() })?;
        Ok(Self::from_bytes(*key))
    }

    /// Reads a key file that its owner alone may read.
    ///
    /// # Errors
    /// When it is missing, open to others, or holds no key.
    pub fn read(path: &Path) -> Result<Self, MasterKeyError> {
        let at = |action| move |source| MasterKeyError::File { path: path.to_owned(), action, source };
        let from = format!("master key {}", path.display());
        let text = match secret_file::read(path, FILE_BYTES_MAX).map_err(at("read"))? {
            SecretFile::Text(text) => text,
            SecretFile::Open(mode) => return Err(MasterKeyError::Open { path: path.to_owned(), mode }),
            SecretFile::Oversized(len_bytes) => {
                let len_chars = usize::try_from(len_bytes).unwrap_or(usize::MAX);
                return Err(MasterKeyError::Malformed { from, len_chars });
            }
        };
        Self::parse(text.trim_end(), &from)
    }

    /// Reads the key file, or makes it, with its folder, where there is none. Two processes that make it at once agree on
    /// one key.
    ///
    /// # Errors
    /// As `read`, or when it cannot be made.
    pub fn read_or_make(path: &Path) -> Result<Self, MasterKeyError> {
        match Self::read(path) {
            Err(MasterKeyError::File { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            other => return other,
        }
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        getrandom::fill(key.as_mut_slice()).map_err(MasterKeyError::Randomness)?;
        let text = Zeroizing::new(hex::encode(key.as_slice()) + "\n");
        let made = secret_file::write_new(path, text.as_bytes());
        match made {
            Err(source) if source.kind() == ErrorKind::AlreadyExists => {}
            made => made.map_err(|source| MasterKeyError::File { path: path.to_owned(), action: "make", source })?,
        }
        Self::read(path)
    }

    /// Returns the public id: the first 8 bytes of a digest of the key, as hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.key
    }
}

/// The master keys that a service knows: the newest seals, all open.
#[derive(Clone)]
pub struct MasterKeys {
    newest: MasterKey,
    older: Vec<MasterKey>,
}

impl MasterKeys {
    /// Takes the key that seals from now on, and those that sealed before.
    pub fn new(newest: MasterKey, older: Vec<MasterKey>) -> Self {
        Self { newest, older }
    }

    pub(crate) fn newest(&self) -> &MasterKey {
        &self.newest
    }

    pub(crate) fn find(&self, id: &str) -> Option<&MasterKey> {
        std::iter::once(&self.newest).chain(&self.older).find(|key| key.id == id)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_file_is_made_once_private_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets").join("master.key");
        let keys: Vec<MasterKey> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8).map(|_| scope.spawn(|| MasterKey::read_or_make(&path).unwrap())).collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| key.expose() == keys[0].expose() && key.id() == keys[0].id()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing unfinished stays");
    }

    #[test]
    fn a_file_that_is_no_private_key_is_refused_without_repeating_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let refusal = |text: &str, mode: u32| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = MasterKey::read_or_make(&path).err().unwrap().to_string();
            error.replace(&path.display().to_string(), "FILE")
        };
        assert_eq!(refusal("5ec2e7", 0o600), "master key FILE is not 64 hexadecimal digits (6 characters given)");
        assert_eq!(refusal("", 0o600), "master key FILE is not 64 hexadecimal digits (0 characters given)");
        assert_eq!(
            refusal(&"ab".repeat(32), 0o644),
            "master key FILE has mode 644, others may read it: set mode 600, and think the key known"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "ab".repeat(32), "a refused file stays as it is");
    }

    #[test]
    fn ids_tell_keys_apart() {
        let [one, two] = [1, 2].map(|byte| MasterKey::from_bytes([byte; 32]));
        assert_ne!(one.id(), two.id());
        let keys = MasterKeys::new(two.clone(), vec![one.clone()]);
        assert_eq!(keys.find(one.id()).unwrap().expose(), one.expose());
        assert_eq!(keys.newest().id(), two.id());
        assert!(keys.find("other").is_none());
    }
}
