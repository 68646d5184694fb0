//! How the samples of a track are cut into clear and protected runs, ISO/IEC 23001-7 §9.5. In: a sample. Out: its `senc`
//! entries, the same that Shaka Packager writes.

use mcsp_domain::{Scheme, limits};

use super::{AvcLayout, BLOCK_BYTES, CencError, Subsample};
use crate::MediaConfig;

/// How the protected ranges of a track's samples are found.
#[derive(Clone, Debug)]
pub enum SampleLayout {
    /// H.264: slice data is protected, everything else is clear.
    Avc(AvcLayout),
    /// The whole sample is protected, without subsamples: AAC.
    Whole,
}

impl SampleLayout {
    /// Returns the layout of a track's samples.
    ///
    /// # Errors
    /// When `avcC` or a parameter set in it cannot be read.
    pub fn for_track(media: &MediaConfig) -> Result<Self, CencError> {
        match media {
            MediaConfig::Avc(avc) => Ok(Self::Avc(AvcLayout::parse(&avc.decoder_config)?)),
            MediaConfig::Aac(_) => Ok(Self::Whole),
        }
    }

    /// Appends the entries of one clear sample, none for `Whole`. Sizes of `senc` follow without sealing anything.
    ///
    /// # Errors
    /// When the sample's structure cannot be read; entries may then have been appended.
    pub fn subsamples(&self, scheme: Scheme, sample: &[u8], out: &mut Vec<Subsample>) -> Result<(), CencError> {
        let Self::Avc(avc) = self else { return Ok(()) };
        let mut cutter = Cutter { scheme, out_max: out.len() + limits::SUBSAMPLES_MAX, clear_bytes: 0, out };
        let mut covered = 0;
        avc.slice_data(sample, |slice_data| {
            cutter.push(slice_data.start - covered, slice_data.len())?;
            covered = slice_data.end;
            Ok(())
        })?;
        cutter.finish()
    }
}

/// Gathers clear bytes until a protected run closes an entry.
struct Cutter<'a> {
    scheme: Scheme,
    out_max: usize,
    clear_bytes: usize,
    out: &'a mut Vec<Subsample>,
}

impl Cutter<'_> {
    fn push(&mut self, clear_bytes: usize, protected_bytes: usize) -> Result<(), CencError> {
        // Under `cenc` a protected run is whole blocks, §9.5.2.2; what is over stays clear in front of it.
        let partial_bytes = match self.scheme {
            Scheme::Cenc => protected_bytes % BLOCK_BYTES,
            Scheme::Cbcs => 0,
        };
        self.clear_bytes += clear_bytes + partial_bytes;
        let protected_bytes = protected_bytes - partial_bytes;
        if protected_bytes == 0 {
            return Ok(());
        }
        self.close(protected_bytes)
    }

    fn finish(mut self) -> Result<(), CencError> {
        if self.clear_bytes == 0 { Ok(()) } else { self.close(0) }
    }

    /// Writes what was gathered; a clear run that its 16 bits cannot hold takes several entries.
    fn close(&mut self, protected_bytes: usize) -> Result<(), CencError> {
        while self.clear_bytes > usize::from(u16::MAX) {
            self.clear_bytes -= usize::from(u16::MAX);
            self.entry(Subsample { clear_bytes: u16::MAX, protected_bytes: 0 })?;
        }
        let too_large = |_| CencError::SubsampleTooLarge { protected_bytes };
        let protected = u32::try_from(protected_bytes).map_err(too_large)?;
        let clear = u16::try_from(std::mem::take(&mut self.clear_bytes)).unwrap_or(u16::MAX);
        self.entry(Subsample { clear_bytes: clear, protected_bytes: protected })
    }

    fn entry(&mut self, entry: Subsample) -> Result<(), CencError> {
        if self.out.len() >= self.out_max {
            return Err(CencError::TooManySubsamples { max: limits::SUBSAMPLES_MAX });
        }
        self.out.push(entry);
        Ok(())
    }
}
