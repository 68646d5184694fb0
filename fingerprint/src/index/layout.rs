//! The file of an index. A header says how many there are of each thing, everything else follows from it:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | magic |
//! | 4 | version |
//! | 4 each | assets, pictures, landmarks, 1 where slots are there, bits of a landmark bucket |
//! | 8 | bytes of text |
//! | 32 | digest of the header before it and of all after it |
//! | assets × 24 | start of its text (8) and bytes of it (4), first picture (4), length in ms (8) |
//! | pictures × 32 | hashes, by asset and time |
//! | pictures × 4 | times in ms |
//! | 16 × 65,537 × 4 | for each slot and each of its values, the first of its entries (where slots are there) |
//! | 16 × pictures × 4 | the pictures by each slot's value (where slots are there) |
//! | (2^bits + 1) × 4 | for each upper part of a term, the first of its landmarks |
//! | landmarks × 4, thrice | terms, assets, frames; sorted |
//! | bytes of text | assets as JSON |
//!
//! Without slots, which small libraries do not need, all hashes are compared.

use mcsp_domain::Digest;

use super::asset::{ASSET_BYTES_MAX, ReferenceAsset};
use crate::FingerprintError;
use crate::audio::TERM_BITS;
use crate::bytes::Reader;
use crate::video::PdqHash;

/// Pictures of one index: 32 GiB of hashes and slots are where it is split.
pub const PICTURES_MAX: usize = 1 << 28;
/// Landmarks of one index.
pub(crate) const LANDMARKS_MAX: usize = 1 << 30;
/// Assets of one index.
pub(crate) const ASSETS_MAX: usize = 1 << 24;
pub(crate) const MAGIC: [u8; 8] = *b"MCSPIX\r\n";
pub(crate) const VERSION: u32 = 1;
/// Header bytes before its digest.
pub(crate) const HEADER_BYTES: usize = 8 + 4 + 5 * 4 + 8;
/// Slots of a hash.
pub(crate) const SLOT_COUNT: usize = 16;
/// Values of a slot.
pub(crate) const SLOT_VALUES: usize = 1 << 16;
const WHAT: &str = "index";

/// A stored 32-bit value.
pub(crate) type Word = [u8; 4];

/// Pictures by the values of one slot.
#[derive(Clone, Copy)]
pub(crate) struct Slot<'a> {
    pub(crate) starts: &'a [Word],
    pub(crate) pictures: &'a [Word],
}

/// A library, over the bytes that hold it.
pub struct Index<'a> {
    digest: Digest,
    assets: &'a [[u8; 24]],
    pub(crate) hashes: &'a [[u8; PdqHash::LEN_BYTES]],
    pub(crate) times_ms: &'a [Word],
    pub(crate) slots: Vec<Slot<'a>>,
    pub(crate) bucket_bits: u32,
    pub(crate) bucket_starts: &'a [Word],
    pub(crate) terms: &'a [Word],
    pub(crate) term_assets: &'a [Word],
    pub(crate) term_frames: &'a [Word],
    text: &'a [u8],
}

impl<'a> Index<'a> {
    /// Reads an index whole: its digest, its sizes, its assets' ranges. What it holds is checked again where it is used.
    ///
    /// # Errors
    /// When the bytes are cut, changed, of another version or beyond a bound.
    pub fn open(bytes: &'a [u8]) -> Result<Self, FingerprintError> {
        let index = Self::reopen(bytes)?;
        let (header, rest) = bytes.split_at(HEADER_BYTES);
        let found = Digest::of(&[header, &rest[32..]]);
        if found == index.digest {
            return Ok(index);
        }
        Err(FingerprintError::broken(WHAT, format!("its digest is {found}, {} is written in it", index.digest)))
    }

    /// Reads an index that `open` took before: the same without its digest, which costs a pass over all bytes.
    ///
    /// # Errors
    /// When the bytes are cut, of another version or beyond a bound.
    pub fn reopen(bytes: &'a [u8]) -> Result<Self, FingerprintError> {
        let mut reader = Reader::new(WHAT, bytes);
        reader.magic(MAGIC)?;
        reader.version(VERSION)?;
        let asset_count = bounded("assets", reader.u32()?, ASSETS_MAX)?;
        let picture_count = bounded("pictures", reader.u32()?, PICTURES_MAX)?;
        let landmark_count = bounded("landmarks", reader.u32()?, LANDMARKS_MAX)?;
        let slotted = bounded("kinds of slots", reader.u32()?, 1)? == 1;
        let bucket_bits = reader.u32()?;
        bounded("bits of a bucket", bucket_bits, TERM_BITS as usize)?;
        let text_bytes = reader.u64()?;
        let digest = Digest::from_bytes(reader.array()?);
        let assets = entries(&mut reader, asset_count)?;
        let hashes = entries(&mut reader, picture_count)?;
        let times_ms = entries(&mut reader, picture_count)?;
        let slots = if slotted { read_slots(&mut reader, picture_count)? } else { Vec::new() };
        let bucket_starts = entries(&mut reader, (1 << bucket_bits) + 1)?;
        let terms = entries(&mut reader, landmark_count)?;
        let term_assets = entries(&mut reader, landmark_count)?;
        let term_frames = entries(&mut reader, landmark_count)?;
        let text = reader.take(usize::try_from(text_bytes).unwrap_or(usize::MAX))?;
        reader.end()?;
        let index = Self {
            digest,
            assets,
            hashes,
            times_ms,
            slots,
            bucket_bits,
            bucket_starts,
            terms,
            term_assets,
            term_frames,
            text,
        };
        index.check_assets()?;
        Ok(index)
    }

