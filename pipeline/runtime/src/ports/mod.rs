//! The ports: a trait stands here where two production engines exist (ARCHITECTURE.md section 5), and nowhere else.

pub(crate) mod object_store;
