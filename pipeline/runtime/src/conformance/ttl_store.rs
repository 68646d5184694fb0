//! What every `TtlStore` engine promises.

/// Holds an engine to its port.
pub fn ttl_store() {}
