//! Movie fragments and media segments: `styp sidx moof mdat` (ISO/IEC 14496-12 §8.8 and §8.16, ISO/IEC 23000-19 §7.3),
//! one `traf` with one `trun`. In: the columns of a run of samples. Out: boxes, and their sizes before they are written.

use super::mux::TRACK_ID;
use super::{BmffError, BoxWriter};

/// A sample that decoding may begin at: it depends on no other (§8.8.3.1).
const FLAGS_SYNC: u32 = 0x0200_0000;
/// A sample that depends on others and is no sync sample.
const FLAGS_NON_SYNC: u32 = 0x0101_0000;
/// Bytes of a box header with a 32-bit size.
const HEADER_BYTES: u64 = 8;
/// Bytes of `styp` with its three compatible brands.
pub(crate) const STYP_BYTES: u64 = HEADER_BYTES + 8 + 12;
/// Bytes of `sidx` version 1 with one reference.
pub(crate) const SIDX_BYTES: u64 = HEADER_BYTES + 4 + 8 + 16 + 4 + 12;
/// Bytes of the header of `mdat`.
pub(crate) const MDAT_HEADER_BYTES: u64 = HEADER_BYTES;

/// The columns of the samples of one fragment, in decode order; all of one length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SampleColumns<'a> {
    /// Bytes of each sample.
    pub(crate) sizes: &'a [u32],
    /// Decode times in ticks, rising.
    pub(crate) dts: &'a [i64],
    /// Display times in ticks.
    pub(crate) pts: &'a [i64],
    /// Which samples are sync samples.
    pub(crate) keys: &'a [bool],
    /// The decode time after the last sample.
    pub(crate) end: i64,
}

impl SampleColumns<'_> {
    fn durations(&self) -> impl Iterator<Item = i64> {
        let next = self.dts.iter().skip(1).copied().chain([self.end]);
        self.dts.iter().zip(next).map(|(&dts, next)| next.saturating_sub(dts))
    }

    fn offsets(&self) -> impl Iterator<Item = i64> {
        self.pts.iter().zip(self.dts).map(|(&pts, &dts)| pts.saturating_sub(dts))
    }
}

/// What `senc`, `saiz` and `saio` hold for one fragment (ISO/IEC 23001-7 §7.2, ISO/IEC 14496-12 §8.7.8 and §8.7.9).
#[derive(Clone, Copy, Debug)]
pub(crate) struct AuxiliaryInfo<'a> {
    /// The entries of `senc`, one after the other.
    pub(crate) entries: &'a [u8],
    /// Bytes of each sample's entry.
    pub(crate) entry_lens: &'a [u8],
    /// Whether entries hold subsamples (`senc` flag 2).
    pub(crate) subsamples: bool,
}

impl AuxiliaryInfo<'_> {
    /// Returns the length that all entries share, if they do.
    fn shared_len(&self) -> Option<u8> {
        let first = self.entry_lens.first().copied();
        first.filter(|first| self.entry_lens.iter().all(|len| len == first))
    }

    fn boxes_bytes(&self) -> u64 {
        let listed = if self.shared_len().is_some() { 0 } else { self.entry_lens.len() as u64 };
        let (saiz, saio) = (HEADER_BYTES + 4 + 5 + listed, HEADER_BYTES + 4 + 8);
        saiz + saio + HEADER_BYTES + 4 + 4 + self.entries.len() as u64
    }
}

/// Which fields every entry of a `trun` needs; what all samples share goes into `tfhd`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    shared_duration: Option<u32>,
    shared_key: Option<bool>,
    offsets: bool,
}

impl Shape {
    fn of(samples: &SampleColumns) -> Result<Self, BmffError> {
        let count = samples.sizes.len();
        let same = samples.dts.len() == count && samples.pts.len() == count && samples.keys.len() == count;
        assert!(same, "the columns of a fragment have one length");
        if count == 0 {
            return Err(BmffError::invalid(*b"trun", "a fragment has no samples"));
        }
        let mut durations = samples.durations();
        let first = duration_field(durations.next().unwrap_or(0))?;
        let mut shared_duration = Some(first);
        for duration in durations {
            if duration_field(duration)? != first {
                shared_duration = None;
            }
        }
        let keys = samples.keys;
        let shared_key = keys.first().copied().filter(|first| keys.iter().all(|key| key == first));
        Ok(Self { shared_duration, shared_key, offsets: samples.offsets().any(|offset| offset != 0) })
    }

