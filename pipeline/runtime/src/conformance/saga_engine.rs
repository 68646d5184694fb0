//! What every `SagaEngine` engine promises.

/// Holds an engine to its port.
pub fn saga_engine() {}
