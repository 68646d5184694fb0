//! The sample table of a progressive file (ISO/IEC 14496-12 §8.6 and §8.7): run lengths and chunks become columns.

use super::cursor::BoxRef;
use super::table::{Budget, SampleTable};
use crate::bmff::{BmffError, FourCc};

/// Reads `stbl` of track `track_id`. Display times are composition times, before any edit.
pub(super) fn read(stbl: &BoxRef, track_id: u32, budget: &mut Budget) -> Result<SampleTable, BmffError> {
    let sizes = read_sizes(stbl, budget)?;
    let count = sizes.len();
    let (dts, end) = read_decode_times(&stbl.child(*b"stts")?, count)?;
    let pts = match stbl.find(*b"ctts")? {
        Some(ctts) => read_display_times(&ctts, &dts)?,
        None => dts.clone(),
    };
    let offsets = read_offsets(stbl, &sizes)?;
    for (index, (&offset, &size)) in (0..).zip(offsets.iter().zip(&sizes)) {
        budget.spend(track_id, index, offset, size)?;
    }
    let keys = match stbl.find(*b"stss")? {
        Some(stss) => read_keys(&stss, count)?,
        None => vec![true; count],
    };
    Ok(SampleTable { offsets, sizes, dts, pts, keys, end })
}

/// Reads `stsz` or `stz2` (§8.7.3).
fn read_sizes(stbl: &BoxRef, budget: &Budget) -> Result<Vec<u32>, BmffError> {
    let Some(stsz) = stbl.find(*b"stsz")? else {
        return read_compact_sizes(&stbl.child(*b"stz2")?, budget);
    };
    let (_, _, mut fields) = stsz.full()?;
    let uniform = fields.u32()?;
    if uniform != 0 {
        let count = fields.u32()?;
        budget.allow(stsz.name, count.into())?;
        return Ok(vec![uniform; usize::try_from(count).unwrap_or(0)]);
    }
    let mut entries = fields.counted(4)?;
    budget.allow(stsz.name, entries.len() as u64)?;
    let mut sizes = Vec::with_capacity(entries.len());
    while entries.advance() {
        sizes.push(entries.fields.u32()?);
    }
    Ok(sizes)
}

fn read_compact_sizes(stz2: &BoxRef, budget: &Budget) -> Result<Vec<u32>, BmffError> {
    let (_, _, mut fields) = stz2.full()?;
    fields.skip(3)?;
    let field_bits = fields.u8()?;
    let count = fields.u32()?;
    budget.allow(stz2.name, count.into())?;
    let mut sizes = Vec::new();
    if field_bits == 4 {
        let mut pairs = fields.entries(u64::from(count).div_ceil(2), 1)?;
        while pairs.advance() {
            let pair = u32::from(pairs.fields.u8()?);
            sizes.extend([pair >> 4, pair & 15]);
        }
        sizes.truncate(usize::try_from(count).unwrap_or(0));
        return Ok(sizes);
    }
    if !matches!(field_bits, 8 | 16) {
        return Err(BmffError::invalid(stz2.name.0, format!("sizes of {field_bits} bits")));
    }
    let entry_bytes = if field_bits == 8 { 1 } else { 2 };
    let mut entries = fields.entries(count.into(), entry_bytes)?;
    while entries.advance() {
        sizes.push(u32::try_from(entries.fields.uint(entry_bytes)?).unwrap_or(u32::MAX));
    }
    Ok(sizes)
}

/// Reads `stts` (§8.6.1.2) and returns the decode times and the time after the last sample.
fn read_decode_times(stts: &BoxRef, count: usize) -> Result<(Vec<i64>, i64), BmffError> {
    let (_, _, mut fields) = stts.full()?;
    let mut entries = fields.counted(8)?;
    let mut times = Vec::with_capacity(count);
    let mut time = 0_i64;
    while entries.advance() {
        let run = entries.fields.u32()?;
        let delta = i64::from(entries.fields.u32()?);
        check_run(stts, times.len(), run, count)?;
        for _ in 0..run {
            times.push(time);
            time = time.saturating_add(delta);
        }
    }
    check_covered(stts, times.len(), count)?;
    Ok((times, time))
}

/// Reads `ctts` (§8.6.1.3). Version 0 is unsigned by the letter, but writers put negative offsets there too.
fn read_display_times(ctts: &BoxRef, dts: &[i64]) -> Result<Vec<i64>, BmffError> {
    let (_, _, mut fields) = ctts.full()?;
    let mut entries = fields.counted(8)?;
    let mut times = Vec::with_capacity(dts.len());
    while entries.advance() {
        let run = entries.fields.u32()?;
        let offset = i64::from(entries.fields.i32()?);
        check_run(ctts, times.len(), run, dts.len())?;
        let run = usize::try_from(run).unwrap_or(0);
        let decode_times = dts.iter().skip(times.len()).take(run);
        times.extend(decode_times.map(|time| time.saturating_add(offset)));
    }
    check_covered(ctts, times.len(), dts.len())?;
    Ok(times)
}

