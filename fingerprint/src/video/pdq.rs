//! PDQ, Meta's perceptual hash (ThreatExchange `pdq/`, BSD licence): bit for bit the reference's, with its eight dihedral
//! forms from one transform.

use super::dct::{self, FREQUENCY_COUNT, Frequencies, Picture, rounded};
use super::decimate::Decimator;
use super::hash::PdqHash;
use crate::FingerprintError;

/// Ways of turning and mirroring a picture.
pub const DIHEDRAL_COUNT: usize = 8;
/// The least side that the reference hashes; smaller pictures have the zero hash and no quality.
const EDGE_PX_MIN: usize = 5;
/// The longest side that is taken, as `limits::SOURCE_EDGE_PX_MAX`.
const EDGE_PX_MAX: usize = mcsp_domain::limits::SOURCE_EDGE_PX_MAX as usize;
/// The reference's scale from summed gradients to quality, found by its authors by hand.
const GRADIENTS_PER_QUALITY: u32 = 90;

/// How the uploader's picture was turned or mirrored before it was hashed, in the reference's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dihedral {
    /// As it stands.
    Original,
    /// Turned by 90 degrees, against the clock.
    Rotate90,
    /// Turned by 180 degrees.
    Rotate180,
    /// Turned by 270 degrees.
    Rotate270,
    /// Upside down.
    FlipX,
    /// Mirrored left to right.
    FlipY,
    /// Mirrored at the main diagonal.
    FlipPlus,
    /// Mirrored at the other diagonal.
    FlipMinus,
}

impl Dihedral {
    /// Every form, in the order of a mark's hashes.
    pub const ALL: [Self; DIHEDRAL_COUNT] = [
        Self::Original,
        Self::Rotate90,
        Self::Rotate180,
        Self::Rotate270,
        Self::FlipX,
        Self::FlipY,
        Self::FlipPlus,
        Self::FlipMinus,
    ];

    /// Returns whether rows become columns, and the parities at which a frequency changes its sign (of its row, its column).
    const fn shape(self) -> (bool, Signs) {
        match self {
            Self::Original => (false, Signs::None),
            Self::Rotate90 => (true, Signs::EvenColumns),
            Self::Rotate180 => (false, Signs::OddSums),
            Self::Rotate270 => (true, Signs::EvenRows),
            Self::FlipX => (false, Signs::EvenRows),
            Self::FlipY => (false, Signs::EvenColumns),
            Self::FlipPlus => (true, Signs::None),
            Self::FlipMinus => (true, Signs::OddSums),
        }
    }

    /// Returns the frequencies of the picture so turned.
    fn turn(self, original: &Frequencies) -> Frequencies {
        let (swaps, signs) = self.shape();
        let mut turned = [[0.0; FREQUENCY_COUNT]; FREQUENCY_COUNT];
        for (row, values) in original.iter().enumerate() {
            for (column, value) in values.iter().enumerate() {
                let value = if signs.flips(row, column) { -value } else { *value };
                let (to_row, to_column) = if swaps { (column, row) } else { (row, column) };
                turned[to_row][to_column] = value;
            }
        }
        turned
    }
}

/// Which frequencies change their sign, counted from 0.
#[derive(Clone, Copy)]
enum Signs {
    None,
    EvenRows,
    EvenColumns,
    OddSums,
}

impl Signs {
    const fn flips(self, row: usize, column: usize) -> bool {
        match self {
            Self::None => false,
            Self::EvenRows => row.is_multiple_of(2),
            Self::EvenColumns => column.is_multiple_of(2),
            Self::OddSums => !(row + column).is_multiple_of(2),
        }
    }
}

/// A picture's hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pdq {
    /// The hash of each form, in the order of `Dihedral::ALL`; the first is the picture's own.
    pub dihedrals: [PdqHash; DIHEDRAL_COUNT],
    /// How much there is to see, 0 to 100.
    pub quality: u8,
}

impl Pdq {
    /// Returns the hash of the picture as it stands.
    pub fn hash(&self) -> PdqHash {
        let [own, ..] = self.dihedrals;
        own
    }
}

