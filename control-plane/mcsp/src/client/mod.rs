//! The platform's client on the command line: `mcsp login`, `upload`, `content`, `reprocess`. It speaks the same REST
//! interface as everybody.

pub(crate) mod account;
mod api;
pub(crate) mod args;
pub(crate) mod content;
pub(crate) mod reprocess;
mod resume;
pub(crate) mod upload;