/// Reads `stsc` with `stco` or `co64` (§8.7.4, §8.7.5): samples lie in chunks without gaps between them.
fn read_offsets(stbl: &BoxRef, sizes: &[u32]) -> Result<Vec<u64>, BmffError> {
    let (chunks, offset_bytes) = match stbl.find(*b"stco")? {
        Some(stco) => (stco, 4),
        None => (stbl.child(*b"co64")?, 8),
    };
    let mut chunk_entries = chunks.full()?.2.counted(offset_bytes)?;
    let chunk_count = chunk_entries.len() as u64;
    let stsc = stbl.child(*b"stsc")?;
    let mut runs = stsc.full()?.2.counted(12)?;
    let mut offsets = Vec::with_capacity(sizes.len());
    let mut next = if runs.advance() { Some(read_run(&stsc, &mut runs.fields)?) } else { None };
    if next.is_some_and(|(first_chunk, _)| first_chunk != 1) {
        return Err(BmffError::invalid(*b"stsc", "the first run does not begin at chunk 1"));
    }
    while let Some((first_chunk, samples_per_chunk)) = next {
        next = if runs.advance() { Some(read_run(&stsc, &mut runs.fields)?) } else { None };
        let end_chunk = next.map_or(chunk_count.saturating_add(1), |(first_chunk, _)| first_chunk);
        if end_chunk <= first_chunk || end_chunk > chunk_count.saturating_add(1) {
            let reason = format!("a run goes from chunk {first_chunk} to {end_chunk}, the track has {chunk_count}");
            return Err(BmffError::invalid(*b"stsc", reason));
        }
        for _ in first_chunk..end_chunk {
            chunk_entries.advance();
            let chunk_start = chunk_entries.fields.uint(offset_bytes)?;
            place_chunk(&stsc, chunk_start, samples_per_chunk, sizes, &mut offsets)?;
        }
    }
    check_covered(&stsc, offsets.len(), sizes.len())?;
    Ok(offsets)
}

/// Returns the first chunk of a run, counted from 1, and the samples in each of its chunks.
fn read_run(stsc: &BoxRef, fields: &mut super::cursor::Fields) -> Result<(u64, u32), BmffError> {
    let (first_chunk, samples_per_chunk, entry) = (fields.u32()?, fields.u32()?, fields.u32()?);
    if samples_per_chunk == 0 || entry != 1 {
        let reason = format!("chunk {first_chunk} has {samples_per_chunk} samples of sample entry {entry}");
        return Err(BmffError::invalid(stsc.name.0, reason));
    }
    Ok((first_chunk.into(), samples_per_chunk))
}

fn place_chunk(
    stsc: &BoxRef,
    chunk_start: u64,
    samples_per_chunk: u32,
    sizes: &[u32],
    offsets: &mut Vec<u64>,
) -> Result<(), BmffError> {
    check_run(stsc, offsets.len(), samples_per_chunk, sizes.len())?;
    let mut offset = chunk_start;
    for &size in sizes.iter().skip(offsets.len()).take(usize::try_from(samples_per_chunk).unwrap_or(0)) {
        offsets.push(offset);
        offset = offset.saturating_add(size.into());
    }
    Ok(())
}

/// Reads `stss` (§8.6.2): numbers from 1, rising.
fn read_keys(stss: &BoxRef, count: usize) -> Result<Vec<bool>, BmffError> {
    let mut entries = stss.full()?.2.counted(4)?;
    let mut keys = vec![false; count];
    while entries.advance() {
        let number = entries.fields.u32()?;
        let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        let key = index.and_then(|index| keys.get_mut(index));
        let fault = || BmffError::invalid(*b"stss", format!("names sample {number} of {count}"));
        *key.ok_or_else(fault)? = true;
    }
    Ok(keys)
}

fn check_run(table: &BoxRef, covered: usize, run: u32, count: usize) -> Result<(), BmffError> {
    let claimed = (covered as u64).saturating_add(run.into());
    if claimed > count as u64 {
        return Err(mismatch(table.name, claimed, count));
    }
    Ok(())
}

fn check_covered(table: &BoxRef, covered: usize, count: usize) -> Result<(), BmffError> {
    if covered != count {
        return Err(mismatch(table.name, covered as u64, count));
    }
    Ok(())
}

fn mismatch(name: FourCc, covered: u64, count: usize) -> BmffError {
    BmffError::invalid(name.0, format!("describes {covered} samples, the size table {count}"))
}
