//! The catalogue against its released samples and its schemas.
#![expect(clippy::unwrap_used, reason = "a panic in a test is its report")]

mod made;
mod released;
mod schemas;
