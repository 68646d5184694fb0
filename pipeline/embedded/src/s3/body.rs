//! Bodies, streamed: into an unfinished file with their hashes, and out of an object's file. Neither is ever whole in memory.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use mcsp_domain::ObjectKey;
use s3s::dto::StreamingBlob;
use s3s::{S3Error, S3ErrorCode, s3_error};

use super::checks::{Checks, Hashes};
use super::errors::{blocking, store_error};
use crate::file_store::about::Checksum;
use crate::file_store::unfinished::Unfinished;
use crate::file_store::{Inner, io_error};

/// Bytes gathered before they go to the file: what one call holds in memory.
const GATHERED_BYTES: usize = 256 << 10;
/// Bytes read from a file at a time.
const READ_BYTES: usize = 256 << 10;

/// How a body is taken.
pub(super) struct Intake<'a> {
    pub(super) key: &'a ObjectKey,
    pub(super) checks: Checks,
    pub(super) len_bytes_max: u64,
    /// How long the client may be silent.
    pub(super) stall: Duration,
}

/// A body that came whole and is what it was said to be.
pub(super) struct Taken {
    pub(super) unfinished: Unfinished,
    pub(super) md5: [u8; 16],
    pub(super) checksum: Option<Checksum>,
}

/// Takes a body in. Where it breaks off or is not what it was said to be, nothing is left.
pub(super) async fn take(
    inner: &Arc<Inner>,
    body: Option<StreamingBlob>,
    intake: Intake<'_>,
) -> Result<Taken, S3Error> {
    let failed = io_error("receive", intake.key);
    let failed_write = io_error("receive", intake.key);
    let store = Arc::clone(inner);
    let unfinished = blocking(move || store.create_unfinished().map_err(|error| store_error(failed(error)))).await?;
    let mut sink = Sink { unfinished, hashes: intake.checks.hashes() };
    let failed: Arc<dyn Fn(std::io::Error) -> S3Error + Send + Sync> =
        Arc::new(move |error| store_error(failed_write(error)));
    let (mut len_bytes, mut gathered, mut gathered_bytes) = (0_u64, Vec::new(), 0);
    let mut body = body.unwrap_or_else(|| StreamingBlob::from(s3s::Body::empty()));
    loop {
        let piece = match tokio::time::timeout(intake.stall, body.next()).await {
            Ok(Some(piece)) => piece.map_err(|error| broken_off(&error.to_string()))?,
            Ok(None) => break,
            Err(_) => return Err(s3_error!(RequestTimeout, "nothing came for {:?}", intake.stall)),
        };
        len_bytes = len_bytes.saturating_add(piece.len() as u64);
        if len_bytes > intake.len_bytes_max {
            return Err(s3_error!(EntityTooLarge, "the body is longer than {} bytes", intake.len_bytes_max));
        }
        gathered_bytes += piece.len();
        gathered.push(piece);
        if gathered_bytes >= GATHERED_BYTES {
            sink = sink.write(std::mem::take(&mut gathered), Arc::clone(&failed)).await?;
            gathered_bytes = 0;
        }
    }
    let Sink { unfinished, hashes } = sink.write(gathered, failed).await?;
    let (md5, checksum) = intake.checks.verify(hashes)?;
    Ok(Taken { unfinished, md5, checksum })
}

struct Sink {
    unfinished: Unfinished,
    hashes: Hashes,
}

impl Sink {
    async fn write(
        mut self,
        pieces: Vec<Bytes>,
        failed: Arc<dyn Fn(std::io::Error) -> S3Error + Send + Sync>,
    ) -> Result<Self, S3Error> {
        blocking(move || {
            for piece in pieces {
                self.hashes.update(&piece);
                self.unfinished.file.write_all(&piece).map_err(|error| failed(error))?;
            }
            Ok(self)
        })
        .await
    }
}

/// Names why a body ended early. The causes are types that `s3s` keeps to itself, so their text must tell.
fn broken_off(cause: &str) -> S3Error {
    if cause.contains("Sha256Mismatch") {
        let code = S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into());
        let mut error = S3Error::with_message(code, "the bytes are not those of x-amz-content-sha256");
        error.set_status_code(StatusCode::BAD_REQUEST);
        return error;
    }
    if cause.contains("SignatureMismatch") {
        return s3_error!(SignatureDoesNotMatch, "a piece of the body is not the one that was signed");
    }
    s3_error!(IncompleteBody, "the body broke off: {cause}")
}

/// Streams a range of a file.
pub(super) fn give(file: File, start: u64, len_bytes: u64) -> StreamingBlob {
    StreamingBlob::wrap(pieces(Arc::new(file), start, len_bytes))
}

fn pieces(
    file: Arc<File>,
    start: u64,
    len_bytes: u64,
) -> impl Stream<Item = std::io::Result<Bytes>> + Send + Sync + 'static {
    stream::unfold((start, len_bytes), move |(at, left_bytes)| {
        let file = Arc::clone(&file);
        async move {
            let wanted_bytes = usize::try_from(left_bytes).unwrap_or(usize::MAX).min(READ_BYTES);
            if wanted_bytes == 0 {
                return None;
            }
            let read = tokio::task::spawn_blocking(move || {
                let mut bytes = BytesMut::zeroed(wanted_bytes);
                file.read_exact_at(&mut bytes, at).map(|()| bytes.freeze())
            });
            let read = read.await.unwrap_or_else(|join| Err(std::io::Error::other(join)));
            let read_bytes = wanted_bytes as u64;
            // After an error the stream ends, and with it the connection: the client sees a body cut short.
            let left_bytes = if read.is_ok() { left_bytes - read_bytes } else { 0 };
            Some((read, (at + read_bytes, left_bytes)))
        }
    })
}
