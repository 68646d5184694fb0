//! What stages fail with.

/// Why a stage gave up on its input: the place that knows chooses whether time may help.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// Time may help: a killed child, a store that did not answer.
    #[error("{0}")]
    Retry(String, #[source] Option<Box<dyn std::error::Error + Send + Sync>>),
    /// It will not: a damaged source, a broken rule.
    #[error("{0}")]
    Reject(String, #[source] Option<Box<dyn std::error::Error + Send + Sync>>),
}

impl StageError {
    /// Returns a failure that time may heal, with its cause.
    pub fn retry(what: impl Into<String>, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Retry(what.into(), Some(cause.into()))
    }

    /// Returns a final failure, with its cause.
    pub fn reject(what: impl Into<String>, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Reject(what.into(), Some(cause.into()))
    }

    /// Returns a final failure that needs no cause.
    pub fn refuse(what: impl Into<String>) -> Self {
        Self::Reject(what.into(), None)
    }

    /// Returns whether only an operator can help, by giving the disk room or letting it be written to: the record waits, however
    /// often it is tried.
    pub fn waits_for_the_disk(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let io = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
            if matches!(io, Some(StorageFull | QuotaExceeded | ReadOnlyFilesystem)) {
                return true;
            }
            cause = error.source();
        }
        false
    }

    /// Returns the whole story in one line: what, then why, down to the first cause.
    pub fn chain(&self) -> String {
        crate::chain(self)
    }
}

impl From<crate::StoreError> for StageError {
    fn from(error: crate::StoreError) -> Self {
        match error {
            error @ (crate::StoreError::Unsupported { .. } | crate::StoreError::Replaced { .. }) => {
                Self::reject("object store refused", error)
            }
            error => Self::retry("object store failed", error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_ends_with_the_first_cause() {
        let inner = std::io::Error::new(std::io::ErrorKind::StorageFull, "no space left");
        let outer = StageError::retry("could not write", StageError::retry("object store failed", inner));
        assert_eq!(outer.chain(), "could not write: object store failed: no space left");
        assert!(outer.waits_for_the_disk());
        assert!(!StageError::retry("could not write", "no such key").waits_for_the_disk());
    }
}
