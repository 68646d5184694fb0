//! Peaks: frequencies stronger than all around them in time and in frequency, then the strongest of each second.

use std::collections::VecDeque;

use super::spectrum::{BIN_COUNT, Spectrum};
use crate::bytes::stored_count;

/// Frames before and after that a peak outdoes: 140 ms.
const REACH_FRAMES: usize = 6;
/// Frequencies below and above that a peak outdoes: 130 Hz.
const REACH_BINS: usize = 12;
/// The lowest frequency that is looked at: hum and rumble lie below.
const BIN_MIN: usize = 10;
/// The first frequency that is not looked at: old recordings, telephones and codecs end below 5 kHz.
const BIN_END: usize = 465;
/// The power below which is silence: about 60 dB below a tone of full scale, before the lift of high frequencies.
const POWER_MIN: f32 = 2.5e-3;
/// Half the stretch in which a peak must be among the strongest: half a second.
const RIVAL_FRAMES: u32 = 21;
/// Peaks that are kept of each such stretch.
const PEAKS_PER_STRETCH: usize = 10;

/// A peak of the spectrum over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Peak {
    pub(crate) frame: u32,
    pub(crate) bin: u16,
    power: f32,
}

/// A spectrum, and the strongest power within reach of each frequency.
struct Framed {
    spectrum: Spectrum,
    strongest: Spectrum,
}

/// Finds peaks while spectra come in.
#[derive(Default)]
pub(crate) struct PeakFinder {
    near: VecDeque<Framed>,
    frame_count: u32,
    found: Vec<Peak>,
}

impl PeakFinder {
    /// Takes the next spectrum, and looks for peaks in the one `REACH_FRAMES` before it.
    pub(crate) fn push(&mut self, spectrum: Spectrum) {
        let strongest = strongest_within_reach(&spectrum);
        self.near.push_back(Framed { spectrum, strongest });
        self.frame_count += 1;
        if self.near.len() > 2 * REACH_FRAMES + 1 {
            self.near.pop_front();
        }
        if self.near.len() > REACH_FRAMES {
            self.look(REACH_FRAMES);
        }
    }

    /// Returns the frames taken so far.
    pub(crate) fn frame_count(&self) -> u32 {
        self.frame_count
    }

    /// Looks through the last frames and returns the strongest peaks, in rising time.
    pub(crate) fn finish(mut self) -> Vec<Peak> {
        for back in (0..REACH_FRAMES.min(self.near.len())).rev() {
            while self.near.len() > REACH_FRAMES + 1 + back {
                self.near.pop_front();
            }
            self.look(back);
        }
        strongest_of_each_stretch(&self.found)
    }

    /// Looks for peaks in the spectrum that is `back` frames old.
    fn look(&mut self, back: usize) {
        let at = self.near.len() - 1 - back;
        let frame = self.frame_count - 1 - stored_count(back);
        let Framed { spectrum, strongest } = &self.near[at];
        for bin in BIN_MIN..BIN_END {
            let power = spectrum[bin];
            if power < POWER_MIN || power < strongest[bin] {
                continue;
            }
            let before = self.near.range(..at).all(|other| other.strongest[bin] < power);
            let after = self.near.range(at + 1..).all(|other| other.strongest[bin] <= power);
            if before && after {
                let bin = u16::try_from(bin).unwrap_or(u16::MAX);
                self.found.push(Peak { frame, bin, power });
            }
        }
    }
}

/// Returns the strongest power within `REACH_BINS` of each frequency: maxima over spans that double, then two that overlap.
fn strongest_within_reach(spectrum: &Spectrum) -> Spectrum {
    const SPAN: usize = 2 * REACH_BINS + 1;
    let mut spans = [0.0_f32; BIN_COUNT + SPAN];
    spans[REACH_BINS..REACH_BINS + BIN_COUNT].copy_from_slice(spectrum);
    let mut len = 1;
    while 2 * len <= SPAN {
        for at in 0..spans.len() - len {
            spans[at] = spans[at].max(spans[at + len]);
        }
        len *= 2;
    }
    std::array::from_fn(|bin| spans[bin].max(spans[bin + SPAN - len]))
}

/// Keeps a peak where fewer than `PEAKS_PER_STRETCH` of those within `RIVAL_FRAMES` of it are stronger. The stretch is laid
/// around each peak, so that an excerpt keeps the same peaks as the whole.
fn strongest_of_each_stretch(found: &[Peak]) -> Vec<Peak> {
    let mut kept = Vec::new();
    let mut rivals = 0..0;
    for peak in found {
        while found[rivals.start].frame + RIVAL_FRAMES < peak.frame {
            rivals.start += 1;
        }
        while found.get(rivals.end).is_some_and(|rival| rival.frame <= peak.frame + RIVAL_FRAMES) {
            rivals.end += 1;
        }
        let stronger = found[rivals.clone()].iter().filter(|rival| rival.power > peak.power).count();
        if stronger < PEAKS_PER_STRETCH {
            kept.push(*peak);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spectra of 40 frames that are empty but for the given (frame, bin, power), and the peaks found in them.
    fn peaks(powers: &[(u32, usize, f32)]) -> Vec<(u32, u16)> {
        let mut finder = PeakFinder::default();
        for frame in 0..40 {
            let mut spectrum = [0.0; BIN_COUNT];
            for (_, bin, power) in powers.iter().filter(|(at, _, _)| *at == frame) {
                spectrum[*bin] = *power;
            }
            finder.push(spectrum);
        }
        finder.finish().iter().map(|peak| (peak.frame, peak.bin)).collect()
    }

    #[test]
    fn a_peak_outdoes_what_is_near() {
        assert_eq!(peaks(&[(10, 100, 2.0), (12, 105, 1.0), (10, 140, 1.0)]), [(10, 100), (10, 140)]);
        assert_eq!(peaks(&[(10, 100, 2.0), (12, 105, 3.0), (18, 100, 1.0)]), [(12, 105)]);
    }

    #[test]
    fn edges_are_looked_at() {
        assert_eq!(peaks(&[(0, 20, 1.0), (39, 400, 1.0), (20, 5, 1.0), (20, 500, 1.0)]), [(0, 20), (39, 400)]);
    }

    #[test]
    fn the_same_power_for_long_is_one_peak() {
        let steady: Vec<_> = (0..40).map(|frame| (frame, 100, 1.0)).collect();
        assert_eq!(peaks(&steady), [(0, 100)]);
    }

    #[test]
    fn the_strongest_of_a_stretch_stay() {
        let crowd: Vec<_> = (0..14_u16).map(|place| (20, 20 + usize::from(place) * 30, f32::from(place + 1))).collect();
        assert_eq!(peaks(&crowd).len(), PEAKS_PER_STRETCH);
        assert_eq!(peaks(&crowd)[0], (20, 140));
    }

    #[test]
    fn silence_has_none() {
        assert!(peaks(&[(10, 100, POWER_MIN / 2.0)]).is_empty());
        assert!(PeakFinder::default().finish().is_empty());
    }
}
