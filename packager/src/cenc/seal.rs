//! Sealing samples, ISO/IEC 23001-7 §9.5 and §10: AES-CTR over all protected runs of a sample (`cenc`), or AES-CBC over
//! each (`cbcs`): every tenth block of video, every whole block of audio. In: a clear sample. Out: the same bytes sealed.

use aes::Aes128;
use aes::cipher::{
    Array, BlockCipherEncrypt, BlockModeEncrypt, InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper,
};
use mcsp_domain::{Scheme, TrackKey};

use super::{BLOCK_BYTES, CencError, PATTERN_BYTES, SampleLayout, Subsample};

/// Seals the samples of one track. The key schedule is kept: making it anew halves the speed of small samples.
pub struct Sealer {
    scheme: Scheme,
    cipher: Aes128,
    constant_iv: [u8; BLOCK_BYTES],
    layout: SampleLayout,
}

impl Sealer {
    /// Expands the key.
    pub fn new(scheme: Scheme, key: &TrackKey, layout: SampleLayout) -> Self {
        Self { scheme, cipher: Aes128::new(&Array(*key.key.expose())), constant_iv: key.iv, layout }
    }

    /// Seals one sample in place and appends its subsample entries, none for whole-sample layouts. `sample_iv` counts
    /// for `cenc` alone; `cbcs` takes the track's constant IV.
    ///
    /// # Errors
    /// When the sample's structure cannot be read; then neither the sample nor the entries have changed.
    pub fn seal(
        &self,
        sample_iv: [u8; 8],
        sample: &mut [u8],
        subsamples: &mut Vec<Subsample>,
    ) -> Result<(), CencError> {
        let first = subsamples.len();
        if let Err(error) = self.layout.subsamples(self.scheme, sample, subsamples) {
            subsamples.truncate(first);
            return Err(error);
        }
        let entries = subsamples.get(first..).unwrap_or_default();
        match (self.scheme, &self.layout) {
            (Scheme::Cenc, SampleLayout::Avc(_)) => {
                let mut stream = self.counter_stream(sample_iv);
                each_protected_run(sample, entries, |run| stream.apply_keystream(run));
            }
            (Scheme::Cenc, SampleLayout::Whole) => self.counter_stream(sample_iv).apply_keystream(sample),
            (Scheme::Cbcs, SampleLayout::Avc(_)) => each_protected_run(sample, entries, |run| self.seal_pattern(run)),
            (Scheme::Cbcs, SampleLayout::Whole) => self.seal_chain(sample),
        }
        Ok(())
    }

    /// Returns the key stream of a sample: the counter block is the IV and a 64-bit block counter, §9.3.
    fn counter_stream(&self, sample_iv: [u8; 8]) -> CounterStream<'_> {
        let mut block = [0; BLOCK_BYTES];
        block[..8].copy_from_slice(&sample_iv);
        StreamCipherCoreWrapper::from_core(ctr::CtrCore::inner_iv_init(&self.cipher, &Array(block)))
    }

    /// Encrypts one block of ten, §10.4; the chain runs over encrypted blocks only and starts anew with every run.
    fn seal_pattern(&self, run: &mut [u8]) {
        let mut chain = self.constant_iv;
        for stripe in run.chunks_mut(PATTERN_BYTES) {
            let Some(block) = stripe.first_chunk_mut::<BLOCK_BYTES>() else { return };
            for (byte, chained) in block.iter_mut().zip(chain) {
                *byte ^= chained;
            }
            self.cipher.encrypt_block(block.into());
            chain = *block;
        }
    }

    /// Encrypts all whole blocks, §9.7: a partial block at the end stays clear.
    fn seal_chain(&self, run: &mut [u8]) {
        let (blocks, _) = Array::slice_as_chunks_mut(run);
        cbc::Encryptor::inner_iv_init(&self.cipher, &Array(self.constant_iv)).encrypt_blocks(blocks);
    }
}

type CounterStream<'a> = StreamCipherCoreWrapper<ctr::CtrCore<&'a Aes128, ctr::flavors::Ctr64BE>>;

/// Calls `visit` with each protected run; the entries are those that the layout has just made of this sample.
fn each_protected_run(sample: &mut [u8], entries: &[Subsample], mut visit: impl FnMut(&mut [u8])) {
    let mut rest = sample;
    for entry in entries {
        let (_, after) = rest.split_at_mut(entry.clear_bytes.into());
        let (run, after) = after.split_at_mut(entry.protected_bytes as usize);
        visit(run);
        rest = after;
    }
    assert!(rest.is_empty(), "subsamples of the layout cover the sample");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counter_mode_matches_sp_800_38a() {
        // NIST SP 800-38A F.5.1, CTR-AES128.Encrypt: its first counter block has no zeros, so it enters below the IV.
        let bytes = |text| -> Vec<u8> { hex::decode(text).unwrap() };
        let key: [u8; 16] = bytes("2b7e151628aed2a6abf7158809cf4f3c").try_into().unwrap();
        let counter: [u8; 16] = bytes("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff").try_into().unwrap();
        let cipher = Aes128::new(&Array(key));
        let core = ctr::CtrCore::inner_iv_init(&cipher, &Array(counter));
        let mut text = bytes(concat!(
            "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51",
            "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
        ));
        CounterStream::from_core(core).apply_keystream(&mut text);
        let expected = concat!(
            "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff",
            "5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee"
        );
        assert_eq!(hex::encode(text), expected);
    }
}
