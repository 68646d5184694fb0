//! A bounded walk over a Matroska file's top elements (RFC 8794, RFC 9559): whether sizes stay inside the file.

use crate::error::MediaError;
use crate::source::SourceReader;

const SEGMENT: u32 = 0x1853_8067;
const CLUSTER: u32 = 0x1f43_b675;
/// Elements looked at: past these, the demuxer finds out by itself.
const ELEMENTS_MAX: usize = 10_000;
/// Bytes of an identifier and a size together, RFC 8794 §4 and §5.
const HEADER_BYTES_MAX: usize = 12;

struct Element {
    id: u32,
    start: u64,
    body: u64,
    /// `None` when the size is unknown: a live recording.
    end: Option<u64>,
}

/// Checks that no top element claims bytes past the end of the source.
pub(crate) fn check(reader: &mut SourceReader) -> Result<(), MediaError> {
    let len_bytes = reader.len_bytes();
    let mut offset = 0;
    for _ in 0..ELEMENTS_MAX {
        if offset >= len_bytes {
            break;
        }
        let Some(element) = element_at(reader, offset)? else {
            // Bytes that are no element are skipped by demuxers when they follow sound ones.
            break;
        };
        let Some(end) = element.end else {
            if element.id != SEGMENT {
                break;
            }
            offset = element.body;
            continue;
        };
        if end > len_bytes {
            let (name, claimed) = (name(element.id), end - element.start);
            return Err(MediaError::Corrupt(format!(
                "element {name} claims {claimed} bytes at byte {}, the source ends at byte {len_bytes}",
                element.start
            )));
        }
        offset = if element.id == SEGMENT { element.body } else { end };
    }
    Ok(())
}

fn name(id: u32) -> String {
    match id {
        SEGMENT => "Segment".into(),
        CLUSTER => "Cluster".into(),
        0x1a45_dfa3 => "EBML".into(),
        0x1654_ae6b => "Tracks".into(),
        0x1c53_bb6b => "Cues".into(),
        _ => format!("{id:x}"),
    }
}

fn element_at(reader: &mut SourceReader, start: u64) -> Result<Option<Element>, MediaError> {
    let mut bytes = [0; HEADER_BYTES_MAX];
    let count = reader.read_at(start, &mut bytes)?;
    let bytes = &bytes[..count];
    let Some((id_len, id)) = variable(bytes, 4) else { return Ok(None) };
    let Some((size_len, size)) = variable(&bytes[id_len..], 8) else { return Ok(None) };
    let marker = 1u64 << (7 * size_len);
    let body = start + (id_len + size_len) as u64;
    let end = (size != 2 * marker - 1).then(|| body.saturating_add(size - marker));
    Ok(Some(Element { id: u32::try_from(id).unwrap_or(u32::MAX), start, body, end }))
}

/// Reads a number of up to `len_max` bytes with its length marker still in it.
fn variable(bytes: &[u8], len_max: usize) -> Option<(usize, u64)> {
    let len = bytes.first()?.leading_zeros() as usize + 1;
    let digits = bytes.get(..len).filter(|_| len <= len_max)?;
    Some((len, digits.iter().fold(0, |value, &byte| (value << 8) | u64::from(byte))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_marker() {
        assert_eq!(variable(&[0x81], 8), Some((1, 0x81)));
        assert_eq!(variable(&[0x1a, 0x45, 0xdf, 0xa3], 4), Some((4, 0x1a45_dfa3)));
        assert_eq!(variable(&[0x01, 0, 0, 0, 0, 0, 0x02, 0x03], 8), Some((8, 0x0100_0000_0000_0203)));
        assert_eq!(variable(&[0x00], 8), None);
        assert_eq!(variable(&[0x40], 8), None);
    }
}
