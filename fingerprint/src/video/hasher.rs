//! Frames of one source, in rising time, into marks.

use crate::fingerprint::{VIDEO_MARKS_MAX, VideoMark};
use crate::video::PdqHasher;
use crate::{Fingerprint, FingerprintError};

/// One picture of a source.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Its output time.
    pub time_ms: u64,
    /// Its width.
    pub width_px: usize,
    /// Its height.
    pub height_px: usize,
    /// `luma: [u8; width * height]`, row-major, 0 is black.
    pub luma: &'a [u8],
}

/// Hashes the frames of one source. Its buffers grow with the largest frame and are used again.
#[derive(Default)]
pub struct VideoHasher {
    pdq: PdqHasher,
    marks: Vec<VideoMark>,
}

impl VideoHasher {
    /// Starts with no frame.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hashes the next frame.
    ///
    /// # Errors
    /// When its plane does not fit its sides, it is out of order, or there are too many.
    pub fn push(&mut self, frame: Frame<'_>) -> Result<(), FingerprintError> {
        let last_ms = self.marks.last().map_or(0, |mark| mark.time_ms);
        let out_of_order = FingerprintError::Order { time_ms: frame.time_ms, last_ms: last_ms.into() };
        let time_ms = u32::try_from(frame.time_ms).ok().filter(|time_ms| *time_ms >= last_ms).ok_or(out_of_order)?;
        FingerprintError::bound("pictures of a fingerprint", self.marks.len() + 1, VIDEO_MARKS_MAX)?;
        let pdq = self.pdq.hash_luma(frame.luma, frame.width_px, frame.height_px)?;
        self.marks.push(VideoMark { time_ms, quality: pdq.quality, hashes: pdq.dihedrals });
        Ok(())
    }

    /// Returns the marks of all frames.
    pub fn finish(self) -> Vec<VideoMark> {
        self.marks
    }

    /// Returns a fingerprint of pictures alone.
    pub fn finish_alone(self) -> Fingerprint {
        Fingerprint { video: self.marks, audio: Vec::new() }
    }
}
