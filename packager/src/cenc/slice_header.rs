//! The length of a slice header, ITU-T H.264 §7.3.3, to the bit. In: a coded slice and its parameter sets. Out: how many
//! bytes of the NAL unit the header touches; the rest is slice data, which is what ISO/IEC 23001-7 §9.5.2 protects.

use super::CencError;
use super::bits::BitReader;
use super::parameter_sets::{PictureOrder, Pps, Sps};

/// Commands in one list modification or marking: no more than references exist, twice over for fields, and the end.
const COMMANDS_MAX: u32 = 67;
/// NAL unit type of a slice of an IDR picture, §7.4.1.
const NAL_IDR: u8 = 5;

/// `slice_type % 5`, §7.4.3.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SliceType {
    P,
    B,
    I,
    Sp,
    Si,
}

/// A coded slice: its header byte told apart, and what follows it.
pub(super) struct Slice<'a> {
    /// 1 or 5.
    pub(super) nal_unit_type: u8,
    /// `nal_ref_idc` is not 0.
    pub(super) is_reference: bool,
    /// The NAL unit after its header byte.
    pub(super) payload: &'a [u8],
}

impl Slice<'_> {
    /// Returns how many bytes of the payload the slice header touches. `sets` finds the parameter sets of a
    /// `pic_parameter_set_id`.
    pub(super) fn header_bytes<'s>(
        &self,
        sets: impl FnOnce(u32) -> Result<(&'s Sps, &'s Pps), CencError>,
    ) -> Result<usize, CencError> {
        let mut reader = BitReader::new("slice header", self.payload);
        reader.ue()?; // first_mb_in_slice
        let slice_type = slice_type(&mut reader)?;
        let (sps, pps) = sets(reader.ue()?)?;
        let is_idr = self.nal_unit_type == NAL_IDR;
        skip_picture_identity(&mut reader, sps, pps, is_idr)?;
        let ref_counts = reference_counts(&mut reader, pps, slice_type)?;
        skip_list_modifications(&mut reader, slice_type)?;
        if has_weights(pps, slice_type) {
            skip_prediction_weights(&mut reader, sps, slice_type, ref_counts)?;
        }
        if self.is_reference {
            skip_reference_marking(&mut reader, is_idr)?;
        }
        skip_quantiser_and_filter(&mut reader, pps, slice_type)?;
        Ok(reader.touched_bytes())
    }
}

fn slice_type(reader: &mut BitReader<'_>) -> Result<SliceType, CencError> {
    Ok(match reader.ue_max(9, "slice_type is above 9")? % 5 {
        0 => SliceType::P,
        1 => SliceType::B,
        2 => SliceType::I,
        3 => SliceType::Sp,
        _ => SliceType::Si,
    })
}

/// Passes over `colour_plane_id` to `redundant_pic_cnt`.
fn skip_picture_identity(reader: &mut BitReader<'_>, sps: &Sps, pps: &Pps, is_idr: bool) -> Result<(), CencError> {
    if sps.separate_colour_plane {
        reader.bits(2)?;
    }
    reader.bits(sps.frame_num_bits)?;
    let is_field = !sps.frame_mbs_only && reader.flag()?;
    if is_field {
        reader.flag()?; // bottom_field_flag
    }
    if is_idr {
        reader.ue()?; // idr_pic_id
    }
    let second_delta = u32::from(pps.bottom_field_order_present && !is_field);
    match sps.order {
        PictureOrder::Lsb { bits } => {
            reader.bits(bits)?;
            reader.skip_codes(second_delta)?;
        }
        PictureOrder::Cycle { delta_always_zero: false } => reader.skip_codes(1 + second_delta)?,
        PictureOrder::Cycle { delta_always_zero: true } | PictureOrder::Decoding => {}
    }
    if pps.redundant_pic_cnt_present {
        reader.ue()?;
    }
    Ok(())
}

/// Reads `direct_spatial_mv_pred_flag` and the override of the reference counts; returns the counts of both lists.
fn reference_counts(reader: &mut BitReader<'_>, pps: &Pps, slice_type: SliceType) -> Result<[u32; 2], CencError> {
    let lists = match slice_type {
        SliceType::I | SliceType::Si => return Ok([0, 0]),
        SliceType::P | SliceType::Sp => 1,
        SliceType::B => 2,
    };
    if slice_type == SliceType::B {
        reader.flag()?;
    }
    let mut counts = pps.ref_count_defaults;
    if reader.flag()? {
        for count in counts.iter_mut().take(lists) {
            *count = 1 + reader.ue_max(31, "num_ref_idx_active_minus1 is above 31")?;
        }
    }
    Ok(counts)
}