    fn entry_bytes(self) -> u64 {
        let fields = 1 + u64::from(self.shared_duration.is_none()) + u64::from(self.shared_key.is_none());
        4 * (fields + u64::from(self.offsets))
    }

    fn tfhd_bytes(self) -> u64 {
        let defaults = u64::from(self.shared_duration.is_some()) + u64::from(self.shared_key.is_some());
        HEADER_BYTES + 4 + 4 + 4 * defaults
    }
}

/// Returns the bytes of a fragment's `moof`, without writing it.
///
/// # Errors
/// When a duration does not fit `trun`.
pub(crate) fn moof_bytes(samples: &SampleColumns, auxiliary: Option<AuxiliaryInfo>) -> Result<u64, BmffError> {
    let shape = Shape::of(samples)?;
    let trun = HEADER_BYTES + 4 + 4 + 4 + samples.sizes.len() as u64 * shape.entry_bytes();
    let (mfhd, tfdt) = (HEADER_BYTES + 8, HEADER_BYTES + 12);
    let clear = HEADER_BYTES + mfhd + HEADER_BYTES + shape.tfhd_bytes() + tfdt + trun;
    Ok(clear + auxiliary.map_or(0, |auxiliary| auxiliary.boxes_bytes()))
}

/// Writes `styp`: a media segment and CMAF segment whose index describes it (ISO/IEC 23009-1 §6.3.4.2).
pub(crate) fn write_styp(w: &mut BoxWriter) {
    w.boxed(*b"styp", |w| {
        w.bytes(b"msdh");
        w.u32(0);
        w.bytes(b"msdhmsixcmfs");
    });
}

/// What the one reference of `sidx` says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentIndex {
    /// Ticks per second.
    pub(crate) timescale: u32,
    /// The earliest display time after edits.
    pub(crate) earliest_pts: u64,
    /// Ticks until the next segment.
    pub(crate) duration: u64,
    /// Bytes of `moof` and `mdat`.
    pub(crate) referenced_bytes: u64,
}

/// Writes `sidx` with one reference, a stream access point of type 1 (§8.16.3).
///
/// # Errors
/// When the segment is 2 GiB or larger, or longer than 32 bits of ticks.
pub(crate) fn write_sidx(w: &mut BoxWriter, index: SegmentIndex) -> Result<(), BmffError> {
    let too_large = |field, value: u64| BmffError::field(*b"sidx", field, i64::try_from(value).unwrap_or(i64::MAX));
    let size = u32::try_from(index.referenced_bytes).ok().filter(|&size| size < 1 << 31);
    let size = size.ok_or_else(|| too_large("referenced_size", index.referenced_bytes))?;
    let duration = u32::try_from(index.duration).map_err(|_| too_large("subsegment_duration", index.duration))?;
    w.full_box(*b"sidx", 1, 0, |w| {
        w.u32(TRACK_ID);
        w.u32(index.timescale);
        w.u64(index.earliest_pts);
        w.u64(0); // first_offset
        w.u16(0);
        w.u16(1); // reference_count
        w.u32(size);
        w.u32(duration);
        w.u32(1 << 31 | 1 << 28); // starts_with_SAP, SAP_type 1
    });
    Ok(())
}

/// Writes the header of an `mdat` whose payload follows.
///
/// # Errors
/// When the payload needs a 64-bit size.
pub(crate) fn write_mdat_header(w: &mut BoxWriter, media_bytes: u64) -> Result<(), BmffError> {
    let size = u32::try_from(media_bytes.saturating_add(MDAT_HEADER_BYTES));
    let size = size.map_err(|_| BmffError::field(*b"mdat", "size", i64::try_from(media_bytes).unwrap_or(i64::MAX)))?;
    w.u32(size);
    w.bytes(b"mdat");
    Ok(())
}

