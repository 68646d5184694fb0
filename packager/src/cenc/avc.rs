//! Where the slice data of H.264 samples lies, ISO/IEC 14496-15 §5.3 (samples) and ISO/IEC 23001-7 §9.5.2 (what is
//! protected). In: `avcC`, then samples of length-prefixed NAL units. Out: clear and protected runs, in order.

use std::collections::BTreeMap;
use std::ops::Range;

use super::CencError;
use super::parameter_sets::{Pps, Sps};
use super::slice_header::Slice;

/// Coded slices of pictures, ITU-T H.264 table 7-1.
const NAL_SLICE: u8 = 1;
const NAL_SLICE_IDR: u8 = 5;
const NAL_SPS: u8 = 7;
const NAL_PPS: u8 = 8;
/// Data partitions, auxiliary pictures, SVC, MVC and 3D slices: pictures too, with headers that we do not read.
const NALS_WITH_OTHER_PICTURES: [u8; 6] = [2, 3, 4, 19, 20, 21];

/// The parameter sets of a track and the length of its NAL length fields.
#[derive(Clone, Debug)]
pub struct AvcLayout {
    length_bytes: usize,
    sps: BTreeMap<u32, (Sps, Vec<u8>)>,
    pps: BTreeMap<u32, (Pps, Vec<u8>)>,
}

impl AvcLayout {
    /// Reads `AVCDecoderConfigurationRecord`, ISO/IEC 14496-15 §5.3.3.1.
    pub(super) fn parse(record: &[u8]) -> Result<Self, CencError> {
        let fault = |fault| CencError::DecoderConfig { len_bytes: record.len(), fault };
        let Some(([1, _, _, _, lengths, sps_count], rest)) = record.split_first_chunk::<6>() else {
            return Err(fault("it is no version 1 record"));
        };
        let length_bytes = match lengths & 3 {
            2 => return Err(fault("a length field of 3 bytes is not allowed")),
            minus_one => usize::from(minus_one) + 1,
        };
        let mut layout = Self { length_bytes, sps: BTreeMap::new(), pps: BTreeMap::new() };
        let mut rest = rest;
        for _ in 0..sps_count & 31 {
            let nal = take_nal(&mut rest).ok_or_else(|| fault("a sequence parameter set is cut short"))?;
            let set = Sps::parse(nal.get(1..).unwrap_or_default())?;
            layout.sps.insert(set.id, (set, nal.to_vec()));
        }
        let (pps_count, mut rest) = rest.split_first().ok_or_else(|| fault("it ends before its picture sets"))?;
        for _ in 0..*pps_count {
            let nal = take_nal(&mut rest).ok_or_else(|| fault("a picture parameter set is cut short"))?;
            let set = Pps::parse(nal.get(1..).unwrap_or_default())?;
            layout.pps.insert(set.id, (set, nal.to_vec()));
        }
        if layout.sps.is_empty() || layout.pps.is_empty() {
            return Err(fault("it lacks parameter sets"));
        }
        Ok(layout)
    }

    /// Calls `visit` with the range of slice data of each NAL unit of the sample, in order: empty at the end of those
    /// that are clear. The ranges and the clear runs before them cover the sample.
    pub(super) fn slice_data(
        &self,
        sample: &[u8],
        mut visit: impl FnMut(Range<usize>) -> Result<(), CencError>,
    ) -> Result<(), CencError> {
        let mut at_byte = 0;
        while at_byte < sample.len() {
            let start = self.nal_start(sample, at_byte)?;
            let (nal, end) = self.nal(sample, at_byte, start)?;
            visit(start + self.clear_bytes(nal)?..end)?;
            at_byte = end;
        }
        Ok(())
    }

    fn nal_start(&self, sample: &[u8], at_byte: usize) -> Result<usize, CencError> {
        let left_bytes = sample.len() - at_byte;
        if left_bytes < self.length_bytes {
            // Not even the length field fits: it claims its own bytes.
            return Err(CencError::NalPastEnd { at_byte, claimed_bytes: self.length_bytes as u64, left_bytes });
        }
        Ok(at_byte + self.length_bytes)
    }

    fn nal<'a>(&self, sample: &'a [u8], at_byte: usize, start: usize) -> Result<(&'a [u8], usize), CencError> {
        let field = sample.get(at_byte..start).unwrap_or_default();
        let claimed_bytes = field.iter().fold(0, |length, byte| (length << 8) | u64::from(*byte));
        let rest = sample.get(start..).unwrap_or_default();
        let nal = usize::try_from(claimed_bytes).ok().and_then(|length| rest.get(..length));
        let nal = nal.ok_or(CencError::NalPastEnd { at_byte, claimed_bytes, left_bytes: rest.len() })?;
        Ok((nal, start + nal.len()))
    }

    /// Returns how many bytes of a NAL unit stay clear.
    fn clear_bytes(&self, nal: &[u8]) -> Result<usize, CencError> {
        let Some((header, payload)) = nal.split_first() else { return Ok(0) };
        let nal_unit_type = header & 31;
        match nal_unit_type {
            NAL_SLICE | NAL_SLICE_IDR => {
                let slice = Slice { nal_unit_type, is_reference: header & 0x60 != 0, payload };
                Ok(1 + slice.header_bytes(|pps_id| self.sets(pps_id))?)
            }
            NAL_SPS | NAL_PPS if !self.holds(nal) => Err(CencError::InBandParameterSet { nal_unit_type }),
            other if NALS_WITH_OTHER_PICTURES.contains(&other) => Err(CencError::UnsupportedNal { nal_unit_type }),
            _ => Ok(nal.len()),
        }
    }

    fn sets(&self, pps_id: u32) -> Result<(&Sps, &Pps), CencError> {
        let unknown = |what, kind, id| CencError::UnknownParameterSet { what, kind, id };
        let (pps, _) = self.pps.get(&pps_id).ok_or_else(|| unknown("slice header", "PPS", pps_id))?;
        let (sps, _) = self.sps.get(&pps.sps_id).ok_or_else(|| unknown("picture parameter set", "SPS", pps.sps_id))?;
        Ok((sps, pps))
    }

    fn holds(&self, nal: &[u8]) -> bool {
        self.sps.values().any(|(_, known)| known == nal) || self.pps.values().any(|(_, known)| known == nal)
    }
}

/// Takes one parameter set with its 16-bit length off the front.
fn take_nal<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<2>()?;
    let (nal, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
    *rest = after;
    Some(nal)
}
