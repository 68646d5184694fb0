//! The one place that maps files into memory.

use std::fs::File;
use std::path::Path;

/// A read-only view of a file.
pub(crate) struct Mapped(memmap2::Mmap);

impl Mapped {
    /// Maps a file that this run wrote or was told to read.
    pub(crate) fn open(path: &Path) -> std::io::Result<Self> {
        // Opening a pipe would wait for its writer, so its kind is asked first.
        if !std::fs::metadata(path)?.is_file() {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let file = File::open(path)?;
        // SAFETY: the map is read-only, and objects are never changed in place: stores replace them by rename. A user who
        // truncates an input of `mcsp package` while it runs gets a SIGBUS, as with every packager that maps its input.
        #[expect(unsafe_code, reason = "mapping a file is unsafe by nature")]
        let map = unsafe { memmap2::Mmap::map(&file)? };
        Ok(Self(map))
    }

    /// Returns the file's bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}
