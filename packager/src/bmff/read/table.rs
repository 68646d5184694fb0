//! Columnar sample tables: one vector a property, so that planning touches only what it asks for.

use mcsp_domain::limits::{MP4_SAMPLE_BYTES_MAX, MP4_SAMPLES_MAX};

use crate::bmff::fragment::SampleColumns;
use crate::bmff::{BmffError, FourCc};

/// The samples of one track in decode order, one column a property. Times are in track ticks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SampleTable {
    pub(super) offsets: Vec<u64>,
    pub(super) sizes: Vec<u32>,
    pub(super) dts: Vec<i64>,
    pub(super) pts: Vec<i64>,
    pub(super) keys: Vec<bool>,
    pub(super) end: i64,
}

impl SampleTable {
    /// Returns the number of samples.
    pub fn len(&self) -> usize {
        self.sizes.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    /// Returns where each sample begins in the file; it lies inside the file with all its bytes.
    pub fn offsets(&self) -> &[u64] {
        &self.offsets
    }

    /// Returns the bytes of each sample, at least 1.
    pub fn sizes(&self) -> &[u32] {
        &self.sizes
    }

    /// Returns the decode times: rising, the display times in order.
    pub fn dts(&self) -> &[i64] {
        &self.dts
    }

    /// Returns the display times: no two alike, none negative.
    pub fn pts(&self) -> &[i64] {
        &self.pts
    }

    /// Returns which samples are sync samples.
    pub fn keys(&self) -> &[bool] {
        &self.keys
    }

    /// Returns the time at which the last displayed sample ends.
    pub fn end(&self) -> i64 {
        self.end
    }

    /// Moves all times back by `ticks`.
    pub(crate) fn bring_forward(&mut self, ticks: i64) {
        for time in self.dts.iter_mut().chain(&mut self.pts) {
            *time = time.saturating_sub(ticks);
        }
        self.end = self.end.saturating_sub(ticks);
    }

    /// Returns the columns of the samples in `range`, which the caller keeps inside the table.
    pub(crate) fn columns(&self, range: std::ops::Range<usize>) -> SampleColumns<'_> {
        let of = |column: &[i64], index: usize| column.get(index).copied();
        SampleColumns {
            end: of(&self.dts, range.end).unwrap_or(self.end),
            sizes: self.sizes.get(range.clone()).unwrap_or_default(),
            dts: self.dts.get(range.clone()).unwrap_or_default(),
            pts: self.pts.get(range.clone()).unwrap_or_default(),
            keys: self.keys.get(range).unwrap_or_default(),
        }
    }

    /// Returns how many bytes the columns have room for.
    pub fn heap_bytes(&self) -> usize {
        let times = self.offsets.capacity().saturating_add(self.dts.capacity()).saturating_add(self.pts.capacity());
        let rest = self.sizes.capacity().saturating_mul(4).saturating_add(self.keys.capacity());
        times.saturating_mul(8).saturating_add(rest)
    }
}

/// What all samples of one file may claim together: no more bytes than the file has, since no byte serves two samples.
/// It bounds every table by the length of the file.
#[derive(Debug)]
pub(super) struct Budget {
    file_bytes: u64,
    left_bytes: u64,
}

impl Budget {
    pub(super) fn new(file_bytes: u64) -> Self {
        Self { file_bytes, left_bytes: file_bytes }
    }

    /// Checks, before anybody makes room for them, that `count` samples of at least one byte each are possible.
    pub(super) fn allow(&self, name: FourCc, count: u64) -> Result<(), BmffError> {
        let allowed = self.left_bytes.min(MP4_SAMPLES_MAX.into());
        if count > allowed {
            return Err(BmffError::Limit { name, what: "samples", claimed: count, allowed });
        }
        Ok(())
    }

    /// Takes the bytes of sample `index` out of the budget and checks that it lies in the file.
    pub(super) fn spend(&mut self, track_id: u32, index: u64, offset: u64, size: u32) -> Result<(), BmffError> {
        let file_bytes = self.file_bytes;
        let end = offset.saturating_add(size.into());
        if end > file_bytes {
            return Err(BmffError::SampleRange { index, track_id, start: offset, end, file_bytes });
        }
        if size == 0 {
            let reason = format!("sample {index} of track {track_id} has no bytes");
            return Err(BmffError::invalid(*b"stbl", reason));
        }
        if size > MP4_SAMPLE_BYTES_MAX {
            let (claimed, allowed) = (size.into(), MP4_SAMPLE_BYTES_MAX.into());
            return Err(BmffError::Limit { name: FourCc(*b"stbl"), what: "bytes in a sample", claimed, allowed });
        }
        let left = self.left_bytes.checked_sub(size.into());
        self.left_bytes = left.ok_or(BmffError::SampleBytes { index, track_id, file_bytes })?;
        Ok(())
    }
}
