//! The library of references as one immutable file, little-endian and searched where it lies: hashes behind an exact
//! multi-index, landmarks by their terms, and each reference with the policy of its owner. Its bytes come from a store and are
//! treated as hostile.

mod asset;
mod build;
mod layout;
mod pointer;
mod reference;
mod search;

pub use asset::{ReferenceAsset, RightsAction, RightsPolicy};
pub use build::IndexBuilder;
pub use layout::{Index, PICTURES_MAX};
pub use pointer::LibraryPointer;
pub use reference::Reference;
pub use search::{Near, PROBE_HITS_MAX, SURE_RADIUS, Sounding};
