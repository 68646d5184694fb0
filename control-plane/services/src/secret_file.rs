//! Files of secrets: they appear whole, on the disk, readable by their owner alone.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use zeroize::Zeroizing;

/// What a file of secrets turned out to be.
pub(crate) enum SecretFile {
    /// Its text.
    Text(Zeroizing<String>),
    /// Others may read it; its permissions.
    Open(u32),
    /// It is no file, or longer than any of its kind; its length.
    Oversized(u64),
}

/// Reads a file of at most `bytes_max` that its owner alone may read.
pub(crate) fn read(path: &Path, bytes_max: u64) -> io::Result<SecretFile> {
    let meta = fs::metadata(path)?;
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Ok(SecretFile::Open(mode));
    }
    if !meta.is_file() || meta.len() > bytes_max {
        return Ok(SecretFile::Oversized(meta.len()));
    }
    fs::read_to_string(path).map(|text| SecretFile::Text(Zeroizing::new(text)))
}

/// Writes a file, with its folder; fails as `AlreadyExists` where there is one.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut salt = [0; 8];
    getrandom::fill(&mut salt).map_err(io::Error::other)?;
    let unfinished = path.with_extension(format!("unfinished-{}", hex::encode(salt)));
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)
        .and_then(|mut file| io::Write::write_all(&mut file, bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::hard_link(&unfinished, path));
    let _ = fs::remove_file(&unfinished);
    written.and_then(|()| fs::File::open(folder)?.sync_all())
}
