//! Sample entries of foreign files: `avc1` and `mp4a`; everything else is refused by name.

use mcsp_domain::Colour;
use mcsp_domain::limits::{CODEC_CONFIG_BYTES_MAX, SOURCE_CHANNELS_MAX, SOURCE_SAMPLE_RATE_HZ_MAX};

use super::cursor::{BoxRef, Boxes, Fields};
use crate::bmff::{BmffError, FourCc};
use crate::{AacConfig, AvcConfig, MediaConfig};

/// Sampling frequencies of ISO/IEC 14496-3 Table 1.18.
const AAC_RATES_HZ: [u32; 13] =
    [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350];
/// Channels of ISO/IEC 14496-3 Table 1.19; 0 where `AudioSpecificConfig` lists them elsewhere.
const AAC_CHANNELS: [u16; 8] = [0, 1, 2, 3, 4, 5, 6, 8];

/// Reads the only sample entry of `stsd`.
pub(super) fn read(stsd: &BoxRef) -> Result<MediaConfig, BmffError> {
    let mut entries = stsd.children_after(8)?;
    let (_, _, mut fields) = stsd.full()?;
    let count = fields.u32()?;
    if count != 1 {
        return Err(BmffError::invalid(*b"stsd", format!("{count} sample entries, 1 supported")));
    }
    let missing = BmffError::Missing { parent: stsd.name, name: FourCc(*b"avc1") };
    let entry = entries.next().ok_or(missing)??;
    match &entry.name.0 {
        b"avc1" => read_avc(&entry).map(MediaConfig::Avc),
        b"mp4a" => read_aac(&entry).map(MediaConfig::Aac),
        b"encv" | b"enca" => Err(BmffError::Encrypted { name: entry.name }),
        _ => Err(BmffError::Codec { name: entry.name }),
    }
}

fn read_avc(entry: &BoxRef) -> Result<AvcConfig, BmffError> {
    let mut fields = entry.fields();
    fields.skip(24)?;
    let (width_px, height_px) = (fields.u16()?, fields.u16()?);
    if width_px == 0 || height_px == 0 {
        return Err(BmffError::invalid(*b"avc1", format!("picture of {width_px} x {height_px} pixels")));
    }
    let (mut decoder_config, mut colour) = (None, Colour::UNSPECIFIED);
    for child in entry.children_after(78)? {
        let child = child?;
        match &child.name.0 {
            b"avcC" => decoder_config = Some(read_decoder_config(&child)?),
            b"colr" => colour = read_colour(&child)?.unwrap_or(colour),
            b"pasp" => check_square(&child)?,
            _ => {}
        }
    }
    let missing = BmffError::Missing { parent: entry.name, name: FourCc(*b"avcC") };
    Ok(AvcConfig { width_px, height_px, colour, decoder_config: decoder_config.ok_or(missing)? })
}

/// Reads `avcC` (ISO/IEC 14496-15 §5.3.3.1), as far as later readers rely on it.
fn read_decoder_config(avcc: &BoxRef) -> Result<Vec<u8>, BmffError> {
    let (claimed, allowed) = (avcc.payload.len() as u64, CODEC_CONFIG_BYTES_MAX as u64);
    if claimed > allowed {
        return Err(BmffError::Limit { name: avcc.name, what: "bytes", claimed, allowed });
    }
    let mut fields = avcc.fields();
    let version = fields.u8()?;
    fields.skip(3)?;
    let (length_size, sps_count) = ((fields.u8()? & 3).saturating_add(1), fields.u8()? & 31);
    if version != 1 || length_size == 3 || sps_count == 0 {
        let reason =
            format!("version {version}, NAL length of {length_size} bytes, {sps_count} sequence parameter sets");
        return Err(BmffError::invalid(*b"avcC", reason));
    }
    Ok(avcc.payload.to_vec())
}

/// Reads `colr` (ISO/IEC 14496-12 §12.1.5); ICC profiles say nothing that a player uses.
fn read_colour(colr: &BoxRef) -> Result<Option<Colour>, BmffError> {
    let mut fields = colr.fields();
    let kind: [u8; 4] = fields.array()?;
    if !matches!(&kind, b"nclx" | b"nclc") {
        return Ok(None);
    }
    let mut code_point = || fields.u16().map(|code| u8::try_from(code).unwrap_or(2));
    let (primaries, transfer, matrix) = (code_point()?, code_point()?, code_point()?);
    let full_range = kind == *b"nclx" && fields.u8()? >> 7 == 1;
    Ok(Some(Colour { primaries, transfer, matrix, full_range }))
}

fn check_square(pasp: &BoxRef) -> Result<(), BmffError> {
    let mut fields = pasp.fields();
    let (h_spacing, v_spacing) = (fields.u32()?, fields.u32()?);
    if h_spacing != v_spacing {
        return Err(BmffError::invalid(
            *b"pasp",
            format!("pixels of {h_spacing}:{v_spacing}, only square ones supported"),
        ));
    }
    Ok(())
}