/// Hashes pictures of any sizes, one after the other, in buffers that it keeps.
#[derive(Default)]
pub struct PdqHasher {
    decimator: Decimator,
}

impl PdqHasher {
    /// Starts with empty buffers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hashes a luma plane, `luma: [u8; width * height]`, row-major.
    ///
    /// # Errors
    /// When the plane does not fit its sides.
    pub fn hash_luma(&mut self, luma: &[u8], width_px: usize, height_px: usize) -> Result<Pdq, FingerprintError> {
        check(luma.len(), 1, width_px, height_px)?;
        self.decimator.fill(luma.iter().map(|value| f32::from(*value)));
        Ok(self.finish(width_px, height_px))
    }

    /// Hashes a picture in colours, `rgb: [u8; width * height * 3]`, row-major, by its luma (0.299, 0.587, 0.114).
    ///
    /// # Errors
    /// When the plane does not fit its sides.
    pub fn hash_rgb(&mut self, rgb: &[u8], width_px: usize, height_px: usize) -> Result<Pdq, FingerprintError> {
        check(rgb.len(), 3, width_px, height_px)?;
        let luma = |[red, green, blue]: &[u8; 3]| {
            rounded(f64::from(*red) * 0.299 + f64::from(*green) * 0.587 + f64::from(*blue) * 0.114)
        };
        self.decimator.fill(rgb.as_chunks::<3>().0.iter().map(luma));
        Ok(self.finish(width_px, height_px))
    }

    fn finish(&mut self, width_px: usize, height_px: usize) -> Pdq {
        if width_px < EDGE_PX_MIN || height_px < EDGE_PX_MIN {
            return Pdq { dihedrals: [PdqHash::ZERO; DIHEDRAL_COUNT], quality: 0 };
        }
        let picture = self.decimator.decimate(width_px, height_px);
        let frequencies = dct::transform(&picture);
        Pdq { dihedrals: Dihedral::ALL.map(|form| bits(&form.turn(&frequencies))), quality: quality(&picture) }
    }
}

fn check(len_bytes: usize, bytes_per_px: usize, width_px: usize, height_px: usize) -> Result<(), FingerprintError> {
    let sides_fit = (1..=EDGE_PX_MAX).contains(&width_px) && (1..=EDGE_PX_MAX).contains(&height_px);
    if sides_fit && len_bytes == width_px * height_px * bytes_per_px {
        return Ok(());
    }
    Err(FingerprintError::Plane { len_bytes, width_px, height_px })
}

/// Sums what neighbours differ by, in hundredths of the range, each rounded down: many faint steps are no quality.
fn quality(picture: &Picture) -> u8 {
    let mut gradients = 0;
    for (upper, lower) in picture.iter().zip(&picture[1..]) {
        for (a, b) in upper.iter().zip(lower) {
            gradients += step(*a, *b);
        }
    }
    for row in picture {
        for (a, b) in row.iter().zip(&row[1..]) {
            gradients += step(*a, *b);
        }
    }
    u8::try_from((gradients / GRADIENTS_PER_QUALITY).min(100)).unwrap_or(100)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "0 to 100, rounded towards 0 as it should be"
)]
fn step(a: f32, b: f32) -> u32 {
    ((a - b) * 100.0 / 255.0).abs() as u32
}

/// Sets the bits of the frequencies above the median: the lower one of the two in the middle, as Torben's method finds it.
fn bits(frequencies: &Frequencies) -> PdqHash {
    let mut sorted = *frequencies;
    let (_, median, _) = sorted.as_flattened_mut().select_nth_unstable_by(127, f32::total_cmp);
    let median = *median;
    let mut words = [0; 4];
    for (word, values) in words.iter_mut().zip(frequencies.as_flattened().chunks(64)) {
        for (bit, value) in values.iter().enumerate() {
            *word |= u64::from(*value > median) << bit;
        }
    }
    PdqHash::from_words(words)
}
