//! What is remembered of one source, and its bytes: a version, hashes of pictures, landmarks of sound. Little-endian, read
//! with bounds.

use crate::FingerprintError;
use crate::bytes::{Reader, stored_count};
use crate::video::{DIHEDRAL_COUNT, PdqHash};

/// Pictures of one fingerprint: 24 h at 12 a second.
pub(crate) const VIDEO_MARKS_MAX: usize = 1 << 20;
/// Landmarks of one fingerprint: 24 h at 100 a second.
pub(crate) const AUDIO_MARKS_MAX: usize = 1 << 23;
const MAGIC: [u8; 8] = *b"MCSPFP\r\n";
const VERSION: u32 = 1;
const VIDEO_MARK_BYTES: usize = 4 + 1 + DIHEDRAL_COUNT * PdqHash::LEN_BYTES;
const AUDIO_MARK_BYTES: usize = 8;
const WHAT: &str = "fingerprint";

/// One picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoMark {
    /// Its time in the source.
    pub time_ms: u32,
    /// PDQ's measure of how much there is to see, 0 to 100; below 50 a hash says little.
    pub quality: u8,
    /// Its hash as it stands, then those of its seven turned and mirrored forms, in the order of `Dihedral::ALL`.
    pub hashes: [PdqHash; DIHEDRAL_COUNT],
}

/// One landmark: two peaks of the spectrum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AudioMark {
    /// The frame of its first peak; `audio::frame_ms` gives its time.
    pub frame: u32,
    /// The frequencies of both and the frames between them, 24 bits.
    pub term: u32,
}

/// What is remembered of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// Pictures, in rising time.
    pub video: Vec<VideoMark>,
    /// Landmarks, in rising time.
    pub audio: Vec<AudioMark>,
}

impl Fingerprint {
    /// Returns the end of what it covers.
    pub fn duration_ms(&self) -> u64 {
        let video_ms = self.video.last().map_or(0, |mark| u64::from(mark.time_ms));
        let audio_ms = self.audio.last().map_or(0, |mark| crate::audio::frame_ms(mark.frame));
        video_ms.max(audio_ms)
    }

    /// Returns its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let len_bytes = 20 + self.video.len() * VIDEO_MARK_BYTES + self.audio.len() * AUDIO_MARK_BYTES;
        let mut out = Vec::with_capacity(len_bytes);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&stored_count(self.video.len()).to_le_bytes());
        out.extend_from_slice(&stored_count(self.audio.len()).to_le_bytes());
        for mark in &self.video {
            out.extend_from_slice(&mark.time_ms.to_le_bytes());
            out.push(mark.quality);
            for hash in &mark.hashes {
                out.extend_from_slice(&hash.to_bytes());
            }
        }
        for mark in &self.audio {
            out.extend_from_slice(&mark.frame.to_le_bytes());
            out.extend_from_slice(&mark.term.to_le_bytes());
        }
        out
    }

    /// Reads bytes that `to_bytes` wrote.
    ///
    /// # Errors
    /// When they are cut, of another version, out of order or beyond a bound.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FingerprintError> {
        let mut reader = Reader::new(WHAT, bytes);
        reader.magic(MAGIC)?;
        reader.version(VERSION)?;
        let video_count = reader.count(VIDEO_MARK_BYTES)?;
        let audio_count = reader.count(AUDIO_MARK_BYTES)?;
        FingerprintError::bound("pictures of a fingerprint", video_count, VIDEO_MARKS_MAX)?;
        FingerprintError::bound("landmarks of a fingerprint", audio_count, AUDIO_MARKS_MAX)?;
        let mut video: Vec<VideoMark> = Vec::with_capacity(video_count);
        for _ in 0..video_count {
            let (time_ms, quality) = (reader.u32()?, reader.u8()?);
            let mut hashes = [PdqHash::ZERO; DIHEDRAL_COUNT];
            for hash in &mut hashes {
                *hash = PdqHash::from_bytes(&reader.array()?);
            }
            video.push(VideoMark { time_ms, quality, hashes });
        }
        let mut audio: Vec<AudioMark> = Vec::with_capacity(audio_count);
        for _ in 0..audio_count {
            audio.push(AudioMark { frame: reader.u32()?, term: reader.u32()? });
        }
        reader.end()?;
        let quality_fits = video.iter().all(|mark| mark.quality <= 100);
        let terms_fit = audio.iter().all(|mark| mark.term < 1 << crate::audio::TERM_BITS);
        if !quality_fits || !terms_fit {
            return Err(FingerprintError::broken(WHAT, "a quality or a term is out of its range"));
        }
        if !video.is_sorted_by_key(|mark| mark.time_ms) || !audio.is_sorted_by_key(|mark| mark.frame) {
            return Err(FingerprintError::broken(WHAT, "its times do not rise"));
        }
        Ok(Self { video, audio })
    }
}
