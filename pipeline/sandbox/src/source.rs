//! Sources: where a child's bytes come from. In: an open file, or an object of the store. Out: a read-only descriptor for
//! the child, or ranges that answer its requests.

use std::fs::File;
use std::io::{Error, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use mcsp_child::SourceAccess;
use mcsp_domain::ObjectKey;
use mcsp_runtime::{Etag, ObjectStore};

use crate::SandboxError;

/// A source and the way in which its bytes reach the child.
#[derive(Clone)]
pub enum Source {
    /// A local file that the child reads itself, by a descriptor that is open for reading alone.
    File {
        /// The file.
        file: Arc<File>,
        /// Its bytes.
        len_bytes: u64,
    },
    /// A local file whose bytes the child asks for.
    FileByRequests {
        /// The file.
        file: Arc<File>,
        /// Its bytes.
        len_bytes: u64,
    },
    /// An object whose bytes the child asks for.
    Object {
        /// The store.
        store: Arc<dyn ObjectStore>,
        /// The object.
        key: ObjectKey,
        /// Its bytes.
        len_bytes: u64,
        /// The entity tag of the bytes that were checked; reads of others fail.
        etag: Option<Etag>,
    },
    /// Stretches of several objects, read as one source: the chunk objects of a clear rendition are.
    Joined {
        /// The store.
        store: Arc<dyn ObjectStore>,
        /// The stretches, in order.
        pieces: Arc<[Piece]>,
        /// Bytes of all of them.
        len_bytes: u64,
    },
}

/// A stretch of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The object.
    pub key: ObjectKey,
    /// The first byte.
    pub start_bytes: u64,
    /// The byte after the last.
    pub end_bytes: u64,
}

impl Source {
    /// Takes a file that the child will read itself.
    ///
    /// # Errors
    /// When it is not a regular file.
    pub fn file(file: Arc<File>) -> Result<Self, SandboxError> {
        let len_bytes = regular_len_bytes(&file)?;
        Ok(Self::File { file, len_bytes })
    }

    /// Takes a file whose bytes the child asks for: what an object store gives, without the store.
    ///
    /// # Errors
    /// When it is not a regular file.
    pub fn file_by_requests(file: Arc<File>) -> Result<Self, SandboxError> {
        let len_bytes = regular_len_bytes(&file)?;
        Ok(Self::FileByRequests { file, len_bytes })
    }

    /// Takes stretches of objects that follow each other. They are ours: none changes once it is stored.
    pub fn joined(store: Arc<dyn ObjectStore>, pieces: Vec<Piece>) -> Self {
        let lengths = pieces.iter().map(|piece| piece.end_bytes.saturating_sub(piece.start_bytes));
        let len_bytes = lengths.fold(0, u64::saturating_add);
        Self::Joined { store, pieces: pieces.into(), len_bytes }
    }

    /// Returns the bytes of the source.
    pub fn len_bytes(&self) -> u64 {
        match self {
            Self::File { len_bytes, .. }
            | Self::FileByRequests { len_bytes, .. }
            | Self::Object { len_bytes, .. }
            | Self::Joined { len_bytes, .. } => *len_bytes,
        }
    }

    /// Returns how the child is told to read.
    pub(crate) fn access(&self) -> SourceAccess {
        let len_bytes = self.len_bytes();
        match self {
            Self::File { .. } => SourceAccess::Descriptor { len_bytes },
            Self::FileByRequests { .. } | Self::Object { .. } | Self::Joined { .. } => {
                SourceAccess::Requests { len_bytes }
            }
        }
    }

    /// Opens the descriptor that the child gets, where it gets one: read-only whatever the file was opened for, and with
    /// a position of its own, so that children that read the same file do not disturb each other.
    pub(crate) fn open_for_child(&self) -> Result<Option<File>, SandboxError> {
        match self {
            Self::File { file, .. } => {
                let opened = File::open(format!("/proc/self/fd/{}", file.as_raw_fd()));
                opened.map(Some).map_err(|error| SandboxError::SourceRead(error.into()))
            }
            Self::FileByRequests { .. } | Self::Object { .. } | Self::Joined { .. } => Ok(None),
        }
    }

