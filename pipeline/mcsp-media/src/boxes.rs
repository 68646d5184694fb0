//! A bounded walk over an ISO base media file (ISO/IEC 14496-12): sizes and counts against the length of the source,
//! before any library sees it. In: a reader. Out: nothing, or which box lies and by how much.

use crate::error::MediaError;
use crate::source::SourceReader;

/// Boxes looked at on the top level: past these, the demuxer finds out by itself.
const TOP_BOXES_MAX: usize = 10_000;
/// Boxes looked at inside `moov`: some 20 for each of 64 tracks, ten times over.
const MOVIE_BOXES_MAX: usize = 16_384;
/// Bytes of a table read at once.
const TABLE_READ_BYTES: usize = 64 << 10;
/// Types that a file may start with.
const FIRST_TYPES: [&[u8; 4]; 8] = [b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp"];
/// Boxes of `moov` whose children are looked at.
const PARENTS: [&[u8; 4]; 4] = [b"trak", b"mdia", b"minf", b"stbl"];

/// Returns whether a file may start with a box of this type.
pub(crate) fn may_start_a_file(box_type: &[u8]) -> bool {
    FIRST_TYPES.iter().any(|first| *first == box_type)
}

#[derive(Clone, Copy)]
struct BoxHeader {
    kind: [u8; 4],
    body: u64,
    end: u64,
}

impl BoxHeader {
    fn name(&self) -> String {
        self.kind.iter().map(|&byte| if byte.is_ascii_graphic() { char::from(byte) } else { '?' }).collect()
    }

    fn payload_bytes(&self) -> u64 {
        self.end - self.body
    }
}

/// Checks the sizes of all boxes down to the sample tables, and every table's count.
pub(crate) fn check(reader: &mut SourceReader) -> Result<(), MediaError> {
    let len_bytes = reader.len_bytes();
    let (mut offset, mut movie) = (0, None);
    for _ in 0..TOP_BOXES_MAX {
        // A tail of fewer bytes than a header is padding that players ignore.
        if offset + 8 > len_bytes {
            break;
        }
        let header = header_at(reader, offset, len_bytes, "the source")?;
        if &header.kind == b"moov" {
            movie = movie.or(Some(header));
        }
        offset = header.end;
    }
    let Some(movie) = movie else {
        return Err(MediaError::Corrupt(format!("box moov is missing in {len_bytes} bytes of ISO base media")));
    };
    check_movie(reader, movie)
}

fn header_at(reader: &mut SourceReader, start: u64, end_max: u64, holder: &str) -> Result<BoxHeader, MediaError> {
    let mut bytes = [0; 16];
    let count = reader.read_at(start, &mut bytes)?;
    let size = u64::from(be32(&bytes, 0));
    let kind = [bytes[4], bytes[5], bytes[6], bytes[7]];
    let (header_bytes, size) = match size {
        0 => (8, end_max.saturating_sub(start)),
        1 => (16, u64::from(be32(&bytes, 8)) << 32 | u64::from(be32(&bytes, 12))),
        _ => (8, size),
    };
    let header = BoxHeader { kind, body: start + header_bytes, end: start.saturating_add(size) };
    let name = header.name();
    if size < header_bytes || (count as u64) < header_bytes {
        return Err(MediaError::Corrupt(format!(
            "box {name} at byte {start} claims {size} bytes, its header has {header_bytes}"
        )));
    }
    if header.end > end_max {
        return Err(MediaError::Corrupt(format!(
            "box {name} claims {size} bytes at byte {start}, {holder} ends at byte {end_max}"
        )));
    }
    Ok(header)
}

fn check_movie(reader: &mut SourceReader, movie: BoxHeader) -> Result<(), MediaError> {
    let mut open = vec![movie];
    let mut seen = 0;
    while let Some(parent) = open.pop() {
        let mut offset = parent.body;
        // QuickTime ends some lists with four zero bytes.
        while offset + 8 <= parent.end {
            seen += 1;
            if seen > MOVIE_BOXES_MAX {
                return Err(MediaError::Limit(format!("box moov holds more than {MOVIE_BOXES_MAX} boxes")));
            }
            let child = header_at(reader, offset, parent.end, &format!("box {}", parent.name()))?;
            if PARENTS.iter().any(|kind| **kind == child.kind) {
                open.push(child);
            } else {
                check_table(reader, child)?;
            }
            offset = child.end;
        }
    }
    Ok(())
}

fn check_table(reader: &mut SourceReader, table: BoxHeader) -> Result<(), MediaError> {
    match &table.kind {
        b"stsd" => check_sample_entries(reader, table),
        b"stsz" => check_sample_sizes(reader, table),
        b"stz2" => {
            let [_, field, count] = words(reader, table)?;
            check_count(table, 12, count, u64::from(field & 0xff))
        }
        b"stco" => check_count(table, 8, words(reader, table)?[1], 32).and_then(|()| check_offsets(reader, table, 4)),
        b"co64" => check_count(table, 8, words(reader, table)?[1], 64).and_then(|()| check_offsets(reader, table, 8)),
        b"stts" | b"ctts" => check_count(table, 8, words(reader, table)?[1], 64),
        b"stsc" => check_count(table, 8, words(reader, table)?[1], 96),
        b"stss" => check_count(table, 8, words(reader, table)?[1], 32),
        _ => Ok(()),
    }
}

/// Returns the three 32-bit words at the start of a table: version and flags, and what follows.
fn words(reader: &mut SourceReader, table: BoxHeader) -> Result<[u32; 3], MediaError> {
    let mut bytes = [0; 12];
    let len = usize::try_from(table.payload_bytes()).unwrap_or(usize::MAX).min(bytes.len());
    reader.read_at(table.body, &mut bytes[..len])?;
    Ok([be32(&bytes, 0), be32(&bytes, 4), be32(&bytes, 8)])
}

fn check_count(table: BoxHeader, head_bytes: u64, count: u32, entry_bits: u64) -> Result<(), MediaError> {
    let held_bytes = table.payload_bytes().saturating_sub(head_bytes);
    let held = (held_bytes * 8).checked_div(entry_bits).unwrap_or(0);
    if u64::from(count) > held {
        let name = table.name();
        return Err(MediaError::Corrupt(format!(
            "box {name} claims {count} entries, its {held_bytes} bytes hold {held}"
        )));
    }
    Ok(())
}

/// Refuses encrypted tracks (ISO/IEC 23001-7 §4): decoders of protected samples have a record of memory errors.
fn check_sample_entries(reader: &mut SourceReader, table: BoxHeader) -> Result<(), MediaError> {
    let [_, count, _] = words(reader, table)?;
    let mut offset = table.body + 8;
    for _ in 0..count {
        if offset + 8 > table.end {
            break;
        }
        let entry = header_at(reader, offset, table.end, "box stsd")?;
        if [b"encv", b"enca", b"enct", b"encs", b"drmi", b"drms"].contains(&&entry.kind) {
            return Err(MediaError::Unsupported(format!("source is encrypted (sample entry {})", entry.name())));
        }
        offset = entry.end;
    }
    Ok(())
}

fn check_sample_sizes(reader: &mut SourceReader, table: BoxHeader) -> Result<(), MediaError> {
    let [_, constant_bytes, count] = words(reader, table)?;
    let total_bytes = if constant_bytes > 0 {
        u64::from(constant_bytes) * u64::from(count)
    } else {
        check_count(table, 12, count, 32)?;
        let mut total = 0u64;
        for_each_entry(reader, table.body + 12, u64::from(count) * 4, 4, |size| total = total.saturating_add(size))?;
        total
    };
    let len_bytes = reader.len_bytes();
    if total_bytes > len_bytes {
        return Err(MediaError::Corrupt(format!(
            "box stsz claims {count} samples of {total_bytes} bytes in all, the source has {len_bytes}"
        )));
    }
    Ok(())
}

fn check_offsets(reader: &mut SourceReader, table: BoxHeader, entry_bytes: usize) -> Result<(), MediaError> {
    let count = u64::from(words(reader, table)?[1]);
    let mut last = 0;
    for_each_entry(reader, table.body + 8, count * entry_bytes as u64, entry_bytes, |offset| last = last.max(offset))?;
    let len_bytes = reader.len_bytes();
    if last > len_bytes {
        let name = table.name();
        return Err(MediaError::Corrupt(format!(
            "box {name} points at byte {last}, the source ends at byte {len_bytes}"
        )));
    }
    Ok(())
}

/// Calls `visit` with every entry of a table that was found to lie inside its box.
fn for_each_entry(
    reader: &mut SourceReader,
    start: u64,
    table_bytes: u64,
    entry_bytes: usize,
    mut visit: impl FnMut(u64),
) -> Result<(), MediaError> {
    let mut buffer = vec![0; TABLE_READ_BYTES];
    let (mut offset, end) = (start, start.saturating_add(table_bytes));
    while offset < end {
        let wanted = usize::try_from(end - offset).unwrap_or(usize::MAX).min(buffer.len());
        let count = reader.read_at(offset, &mut buffer[..wanted])?;
        for entry in buffer[..count].chunks_exact(entry_bytes) {
            visit(entry.iter().fold(0, |value, &byte| (value << 8) | u64::from(byte)));
        }
        if count < wanted {
            break;
        }
        offset += count as u64;
    }
    Ok(())
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |&word| u32::from_be_bytes(word))
}
