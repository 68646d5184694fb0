//! A plane blurred by two passes of a box (Jarosz) along rows and columns and decimated to 64x64, PDQ section "downsampling".
//!
//! Meta's code keeps one running sum a line, and its roundings are part of the hash, so every sum here adds and subtracts the
//! same values in the same order. What differs is how much is done at once: eight rows run side by side, columns run row by
//! row, and the second pass makes only the 64 columns and rows that decimation will look at.

use super::dct::{PICTURE_EDGE, Picture};

/// Rows that run side by side.
const LANES: usize = 8;

/// Buffers that are used again from frame to frame.
#[derive(Default)]
pub(crate) struct Decimator {
    plane: Vec<f32>,
    band: Vec<[f32; LANES]>,
    blurred: Vec<[f32; LANES]>,
    sums: Vec<f32>,
    kept: Vec<f32>,
    picked: Vec<[f32; PICTURE_EDGE]>,
}

/// What one step of a box does: a value comes in, a value goes out, the mean is written; any may be missing.
struct Step {
    enters: Option<usize>,
    leaves: Option<usize>,
    writes: Option<usize>,
    held: f32,
}

/// A box of `ceil(len / 128)` over a line of `len` values, as `box1DFloat` moves it.
#[derive(Clone, Copy)]
struct Window {
    len: usize,
    full: usize,
    ahead: usize,
}

impl Window {
    fn of(len: usize) -> Self {
        let full = len.div_ceil(2 * PICTURE_EDGE);
        Self { len, full, ahead: (full + 2) / 2 - 1 }
    }

    /// Returns the steps in order: fill, grow, slide, shrink.
    fn steps(self) -> impl Iterator<Item = Step> {
        (0..self.len + self.ahead).map(move |at| {
            let leaves = at.checked_sub(self.full);
            let entered = (at + 1).min(self.len);
            let held = entered - leaves.map_or(0, |leaves| leaves + 1);
            let held = f32::from(u16::try_from(held).unwrap_or(u16::MAX));
            Step { enters: (at < self.len).then_some(at), leaves, writes: at.checked_sub(self.ahead), held }
        })
    }
}

impl Decimator {
    /// Fills the plane, `width * height` values that `value` gives by their index.
    pub(crate) fn fill(&mut self, values: impl Iterator<Item = f32>) {
        self.plane.clear();
        self.plane.extend(values);
    }

    /// Decimates the plane that was filled, of at least 5x5 pixels; a 64x64 one is taken as it is.
    pub(crate) fn decimate(&mut self, width_px: usize, height_px: usize) -> Picture {
        assert_eq!(self.plane.len(), width_px * height_px, "the plane is filled by its sides");
        let mut picture = [[0.0; PICTURE_EDGE]; PICTURE_EDGE];
        if (width_px, height_px) == (PICTURE_EDGE, PICTURE_EDGE) {
            for (row, values) in picture.iter_mut().zip(self.plane.as_chunks().0) {
                *row = *values;
            }
            return picture;
        }
        self.blur_rows(width_px);
        self.blur_columns(width_px, height_px);
        self.pick_columns(width_px, height_px);
        let rows = Window::of(height_px);
        let mut wanted = centres(height_px).into_iter().zip(picture.iter_mut()).peekable();
        let mut sums = [0.0; PICTURE_EDGE];
        for step in rows.steps() {
            move_sums(&mut sums, &step, |row| &self.picked[row]);
            while let Some((_, out)) = wanted.next_if(|(row, _)| step.writes == Some(*row)) {
                *out = sums.map(|sum| sum / step.held);
            }
        }
        picture
    }

    /// The first pass along rows, in place.
    fn blur_rows(&mut self, width_px: usize) {
        self.blurred.resize(width_px, [0.0; LANES]);
        for rows in self.plane.chunks_mut(LANES * width_px) {
            load_band(&mut self.band, rows, width_px);
            let mut sums = [0.0; LANES];
            for step in Window::of(width_px).steps() {
                move_sums(&mut sums, &step, |column| &self.band[column]);
                if let Some(column) = step.writes {
                    self.blurred[column] = sums.map(|sum| sum / step.held);
                }
            }
            for (lane, row) in rows.chunks_mut(width_px).enumerate() {
                for (value, lanes) in row.iter_mut().zip(&self.blurred) {
                    *value = lanes[lane];
                }
            }
        }
    }

    /// The first pass along columns, in place: the window's rows are kept aside until they have left it.
    fn blur_columns(&mut self, width_px: usize, height_px: usize) {
        let window = Window::of(height_px);
        self.sums.clear();
        self.sums.resize(width_px, 0.0);
        self.kept.resize(window.full * width_px, 0.0);
        let kept_row = |row: usize| (row % window.full) * width_px..(row % window.full + 1) * width_px;
        for step in window.steps() {
            if let Some(row) = step.enters {
                let values = &self.plane[row * width_px..(row + 1) * width_px];
                for (sum, value) in self.sums.iter_mut().zip(values) {
                    *sum += value;
                }
            }
            if let Some(row) = step.leaves {
                for (sum, value) in self.sums.iter_mut().zip(&self.kept[kept_row(row)]) {
                    *sum -= value;
                }
            }
            if let Some(row) = step.enters {
                self.kept[kept_row(row)].copy_from_slice(&self.plane[row * width_px..(row + 1) * width_px]);
            }
            if let Some(row) = step.writes {
                let values = &mut self.plane[row * width_px..(row + 1) * width_px];
                for (value, sum) in values.iter_mut().zip(&self.sums) {
                    *value = sum / step.held;
                }
            }
        }
    }

    /// The second pass along rows: sums run over all columns, means are made for 64 of them.
    fn pick_columns(&mut self, width_px: usize, height_px: usize) {
        self.picked.resize(height_px, [0.0; PICTURE_EDGE]);
        let columns = centres(width_px);
        for (rows, picked) in self.plane.chunks(LANES * width_px).zip(self.picked.chunks_mut(LANES)) {
            load_band(&mut self.band, rows, width_px);
            let mut wanted = columns.iter().enumerate().peekable();
            let mut sums = [0.0; LANES];
            for step in Window::of(width_px).steps() {
                move_sums(&mut sums, &step, |column| &self.band[column]);
                while let Some((place, _)) = wanted.next_if(|(_, column)| step.writes == Some(**column)) {
                    for (row, sum) in picked.iter_mut().zip(sums) {
                        row[place] = sum / step.held;
                    }
                }
            }
        }
    }
}

/// Turns up to eight rows into one row of eight lanes; missing rows are zero.
fn load_band(band: &mut Vec<[f32; LANES]>, rows: &[f32], width_px: usize) {
    band.clear();
    band.resize(width_px, [0.0; LANES]);
    for (lane, row) in rows.chunks(width_px).enumerate() {
        for (lanes, value) in band.iter_mut().zip(row) {
            lanes[lane] = *value;
        }
    }
}

/// Adds what enters, then takes away what leaves.
fn move_sums<'a, const N: usize>(sums: &mut [f32; N], step: &Step, line: impl Fn(usize) -> &'a [f32; N]) {
    if let Some(at) = step.enters {
        for (sum, value) in sums.iter_mut().zip(line(at)) {
            *sum += value;
        }
    }
    if let Some(at) = step.leaves {
        for (sum, value) in sums.iter_mut().zip(line(at)) {
            *sum -= value;
        }
    }
}

/// Returns the places of 64 centres along a line of `len`.
fn centres(len: usize) -> [usize; PICTURE_EDGE] {
    std::array::from_fn(|index| (2 * index + 1) * len / (2 * PICTURE_EDGE))
}