    /// Reads a range, cut at the end of the source: how a source is hashed.
    ///
    /// # Errors
    /// When the file or the store cannot be read.
    pub async fn read(&self, offset_bytes: u64, len_bytes: u32) -> Result<Vec<u8>, SandboxError> {
        let end_bytes = offset_bytes.saturating_add(len_bytes.into()).min(self.len_bytes());
        if offset_bytes >= end_bytes {
            return Ok(Vec::new());
        }
        let bytes = match self {
            Self::File { file, .. } | Self::FileByRequests { file, .. } => {
                let file = Arc::clone(file);
                let read = tokio::task::spawn_blocking(move || read_range(&file, offset_bytes, end_bytes));
                read.await.map_err(|error| SandboxError::SourceRead(error.into()))??
            }
            Self::Object { store, key, etag, .. } => {
                let read = store.get_range(key, offset_bytes..end_bytes, etag.as_ref()).await;
                read.map_err(|error| SandboxError::SourceRead(error.into()))?.to_vec()
            }
            Self::Joined { store, pieces, .. } => read_joined(store.as_ref(), pieces, offset_bytes, end_bytes).await?,
        };
        let wanted_bytes = usize::try_from(end_bytes - offset_bytes).unwrap_or(usize::MAX);
        if bytes.len() != wanted_bytes {
            let cause = format!("bytes {offset_bytes} to {end_bytes} came as {} bytes", bytes.len());
            return Err(SandboxError::SourceRead(cause.into()));
        }
        Ok(bytes)
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self {
            Self::File { .. } => "File",
            Self::FileByRequests { .. } => "FileByRequests",
            Self::Object { .. } => "Object",
            Self::Joined { .. } => "Joined",
        };
        f.debug_struct(kind).field("len_bytes", &self.len_bytes()).finish_non_exhaustive()
    }
}

fn read_range(file: &File, offset_bytes: u64, end_bytes: u64) -> Result<Vec<u8>, SandboxError> {
    let len_bytes = usize::try_from(end_bytes - offset_bytes).unwrap_or(usize::MAX);
    let mut bytes = vec![0; len_bytes];
    match file.read_exact_at(&mut bytes, offset_bytes) {
        Ok(()) => Ok(bytes),
        Err(error) => Err(SandboxError::SourceRead(error.into())),
    }
}

/// Reads a range that may span several pieces.
async fn read_joined(
    store: &dyn ObjectStore,
    pieces: &[Piece],
    offset_bytes: u64,
    end_bytes: u64,
) -> Result<Vec<u8>, SandboxError> {
    let (mut bytes, mut base_bytes) = (Vec::new(), 0);
    for piece in pieces {
        let len_bytes = piece.end_bytes.saturating_sub(piece.start_bytes);
        let from = offset_bytes.max(base_bytes) - base_bytes;
        let to = end_bytes.saturating_sub(base_bytes).min(len_bytes);
        if from < to {
            let range = piece.start_bytes + from..piece.start_bytes + to;
            let read = store.get_range(&piece.key, range, None).await;
            bytes.extend_from_slice(&read.map_err(|error| SandboxError::SourceRead(error.into()))?);
        }
        base_bytes += len_bytes;
        if base_bytes >= end_bytes {
            break;
        }
    }
    Ok(bytes)
}

fn regular_len_bytes(file: &File) -> Result<u64, SandboxError> {
    let facts = file.metadata().map_err(|error| SandboxError::SourceRead(error.into()))?;
    if !facts.is_file() {
        let cause = Error::new(ErrorKind::InvalidInput, "the source is not a regular file");
        return Err(SandboxError::SourceRead(cause.into()));
    }
    Ok(facts.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_of(bytes: &[u8]) -> (tempfile::TempDir, Arc<File>) {
        let folder = mcsp_fixtures::temp_dir();
        let path = folder.path().join("source");
        std::fs::write(&path, bytes).unwrap();
        let file = File::options().read(true).write(true).open(path).unwrap();
        (folder, Arc::new(file))
    }

    #[tokio::test]
    async fn ranges_are_cut_at_the_end() {
        let (_folder, file) = file_of(b"0123456789");
        let source = Source::file_by_requests(file).unwrap();
        assert_eq!(source.read(2, 3).await.unwrap(), b"234");
        assert_eq!(source.read(8, 100).await.unwrap(), b"89");
        assert_eq!(source.read(10, 1).await.unwrap(), b"");
        assert_eq!(source.read(u64::MAX, u32::MAX).await.unwrap(), b"");
    }

    #[tokio::test]
    async fn a_source_that_shrank_is_an_error() {
        let (_folder, file) = file_of(b"0123456789");
        let source = Source::file_by_requests(Arc::clone(&file)).unwrap();
        file.set_len(4).unwrap();
        assert!(matches!(source.read(2, 8).await, Err(SandboxError::SourceRead(_))));
    }

    #[test]
    fn the_child_gets_a_descriptor_that_cannot_write() {
        let (_folder, file) = file_of(b"0123456789");
        let given = Source::file(Arc::clone(&file)).unwrap().open_for_child().unwrap().unwrap();
        assert!(file.write_at(b"x", 0).is_ok());
        assert!(given.write_at(b"x", 0).is_err());
    }

    #[test]
    fn a_folder_is_no_source() {
        let folder = Arc::new(File::open("/").unwrap());
        assert!(matches!(Source::file(folder), Err(SandboxError::SourceRead(_))));
    }
}
