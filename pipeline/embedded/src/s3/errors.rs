//! What a store's refusal is called in S3.

use std::io::ErrorKind;

use axum::http::StatusCode;
use mcsp_runtime::{PartFault, StoreError};
use s3s::{S3Error, S3ErrorCode};

/// Names a store's refusal as S3 does. Failures of the machine are logged here, where they are answered.
pub(super) fn store_error(error: StoreError) -> S3Error {
    let text = error.to_string();
    let code = match &error {
        StoreError::NotFound { .. } => S3ErrorCode::NoSuchKey,
        StoreError::Replaced { .. } => S3ErrorCode::PreconditionFailed,
        StoreError::NoUpload { .. } => S3ErrorCode::NoSuchUpload,
        StoreError::BadPart { fault, .. } => match fault {
            PartFault::Missing => S3ErrorCode::InvalidPart,
            PartFault::Order => S3ErrorCode::InvalidPartOrder,
            PartFault::Small => S3ErrorCode::EntityTooSmall,
            PartFault::Limit => S3ErrorCode::InvalidArgument,
        },
        StoreError::Busy { .. } => S3ErrorCode::SlowDown,
        StoreError::Unsupported { .. } => S3ErrorCode::NotImplemented,
        StoreError::Io { source, .. } => return machine_error(&text, source),
    };
    S3Error::with_message(code, text)
}

fn machine_error(text: &str, source: &std::io::Error) -> S3Error {
    tracing::error!(error = %source, "{text}");
    let named = format!("{text}: {source}");
    match source.kind() {
        ErrorKind::StorageFull => {
            let mut error = S3Error::with_message(S3ErrorCode::Custom("InsufficientStorage".into()), named);
            error.set_status_code(StatusCode::INSUFFICIENT_STORAGE);
            error
        }
        ErrorKind::QuotaExceeded => S3Error::with_message(S3ErrorCode::SlowDown, named),
        ErrorKind::IsADirectory
        | ErrorKind::DirectoryNotEmpty
        | ErrorKind::NotADirectory
        | ErrorKind::AlreadyExists => S3Error::with_message(S3ErrorCode::InvalidArgument, named),
        _ => S3Error::with_message(S3ErrorCode::InternalError, text.to_owned()),
    }
}

/// Runs file work where blocking is allowed.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, S3Error> + Send + 'static,
) -> Result<T, S3Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|join| {
        tracing::error!(error = %join, "file work of the S3 endpoint broke off");
        Err(S3Error::new(S3ErrorCode::InternalError))
    })
}
