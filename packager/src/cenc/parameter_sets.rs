//! Sequence and picture parameter sets, ITU-T H.264 §7.3.2.1 and §7.3.2.2: only what the length of a slice header
//! depends on. In: NAL units without their header byte. Out: plain values.

use super::CencError;
use super::bits::BitReader;

/// Largest `seq_parameter_set_id`, §7.4.2.1.1.
const SPS_ID_MAX: u32 = 31;
/// Largest `pic_parameter_set_id`, §7.4.2.2.
const PPS_ID_MAX: u32 = 255;
/// Profiles whose sequence parameter sets name their chroma format, §7.3.2.1.1.
const HIGH_PROFILES: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// What a slice header needs of its sequence parameter set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sps {
    pub(super) id: u32,
    pub(super) separate_colour_plane: bool,
    /// `ChromaArrayType` is not 0: prediction weights name chroma too.
    pub(super) has_chroma: bool,
    pub(super) frame_num_bits: u32,
    pub(super) order: PictureOrder,
    pub(super) frame_mbs_only: bool,
}

/// `pic_order_cnt_type`, §7.4.2.1.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PictureOrder {
    /// 0: each slice carries its low bits.
    Lsb { bits: u32 },
    /// 1: an expected cycle; slices carry differences unless these are always zero.
    Cycle { delta_always_zero: bool },
    /// 2: output order is decoding order.
    Decoding,
}

/// What a slice header needs of its picture parameter set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pps {
    pub(super) id: u32,
    pub(super) sps_id: u32,
    pub(super) cabac: bool,
    pub(super) bottom_field_order_present: bool,
    /// `num_ref_idx_l0_default_active_minus1` and that of list 1, plus one.
    pub(super) ref_count_defaults: [u32; 2],
    pub(super) weighted_pred: bool,
    pub(super) weighted_bipred_idc: u32,
    pub(super) deblocking_control_present: bool,
    pub(super) redundant_pic_cnt_present: bool,
}

impl Sps {
    /// Reads `seq_parameter_set_data`, up to `frame_mbs_only_flag`.
    pub(super) fn parse(payload: &[u8]) -> Result<Self, CencError> {
        let mut reader = BitReader::new("sequence parameter set", payload);
        let profile_idc = reader.bits(8)?;
        reader.bits(16)?; // constraint flags and level_idc
        let id = reader.ue_max(SPS_ID_MAX, "its id is above 31")?;
        let mut chroma_format_idc = 1;
        let mut separate_colour_plane = false;
        if HIGH_PROFILES.contains(&profile_idc) {
            chroma_format_idc = reader.ue_max(3, "chroma_format_idc is above 3")?;
            if chroma_format_idc == 3 {
                separate_colour_plane = reader.flag()?;
            }
            skip_high_profile_part(&mut reader, chroma_format_idc)?;
        }
        let frame_num_bits = 4 + reader.ue_max(12, "log2_max_frame_num_minus4 is above 12")?;
        let order = picture_order(&mut reader)?;
        reader.ue()?; // max_num_ref_frames
        reader.flag()?; // gaps_in_frame_num_value_allowed_flag
        reader.skip_codes(2)?; // width and height
        let frame_mbs_only = reader.flag()?;
        let has_chroma = chroma_format_idc != 0 && !separate_colour_plane;
        Ok(Self { id, separate_colour_plane, has_chroma, frame_num_bits, order, frame_mbs_only })
    }
}

impl Pps {
    /// Reads `pic_parameter_set_rbsp`, up to `redundant_pic_cnt_present_flag`.
    pub(super) fn parse(payload: &[u8]) -> Result<Self, CencError> {
        let mut reader = BitReader::new("picture parameter set", payload);
        let id = reader.ue_max(PPS_ID_MAX, "its id is above 255")?;
        let sps_id = reader.ue_max(SPS_ID_MAX, "seq_parameter_set_id is above 31")?;
        let cabac = reader.flag()?;
        let bottom_field_order_present = reader.flag()?;
        if reader.ue()? != 0 {
            return Err(reader.fault("slice groups are not supported"));
        }
        let mut ref_count_defaults = [0; 2];
        for count in &mut ref_count_defaults {
            *count = 1 + reader.ue_max(31, "num_ref_idx_default_active_minus1 is above 31")?;
        }
        let weighted_pred = reader.flag()?;
        let weighted_bipred_idc = reader.bits(2)?;
        reader.skip_codes(3)?; // pic_init_qp, pic_init_qs, chroma_qp_index_offset
        let deblocking_control_present = reader.flag()?;
        reader.flag()?; // constrained_intra_pred_flag
        let redundant_pic_cnt_present = reader.flag()?;
        Ok(Self {
            id,
            sps_id,
            cabac,
            bottom_field_order_present,
            ref_count_defaults,
            weighted_pred,
            weighted_bipred_idc,
            deblocking_control_present,
            redundant_pic_cnt_present,
        })
    }
}

/// Passes over bit depths and scaling lists.
fn skip_high_profile_part(reader: &mut BitReader<'_>, chroma_format_idc: u32) -> Result<(), CencError> {
    reader.skip_codes(2)?; // bit depths
    reader.flag()?; // qpprime_y_zero_transform_bypass_flag
    if !reader.flag()? {
        return Ok(());
    }
    let list_count = if chroma_format_idc == 3 { 12 } else { 8 };
    for index in 0..list_count {
        if reader.flag()? {
            skip_scaling_list(reader, if index < 6 { 16 } else { 64 })?;
        }
    }
    Ok(())
}

/// Passes over `scaling_list`, §7.3.2.1.1.1: after a scale of 0 nothing more is coded.
fn skip_scaling_list(reader: &mut BitReader<'_>, len: u32) -> Result<(), CencError> {
    let mut scale = 8;
    for _ in 0..len {
        scale = (scale + reader.se()?).rem_euclid(256);
        if scale == 0 {
            return Ok(());
        }
    }
    Ok(())
}

fn picture_order(reader: &mut BitReader<'_>) -> Result<PictureOrder, CencError> {
    match reader.ue_max(2, "pic_order_cnt_type is above 2")? {
        0 => {
            let bits = 4 + reader.ue_max(12, "log2_max_pic_order_cnt_lsb_minus4 is above 12")?;
            Ok(PictureOrder::Lsb { bits })
        }
        1 => {
            let delta_always_zero = reader.flag()?;
            reader.skip_codes(2)?;
            let cycle_len = reader.ue_max(255, "num_ref_frames_in_pic_order_cnt_cycle is above 255")?;
            reader.skip_codes(cycle_len)?;
            Ok(PictureOrder::Cycle { delta_always_zero })
        }
        _ => Ok(PictureOrder::Decoding),
    }
}
