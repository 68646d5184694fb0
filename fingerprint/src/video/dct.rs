//! The 16x16 lowest frequencies, without the constant ones, of a 64x64 picture: a cosine transform (DCT-II) as two matrix
//! products. Each sum runs in the order of Meta's `dct64To16`, so that every rounding is the same; the inner loops run over
//! independent sums, which the compiler makes wide.

use std::sync::LazyLock;

/// Sides of the picture that is transformed.
pub(crate) const PICTURE_EDGE: usize = 64;
/// Frequencies kept along each side: the first to the sixteenth.
pub(crate) const FREQUENCY_COUNT: usize = 16;

/// `plane: [row][column]`.
pub(crate) type Picture = [[f32; PICTURE_EDGE]; PICTURE_EDGE];
/// `frequencies: [vertical][horizontal]`.
pub(crate) type Frequencies = [[f32; FREQUENCY_COUNT]; FREQUENCY_COUNT];

/// `[frequency][place]`: `sqrt(2 / 64) * cos(pi / 128 * (frequency + 1) * (2 * place + 1))`, computed in double precision
/// and rounded once, as the reference does.
static COSINES: LazyLock<[[f32; PICTURE_EDGE]; FREQUENCY_COUNT]> = LazyLock::new(|| {
    let mut cosines = [[0.0; PICTURE_EDGE]; FREQUENCY_COUNT];
    let scale = f64::from(rounded((2.0_f64 / 64.0).sqrt()));
    for (row, frequency) in cosines.iter_mut().zip(1_u16..) {
        for (cosine, place) in row.iter_mut().zip(0_u16..) {
            let turn = std::f64::consts::PI / 2.0 / 64.0;
            *cosine = rounded(scale * (turn * f64::from(frequency) * f64::from(2 * place + 1)).cos());
        }
    }
    cosines
});

#[expect(clippy::cast_possible_truncation, reason = "rounding to single precision is what is wanted")]
pub(crate) fn rounded(value: f64) -> f32 {
    value as f32
}

/// Transforms a picture.
pub(crate) fn transform(picture: &Picture) -> Frequencies {
    let cosines = &*COSINES;
    let mut vertical = [[0.0_f32; PICTURE_EDGE]; FREQUENCY_COUNT];
    for (sums, weights) in vertical.iter_mut().zip(cosines) {
        for (row, weight) in picture.iter().zip(weights) {
            for (sum, pixel) in sums.iter_mut().zip(row) {
                *sum += weight * pixel;
            }
        }
    }
    let mut frequencies = [[0.0_f32; FREQUENCY_COUNT]; FREQUENCY_COUNT];
    for (sums, row) in frequencies.iter_mut().zip(&vertical) {
        for (place, value) in row.iter().enumerate() {
            for (sum, weights) in sums.iter_mut().zip(cosines) {
                *sum += value * weights[place];
            }
        }
    }
    frequencies
}
