//! The ports: a trait stands here where two production engines exist (ARCHITECTURE.md section 5), and nowhere else.

pub(crate) mod direct_upload;
pub(crate) mod event_log;
pub(crate) mod object_store;
pub(crate) mod saga_engine;
pub(crate) mod ttl_store;
