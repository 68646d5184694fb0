//! What every `EventLog` engine promises.

/// Holds an engine to its port.
pub fn event_log() {}
