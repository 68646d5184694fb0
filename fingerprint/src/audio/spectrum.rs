//! Power spectra: a Hann window and a complex FFT that transforms two real frames at once, one as the real part and one as
//! the imaginary part.

use std::sync::Arc;

use rustfft::num_complex::Complex32;
use rustfft::{Fft, FftPlanner};

use super::WINDOW_SAMPLES;

/// Frequencies of a spectrum, 10.8 Hz apart.
pub(crate) const BIN_COUNT: usize = WINDOW_SAMPLES / 2;

/// The power in each frequency of one frame.
pub(crate) type Spectrum = [f32; BIN_COUNT];

/// Transforms frames.
pub(crate) struct Transformer {
    fft: Arc<dyn Fft<f32>>,
    window: Vec<f32>,
    values: Vec<Complex32>,
    scratch: Vec<Complex32>,
}

impl Transformer {
    pub(crate) fn new() -> Self {
        let fft = FftPlanner::new().plan_fft_forward(WINDOW_SAMPLES);
        let scratch = vec![Complex32::default(); fft.get_inplace_scratch_len()];
        let turn = std::f32::consts::TAU / 1024.0;
        let window = (0..1024_u16).map(|at| 0.5 - 0.5 * (turn * f32::from(at)).cos()).collect();
        Self { fft, window, values: vec![Complex32::default(); WINDOW_SAMPLES], scratch }
    }

    /// Returns the spectra of two frames of `WINDOW_SAMPLES` samples each.
    pub(crate) fn transform(&mut self, first: &[f32], second: &[f32]) -> [Spectrum; 2] {
        for (((value, weight), a), b) in self.values.iter_mut().zip(&self.window).zip(first).zip(second) {
            *value = Complex32::new(a * weight, b * weight);
        }
        self.fft.process_with_scratch(&mut self.values, &mut self.scratch);
        let mut spectra = [[0.0; BIN_COUNT]; 2];
        let [a, b] = &mut spectra;
        // A real signal's spectrum is symmetric: what is even in the sum belongs to the first, what is odd to the second.
        for bin in 1..BIN_COUNT {
            let (low, high) = (self.values[bin], self.values[WINDOW_SAMPLES - bin]);
            a[bin] = ((low.re + high.re).powi(2) + (low.im - high.im).powi(2)) / 4.0;
            b[bin] = ((low.im + high.im).powi(2) + (low.re - high.re).powi(2)) / 4.0;
        }
        spectra
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_tones_come_apart() {
        let tone = |bin: f32| -> Vec<f32> {
            (0..1024_u16).map(|at| (std::f32::consts::TAU * bin * f32::from(at) / 1024.0).sin()).collect()
        };
        let spectra = Transformer::new().transform(&tone(40.0), &tone(200.0));
        let strongest =
            |spectrum: &Spectrum| (0..BIN_COUNT).max_by(|a, b| spectrum[*a].total_cmp(&spectrum[*b])).unwrap();
        assert_eq!(spectra.each_ref().map(strongest), [40, 200]);
        assert!(spectra[0][200] < 1e-3 && spectra[1][40] < 1e-3);
    }
}
