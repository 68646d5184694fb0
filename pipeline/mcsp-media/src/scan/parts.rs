//! Which stretches of a source are looked at for how they begin. In: a reader. Out: the head, the tail, and in ISO base
//! media every place at which bytes that are no samples begin.
//!
//! The walk is tolerant: where boxes stop making sense, the rest is one more part. What is wrong with them is said by the
//! reader of headers (`boxes.rs`).

use crate::boxes;
use crate::error::MediaError;
use crate::source::SourceReader;

/// Bytes of the head: an ISO 9660 image shows itself at 32 KiB.
pub(super) const HEAD_BYTES: usize = 64 << 10;
/// Bytes looked at from where a part begins.
const PART_BYTES: usize = 4 << 10;
/// Bytes of the tail: a ZIP archive's last record with the longest comment, APPNOTE.TXT 4.3.16.
const TAIL_BYTES: u64 = 22 + 65_535;
/// Boxes looked at; past these, the rules for every byte are left.
const BOXES_MAX: usize = 10_000;
/// Parts looked at; each may cost a request to the parent.
const PARTS_MAX: usize = 1024;
/// Bytes of the identifier that a `uuid` box begins with, ISO/IEC 14496-12 §4.2.
const UUID_BYTES: u64 = 16;

/// What a stretch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The beginning of the source.
    Head,
    /// The beginning of bytes that are no samples.
    Part,
    /// The end of the source.
    Tail,
}

impl Place {
    /// Returns the word that rules know it by.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Part => "part",
            Self::Tail => "tail",
        }
    }
}

/// A stretch of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) place: Place,
    pub(super) start_bytes: u64,
    pub(super) len_bytes: usize,
}

/// Returns the stretches of a source, in no order.
pub(super) fn parts(reader: &mut SourceReader) -> Result<Vec<Part>, MediaError> {
    let len_bytes = reader.len_bytes();
    let tail_start = len_bytes.saturating_sub(TAIL_BYTES);
    let mut parts = vec![
        Part { place: Place::Head, start_bytes: 0, len_bytes: HEAD_BYTES },
        Part { place: Place::Tail, start_bytes: tail_start, len_bytes: to_usize(len_bytes - tail_start) },
    ];
    let mut first = [0; 8];
    if reader.read_at(0, &mut first)? == first.len() && boxes::may_start_a_file(&first[4..]) {
        walk(reader, &mut parts)?;
    }
    parts.truncate(PARTS_MAX);
    Ok(parts)
}

/// A box whose children are looked at, and how.
struct Holder {
    start: u64,
    end: u64,
    kind: HolderKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum HolderKind {
    /// The file: all but samples and what the movie is made of is loose.
    File,
    /// `moov` and what it is made of: padding and private boxes are loose.
    Movie,
    /// `udta`: all is loose.
    UserData,
}

fn walk(reader: &mut SourceReader, parts: &mut Vec<Part>) -> Result<(), MediaError> {
    let mut open = vec![Holder { start: 0, end: reader.len_bytes(), kind: HolderKind::File }];
    let mut seen = 0;
    while let Some(Holder { mut start, end, kind }) = open.pop() {
        while start + 8 <= end && seen < BOXES_MAX && parts.len() < PARTS_MAX {
            seen += 1;
            let Some((name, body, next)) = box_at(reader, start, end)? else {
                parts.push(part(start, end));
                break;
            };
            match (kind, &name) {
                (_, b"uuid") => parts.push(part(body + UUID_BYTES, next)),
                (_, b"free" | b"skip" | b"wide") => parts.push(part(body, next)),
                (HolderKind::File | HolderKind::Movie, b"moov" | b"trak" | b"mdia" | b"minf") => {
                    open.push(Holder { start: body, end: next, kind: HolderKind::Movie });
                }
                (HolderKind::File | HolderKind::Movie, b"udta") => {
                    open.push(Holder { start: body, end: next, kind: HolderKind::UserData });
                }
                (HolderKind::File, b"mdat" | b"ftyp" | b"styp" | b"moof" | b"sidx") | (HolderKind::Movie, _) => {}
                // A box of an unknown kind may be no box at all.
                (HolderKind::File, _) => parts.extend([part(start, next), part(body, next)]),
                (HolderKind::UserData, _) => parts.push(part(body, next)),
            }
            start = next;
        }
        // Fewer bytes than a header has are padding that players ignore.
    }
    Ok(())
}

fn part(start: u64, end: u64) -> Part {
    Part { place: Place::Part, start_bytes: start, len_bytes: to_usize(end.saturating_sub(start)).min(PART_BYTES) }
}

/// Returns a box's type, where its body starts and where it ends; nothing where no box fits.
fn box_at(reader: &mut SourceReader, start: u64, end_max: u64) -> Result<Option<([u8; 4], u64, u64)>, MediaError> {
    let mut bytes = [0; 16];
    let count = reader.read_at(start, &mut bytes)?;
    let [a, b, c, d, name @ .., _, _, _, _, _, _, _, _] = bytes;
    let long =
        u64::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11], bytes[12], bytes[13], bytes[14], bytes[15]]);
    let (header_bytes, size) = match u32::from_be_bytes([a, b, c, d]) {
        0 => (8, end_max.saturating_sub(start)),
        1 => (16, long),
        size => (8, u64::from(size)),
    };
    let end = start.saturating_add(size);
    let fits = size >= header_bytes && count as u64 >= header_bytes && end <= end_max;
    Ok(fits.then_some((name, start + header_bytes, end)))
}

fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
