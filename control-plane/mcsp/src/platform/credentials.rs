//! What the node makes once and keeps to its owner, mode 0600: the keys of the embedded S3 endpoint,
//! `{"access_key": …, "secret_key": …}`, and the administrator's password.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, anyhow, ensure};
use mcsp_distributed::Login;
use mcsp_embedded::S3Credentials;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A pair of keys is two lines; more is none.
const FILE_BYTES_MAX: u64 = 4096;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    access_key: String,
    secret_key: Zeroizing<String>,
}

/// Reads the file, or makes it with new keys. Two processes that start at once end with the same pair.
///
/// # Errors
/// When the file is readable by others, no pair, or cannot be made.
pub(crate) fn read_or_make(path: &Path) -> anyhow::Result<S3Credentials> {
    let name = || format!("credentials {}", path.display());
    if !path.exists() {
        make(path).with_context(name)?;
    }
    let text = read_own(path).with_context(name)?;
    // A parser's message may repeat what stands in the file.
    let pair: Pair =
        serde_json::from_str(&text).map_err(|_| anyhow!("{} holds no access_key and secret_key", name()))?;
    Ok(S3Credentials { access_key: pair.access_key, secret_key: pair.secret_key.to_string() })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LoginFile {
    user: String,
    password: Zeroizing<String>,
}

/// Reads the file of a login to an engine, `{"user": …, "password": …}`.
///
/// # Errors
/// When the file is readable by others, or no login.
pub(crate) fn login(path: &Path) -> anyhow::Result<Login> {
    let name = || format!("login {}", path.display());
    let text = read_own(path).with_context(name)?;
    let file: LoginFile = serde_json::from_str(&text).map_err(|_| anyhow!("{} holds no user and password", name()))?;
    Ok(Login { user: file.user, password: file.password })
}

/// Reads a password of one line, or makes one.
///
/// # Errors
/// When the file is readable by others, or cannot be made.
pub(crate) fn password(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let name = || format!("password {}", path.display());
    if !path.exists() {
        let mut random = Zeroizing::new([0; 16]);
        getrandom::fill(random.as_mut()).map_err(|error| anyhow!("no randomness: {error}"))?;
        write_first(path, Zeroizing::new(hex::encode(random.as_ref()) + "\n").as_bytes()).with_context(name)?;
    }
    let text = read_own(path).with_context(name)?;
    Ok(Zeroizing::new(text.trim_end().to_owned()))
}

/// Reads a small file that its owner alone may read.
fn read_own(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let meta = fs::metadata(path)?;
    ensure!(meta.is_file() && meta.len() <= FILE_BYTES_MAX, "no small file");
    ensure!(meta.mode() & 0o077 == 0, "may be read by others: mode {:o}, 600 wanted", meta.mode() & 0o777);
    Ok(Zeroizing::new(fs::read_to_string(path)?))
}

fn make(path: &Path) -> anyhow::Result<()> {
    let mut random = Zeroizing::new([0; 40]);
    getrandom::fill(random.as_mut()).map_err(|error| anyhow!("no randomness: {error}"))?;
    let pair = Pair { access_key: hex::encode(&random[..10]), secret_key: Zeroizing::new(hex::encode(&random[10..])) };
    write_first(path, &Zeroizing::new(serde_json::to_vec_pretty(&pair)?))
}

/// Writes a file, mode 0600, unless another process was first; whoever comes second reads that one.
fn write_first(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().context("a file lies in a folder")?;
    fs::create_dir_all(folder)?;
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(|error| anyhow!("no randomness: {error}"))?;
    let beside = folder.join(format!(".{}-{}", std::process::id(), hex::encode(random)));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    let linked = fs::hard_link(&beside, path);
    fs::remove_file(&beside)?;
    match linked {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_pair_is_made_once_and_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets/objects.json");
        let made = read_or_make(&path).unwrap();
        let read = read_or_make(&path).unwrap();
        assert_eq!((made.access_key, made.secret_key), (read.access_key, read.secret_key));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = format!("{:#}", read_or_make(&path).err().unwrap());
        assert!(error.ends_with("may be read by others: mode 644, 600 wanted"), "{error}");
    }
}
