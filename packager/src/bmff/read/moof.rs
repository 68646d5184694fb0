//! Movie fragments (ISO/IEC 14496-12 §8.8): appends their samples to the tables of the tracks.

use super::cursor::{BoxRef, Fields};
use super::table::{Budget, SampleTable};
use crate::bmff::{BmffError, FourCc};

/// How many mean samples a fragment may begin late.
const GAP_SAMPLES: i64 = 10;

/// Defaults of one track, from `trex` and then `tfhd`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Defaults {
    duration: u32,
    size: u32,
    flags: u32,
}

/// Reads `trex` (§8.8.3): the track and its defaults.
pub(super) fn read_trex(trex: &BoxRef) -> Result<(u32, Defaults), BmffError> {
    let (_, _, mut fields) = trex.full()?;
    let track_id = fields.u32()?;
    fields.skip(4)?;
    Ok((track_id, Defaults { duration: fields.u32()?, size: fields.u32()?, flags: fields.u32()? }))
}

/// A track that fragments may extend.
pub(super) struct Extended<'t> {
    pub(super) track_id: u32,
    pub(super) defaults: Defaults,
    pub(super) table: &'t mut SampleTable,
}

/// Reads a `moof` into the tables of `tracks`; fragments of other tracks are passed over.
pub(super) fn read(moof: &BoxRef, tracks: &mut [Extended], budget: &mut Budget) -> Result<(), BmffError> {
    let mut previous_end = Some(moof.offset);
    for traf in moof.children() {
        let traf = traf?;
        if traf.name.0 == *b"traf" {
            previous_end = read_traf(&traf, moof.offset, previous_end, tracks, budget)?;
        }
    }
    Ok(())
}

/// Reads one `traf` and returns where its data ends, if that is known.
fn read_traf(
    traf: &BoxRef,
    moof_offset: u64,
    previous_end: Option<u64>,
    tracks: &mut [Extended],
    budget: &mut Budget,
) -> Result<Option<u64>, BmffError> {
    let (_, flags, mut fields) = traf.child(*b"tfhd")?.full()?;
    let track_id = fields.u32()?;
    let base = read_base(flags, &mut fields, moof_offset, previous_end)?;
    let Some(track) = tracks.iter_mut().find(|track| track.track_id == track_id) else { return Ok(None) };
    let defaults = read_defaults(flags, &mut fields, track.defaults)?;
    let mut time = track.table.end;
    if let Some(tfdt) = traf.find(*b"tfdt")? {
        let (version, _, mut fields) = tfdt.full()?;
        let ticks = if version == 1 { fields.u64()? } else { fields.u32()?.into() };
        let field = |_| BmffError::invalid(*b"tfdt", format!("decode time {ticks}"));
        time = i64::try_from(ticks).map_err(field)?;
    }
    if time < track.table.end {
        let reason =
            format!("decode time {time} of track {track_id} is before {}, where its samples end", track.table.end);
        return Err(BmffError::invalid(*b"tfdt", reason));
    }
    check_gap(track.table, time, track_id)?;
    track.table.end = time;
    let mut run = Run { track_id, base, defaults, next_offset: base, budget, table: track.table };
    for trun in traf.children() {
        let trun = trun?;
        if trun.name.0 == *b"trun" {
            run.read_trun(&trun)?;
        }
    }
    Ok(Some(run.next_offset))
}

/// Refuses a fragment that begins long after the samples before it end: something between them is lost. Muxers that guess
/// a fragment's last duration are off by a frame or two.
fn check_gap(table: &SampleTable, time: i64, track_id: u32) -> Result<(), BmffError> {
    let count = i64::try_from(table.len()).unwrap_or(i64::MAX);
    let Some(start) = table.dts.first().copied().filter(|_| count >= GAP_SAMPLES) else { return Ok(()) };
    let mean = table.end.saturating_sub(start).checked_div(count).unwrap_or(0).max(1);
    if time.saturating_sub(table.end) <= mean.saturating_mul(GAP_SAMPLES) {
        return Ok(());
    }
    let reason =
        format!("decode time {time} of track {track_id} leaves a gap after {}, where its samples end", table.end);
    Err(BmffError::invalid(*b"tfdt", reason))
}

