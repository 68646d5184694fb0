//! Plans and builds media segments, `styp sidx moof mdat` (ISO/IEC 23000-19 §7.3). In: a run of samples in a file. Out: the
//! segment's bytes in a reused buffer, encrypted in place while they are in the cache.

use mcsp_domain::{KeyId, RenditionName, Scheme, TrackKey};

use super::cuts::Cut;
use super::track::ObjectInput;
use super::{PlanError, RenditionPlan, SegmentPlan};
use crate::bmff::fragment::{
    AuxiliaryInfo, MDAT_HEADER_BYTES, SIDX_BYTES, STYP_BYTES, SegmentIndex, moof_bytes, write_mdat_header, write_moof,
    write_sidx, write_styp,
};
use crate::bmff::{BmffError, BoxWriter, SampleTable};
use crate::cenc::{Sealer, Subsample, sample_iv};
use crate::{MediaConfig, TrackConfig};

/// Bytes copied before they are encrypted: they are still in the second-level cache then.
const RUN_BYTES_MAX: u64 = 256 << 10;
/// Bytes of a `senc` entry's IV under `cenc`.
const IV_BYTES: usize = 8;
/// Subsamples that the one byte of a `saiz` entry has room for.
const SUBSAMPLES_MAX: usize = (255 - IV_BYTES - 2) / 6;

/// Buffers of one builder, used again for every segment.
#[derive(Default)]
pub struct SegmentBuffer {
    bytes: Vec<u8>,
    head: Vec<u8>,
    senc: Vec<u8>,
    entry_lens: Vec<u8>,
    subsamples: Vec<Subsample>,
}

/// How a rendition's samples are encrypted.
pub(super) struct Sealing {
    pub(super) kid: KeyId,
    sealer: Sealer,
    iv_base: [u8; 8],
    rendition: u16,
    per_sample_iv: bool,
    subsamples: bool,
}

impl Sealing {
    pub(super) fn new(sealer: Sealer, scheme: Scheme, key: &TrackKey, media: &MediaConfig, rendition: u16) -> Self {
        let [b0, b1, b2, b3, b4, b5, b6, b7, ..] = key.iv;
        Self {
            kid: key.kid,
            sealer,
            iv_base: [b0, b1, b2, b3, b4, b5, b6, b7],
            rendition,
            per_sample_iv: scheme == Scheme::Cenc,
            subsamples: media.is_video(),
        }
    }

    /// Returns whether `senc` has anything to say: whole samples under a constant IV need none.
    fn has_entries(&self) -> bool {
        self.per_sample_iv || self.subsamples
    }
}

/// Turns the cuts of a rendition into segments.
pub(super) fn plan(
    name: &RenditionName,
    objects: &[ObjectInput],
    config: &TrackConfig,
    cuts: &[Cut],
) -> Result<Vec<SegmentPlan>, PlanError> {
    let mut segments = Vec::with_capacity(cuts.len());
    for (index, &Cut { object, sample }) in cuts.iter().enumerate() {
        let Some(current) = objects.get(object) else { continue };
        let samples = &current.track.samples;
        let next = cuts.get(index + 1).filter(|next| next.object == object);
        let range = sample..next.map_or(samples.len(), |next| next.sample);
        let columns = samples.columns(range.clone());
        let presented = |ticks: i64| ticks.saturating_sub(config.edit_media_time).max(0);
        let start_ticks = presented(columns.dts.first().copied().unwrap_or_default());
        let duration_ticks = presented(columns.end).abs_diff(start_ticks);
        if duration_ticks == 0 {
            return Err(PlanError::NoDuration { name: name.clone(), segment: index });
        }
        let moof = moof_bytes(&columns, None).map_err(|source| PlanError::Bmff { name: name.clone(), source })?;
        let media: u64 = columns.sizes.iter().map(|&size| u64::from(size)).sum();
        let clear_size_bytes = STYP_BYTES + SIDX_BYTES + moof + MDAT_HEADER_BYTES + media;
        segments.push(SegmentPlan { object, samples: range, start_ticks, duration_ticks, clear_size_bytes });
    }
    Ok(segments)
}

/// Builds a segment. Media goes in first, behind room for the boxes, whose size encryption decides; then the boxes are put
/// right in front of it, so that media bytes are copied once.
pub(super) fn build<'b>(
    plan: &RenditionPlan,
    segment: &SegmentPlan,
    number: u32,
    buffer: &'b mut SegmentBuffer,
) -> Result<&'b [u8], PlanError> {
    let missing = || PlanError::NoSamples { name: plan.name.clone(), object: segment.object };
    let object = plan.objects.get(segment.object).ok_or_else(missing)?;
    let samples = &object.track.samples;
    let columns = samples.columns(segment.samples.clone());
    let media_bytes = columns.sizes.iter().map(|&size| u64::from(size)).sum();
    let clear_head = segment.clear_size_bytes.saturating_sub(media_bytes);
    let room =
        usize::try_from(clear_head).unwrap_or(0) + plan.sealing.as_ref().map_or(0, |_| 64 + 32 * columns.sizes.len());
    buffer.clear(room, usize::try_from(media_bytes).unwrap_or(0));
    let runs = Runs { samples, next: segment.samples.start, end: segment.samples.end };
    for run in runs {
        buffer.copy(object.bytes, &run).ok_or_else(missing)?;
        if let Some(sealing) = &plan.sealing {
            buffer.seal(plan, segment.object, sealing, &run)?;
        }
    }
    let sealing = plan.sealing.as_ref().filter(|sealing| sealing.has_entries());
    let auxiliary = sealing.map(|sealing| AuxiliaryInfo {
        entries: &buffer.senc,
        entry_lens: &buffer.entry_lens,
        subsamples: sealing.subsamples,
    });
    let mut write_head = || -> Result<(), BmffError> {
        let mut w = BoxWriter::new(&mut buffer.head);
        let mdat_bytes = MDAT_HEADER_BYTES + media_bytes;
        write_styp(&mut w);
        let index = SegmentIndex {
            timescale: plan.config.timescale,
            earliest_pts: u64::try_from(segment.start_ticks).unwrap_or(0),
            duration: segment.duration_ticks,
            referenced_bytes: moof_bytes(&columns, auxiliary)? + mdat_bytes,
        };
        write_sidx(&mut w, index)?;
        write_moof(&mut w, number, &columns, auxiliary)?;
        write_mdat_header(&mut w, media_bytes)
    };
    write_head().map_err(|source| PlanError::Bmff { name: plan.name.clone(), source })?;
    Ok(buffer.finish(room))
}