/// Writes `moof` for samples that follow in one `mdat`.
///
/// # Errors
/// When there are no samples, or a time does not fit its field.
pub(crate) fn write_moof(
    w: &mut BoxWriter,
    sequence: u32,
    samples: &SampleColumns,
    auxiliary: Option<AuxiliaryInfo>,
) -> Result<(), BmffError> {
    let shape = Shape::of(samples)?;
    let first_dts = samples.dts.first().copied().unwrap_or(0);
    let decode_time = u64::try_from(first_dts).map_err(|_| BmffError::field(*b"tfdt", "decode time", first_dts))?;
    let moof_start = w.position();
    let data_offset_at = w.boxed(*b"moof", |w| {
        w.full_box(*b"mfhd", 0, 0, |w| w.u32(sequence));
        w.boxed(*b"traf", |w| {
            write_tfhd(w, shape);
            w.full_box(*b"tfdt", 1, 0, |w| w.u64(decode_time));
            let data_offset_at = write_trun(w, shape, samples)?;
            if let Some(auxiliary) = auxiliary {
                write_auxiliary(w, moof_start, auxiliary);
            }
            Ok(data_offset_at)
        })
    })?;
    let moof_bytes = w.position() - moof_start;
    let data_offset = u32::try_from(moof_bytes).unwrap_or(u32::MAX).saturating_add(8);
    w.patch_u32(data_offset_at, data_offset);
    Ok(())
}

/// Writes `tfhd` with `default-base-is-moof` and the defaults that all samples share.
fn write_tfhd(w: &mut BoxWriter, shape: Shape) {
    let mut flags = 0x02_0000;
    flags |= if shape.shared_duration.is_some() { 0x08 } else { 0 };
    flags |= if shape.shared_key.is_some() { 0x20 } else { 0 };
    w.full_box(*b"tfhd", 0, flags, |w| {
        w.u32(TRACK_ID);
        if let Some(duration) = shape.shared_duration {
            w.u32(duration);
        }
        if let Some(key) = shape.shared_key {
            w.u32(sample_flags(key));
        }
    });
}

/// Writes `trun` and returns where its data offset stands, which the size of `moof` decides.
fn write_trun(w: &mut BoxWriter, shape: Shape, samples: &SampleColumns) -> Result<usize, BmffError> {
    let mut flags = 0x0001 | 0x0200;
    flags |= if shape.shared_duration.is_none() { 0x0100 } else { 0 };
    flags |= if shape.shared_key.is_none() { 0x0400 } else { 0 };
    flags |= if shape.offsets { 0x0800 } else { 0 };
    let count = u32::try_from(samples.sizes.len())
        .map_err(|_| BmffError::invalid(*b"trun", format!("{} samples in a fragment", samples.sizes.len())))?;
    w.full_box(*b"trun", 1, flags, |w| {
        w.u32(count);
        let data_offset_at = w.position();
        w.u32(0);
        write_trun_entries(w, shape, samples)?;
        Ok(data_offset_at)
    })
}

fn write_trun_entries(w: &mut BoxWriter, shape: Shape, samples: &SampleColumns) -> Result<(), BmffError> {
    let rows = samples.durations().zip(samples.sizes).zip(samples.keys).zip(samples.offsets());
    for (((duration, &size), &key), offset) in rows {
        if shape.shared_duration.is_none() {
            w.u32(duration_field(duration)?);
        }
        w.u32(size);
        if shape.shared_key.is_none() {
            w.u32(sample_flags(key));
        }
        if shape.offsets {
            w.i32(i32::try_from(offset).map_err(|_| BmffError::field(*b"trun", "composition offset", offset))?);
        }
    }
    Ok(())
}

/// Writes `saiz`, `saio` and `senc`; the offset in `saio` counts from `moof` to the first entry in `senc`.
fn write_auxiliary(w: &mut BoxWriter, moof_start: usize, auxiliary: AuxiliaryInfo) {
    let count = u32::try_from(auxiliary.entry_lens.len()).unwrap_or(u32::MAX);
    let shared = auxiliary.shared_len();
    w.full_box(*b"saiz", 0, 0, |w| {
        w.u8(shared.unwrap_or(0));
        w.u32(count);
        if shared.is_none() {
            w.bytes(auxiliary.entry_lens);
        }
    });
    let offset_at = w.full_box(*b"saio", 0, 0, |w| {
        w.u32(1);
        w.u32(0);
        w.position() - 4
    });
    let entries_at = w.full_box(*b"senc", 0, if auxiliary.subsamples { 2 } else { 0 }, |w| {
        w.u32(count);
        w.bytes(auxiliary.entries);
        w.position() - auxiliary.entries.len()
    });
    w.patch_u32(offset_at, u32::try_from(entries_at - moof_start).unwrap_or(u32::MAX));
}

fn sample_flags(key: bool) -> u32 {
    if key { FLAGS_SYNC } else { FLAGS_NON_SYNC }
}

fn duration_field(duration: i64) -> Result<u32, BmffError> {
    u32::try_from(duration).ok().filter(|&ticks| ticks > 0).ok_or(BmffError::field(
        *b"trun",
        "sample duration",
        duration,
    ))
}