/// Returns what data offsets count from (§8.8.7.1).
fn read_base(flags: u32, fields: &mut Fields, moof_offset: u64, previous_end: Option<u64>) -> Result<u64, BmffError> {
    if flags & 0x01 != 0 {
        return fields.u64();
    }
    if flags & 0x02_0000 != 0 {
        return Ok(moof_offset);
    }
    let unknown = || BmffError::invalid(*b"tfhd", "its data follows a track that is not understood");
    previous_end.ok_or_else(unknown)
}

fn read_defaults(flags: u32, fields: &mut Fields, mut defaults: Defaults) -> Result<Defaults, BmffError> {
    if flags & 0x02 != 0 && fields.u32()? != 1 {
        return Err(BmffError::invalid(*b"tfhd", "names a sample entry other than the first"));
    }
    if flags & 0x08 != 0 {
        defaults.duration = fields.u32()?;
    }
    if flags & 0x10 != 0 {
        defaults.size = fields.u32()?;
    }
    if flags & 0x20 != 0 {
        defaults.flags = fields.u32()?;
    }
    Ok(defaults)
}

/// The runs of one `traf`, one after the other.
struct Run<'a> {
    track_id: u32,
    base: u64,
    defaults: Defaults,
    next_offset: u64,
    budget: &'a mut Budget,
    table: &'a mut SampleTable,
}

impl Run<'_> {
    fn read_trun(&mut self, trun: &BoxRef) -> Result<(), BmffError> {
        let (_, flags, mut fields) = trun.full()?;
        let count = fields.u32()?;
        self.budget.allow(trun.name, (self.table.len() as u64).saturating_add(count.into()))?;
        if flags & 0x01 != 0 {
            let offset = self.base.checked_add_signed(fields.i32()?.into());
            let outside = || BmffError::invalid(*b"trun", "its data offset points before the file");
            self.next_offset = offset.ok_or_else(outside)?;
        }
        let mut first_flags = if flags & 0x04 != 0 { Some(fields.u32()?) } else { None };
        let entry_bytes = usize::try_from((flags & 0x0f00).count_ones().saturating_mul(4)).unwrap_or(16);
        if entry_bytes > 0 {
            // Only the check counts here: the cursor goes on over the same entries.
            fields.clone().entries(count.into(), entry_bytes)?;
        }
        for _ in 0..count {
            self.read_sample(flags, &mut fields, first_flags.take())?;
        }
        Ok(())
    }

    fn read_sample(&mut self, flags: u32, fields: &mut Fields, first: Option<u32>) -> Result<(), BmffError> {
        let mut field = |bit: u32, default: u32| if flags & bit != 0 { fields.u32() } else { Ok(default) };
        let duration = field(0x0100, self.defaults.duration)?;
        let size = field(0x0200, self.defaults.size)?;
        let sample_flags = field(0x0400, first.unwrap_or(self.defaults.flags))?;
        // Version 0 is unsigned by the letter; an offset of 2^31 ticks or more is a negative one all the same.
        let offset = i64::from(field(0x0800, 0)?.cast_signed());
        let table = &mut *self.table;
        self.budget.spend(self.track_id, table.len() as u64, self.next_offset, size)?;
        table.offsets.push(self.next_offset);
        table.sizes.push(size);
        table.dts.push(table.end);
        table.pts.push(table.end.saturating_add(offset));
        table.keys.push(sample_flags & 0x01_0000 == 0);
        let end = table.end.checked_add(duration.into());
        table.end = end.ok_or_else(|| BmffError::Limit {
            name: FourCc(*b"trun"),
            what: "ticks",
            claimed: u64::MAX,
            allowed: i64::MAX.unsigned_abs(),
        })?;
        self.next_offset = self.next_offset.saturating_add(size.into());
        Ok(())
    }
}
