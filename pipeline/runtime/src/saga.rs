//! The saga loop.