fn read_aac(entry: &BoxRef) -> Result<AacConfig, BmffError> {
    let mut fields = entry.fields();
    fields.skip(8)?;
    let version = fields.u16()?;
    fields.skip(6)?;
    let entry_channels = fields.u16()?;
    fields.skip(6)?;
    let entry_rate_hz = u32::from(fields.u16()?);
    // QuickTime's versions 1 and 2 put more fields before the boxes.
    let children = entry.children_after(match version {
        1 => 28 + 16,
        2 => 28 + 36,
        _ => 28,
    })?;
    let missing = BmffError::Missing { parent: entry.name, name: FourCc(*b"esds") };
    let esds = find_esds(children)?.ok_or(missing)?;
    let audio_specific_config = read_esds(&esds)?;
    let (config_rate_hz, config_channels) = read_specific_config(&audio_specific_config);
    let sample_rate_hz = config_rate_hz.unwrap_or(entry_rate_hz);
    let channels = config_channels.unwrap_or(entry_channels);
    if !(1..=SOURCE_SAMPLE_RATE_HZ_MAX).contains(&sample_rate_hz)
        || !(1..=SOURCE_CHANNELS_MAX).contains(&channels.into())
    {
        return Err(BmffError::invalid(*b"mp4a", format!("{channels} channels at {sample_rate_hz} Hz")));
    }
    Ok(AacConfig { sample_rate_hz, channels, audio_specific_config })
}

/// Finds `esds` among the children, or in QuickTime's `wave`.
fn find_esds(children: Boxes<'_>) -> Result<Option<BoxRef<'_>>, BmffError> {
    for child in children {
        let child = child?;
        match &child.name.0 {
            b"esds" => return Ok(Some(child)),
            b"wave" => return child.find(*b"esds"),
            _ => {}
        }
    }
    Ok(None)
}

/// Returns `AudioSpecificConfig` out of the descriptors of ISO/IEC 14496-1 §7.2.6.
fn read_esds<'a>(esds: &BoxRef<'a>) -> Result<Vec<u8>, BmffError> {
    let (_, _, mut fields) = esds.full()?;
    let mut stream = read_descriptor(&mut fields, 0x03)?;
    stream.skip(2)?;
    let flags = stream.u8()?;
    stream.skip(if flags & 0x80 != 0 { 2 } else { 0 })?;
    let url_bytes = if flags & 0x40 != 0 { stream.u8()? } else { 0 };
    stream.skip(url_bytes.into())?;
    stream.skip(if flags & 0x20 != 0 { 2 } else { 0 })?;
    let mut decoder = read_descriptor(&mut stream, 0x04)?;
    let object_type = decoder.u8()?;
    if object_type != 0x40 {
        let reason = format!("object type {object_type:#04x} is not supported (0x40, AAC, is)");
        return Err(BmffError::invalid(*b"esds", reason));
    }
    decoder.skip(12)?;
    let specific = read_descriptor(&mut decoder, 0x05)?.rest();
    if !(2..=64).contains(&specific.len()) {
        let reason = format!("AudioSpecificConfig of {} bytes, 2 to 64 supported", specific.len());
        return Err(BmffError::invalid(*b"esds", reason));
    }
    Ok(specific.to_vec())
}

/// Returns a cursor over the payload of the next descriptor, which must have this tag.
fn read_descriptor<'a>(fields: &mut Fields<'a>, tag: u8) -> Result<Fields<'a>, BmffError> {
    let found = fields.u8()?;
    if found != tag {
        return Err(BmffError::invalid(*b"esds", format!("descriptor {found:#04x} stands where {tag:#04x} should")));
    }
    let mut len_bytes = 0_usize;
    for _ in 0..4 {
        let byte = fields.u8()?;
        len_bytes = (len_bytes << 7) | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut payload = fields.clone();
    let bytes = fields.take(len_bytes)?;
    payload.truncate(bytes);
    Ok(payload)
}

/// Reads rate and channels from `AudioSpecificConfig` (ISO/IEC 14496-3 §1.6.2.1), where it says them.
fn read_specific_config(config: &[u8]) -> (Option<u32>, Option<u16>) {
    let mut bits = Bits { bytes: config, position: 0 };
    let object_type = read_object_type(&mut bits);
    let mut rate_hz = read_rate(&mut bits);
    let channels = usize::try_from(bits.take(4)).ok().and_then(|index| AAC_CHANNELS.get(index).copied());
    // Spectral band replication and parametric stereo: the rate that comes out follows.
    if matches!(object_type, 5 | 29) {
        rate_hz = read_rate(&mut bits);
    }
    (rate_hz, channels.filter(|&channels| channels > 0))
}

fn read_object_type(bits: &mut Bits) -> u32 {
    match bits.take(5) {
        31 => bits.take(6).saturating_add(32),
        plain => plain,
    }
}

fn read_rate(bits: &mut Bits) -> Option<u32> {
    match bits.take(4) {
        15 => Some(bits.take(24)),
        index => usize::try_from(index).ok().and_then(|index| AAC_RATES_HZ.get(index).copied()),
    }
}

/// A bit cursor that reads zeros behind the end.
struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: u32) -> u32 {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.position >> 3).copied().unwrap_or(0);
            value = (value << 1) | u32::from((byte << (self.position & 7)) >> 7);
            self.position = self.position.saturating_add(1);
        }
        value
    }
}