/// Passes over `ref_pic_list_modification`, §7.3.3.1.
fn skip_list_modifications(reader: &mut BitReader<'_>, slice_type: SliceType) -> Result<(), CencError> {
    let lists = match slice_type {
        SliceType::I | SliceType::Si => 0,
        SliceType::P | SliceType::Sp => 1,
        SliceType::B => 2,
    };
    for _ in 0..lists {
        if reader.flag()? {
            skip_one_list_modification(reader)?;
        }
    }
    Ok(())
}

fn skip_one_list_modification(reader: &mut BitReader<'_>) -> Result<(), CencError> {
    for _ in 0..COMMANDS_MAX {
        match reader.ue_max(3, "modification_of_pic_nums_idc is above 3")? {
            3 => return Ok(()),
            _ => reader.skip_codes(1)?,
        }
    }
    Err(reader.fault("a reference list modification does not end"))
}

fn has_weights(pps: &Pps, slice_type: SliceType) -> bool {
    match slice_type {
        SliceType::P | SliceType::Sp => pps.weighted_pred,
        SliceType::B => pps.weighted_bipred_idc == 1,
        SliceType::I | SliceType::Si => false,
    }
}

/// Passes over `pred_weight_table`, §7.3.3.2.
fn skip_prediction_weights(
    reader: &mut BitReader<'_>,
    sps: &Sps,
    slice_type: SliceType,
    ref_counts: [u32; 2],
) -> Result<(), CencError> {
    reader.ue()?; // luma_log2_weight_denom
    if sps.has_chroma {
        reader.ue()?;
    }
    let lists = if slice_type == SliceType::B { 2 } else { 1 };
    for count in ref_counts.into_iter().take(lists) {
        for _ in 0..count {
            if reader.flag()? {
                reader.skip_codes(2)?;
            }
            if sps.has_chroma && reader.flag()? {
                reader.skip_codes(4)?;
            }
        }
    }
    Ok(())
}

/// Passes over `dec_ref_pic_marking`, §7.3.3.3.
fn skip_reference_marking(reader: &mut BitReader<'_>, is_idr: bool) -> Result<(), CencError> {
    if is_idr {
        reader.bits(2)?;
        return Ok(());
    }
    if !reader.flag()? {
        return Ok(());
    }
    for _ in 0..COMMANDS_MAX {
        match reader.ue_max(6, "memory_management_control_operation is above 6")? {
            0 => return Ok(()),
            3 => reader.skip_codes(2)?,
            5 => {}
            _ => reader.skip_codes(1)?,
        }
    }
    Err(reader.fault("a reference marking does not end"))
}