    /// Returns the digest that is written in it: which library a decision was made by.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Returns how many assets it holds.
    pub fn asset_count(&self) -> u32 {
        crate::bytes::stored_count(self.assets.len())
    }

    /// Returns how many pictures it holds.
    pub fn picture_count(&self) -> usize {
        self.hashes.len()
    }

    /// Returns how many landmarks it holds.
    pub fn landmark_count(&self) -> usize {
        self.terms.len()
    }

    /// Reads one asset, `asset` counted from 0.
    ///
    /// # Errors
    /// When there is no such asset, or its text is broken.
    pub fn asset(&self, asset: u32) -> Result<ReferenceAsset, FingerprintError> {
        let fault = || FingerprintError::broken(WHAT, format!("asset {asset} is not in it"));
        let record = usize::try_from(asset).ok().and_then(|at| self.assets.get(at)).ok_or_else(fault)?;
        let mut reader = Reader::new(WHAT, record);
        let start = usize::try_from(reader.u64()?).map_err(|_| fault())?;
        let len_bytes = bounded("bytes of an asset", reader.u32()?, ASSET_BYTES_MAX)?;
        let end = start.checked_add(len_bytes).ok_or_else(fault)?;
        ReferenceAsset::from_json(self.text.get(start..end).ok_or_else(fault)?)
    }

    /// Returns the pictures of an asset; none where there is no such asset.
    pub(crate) fn pictures_of(&self, asset: u32) -> std::ops::Range<usize> {
        let at = usize::try_from(asset).unwrap_or(usize::MAX);
        let Some(record) = self.assets.get(at) else { return 0..0 };
        let end = at.checked_add(1).and_then(|next| self.assets.get(next)).map_or(self.hashes.len(), first_picture);
        first_picture(record)..end
    }

    /// Returns the asset that a picture belongs to.
    pub(crate) fn asset_of(&self, picture: u32) -> u32 {
        let picture = usize::try_from(picture).unwrap_or(usize::MAX);
        let after = self.assets.partition_point(|record| first_picture(record) <= picture);
        u32::try_from(after.saturating_sub(1)).unwrap_or(u32::MAX)
    }

    fn check_assets(&self) -> Result<(), FingerprintError> {
        let firsts = || self.assets.iter().map(first_picture);
        let starts_at_0 = firsts().next().is_none_or(|first| first == 0);
        let fits = firsts().all(|first| first <= self.hashes.len());
        let owned = !self.assets.is_empty() || (self.hashes.is_empty() && self.terms.is_empty());
        if starts_at_0 && fits && firsts().is_sorted() && owned {
            return Ok(());
        }
        Err(FingerprintError::broken(WHAT, "its assets do not share its pictures"))
    }
}

fn first_picture(record: &[u8; 24]) -> usize {
    let word = record[12..16].first_chunk::<4>().copied().unwrap_or_default();
    usize::try_from(u32::from_le_bytes(word)).unwrap_or(usize::MAX)
}

fn bounded(what: &'static str, count: u32, count_max: usize) -> Result<usize, FingerprintError> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    FingerprintError::bound(what, count, count_max)?;
    Ok(count)
}

/// Returns the next `count` entries of `N` bytes, where they lie.
fn entries<'a, const N: usize>(reader: &mut Reader<'a>, count: usize) -> Result<&'a [[u8; N]], FingerprintError> {
    let bytes = reader.take(count.saturating_mul(N))?;
    Ok(bytes.as_chunks::<N>().0)
}

fn read_slots<'a>(reader: &mut Reader<'a>, picture_count: usize) -> Result<Vec<Slot<'a>>, FingerprintError> {
    let starts: &[Word] = entries(reader, SLOT_COUNT * (SLOT_VALUES + 1))?;
    let pictures: &[Word] = entries(reader, SLOT_COUNT * picture_count)?;
    let starts = starts.chunks_exact(SLOT_VALUES + 1);
    if picture_count == 0 {
        return Ok(Vec::new());
    }
    Ok(starts.zip(pictures.chunks_exact(picture_count)).map(|(starts, pictures)| Slot { starts, pictures }).collect())
}
