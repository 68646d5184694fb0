//! Builds an index from references. The same references give the same bytes, in whatever order they come.

use std::collections::BTreeMap;

use mcsp_domain::{Digest, ReferenceId};

use super::asset::ReferenceAsset;
use super::layout::{ASSETS_MAX, LANDMARKS_MAX, MAGIC, PICTURES_MAX, SLOT_COUNT, SLOT_VALUES, VERSION};
use crate::audio::TERM_BITS;
use crate::bytes::stored_count;
use crate::matching::QUALITY_MIN;
use crate::video::PdqHash;
use crate::{Fingerprint, FingerprintError, Reference};

/// Pictures from which slots pay: below, comparing all is as fast, and slots take 4 MiB.
const SLOTTED_PICTURES: usize = 4096;
/// Landmarks of one bucket, about.
const LANDMARKS_PER_BUCKET: usize = 4;

/// Collects references.
#[derive(Default)]
pub struct IndexBuilder {
    entries: BTreeMap<ReferenceId, Entry>,
    picture_count: usize,
    landmark_count: usize,
    slotted_from: Option<usize>,
}

struct Entry {
    text: Vec<u8>,
    duration_ms: u64,
    pictures: Vec<(u32, PdqHash)>,
    landmarks: Vec<(u32, u32)>,
}

struct Landmark {
    term: u32,
    asset: u32,
    frame: u32,
}

impl IndexBuilder {
    /// Starts with no reference.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes slots from `pictures` pictures on, where it is not to decide itself: for tests of both ways.
    #[must_use]
    pub fn slotted_from(mut self, pictures: usize) -> Self {
        self.slotted_from = Some(pictures);
        self
    }

    /// Adds a reference. Pictures that show little are left out.
    ///
    /// # Errors
    /// When it is there already, its names are too long, or the index is full.
    pub fn add(&mut self, asset: &ReferenceAsset, fingerprint: &Fingerprint) -> Result<(), FingerprintError> {
        if self.entries.contains_key(&asset.id) {
            return Err(FingerprintError::Twice { reference: asset.id });
        }
        let telling = fingerprint.video.iter().filter(|mark| mark.quality >= QUALITY_MIN);
        let pictures: Vec<_> = telling.map(|mark| (mark.time_ms, mark.hashes[0])).collect();
        let landmarks: Vec<_> = fingerprint.audio.iter().map(|mark| (mark.term, mark.frame)).collect();
        FingerprintError::bound("assets", self.entries.len() + 1, ASSETS_MAX)?;
        FingerprintError::bound("pictures", self.picture_count + pictures.len(), PICTURES_MAX)?;
        FingerprintError::bound("landmarks", self.landmark_count + landmarks.len(), LANDMARKS_MAX)?;
        let entry = Entry { text: asset.to_json()?, duration_ms: asset.duration_ms, pictures, landmarks };
        self.picture_count += entry.pictures.len();
        self.landmark_count += entry.landmarks.len();
        self.entries.insert(asset.id, entry);
        Ok(())
    }

    /// Adds a stored reference.
    ///
    /// # Errors
    /// As `add`.
    pub fn add_reference(&mut self, reference: &Reference) -> Result<(), FingerprintError> {
        self.add(&reference.asset, &reference.fingerprint)
    }

    /// Returns the index's bytes.
    pub fn build(self) -> Vec<u8> {
        let slotted = self.picture_count >= self.slotted_from.unwrap_or(SLOTTED_PICTURES).max(1);
        let bucket_bits = (self.landmark_count / LANDMARKS_PER_BUCKET).max(1).ilog2().min(TERM_BITS);
        let text_bytes: usize = self.entries.values().map(|entry| entry.text.len()).sum();
        let mut header = MAGIC.to_vec();
        let counts = [self.entries.len(), self.picture_count, self.landmark_count, usize::from(slotted)];
        push_words(&mut header, [VERSION]);
        push_words(&mut header, counts.map(stored_count));
        push_words(&mut header, [bucket_bits]);
        header.extend_from_slice(&(text_bytes as u64).to_le_bytes());

        let body = self.body(slotted, bucket_bits);
        let digest = Digest::of(&[&header, &body]);
        let mut out = Vec::with_capacity(header.len() + 32 + body.len());
        out.extend_from_slice(&header);
        out.extend_from_slice(digest.as_bytes());
        out.extend_from_slice(&body);
        out
    }

