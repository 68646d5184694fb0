//! Landmarks: a peak and one of those that follow it, as a term of 24 bits: both frequencies and the frames between them.

use super::peaks::Peak;
use crate::AudioMark;

/// Landmarks that begin at one peak.
const TARGETS: usize = 4;
/// The least distance of the second peak: nearer ones say the same twice.
const GAP_FRAMES_MIN: u32 = 2;
/// The longest distance of the second peak, 1.5 s: six bits.
const GAP_FRAMES_MAX: u32 = 63;
/// The least difference of frequency: a steady tone makes no landmark, since it would match at any offset.
const GAP_BINS_MIN: u16 = 2;
/// The largest difference of frequency, 1.4 kHz: peaks further apart seldom belong together.
const GAP_BINS_MAX: u16 = 127;

/// Pairs peaks, which come in rising time.
pub(crate) fn pair(peaks: &[Peak]) -> Vec<AudioMark> {
    let mut marks = Vec::with_capacity(peaks.len() * TARGETS);
    for (index, anchor) in peaks.iter().enumerate() {
        let later = peaks[index + 1..].iter().take_while(|target| target.frame - anchor.frame <= GAP_FRAMES_MAX);
        let fits = |target: &&Peak| {
            let apart = (GAP_BINS_MIN..=GAP_BINS_MAX).contains(&target.bin.abs_diff(anchor.bin));
            apart && target.frame - anchor.frame >= GAP_FRAMES_MIN
        };
        for target in later.filter(fits).take(TARGETS) {
            let gap = target.frame - anchor.frame;
            let term = (u32::from(anchor.bin) << 15) | (u32::from(target.bin) << 6) | gap;
            marks.push(AudioMark { frame: anchor.frame, term });
        }
    }
    marks
}