/// Samples that lie side by side in the file.
struct Run<'s> {
    first: usize,
    sizes: &'s [u32],
    offset: u64,
    len_bytes: u64,
}

/// Splits a range of samples into runs of at most `RUN_BYTES_MAX`, but for samples that are larger by themselves.
struct Runs<'s> {
    samples: &'s SampleTable,
    next: usize,
    end: usize,
}

impl<'s> Iterator for Runs<'s> {
    type Item = Run<'s>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = self.next;
        let rest = first..self.end;
        let (sizes, offsets) = (self.samples.sizes().get(rest.clone())?, self.samples.offsets().get(rest)?);
        let offset = *offsets.first()?;
        let (mut count, mut len_bytes) = (0, 0_u64);
        for (&size, &sample_offset) in sizes.iter().zip(offsets) {
            let fits = sample_offset == offset + len_bytes && len_bytes + u64::from(size) <= RUN_BYTES_MAX;
            if count > 0 && !fits {
                break;
            }
            count += 1;
            len_bytes += u64::from(size);
        }
        self.next = first + count;
        Some(Run { first, sizes: &sizes[..count], offset, len_bytes })
    }
}

impl SegmentBuffer {
    /// Returns empty buffers.
    pub fn new() -> Self {
        Self::default()
    }

    fn clear(&mut self, room: usize, media_bytes: usize) {
        self.bytes.clear();
        self.bytes.reserve(room + media_bytes);
        self.bytes.resize(room, 0);
        self.head.clear();
        self.senc.clear();
        self.entry_lens.clear();
    }

    /// Appends the bytes of a run; nothing when they are not in the file.
    fn copy(&mut self, file: &[u8], run: &Run) -> Option<()> {
        let start = usize::try_from(run.offset).ok()?;
        let end = usize::try_from(run.offset.checked_add(run.len_bytes)?).ok()?;
        self.bytes.extend_from_slice(file.get(start..end)?);
        Some(())
    }

    /// Encrypts the run copied last, sample by sample, and notes what `senc` says of each.
    fn seal(&mut self, plan: &RenditionPlan, object: usize, sealing: &Sealing, run: &Run) -> Result<(), PlanError> {
        let chunk = plan.objects.get(object).map_or(0, |object| object.chunk);
        let copied = usize::try_from(run.len_bytes).unwrap_or(usize::MAX);
        let mut at = self.bytes.len().saturating_sub(copied);
        for (sample, &size) in (run.first..).zip(run.sizes) {
            let end = at + usize::try_from(size).unwrap_or(usize::MAX);
            let index = u32::try_from(sample).unwrap_or(u32::MAX);
            let iv = sample_iv(sealing.iv_base, sealing.rendition, chunk, index);
            self.subsamples.clear();
            let sealed = sealing.sealer.seal(iv, &mut self.bytes[at..end], &mut self.subsamples);
            sealed.map_err(|source| PlanError::Cenc { name: plan.name.clone(), source })?;
            let count = self.subsamples.len();
            if count > SUBSAMPLES_MAX {
                let (name, allowed) = (plan.name.clone(), SUBSAMPLES_MAX);
                return Err(PlanError::Subsamples { name, object, sample, count, allowed });
            }
            self.note(sealing, iv);
            at = end;
        }
        Ok(())
    }

    /// Appends the `senc` entry of the sample just sealed.
    fn note(&mut self, sealing: &Sealing, iv: [u8; IV_BYTES]) {
        let before = self.senc.len();
        if sealing.per_sample_iv {
            self.senc.extend_from_slice(&iv);
        }
        if sealing.subsamples {
            let count = u16::try_from(self.subsamples.len()).unwrap_or(u16::MAX);
            self.senc.extend_from_slice(&count.to_be_bytes());
        }
        for subsample in &self.subsamples {
            self.senc.extend_from_slice(&subsample.clear_bytes.to_be_bytes());
            self.senc.extend_from_slice(&subsample.protected_bytes.to_be_bytes());
        }
        self.entry_lens.push(u8::try_from(self.senc.len() - before).unwrap_or(u8::MAX));
    }

    /// Puts the boxes in front of the media and returns both.
    fn finish(&mut self, room: usize) -> &[u8] {
        let len = self.head.len();
        if len > room {
            self.bytes.splice(0..0, std::iter::repeat_n(0, len - room));
        }
        let start = room.saturating_sub(len);
        self.bytes[start..start + len].copy_from_slice(&self.head);
        &self.bytes[start..]
    }
}
