//! Opening samples again, for reading back what was sealed: written from ISO/IEC 23001-7 a second time, sharing no code
//! with `seal`. In: a sealed sample, its IV and its `senc` entries. Out: the clear bytes in place.

use aes::Aes128;
use aes::cipher::{Array, Block, BlockCipherEncrypt, BlockModeDecrypt, InnerIvInit, KeyInit};
use mcsp_domain::{Scheme, TrackKey};

use super::{BLOCK_BYTES, CencError, PATTERN_BYTES, Subsample};

/// Counter blocks that are encrypted at once, so that wide AES units are kept busy.
const COUNTERS_AT_ONCE: usize = 32;

/// Opens the samples of one track.
pub struct Opener {
    scheme: Scheme,
    cipher: Aes128,
    constant_iv: [u8; BLOCK_BYTES],
    video_pattern: bool,
}

impl Opener {
    /// Expands the key. `video_pattern` says that `cbcs` skips nine blocks of ten, as `tenc` does for video.
    pub fn new(scheme: Scheme, key: &TrackKey, video_pattern: bool) -> Self {
        Self { scheme, cipher: Aes128::new(&Array(*key.key.expose())), constant_iv: key.iv, video_pattern }
    }

    /// Opens one sample in place. No entries means that the whole sample is protected.
    ///
    /// # Errors
    /// When the entries do not cover the sample; it is then unchanged.
    pub fn open(&self, sample_iv: [u8; 8], sample: &mut [u8], subsamples: &[Subsample]) -> Result<(), CencError> {
        check_cover(sample, subsamples)?;
        let mut stream_bytes = 0;
        if subsamples.is_empty() {
            self.open_run(sample_iv, sample, &mut stream_bytes);
            return Ok(());
        }
        let mut position = 0;
        for entry in subsamples {
            let start = position + usize::from(entry.clear_bytes);
            position = start + entry.protected_bytes as usize;
            self.open_run(sample_iv, &mut sample[start..position], &mut stream_bytes);
        }
        Ok(())
    }

    /// Opens one protected run; `stream_bytes` counts what came before it in the sample.
    fn open_run(&self, sample_iv: [u8; 8], run: &mut [u8], stream_bytes: &mut usize) {
        match self.scheme {
            Scheme::Cenc => self.open_counter(sample_iv, run, stream_bytes),
            Scheme::Cbcs => self.open_chain(run),
        }
    }

    /// XORs with the key stream, which runs on from one protected run to the next.
    fn open_counter(&self, sample_iv: [u8; 8], run: &mut [u8], stream_bytes: &mut usize) {
        for piece in run.chunks_mut(COUNTERS_AT_ONCE * BLOCK_BYTES) {
            let into_block = *stream_bytes % BLOCK_BYTES;
            let first_block = (*stream_bytes / BLOCK_BYTES) as u128;
            let block_count = (into_block + piece.len()).div_ceil(BLOCK_BYTES);
            let base = u128::from(u64::from_be_bytes(sample_iv)) << 64;
            let mut keystream = [Block::<Aes128>::default(); COUNTERS_AT_ONCE + 1];
            for (number, block) in (first_block..).zip(&mut keystream[..block_count]) {
                *block = Array((base + number).to_be_bytes());
            }
            self.cipher.encrypt_blocks(&mut keystream[..block_count]);
            for (byte, key) in piece.iter_mut().zip(keystream.iter().flatten().skip(into_block)) {
                *byte ^= key;
            }
            *stream_bytes += piece.len();
        }
    }

    fn open_chain(&self, run: &mut [u8]) {
        let mut chain = cbc::Decryptor::inner_iv_init(&self.cipher, &Array(self.constant_iv));
        let (blocks, _) = Array::slice_as_chunks_mut(run);
        if !self.video_pattern {
            return chain.decrypt_blocks(blocks);
        }
        for block in blocks.iter_mut().step_by(PATTERN_BYTES / BLOCK_BYTES) {
            chain.decrypt_block(block);
        }
    }
}

fn check_cover(sample: &[u8], subsamples: &[Subsample]) -> Result<(), CencError> {
    let entry_bytes = |entry: &Subsample| u64::from(entry.clear_bytes) + u64::from(entry.protected_bytes);
    let covered_bytes = subsamples.iter().map(entry_bytes).sum();
    let sample_bytes = sample.len() as u64;
    if subsamples.is_empty() || covered_bytes == sample_bytes {
        return Ok(());
    }
    Err(CencError::SubsampleMismatch { covered_bytes, sample_bytes })
}
