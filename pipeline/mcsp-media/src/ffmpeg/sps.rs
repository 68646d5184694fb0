//! The picture size that an H.264 sequence parameter set claims (ITU-T H.264 §7.3.2.1.1), read before any decoder is
//! opened, so that a claim past the limits is refused by its numbers.

/// NAL unit type of a sequence parameter set, H.264 table 7-1.
const NAL_SPS: u8 = 7;
/// Profiles whose parameter sets tell the chroma format, H.264 §7.3.2.1.1.
const HIGH_PROFILES: [u32; 12] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134];

/// Returns width and height before cropping, from the first parameter set of an `avcC` record.
pub(super) fn coded_size_px(codec: &str, extradata: &[u8]) -> Option<(u32, u32)> {
    // ISO/IEC 14496-15 §5.3.3.1.2: version 1, profile, compatibility, level, length size, count of sets, length of a set.
    let [1, _, _, _, _, _, len_high, len_low, ..] = extradata else { return None };
    let len = usize::from(u16::from_be_bytes([*len_high, *len_low]));
    let set = extradata.get(8..)?.get(..len)?;
    if codec != "h264" || set.first()? & 0x1f != NAL_SPS {
        return None;
    }
    size_of_set(&unescaped(set.get(1..)?))
}

/// Removes the emulation prevention bytes of H.264 §7.4.1.
fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(bytes.len());
    let mut zeros = 0;
    for &byte in bytes {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

fn size_of_set(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut bits = Bits { bytes, at: 0 };
    let profile = bits.fixed(8)?;
    bits.fixed(16)?;
    bits.golomb()?;
    if HIGH_PROFILES.contains(&profile) {
        skip_high_profile(&mut bits)?;
    }
    bits.golomb()?;
    match bits.golomb()? {
        0 => {
            bits.golomb()?;
        }
        1 => {
            bits.fixed(1)?;
            bits.golomb()?;
            bits.golomb()?;
            for _ in 0..bits.golomb()?.min(255) {
                bits.golomb()?;
            }
        }
        _ => {}
    }
    bits.golomb()?;
    bits.fixed(1)?;
    let (width_mbs, height_units) = (bits.golomb()?.saturating_add(1), bits.golomb()?.saturating_add(1));
    let frames_only = bits.fixed(1)?;
    let height_mbs = height_units.saturating_mul(2 - frames_only);
    Some((width_mbs.saturating_mul(16), height_mbs.saturating_mul(16)))
}

fn skip_high_profile(bits: &mut Bits<'_>) -> Option<()> {
    let chroma = bits.golomb()?;
    if chroma == 3 {
        bits.fixed(1)?;
    }
    bits.golomb()?;
    bits.golomb()?;
    bits.fixed(1)?;
    if bits.fixed(1)? == 1 {
        for list in 0..if chroma == 3 { 12 } else { 8 } {
            if bits.fixed(1)? == 1 {
                skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some(())
}

fn skip_scaling_list(bits: &mut Bits<'_>, len: u32) -> Option<()> {
    let (mut last, mut next) = (8i64, 8i64);
    for _ in 0..len {
        if next != 0 {
            let code = i64::from(bits.golomb()?);
            let delta = if code % 2 == 1 { (code + 1) / 2 } else { -(code / 2) };
            next = (last + delta).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn fixed(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = *self.bytes.get(self.at / 8)?;
            value = (value << 1) | u32::from((byte >> (7 - self.at % 8)) & 1);
            self.at += 1;
        }
        Some(value)
    }

    /// Reads an unsigned Exp-Golomb code, H.264 §9.1.
    fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.fixed(1)? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let rest = self.fixed(zeros)?;
        Some(((1u64 << zeros) - 1 + u64::from(rest)).try_into().unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_size_of_a_real_parameter_set() {
        // 1280x720, High profile, as x264 writes it.
        let set =
            [0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10];
        let mut record = vec![1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 17];
        record.extend_from_slice(&set);
        assert_eq!(coded_size_px("h264", &record), Some((1280, 720)));
        assert_eq!(coded_size_px("hevc", &record), None);
        assert_eq!(coded_size_px("h264", &record[..12]), None);
    }
}
