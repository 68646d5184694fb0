//! Sample entries (ISO/IEC 14496-12 §12.1.3 and §12.2.3, 14496-15 §5.4.2, 14496-14 §5.6) and their protection
//! (`sinf`, ISO/IEC 23001-7 §8 and §9). In: a track's configuration. Out: the boxes of `stsd`.

use mcsp_domain::Scheme;

use super::{BoxWriter, TrackProtection};
use crate::{AacConfig, AvcConfig, MediaConfig};

/// How many 16-byte blocks of a `cbcs` pattern are encrypted, and how many left clear (ISO/IEC 23001-7 §10.4.2).
const VIDEO_PATTERN: u8 = 1 << 4 | 9;

/// Writes `stsd` with the one sample entry of a track.
pub(super) fn write_stsd(w: &mut BoxWriter, media: &MediaConfig, protection: Option<&TrackProtection>) {
    w.full_box(*b"stsd", 0, 0, |w| {
        w.u32(1);
        match media {
            MediaConfig::Avc(avc) => write_avc(w, avc, protection),
            MediaConfig::Aac(aac) => write_aac(w, aac, protection),
        }
    });
}

fn write_avc(w: &mut BoxWriter, avc: &AvcConfig, protection: Option<&TrackProtection>) {
    let name = if protection.is_some() { *b"encv" } else { *b"avc1" };
    w.boxed(name, |w| {
        w.zeros(6);
        w.u16(1); // data_reference_index
        w.zeros(16);
        w.u16(avc.width_px);
        w.u16(avc.height_px);
        w.u32(0x0048_0000); // 72 dpi, 16.16
        w.u32(0x0048_0000);
        w.zeros(4);
        w.u16(1); // frame_count
        w.zeros(32); // compressorname
        w.u16(0x0018); // depth
        w.u16(0xffff); // pre_defined
        w.boxed(*b"avcC", |w| w.bytes(&avc.decoder_config));
        write_colour(w, avc);
        w.boxed(*b"pasp", |w| {
            w.u32(1);
            w.u32(1);
        });
        write_protection(w, *b"avc1", protection, VIDEO_PATTERN);
    });
}

fn write_colour(w: &mut BoxWriter, avc: &AvcConfig) {
    let colour = avc.colour;
    if !colour.is_specified() {
        return;
    }
    w.boxed(*b"colr", |w| {
        w.bytes(b"nclx");
        w.u16(colour.primaries.into());
        w.u16(colour.transfer.into());
        w.u16(colour.matrix.into());
        w.u8(u8::from(colour.full_range) << 7);
    });
}

fn write_aac(w: &mut BoxWriter, aac: &AacConfig, protection: Option<&TrackProtection>) {
    let name = if protection.is_some() { *b"enca" } else { *b"mp4a" };
    w.boxed(name, |w| {
        w.zeros(6);
        w.u16(1); // data_reference_index
        w.zeros(8);
        w.u16(aac.channels);
        w.u16(16); // samplesize
        w.zeros(4);
        // A rate above 16 bits is written as 0: AudioSpecificConfig says it.
        w.u16(u16::try_from(aac.sample_rate_hz).unwrap_or(0));
        w.u16(0);
        write_esds(w, aac);
        write_protection(w, *b"mp4a", protection, 0);
    });
}

/// Writes `esds`: ES_Descriptor around DecoderConfigDescriptor and SLConfigDescriptor (ISO/IEC 14496-1 §7.2.6).
fn write_esds(w: &mut BoxWriter, aac: &AacConfig) {
    let specific = &aac.audio_specific_config;
    w.full_box(*b"esds", 0, 0, |w| {
        let decoder_len = 13 + DESCRIPTOR_HEADER_BYTES + specific.len();
        descriptor(w, 0x03, 3 + 2 * DESCRIPTOR_HEADER_BYTES + decoder_len + 1);
        w.u16(0); // ES_ID, 0 in a file (ISO/IEC 14496-14 §3.1.2)
        w.u8(0); // no dependence, URL or OCR stream
        descriptor(w, 0x04, decoder_len);
        w.u8(0x40); // MPEG-4 audio
        w.u8(0x15); // AudioStream, not up-stream, reserved bit 1
        w.zeros(3 + 4 + 4); // buffer size and bit rates: unknown
        descriptor(w, 0x05, specific.len());
        w.bytes(specific);
        descriptor(w, 0x06, 1);
        w.u8(2); // SLConfig predefined for MP4 files
    });
}

/// Bytes of a descriptor's tag and its expandable size, always written with four size bytes.
const DESCRIPTOR_HEADER_BYTES: usize = 5;

fn descriptor(w: &mut BoxWriter, tag: u8, len_bytes: usize) {
    w.u8(tag);
    for shift in [21_u32, 14, 7] {
        w.u8(0x80 | seven_bits(len_bytes >> shift));
    }
    w.u8(seven_bits(len_bytes));
}

fn seven_bits(value: usize) -> u8 {
    u8::try_from(value & 0x7f).unwrap_or(0x7f)
}

fn write_protection(w: &mut BoxWriter, format: [u8; 4], protection: Option<&TrackProtection>, pattern: u8) {
    let Some(protection) = protection else { return };
    w.boxed(*b"sinf", |w| {
        w.boxed(*b"frma", |w| w.bytes(&format));
        w.full_box(*b"schm", 0, 0, |w| {
            w.bytes(&protection.scheme.fourcc());
            w.u32(0x0001_0000); // scheme version 1.0
        });
        w.boxed(*b"schi", |w| write_tenc(w, protection, pattern));
    });
}

/// Writes `tenc` (ISO/IEC 23001-7 §8.2): version 0 for `cenc`, 1 with pattern and constant IV for `cbcs`.
fn write_tenc(w: &mut BoxWriter, protection: &TrackProtection, pattern: u8) {
    let (version, pattern, per_sample_iv_bytes) = match protection.scheme {
        Scheme::Cenc => (0, 0, 8),
        Scheme::Cbcs => (1, pattern, 0),
    };
    w.full_box(*b"tenc", version, 0, |w| {
        w.u8(0);
        w.u8(pattern);
        w.u8(1); // default_isProtected
        w.u8(per_sample_iv_bytes);
        w.bytes(protection.kid.as_bytes());
        if per_sample_iv_bytes == 0 {
            w.u8(16);
            w.bytes(&protection.constant_iv);
        }
    });
}
