//! What can go wrong in a job, in the classes that a parent acts on.

use mcsp_child::{Failure, FailureKind, WireError};
use mcsp_domain::limits;

/// Why a job failed. Every text is a lowercase fragment that names the thing and the value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MediaError {
    /// The source is sound but of a kind that is not processed.
    #[error("{0}")]
    Unsupported(String),
    /// The source is damaged, truncated or not media.
    #[error("{0}")]
    Corrupt(String),
    /// The source or the output passes a limit.
    #[error("{0}")]
    Limit(String),
    /// The source's bytes could not be read.
    #[error("{0}")]
    Read(String),
    /// The engine failed for a reason of its own.
    #[error("{0}")]
    Internal(String),
    /// Another thread of the job stopped first, and its reason is the one to report.
    #[error("stopped because another line of the job failed")]
    Stopped,
    /// The parent is gone or does not speak the protocol.
    #[error("pipe to the parent failed: {0}")]
    Pipe(#[from] WireError),
}

impl MediaError {
    /// Returns what the parent is told.
    pub(crate) fn failure(&self) -> Failure {
        let kind = match self {
            Self::Unsupported(_) => FailureKind::Unsupported,
            Self::Corrupt(_) => FailureKind::Corrupt,
            Self::Limit(_) => FailureKind::Limit,
            Self::Read(_) => FailureKind::Read,
            Self::Internal(_) | Self::Stopped | Self::Pipe(_) => FailureKind::Internal,
        };
        Failure { kind, message: self.to_string().chars().take(limits::CHILD_TEXT_CHARS_MAX).collect() }
    }
}

/// Returns the outcome of several lines that ran side by side: the first that failed for a reason of its own.
pub(crate) fn first_failure(outcomes: impl IntoIterator<Item = Result<(), MediaError>>) -> Result<(), MediaError> {
    let mut stopped = Ok(());
    for outcome in outcomes {
        match outcome {
            Ok(()) => {}
            Err(MediaError::Stopped) => stopped = Err(MediaError::Stopped),
            Err(error) => return Err(error),
        }
    }
    stopped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_line_never_hides_the_reason() {
        let outcomes = [Ok(()), Err(MediaError::Stopped), Err(MediaError::Corrupt("box moov is missing".into()))];
        assert_eq!(first_failure(outcomes).unwrap_err().failure().message, "box moov is missing");
    }
}