/// Passes over `cabac_init_idc` to the end of the header.
fn skip_quantiser_and_filter(reader: &mut BitReader<'_>, pps: &Pps, slice_type: SliceType) -> Result<(), CencError> {
    if pps.cabac && !matches!(slice_type, SliceType::I | SliceType::Si) {
        reader.ue_max(2, "cabac_init_idc is above 2")?;
    }
    reader.skip_codes(1)?; // slice_qp_delta
    if slice_type == SliceType::Sp {
        reader.flag()?; // sp_for_switch_flag
    }
    if matches!(slice_type, SliceType::Sp | SliceType::Si) {
        reader.skip_codes(1)?; // slice_qs_delta
    }
    if pps.deblocking_control_present && reader.ue_max(2, "disable_deblocking_filter_idc is above 2")? != 1 {
        reader.skip_codes(2)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes syntax elements: `ue 3`, `se -2`, `u 4 9` (nine in four bits), separated by semicolons.
    fn encode(script: &str) -> String {
        let mut bits = String::new();
        for element in script.split(';').map(str::trim).filter(|element| !element.is_empty()) {
            let words: Vec<&str> = element.split(' ').collect();
            let number = |index: usize| words[index].parse::<i64>().unwrap();
            match words[0] {
                "u" => bits += &format!("{:0width$b}", number(2), width = words[1].parse().unwrap()),
                kind => {
                    let value = number(1);
                    let code = if kind == "ue" { value } else { 2 * value.abs() - i64::from(value > 0) };
                    let binary = format!("{:b}", code + 1);
                    bits += &"0".repeat(binary.len() - 1);
                    bits += &binary;
                }
            }
        }
        bits
    }

    fn to_bytes(bits: &str) -> Vec<u8> {
        let byte = |piece: &[u8]| {
            piece.iter().enumerate().fold(0u8, |byte, (index, bit)| byte | ((bit - b'0') << (7 - index)))
        };
        bits.as_bytes().chunks(8).map(byte).collect()
    }

    /// Reads a parameter set or header that ends in `script` at four alignments, followed by slice data of ones.
    fn check_header(sps: &str, pps: &str, nal_unit_type: u8, is_reference: bool, script: &str) {
        let sps = Sps::parse(&to_bytes(&(encode(sps) + "1"))).unwrap();
        let pps = Pps::parse(&to_bytes(&(encode(pps) + "1"))).unwrap();
        for first_mb in ["ue 0;", "ue 1;", "ue 3;", "ue 7;"] {
            let header = encode(&(first_mb.to_owned() + script));
            let expected_bytes = header.len().div_ceil(8);
            let payload = to_bytes(&(header + &"1".repeat(64)));
            // No run of zeros in these scripts is long enough to need emulation prevention.
            assert!(!payload.windows(2).any(|pair| pair == [0, 0]), "{script}: needs emulation prevention");
            let slice = Slice { nal_unit_type, is_reference, payload: &payload };
            let header_bytes = slice.header_bytes(|_| Ok((&sps, &pps))).unwrap();
            assert_eq!(header_bytes, expected_bytes, "{first_mb} {script}");
        }
    }

    /// Main profile, frame_num of 4 bits, frames only, picture order type 2.
    const SPS_PLAIN: &str = "u 8 77; u 16 40; ue 0; ue 0; ue 2; ue 4; u 1 0; ue 11; ue 8; u 1 1";
    /// CABAC, one reference each, no weights, deblocking control.
    const PPS_PLAIN: &str =
        "ue 0; ue 0; u 1 1; u 1 0; ue 0; ue 0; ue 0; u 1 0; u 2 0; se 0; se 0; se 0; u 1 1; u 1 0; u 1 0";

    #[test]
    fn intra_slices() {
        check_header(SPS_PLAIN, PPS_PLAIN, 5, true, "ue 7; ue 0; u 4 0; ue 5; u 2 0; se -3; ue 1");
        check_header(SPS_PLAIN, PPS_PLAIN, 1, true, "ue 2; ue 0; u 4 9; u 1 0; se 4; ue 0; se 1; se -1");
        check_header(SPS_PLAIN, PPS_PLAIN, 1, false, "ue 2; ue 0; u 4 9; se 4; ue 2; se 1; se -1");
    }

    #[test]
    fn inter_slices_with_modified_lists_and_marking() {
        let p = "ue 5; ue 0; u 4 3; u 1 1; ue 2; u 1 1; ue 0; ue 4; ue 2; ue 1; ue 3;";
        let marking = "u 1 1; ue 1; ue 3; ue 2; ue 1; ue 3; ue 5; ue 2; ue 4; ue 1; ue 5; ue 6; ue 9; ue 0;";
        check_header(SPS_PLAIN, PPS_PLAIN, 1, true, &format!("{p} {marking} ue 1; se 2; ue 1"));
        check_header(SPS_PLAIN, PPS_PLAIN, 1, false, &format!("{p} ue 1; se 2; ue 1"));
        let b = "ue 6; ue 0; u 4 3; u 1 1; u 1 1; ue 1; ue 2; u 1 0; u 1 1; ue 1; ue 4; ue 3; ue 2; se 2; ue 1";
        check_header(SPS_PLAIN, PPS_PLAIN, 1, false, b);
    }

    #[test]
    fn fields_and_picture_order() {
        let lsb = "u 8 77; u 16 40; ue 0; ue 1; ue 0; ue 2; ue 4; u 1 0; ue 11; ue 8; u 1 0";
        let pps = "ue 0; ue 0; u 1 0; u 1 1; ue 0; ue 0; ue 0; u 1 0; u 2 0; se 0; se 0; se 0; u 1 0; u 1 0; u 1 1";
        // Frame: field_pic_flag 0, then both order values; field: no second value. Redundant pictures in each.
        check_header(lsb, pps, 1, false, "ue 7; ue 0; u 5 3; u 1 0; u 6 11; se -2; ue 1; se 3");
        check_header(lsb, pps, 1, false, "ue 7; ue 0; u 5 3; u 1 1; u 1 1; u 6 11; ue 1; se 3");
        let cycle =
            "u 8 77; u 16 40; ue 0; ue 0; ue 1; u 1 0; se 1; se -1; ue 2; se 1; se 2; ue 4; u 1 0; ue 11; ue 8; u 1 1";
        check_header(cycle, pps, 1, false, "ue 7; ue 0; u 4 3; se 4; se -5; ue 1; se 3");
        let zero = "u 8 77; u 16 40; ue 0; ue 0; ue 1; u 1 1; se 1; se -1; ue 1; se 1; ue 4; u 1 0; ue 11; ue 8; u 1 1";
        check_header(zero, pps, 1, false, "ue 7; ue 0; u 4 3; ue 1; se 3");
    }

    #[test]
    fn prediction_weights() {
        let pps = "ue 0; ue 0; u 1 1; u 1 0; ue 0; ue 1; ue 0; u 1 1; u 2 1; se 0; se 0; se 0; u 1 0; u 1 0; u 1 0";
        let two_refs = "ue 5; ue 5; u 1 1; se 3; se -4; u 1 0; u 1 0; u 1 1; se 1; se 2; se 3; se 4;";
        let p = format!("ue 5; ue 0; u 4 3; u 1 0; u 1 0; {two_refs} ue 0; se 1");
        check_header(SPS_PLAIN, pps, 1, false, &p);
        let b =
            format!("ue 6; ue 0; u 4 3; u 1 0; u 1 0; u 1 0; u 1 0; {two_refs} u 1 1; se 9; se 8; u 1 0; ue 0; se 1");
        check_header(SPS_PLAIN, pps, 1, false, &b);
    }

    #[test]
    fn high_profiles() {
        // 4:4:4 in separate planes, with a scaling list that stops early and one that runs to its end.
        let stops = "u 1 1; se -8";
        let runs = format!("u 1 1; {}", "se 1;".repeat(16));
        let planes = format!(
            "u 8 244; u 16 40; ue 0; ue 3; u 1 1; ue 0; ue 0; u 1 0; u 1 1; {stops}; {runs} {} ue 0; ue 2; ue 4; u 1 0; ue 11; ue 8; u 1 1",
            "u 1 0;".repeat(10)
        );
        let pps = "ue 0; ue 0; u 1 1; u 1 0; ue 0; ue 0; ue 0; u 1 1; u 2 0; se 0; se 0; se 0; u 1 0; u 1 0; u 1 0";
        check_header(
            &planes,
            pps,
            1,
            false,
            "ue 5; ue 0; u 2 2; u 4 3; u 1 0; u 1 0; ue 5; u 1 1; se 3; se -4; ue 0; se 1",
        );
    }

    #[test]
    fn switching_slices() {
        check_header(SPS_PLAIN, PPS_PLAIN, 1, false, "ue 8; ue 0; u 4 3; u 1 0; u 1 0; ue 0; se 1; u 1 1; se -2; ue 1");
        check_header(SPS_PLAIN, PPS_PLAIN, 1, false, "ue 9; ue 0; u 4 3; se 1; se -2; ue 1");
    }

    #[test]
    fn refuses_what_does_not_end_and_slice_groups() {
        let sps = Sps::parse(&to_bytes(&(encode(SPS_PLAIN) + "1"))).unwrap();
        let pps = Pps::parse(&to_bytes(&(encode(PPS_PLAIN) + "1"))).unwrap();
        let endless =
            to_bytes(&encode(&format!("ue 0; ue 5; ue 0; u 4 3; u 1 0; u 1 1; {}", "ue 0; ue 0;".repeat(80))));
        let slice = Slice { nal_unit_type: 1, is_reference: false, payload: &endless };
        let error = slice.header_bytes(|_| Ok((&sps, &pps))).unwrap_err().to_string();
        assert_eq!(error, "slice header at byte 19: a reference list modification does not end");
        let groups = to_bytes(&encode("ue 0; ue 0; u 1 1; u 1 0; ue 1; ue 0"));
        let error = Pps::parse(&groups).unwrap_err().to_string();
        assert_eq!(error, "picture parameter set at byte 1: slice groups are not supported");
    }
}
