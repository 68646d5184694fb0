//! The source's bytes: by a descriptor or by requests to the parent, always with a length that is known beforehand.

use std::fs::File;
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use mcsp_child::SourceAccess;
use mcsp_domain::limits;

use crate::error::MediaError;
use crate::parent::Parent;

/// The first read after a jump: headers are small.
const WINDOW_BYTES_MIN: u32 = 64 << 10;

/// Where bytes come from. Clones share the pipe or the descriptor.
#[derive(Clone)]
pub(crate) struct Source {
    access: SourceAccess,
    parent: Arc<Parent>,
}

impl Source {
    /// Returns the source of a job.
    pub(crate) fn new(access: SourceAccess, parent: Arc<Parent>) -> Self {
        Self { access, parent }
    }

    /// Returns the bytes of the source.
    pub(crate) fn len_bytes(&self) -> u64 {
        self.access.len_bytes()
    }

    /// Returns a reader at the start.
    pub(crate) fn reader(&self) -> SourceReader {
        SourceReader {
            source: self.clone(),
            position: 0,
            window: Vec::new(),
            window_start: 0,
            ahead_bytes: WINDOW_BYTES_MIN,
        }
    }
}

/// A place in the source with a read-ahead window of its own.
pub(crate) struct SourceReader {
    source: Source,
    position: u64,
    window: Vec<u8>,
    window_start: u64,
    ahead_bytes: u32,
}

impl SourceReader {
    /// Returns the bytes of the source.
    pub(crate) fn len_bytes(&self) -> u64 {
        self.source.len_bytes()
    }

    /// Returns the offset of the next byte.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Moves to an offset, which may lie past the end.
    pub(crate) fn seek(&mut self, offset_bytes: u64) {
        self.position = offset_bytes;
    }

    /// Reads up to `out.len()` bytes; 0 only at the end.
    pub(crate) fn read(&mut self, out: &mut [u8]) -> Result<usize, MediaError> {
        let left = self.len_bytes().saturating_sub(self.position);
        let wanted = out.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let Some(out) = out.get_mut(..wanted).filter(|out| !out.is_empty()) else { return Ok(0) };
        let count = match self.source.access {
            SourceAccess::Descriptor { .. } => self.read_descriptor(out)?,
            SourceAccess::Requests { .. } => self.read_window(out)?,
        };
        if count == 0 {
            let (position, len) = (self.position, self.len_bytes());
            return Err(MediaError::Read(format!("source ends at byte {position}, {len} bytes were promised")));
        }
        self.position += count as u64;
        Ok(count)
    }

    /// Fills `out` from `offset_bytes`; returns fewer bytes than asked for only at the end.
    pub(crate) fn read_at(&mut self, offset_bytes: u64, out: &mut [u8]) -> Result<usize, MediaError> {
        self.seek(offset_bytes);
        let mut filled = 0;
        while let Some(rest) = out.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.read(rest)? {
                0 => break,
                count => filled += count,
            }
        }
        Ok(filled)
    }

    fn read_descriptor(&self, out: &mut [u8]) -> Result<usize, MediaError> {
        // SAFETY: the descriptor is open for the life of the program, and `ManuallyDrop` never closes it.
        let file = ManuallyDrop::new(unsafe { File::from_raw_fd(SourceAccess::DESCRIPTOR) });
        let position = self.position;
        file.read_at(out, position)
            .map_err(|error| MediaError::Read(format!("source could not be read at byte {position}: {error}")))
    }

    fn read_window(&mut self, out: &mut [u8]) -> Result<usize, MediaError> {
        let window_end = self.window_start + self.window.len() as u64;
        if !(self.window_start..window_end).contains(&self.position) {
            let in_sequence = self.position == window_end && !self.window.is_empty();
            let doubled = self.ahead_bytes.saturating_mul(2).min(limits::SOURCE_READ_BYTES_MAX);
            self.ahead_bytes = if in_sequence { doubled } else { WINDOW_BYTES_MIN };
            let left = self.len_bytes() - self.position;
            let len_bytes = u32::try_from(left).unwrap_or(u32::MAX).min(self.ahead_bytes);
            self.window = self.source.parent.read_source(self.position, len_bytes)?;
            self.window_start = self.position;
        }
        let start = usize::try_from(self.position - self.window_start).unwrap_or(usize::MAX);
        let held = self.window.get(start..).unwrap_or_default();
        let count = held.len().min(out.len());
        out[..count].copy_from_slice(&held[..count]);
        Ok(count)
    }
}
