//! What stages answer with. The loop that drives them joins this file when the event log does.

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
}

impl From<crate::StoreError> for StageError {
    fn from(error: crate::StoreError) -> Self {
        Self::retry("object store failed", error)
    }
}
