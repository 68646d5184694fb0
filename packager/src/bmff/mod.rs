//! ISO base media files (ISO/IEC 14496-12): one muxer for all that we write, one bounded reader for all that we take in.
//!
//! Read in this order: `write` (boxes), `mux` (initialisation segments and GOPs), `fragment` (moof and its neighbours),
//! `entry` (sample entries); then `read` (foreign bytes into columnar sample tables).

mod entry;
mod error;
mod four_cc;
pub(crate) mod fragment;
mod mux;
pub mod read;
mod write;

pub use error::BmffError;
pub use four_cc::FourCc;
pub use mux::{FrameIn, TRACK_ID, TrackProtection, fragment, init_segment};
pub use read::{Movie, SampleTable, Track};
pub use write::BoxWriter;
