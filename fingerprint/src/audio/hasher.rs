//! Samples of one source, in order, into landmarks.

use super::landmarks::pair;
use super::peaks::PeakFinder;
use super::spectrum::Transformer;
use super::{HOP_SAMPLES, WINDOW_SAMPLES};
use crate::fingerprint::{AUDIO_MARKS_MAX, AudioMark};
use crate::{Fingerprint, FingerprintError};

/// Spectra of one source: 24 h of them.
const FRAMES_MAX: u32 = 24 * 3600 * 44;
/// Samples of two overlapping frames, which are transformed together.
const PAIR_SAMPLES: usize = WINDOW_SAMPLES + HOP_SAMPLES;
/// How much of the last sample is taken from the next: lifts high frequencies, which are weak in most sound.
const EMPHASIS: f32 = 0.95;

/// Makes landmarks of one source's sound: 11,025 Hz, mono.
pub struct AudioHasher {
    transformer: Transformer,
    finder: PeakFinder,
    waiting: Vec<f32>,
    last: f32,
}

impl Default for AudioHasher {
    fn default() -> Self {
        Self { transformer: Transformer::new(), finder: PeakFinder::default(), waiting: Vec::new(), last: 0.0 }
    }
}

impl AudioHasher {
    /// Starts with no sound.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next samples, as many as there are.
    ///
    /// # Errors
    /// When the sound is longer than 24 h.
    pub fn push(&mut self, samples: &[i16]) -> Result<(), FingerprintError> {
        let count = u64::from(self.finder.frame_count());
        if count > FRAMES_MAX.into() {
            return Err(FingerprintError::TooMany { what: "frames of sound", count, count_max: FRAMES_MAX.into() });
        }
        // A second at a time, so that what waits stays small.
        for piece in samples.chunks(super::SAMPLE_RATE_HZ as usize) {
            for sample in piece {
                let value = f32::from(*sample) / 32768.0;
                self.waiting.push(value - EMPHASIS * self.last);
                self.last = value;
            }
            self.transform_whole_pairs();
        }
        Ok(())
    }

    /// Returns the landmarks, in rising time.
    pub fn finish(mut self) -> Vec<AudioMark> {
        if self.waiting.len() >= WINDOW_SAMPLES {
            let frame = &self.waiting[..WINDOW_SAMPLES];
            let [spectrum, _] = self.transformer.transform(frame, frame);
            self.finder.push(spectrum);
        }
        let mut marks = pair(&self.finder.finish());
        marks.truncate(AUDIO_MARKS_MAX);
        marks
    }

    /// Returns a fingerprint of sound alone.
    pub fn finish_alone(self) -> Fingerprint {
        Fingerprint { video: Vec::new(), audio: self.finish() }
    }

    fn transform_whole_pairs(&mut self) {
        let mut at = 0;
        while let Some(pair) = self.waiting.get(at..at + PAIR_SAMPLES) {
            let spectra = self.transformer.transform(&pair[..WINDOW_SAMPLES], &pair[HOP_SAMPLES..]);
            for spectrum in spectra {
                self.finder.push(spectrum);
            }
            at += 2 * HOP_SAMPLES;
        }
        self.waiting.drain(..at);
    }
}
