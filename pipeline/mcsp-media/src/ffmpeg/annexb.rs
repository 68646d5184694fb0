//! From the byte stream format (ITU-T H.264 annex B) to what MP4 carries (ISO/IEC 14496-15 §5.3): lengths before NAL
//! units, and parameter sets in one record.

/// NAL unit types, H.264 table 7-1.
const NAL_IDR: u8 = 5;
const NAL_SEI: u8 = 6;
const NAL_SPS: u8 = 7;
const NAL_PPS: u8 = 8;
const NAL_DELIMITER: u8 = 9;
/// SEI payload type of user data without a registered owner, H.264 §D.1.1: x264 writes its settings there.
const SEI_USER_DATA: u8 = 5;

/// Returns the NAL units between start codes.
pub(super) fn nal_units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = stream.get(start_code(stream).map_or(stream.len(), |(_, after)| after)..).unwrap_or_default();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (end, after) = start_code(rest).unwrap_or((rest.len(), rest.len()));
        let (unit, tail) = (&rest[..end], &rest[after..]);
        rest = tail;
        // Zero bytes after a unit belong to the stream, not to the unit, whose last byte is never zero.
        let zeros = unit.iter().rev().take_while(|&&byte| byte == 0).count();
        Some(&unit[..unit.len() - zeros])
    })
    .filter(|unit| !unit.is_empty())
}

/// Returns where the next start code begins and ends.
fn start_code(bytes: &[u8]) -> Option<(usize, usize)> {
    let at = bytes.windows(3).position(|window| window == [0, 0, 1])?;
    Some((at, at + 3))
}

fn kind(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |byte| byte & 0x1f)
}

/// Returns whether a unit belongs into a sample: parameter sets live in the record, and x264's own notes nowhere.
fn belongs_into_sample(unit: &[u8]) -> bool {
    match kind(unit) {
        NAL_SPS | NAL_PPS | NAL_DELIMITER => false,
        NAL_SEI => unit.get(1) != Some(&SEI_USER_DATA),
        _ => true,
    }
}

/// Returns one access unit as a sample with 4-byte lengths, and whether it is an IDR picture.
pub(super) fn sample(access_unit: &[u8]) -> (Vec<u8>, bool) {
    let mut bytes = Vec::with_capacity(access_unit.len() + 16);
    let mut is_idr = false;
    for unit in nal_units(access_unit).filter(|unit| belongs_into_sample(unit)) {
        is_idr |= kind(unit) == NAL_IDR;
        bytes.extend_from_slice(&u32::try_from(unit.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(unit);
    }
    (bytes, is_idr)
}

/// Returns the `AVCDecoderConfigurationRecord` for an 8-bit 4:2:0 stream's parameter sets.
pub(super) fn decoder_config(extradata: &[u8]) -> Option<Vec<u8>> {
    let sets = |wanted: u8| nal_units(extradata).filter(|unit| kind(unit) == wanted).collect::<Vec<_>>();
    let (sequence_sets, picture_sets) = (sets(NAL_SPS), sets(NAL_PPS));
    let &[_, profile, compatibility, level, ..] = *sequence_sets.first()? else { return None };
    let count = |sets: &[&[u8]], max: usize| u8::try_from(sets.len()).ok().filter(|_| (1..=max).contains(&sets.len()));
    let mut record = vec![1, profile, compatibility, level, 0xfc | 3, 0xe0 | count(&sequence_sets, 31)?];
    push_sets(&mut record, &sequence_sets)?;
    record.push(count(&picture_sets, 255)?);
    push_sets(&mut record, &picture_sets)?;
    if ![66, 77, 88].contains(&profile) {
        // chroma_format 4:2:0, 8 bits of luma and of chroma, no parameter set extension.
        record.extend_from_slice(&[0xfc | 1, 0xf8, 0xf8, 0]);
    }
    Some(record)
}

fn push_sets(record: &mut Vec<u8>, sets: &[&[u8]]) -> Option<()> {
    for set in sets {
        record.extend_from_slice(&u16::try_from(set.len()).ok()?.to_be_bytes());
        record.extend_from_slice(set);
    }
    Some(())
}

/// Returns the build number in x264's note about itself.
pub(super) fn x264_build(stream: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(stream);
    let (_, after) = text.split_once("x264 - core ")?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    (!digits.is_empty()).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_codes_become_lengths_and_notes_go() {
        let stream = [
            &[0, 0, 0, 1, 0x09, 0xf0][..],
            &[0, 0, 0, 1, 0x06, 5, 1, 0x80],
            &[0, 0, 1, 0x65, 1, 2],
            &[0, 0, 1, 0x65, 3],
        ];
        assert_eq!(sample(&stream.concat()), (vec![0, 0, 0, 3, 0x65, 1, 2, 0, 0, 0, 2, 0x65, 3], true));
        assert!(!sample(&[0, 0, 1, 0x06, 4, 1, 0, 0, 1, 0x41, 7]).1);
        assert_eq!(sample(b"").0, b"");
    }

    #[test]
    fn parameter_sets_become_a_record() {
        let extradata = [&[0, 0, 0, 1, 0x67, 100, 0, 31, 9][..], &[0, 0, 0, 1, 0x68, 7]].concat();
        let record = [1, 100, 0, 31, 0xff, 0xe1, 0, 5, 0x67, 100, 0, 31, 9, 1, 0, 2, 0x68, 7, 0xfd, 0xf8, 0xf8, 0];
        assert_eq!(decoder_config(&extradata).unwrap(), record);
        assert_eq!(decoder_config(&extradata[..9]), None);
    }
}