    fn body(&self, slotted: bool, bucket_bits: u32) -> Vec<u8> {
        let mut body = Vec::new();
        let (mut text_start, mut first_picture) = (0, 0);
        for entry in self.entries.values() {
            body.extend_from_slice(&(text_start as u64).to_le_bytes());
            push_words(&mut body, [stored_count(entry.text.len()), stored_count(first_picture)]);
            body.extend_from_slice(&entry.duration_ms.to_le_bytes());
            text_start += entry.text.len();
            first_picture += entry.pictures.len();
        }
        let pictures = || self.entries.values().flat_map(|entry| &entry.pictures);
        let hashes: Vec<PdqHash> = pictures().map(|(_, hash)| *hash).collect();
        for hash in &hashes {
            body.extend_from_slice(&hash.to_bytes());
        }
        push_words(&mut body, pictures().map(|(time_ms, _)| *time_ms));
        if slotted {
            push_slots(&mut body, &hashes);
        }
        push_landmarks(&mut body, self.sorted_landmarks(), bucket_bits);
        for entry in self.entries.values() {
            body.extend_from_slice(&entry.text);
        }
        body
    }

    fn sorted_landmarks(&self) -> Vec<Landmark> {
        let mut landmarks = Vec::with_capacity(self.landmark_count);
        for (asset, entry) in (0..).zip(self.entries.values()) {
            for (term, frame) in &entry.landmarks {
                landmarks.push(Landmark { term: *term, asset, frame: *frame });
            }
        }
        landmarks.sort_unstable_by_key(|landmark| (landmark.term, landmark.asset, landmark.frame));
        landmarks
    }
}

fn push_words(out: &mut Vec<u8>, words: impl IntoIterator<Item = u32>) {
    for word in words {
        out.extend_from_slice(&word.to_le_bytes());
    }
}

/// Writes for each slot the pictures sorted by its value (a counting sort), all starts first.
fn push_slots(body: &mut Vec<u8>, hashes: &[PdqHash]) {
    let mut pictures_by_slot = Vec::with_capacity(SLOT_COUNT * hashes.len());
    for slot in 0..SLOT_COUNT {
        let value_of = |hash: &PdqHash| usize::from(hash.slots()[slot]);
        let mut ends = vec![0_u32; SLOT_VALUES + 1];
        for hash in hashes {
            ends[value_of(hash) + 1] += 1;
        }
        for value in 0..SLOT_VALUES {
            ends[value + 1] += ends[value];
        }
        push_words(body, ends.iter().copied());
        let mut sorted = vec![0; hashes.len()];
        for (picture, hash) in (0..).zip(hashes) {
            let next = &mut ends[value_of(hash)];
            sorted[usize::try_from(*next).unwrap_or(usize::MAX)] = picture;
            *next += 1;
        }
        pictures_by_slot.extend(sorted);
    }
    push_words(body, pictures_by_slot);
}

/// Writes where each bucket starts, then the columns.
fn push_landmarks(body: &mut Vec<u8>, landmarks: Vec<Landmark>, bucket_bits: u32) {
    let mut at = 0;
    for bucket in 0..=(1_u32 << bucket_bits) {
        while landmarks.get(at).is_some_and(|landmark| landmark.term >> (TERM_BITS - bucket_bits) < bucket) {
            at += 1;
        }
        push_words(body, [stored_count(at)]);
    }
    push_words(body, landmarks.iter().map(|landmark| landmark.term));
    push_words(body, landmarks.iter().map(|landmark| landmark.asset));
    push_words(body, landmarks.iter().map(|landmark| landmark.frame));
}
