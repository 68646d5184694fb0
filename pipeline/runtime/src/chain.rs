//! Errors as one line, for logs and for people.

/// Returns an error and its causes in one line: what, then why, down to the first cause.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
