//! Why a session ended, in the classes that a stage acts on.

use std::path::PathBuf;

use mcsp_child::{Failure, FailureKind, WireError};

/// Why a child did not start or did not finish its job.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The program could not be started.
    #[error("cannot start {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The child is less confined than was asked for.
    #[error("{0}")]
    Confinement(String),
    /// The child refused the job; its message is cut and printable.
    #[error("{}", .0.message)]
    Rejected(Failure),
    /// The source's bytes could not be read on this side.
    #[error("cannot read the source")]
    SourceRead(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The child was killed from outside: by a person or for the machine's memory.
    #[error("media process was killed by signal {signal}")]
    Killed {
        /// The signal.
        signal: i32,
    },
    /// The child passed its bound of memory.
    #[error("media process passed its memory bound of {memory_bytes} bytes")]
    OutOfMemory {
        /// The bound.
        memory_bytes: u64,
    },
    /// The child passed its bound of processor time.
    #[error("media process passed its bound of {cpu_seconds} s of processor time")]
    CpuLimit {
        /// The bound.
        cpu_seconds: u64,
    },
    /// The child made a system call that no media library makes.
    #[error("media process was killed for a forbidden system call")]
    ForbiddenCall,
    /// The child crashed.
    #[error("media process crashed by signal {signal}")]
    Crashed {
        /// The signal.
        signal: i32,
    },
    /// The child ended before the job was done.
    #[error("media process ended early with code {code}")]
    Exited {
        /// The exit code.
        code: i32,
    },
    /// The child sent bytes that are no message.
    #[error("media process sent a bad message")]
    Message(#[source] WireError),
    /// The child sent a message out of turn.
    #[error("media process sent {what} out of turn")]
    OutOfTurn {
        /// The message.
        what: &'static str,
    },
    /// The job took too long as a whole.
    #[error("media process did not finish within {wall_seconds} s")]
    TimedOut {
        /// The bound.
        wall_seconds: u64,
    },
    /// The child said nothing for too long.
    #[error("media process was silent for {stall_seconds} s")]
    Stalled {
        /// The bound.
        stall_seconds: u64,
    },
    /// The child sent more than its job may.
    #[error("media process passed its output bound of {output_bytes} bytes")]
    OutputLimit {
        /// The bound.
        output_bytes: u64,
    },
    /// The child asked for the source's bytes more often than any demuxer does.
    #[error("media process passed its bound of {reads_max} reads")]
    ReadLimit {
        /// The bound.
        reads_max: u64,
    },
}

/// Whether the same job may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The cause lies outside the source: time may help.
    Again,
    /// The source may be the cause: once more, then the job is rejected.
    Once,
    /// The answer will stay the same.
    Never,
}

impl SandboxError {
    /// Returns whether the job may be tried again.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Killed { .. } | Self::OutOfMemory { .. } | Self::SourceRead(_) => Retry::Again,
            Self::Rejected(failure) => match failure.kind {
                FailureKind::Read => Retry::Again,
                FailureKind::Internal => Retry::Once,
                FailureKind::Confinement | FailureKind::Unsupported | FailureKind::Corrupt | FailureKind::Limit => {
                    Retry::Never
                }
            },
            Self::Start { .. } | Self::Confinement(_) => Retry::Never,
            Self::CpuLimit { .. }
            | Self::ForbiddenCall
            | Self::Crashed { .. }
            | Self::Exited { .. }
            | Self::Message(_)
            | Self::OutOfTurn { .. }
            | Self::TimedOut { .. }
            | Self::Stalled { .. }
            | Self::OutputLimit { .. }
            | Self::ReadLimit { .. } => Retry::Once,
        }
    }

    /// Returns whether time may help, whatever was tried before.
    pub fn is_retryable(&self) -> bool {
        self.retry() == Retry::Again
    }
}
