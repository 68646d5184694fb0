//! The API over HTTP: a desk in a folder of its own, served on a free port.
#![expect(clippy::unwrap_used, reason = "a panic in a test is its report, in helpers too")]

mod content;
mod desk;
mod document;
mod events;
mod gateway;
mod matrix;
mod playback;
mod repeated;
mod sign_in;
mod support;
mod uploads;
