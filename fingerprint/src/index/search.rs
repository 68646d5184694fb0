//! Looking things up: hashes near a hash, landmarks of a term. A hash of 256 bits has 16 slots of 16; of two within 31 bits
//! of each other at least one pair of slots differs in at most one bit, so looking for every slot's value and its 16
//! neighbours finds all of them (M. Norouzi et al., "Fast Exact Search in Hamming Space With Multi-Index Hashing").

use super::layout::{Index, SLOT_VALUES, Slot, Word};
use crate::audio::TERM_BITS;
use crate::video::PdqHash;

/// Bits within which every hash is found; further ones are found by chance.
pub const SURE_RADIUS: u32 = 31;
/// Hashes that one look-up gives, the nearest: what more pictures share tells nothing.
pub const PROBE_HITS_MAX: usize = 2048;
/// Landmarks that one look-up gives: a term that more share tells nothing, and gives none.
const SOUNDINGS_MAX: usize = 1024;

/// A picture of the library near the one that was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Near {
    /// The picture, counted from 0 over all assets.
    pub picture: u32,
    /// Bits that differ.
    pub distance: u32,
}

/// A landmark of the library with the term that was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sounding {
    /// The asset, counted from 0.
    pub asset: u32,
    /// Its frame.
    pub frame: u32,
}

impl Index<'_> {
    /// Finds the pictures within `distance_max` bits of a hash, nearest first: all those within `SURE_RADIUS`, and of those
    /// beyond it the ones that share a slot. `found` is emptied first, so that it can be used again.
    pub fn near(&self, hash: &PdqHash, distance_max: u32, found: &mut Vec<Near>) {
        found.clear();
        if self.slots.is_empty() {
            for (picture, bytes) in (0..).zip(self.hashes) {
                let distance = hash.distance(&PdqHash::from_bytes(bytes));
                if distance <= distance_max {
                    note(found, Near { picture, distance });
                }
            }
        } else {
            self.probe(hash, distance_max, found);
        }
        keep_nearest(found);
    }

    /// Returns the landmarks of a term; none where too many share it.
    pub fn soundings(&self, term: u32) -> impl Iterator<Item = Sounding> {
        let range = self.bucket(term);
        let terms = self.terms.get(range.clone()).unwrap_or_default();
        let first = range.start + terms.partition_point(|word| u32::from_le_bytes(*word) < term);
        let end = range.start + terms.partition_point(|word| u32::from_le_bytes(*word) <= term);
        let range = if end.saturating_sub(first) > SOUNDINGS_MAX { 0..0 } else { first..end };
        let assets = self.term_assets.get(range.clone()).unwrap_or_default();
        let frames = self.term_frames.get(range).unwrap_or_default();
        assets
            .iter()
            .zip(frames)
            .map(|(asset, frame)| Sounding { asset: u32::from_le_bytes(*asset), frame: u32::from_le_bytes(*frame) })
    }

    /// Returns the hash and the time of a picture.
    pub(crate) fn picture(&self, picture: usize) -> Option<(PdqHash, u32)> {
        let hash = self.hashes.get(picture).map(PdqHash::from_bytes)?;
        let time_ms = self.times_ms.get(picture).copied().map(u32::from_le_bytes)?;
        Some((hash, time_ms))
    }

    fn probe(&self, hash: &PdqHash, distance_max: u32, found: &mut Vec<Near>) {
        for (slot, value) in self.slots.iter().zip(hash.slots()) {
            let neighbours = (0..16).map(|bit| value ^ (1 << bit));
            for value in std::iter::once(value).chain(neighbours) {
                for word in slot.pictures_with(value) {
                    let picture = u32::from_le_bytes(*word);
                    let Some(bytes) = usize::try_from(picture).ok().and_then(|at| self.hashes.get(at)) else {
                        continue;
                    };
                    let distance = hash.distance(&PdqHash::from_bytes(bytes));
                    if distance <= distance_max {
                        note(found, Near { picture, distance });
                    }
                }
            }
        }
    }

    /// Returns where the landmarks of a term's bucket lie.
    fn bucket(&self, term: u32) -> std::ops::Range<usize> {
        let bucket = usize::try_from(term >> (TERM_BITS - self.bucket_bits)).unwrap_or(usize::MAX);
        range(self.bucket_starts, bucket, self.terms.len())
    }
}

/// Adds a picture, and makes room before the list grows past its bound.
fn note(found: &mut Vec<Near>, near: Near) {
    if found.len() >= 8 * PROBE_HITS_MAX {
        keep_nearest(found);
    }
    found.push(near);
}

fn keep_nearest(found: &mut Vec<Near>) {
    found.sort_unstable_by_key(|near| (near.distance, near.picture));
    found.dedup();
    found.truncate(PROBE_HITS_MAX);
}

impl<'a> Slot<'a> {
    fn pictures_with(self, value: u16) -> &'a [Word] {
        assert!(self.starts.len() > SLOT_VALUES, "an index is opened with a start for every value and one end");
        self.pictures.get(range(self.starts, value.into(), self.pictures.len())).unwrap_or_default()
    }
}

/// Returns the entries from one start to the next; none where the starts are not those of `count` entries.
fn range(starts: &[Word], at: usize, count: usize) -> std::ops::Range<usize> {
    let start = |at: usize| starts.get(at).and_then(|word| usize::try_from(u32::from_le_bytes(*word)).ok());
    match (start(at), at.checked_add(1).and_then(start)) {
        (Some(first), Some(end)) if first <= end && end <= count => first..end,
        _ => 0..0,
    }
}
