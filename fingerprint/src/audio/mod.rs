//! Sound: 11,025 Hz mono PCM in, landmarks out, pairs of spectral peaks, about 40 a second. What survives codecs, echo and
//! speech are the places of strong peaks, so nothing else is kept of the sound (the idea is A. Wang, "An
//! Industrial-Strength Audio Search Algorithm", ISMIR 2003).

mod hasher;
mod landmarks;
mod peaks;
mod spectrum;

pub use hasher::AudioHasher;

/// Samples per second of the sound that is hashed, one channel.
pub const SAMPLE_RATE_HZ: u32 = 11_025;
/// Bits of a term.
pub const TERM_BITS: u32 = 24;
/// Samples of one spectrum: 93 ms, so that neighbouring semitones above 200 Hz are apart.
pub(crate) const WINDOW_SAMPLES: usize = 1024;
/// Samples from one spectrum to the next: 23 ms.
pub(crate) const HOP_SAMPLES: usize = 256;

/// Returns the time of a frame's middle.
pub fn frame_ms(frame: u32) -> u64 {
    (u64::from(frame) * HOP_SAMPLES as u64 + WINDOW_SAMPLES as u64 / 2) * 1000 / u64::from(SAMPLE_RATE_HZ)
}
