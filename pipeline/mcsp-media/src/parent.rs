//! The parent at the other end of the two pipes: messages out, read answers in. Shared by all threads of a job.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::os::fd::FromRawFd as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mcsp_child::{FromChild, ToChild, wire};
use mcsp_domain::limits;

use crate::error::MediaError;

/// Bytes gathered before a write: a small message is one system call, a large one passes by.
const WRITE_BUFFER_BYTES: usize = 64 << 10;

/// The parent's two pipes.
pub(crate) struct Parent {
    input: Mutex<File>,
    output: Mutex<Output>,
    output_bytes_max: u64,
}

struct Output {
    pipe: BufWriter<File>,
    written_bytes: u64,
}

impl Parent {
    /// Takes standard input and output, which nothing else in this program uses.
    pub(crate) fn on_standard_pipes() -> Self {
        // SAFETY: descriptors 0 and 1 are open, and nothing else in this program owns them.
        let (input, output) = unsafe { (File::from_raw_fd(0), File::from_raw_fd(1)) };
        let pipe = BufWriter::with_capacity(WRITE_BUFFER_BYTES, output);
        Self {
            input: Mutex::new(input),
            output: Mutex::new(Output { pipe, written_bytes: 0 }),
            output_bytes_max: u64::MAX,
        }
    }

    /// Bounds the bytes of all messages from now on.
    pub(crate) fn limit_output(&mut self, output_bytes_max: u64) {
        self.output_bytes_max = output_bytes_max;
    }

    /// Reads one message.
    pub(crate) fn receive(&self) -> Result<ToChild, MediaError> {
        Ok(wire::read_to_child(&mut *lock(&self.input))?)
    }

    /// Writes one message and sees it off.
    pub(crate) fn send(&self, message: &FromChild) -> Result<(), MediaError> {
        let (kind, payload) = message.encode();
        let mut output = lock(&self.output);
        output.written_bytes += (wire::HEADER_BYTES + payload.len()) as u64;
        if output.written_bytes > self.output_bytes_max && !matches!(message, FromChild::Failed(_)) {
            return Err(MediaError::Limit(format!("output passes {} bytes", self.output_bytes_max)));
        }
        wire::write(&mut output.pipe, kind, &payload)?;
        output.pipe.flush().map_err(mcsp_child::WireError::Io)?;
        Ok(())
    }

    /// Asks the parent for `len_bytes` bytes of the source at `offset_bytes` and waits for them.
    pub(crate) fn read_source(&self, offset_bytes: u64, len_bytes: u32) -> Result<Vec<u8>, MediaError> {
        assert!(len_bytes <= limits::SOURCE_READ_BYTES_MAX, "a source read of {len_bytes} bytes");
        // The lock is held from question to answer, so that answers reach the thread that asked.
        let mut input = lock(&self.input);
        self.send(&FromChild::Read { offset_bytes, len_bytes })?;
        match wire::read_to_child(&mut *input)? {
            ToChild::Bytes(bytes) if bytes.len() <= len_bytes as usize => Ok(bytes),
            ToChild::Bytes(bytes) => {
                Err(MediaError::Internal(format!("{} bytes came for a read of {len_bytes}", bytes.len())))
            }
            ToChild::ReadFailed => {
                Err(MediaError::Read(format!("source could not be read at byte {offset_bytes} ({len_bytes} bytes)")))
            }
            ToChild::Job(_) => Err(MediaError::Internal("a second job came instead of source bytes".into())),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
