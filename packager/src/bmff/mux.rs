//! The only muxer of the platform: initialisation segments (`ftyp moov`) and fragments (`moof mdat`) of one CMAF track,
//! ISO/IEC 14496-12 §8 and ISO/IEC 23000-19 §7. In: a track's configuration, access units in decode order. Out: bytes.

use mcsp_domain::{KeyId, Scheme};

use super::entry::write_stsd;
use super::fragment::{SampleColumns, write_mdat_header, write_moof};
use super::{BmffError, BoxWriter};
use crate::{MediaConfig, TrackConfig};

/// The one track of every file that we write.
pub const TRACK_ID: u32 = 1;
/// The identity matrix of `mvhd` and `tkhd`, 16.16 and 2.30.
const UNITY_MATRIX: [u32; 9] = [0x0001_0000, 0, 0, 0, 0x0001_0000, 0, 0, 0, 0x4000_0000];

/// What the sample entry of a protected track says, and the boxes that name its keys.
#[derive(Clone, Debug)]
pub struct TrackProtection<'a> {
    /// The scheme.
    pub scheme: Scheme,
    /// The id of the track's key, `default_KID`.
    pub kid: KeyId,
    /// The IV of every subsample; only `cbcs` has one.
    pub constant_iv: [u8; 16],
    /// Whole `pssh` boxes, which close `moov`.
    pub pssh: &'a [u8],
}

/// An access unit on its way into a fragment.
#[derive(Clone, Copy, Debug)]
pub struct FrameIn<'a> {
    /// The coded bytes; H.264 with length prefixes.
    pub data: &'a [u8],
    /// The time of display in track ticks.
    pub pts: i64,
    /// Whether decoding may begin here.
    pub key: bool,
}

/// Returns `ftyp` and `moov` of a fragmented file with one track.
pub fn init_segment(track: &TrackConfig, protection: Option<&TrackProtection>) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let mut w = BoxWriter::new(&mut out);
    w.boxed(*b"ftyp", |w| {
        w.bytes(b"iso6");
        w.u32(0);
        w.bytes(b"iso6cmfccmf2dash");
    });
    w.boxed(*b"moov", |w| {
        write_mvhd(w, track);
        write_trak(w, track, protection);
        w.boxed(*b"mvex", write_trex);
        if let Some(protection) = protection {
            w.bytes(protection.pssh);
        }
    });
    out
}

/// Returns `moof` and `mdat` for access units in decode order, one GOP or one run of audio. The i-th in decode order gets
/// the i-th display time as its decode time, so that the first sample needs no edit list; `next_pts` is the display time
/// of the first frame after these, which gives the last one its duration.
///
/// # Errors
/// When there are no frames, two share a time, `next_pts` is not after all of them, or a value does not fit its field.
pub fn fragment(sequence: u32, frames: &[FrameIn], next_pts: i64) -> Result<Vec<u8>, BmffError> {
    let pts: Vec<i64> = frames.iter().map(|frame| frame.pts).collect();
    let mut dts = pts.clone();
    dts.sort_unstable();
    if let Some(pair) = dts.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(BmffError::invalid(*b"trun", format!("two samples are shown at tick {}", pair[0])));
    }
    let mut sizes = Vec::with_capacity(frames.len());
    for frame in frames {
        let size = u32::try_from(frame.data.len())
            .map_err(|_| BmffError::invalid(*b"trun", format!("a sample has {} bytes", frame.data.len())))?;
        sizes.push(size);
    }
    let keys: Vec<bool> = frames.iter().map(|frame| frame.key).collect();
    let samples = SampleColumns { sizes: &sizes, dts: &dts, pts: &pts, keys: &keys, end: next_pts };
    let media_bytes: u64 = sizes.iter().map(|&size| u64::from(size)).sum();
    let mut out = Vec::with_capacity(frames.len() * 16 + 256 + usize::try_from(media_bytes).unwrap_or(0));
    let mut w = BoxWriter::new(&mut out);
    write_moof(&mut w, sequence, &samples, None)?;
    write_mdat_header(&mut w, media_bytes)?;
    for frame in frames {
        out.extend_from_slice(frame.data);
    }
    Ok(out)
}

fn write_mvhd(w: &mut BoxWriter, track: &TrackConfig) {
    w.full_box(*b"mvhd", 0, 0, |w| {
        w.zeros(8); // creation and modification: none, so that equal input gives equal bytes
        w.u32(track.timescale);
        w.u32(0); // duration: in the fragments
        w.u32(0x0001_0000); // rate 1
        w.u16(0x0100); // volume 1
        w.zeros(10);
        UNITY_MATRIX.iter().for_each(|&value| w.u32(value));
        w.zeros(24);
        w.u32(TRACK_ID + 1); // next_track_ID
    });
}

fn write_trak(w: &mut BoxWriter, track: &TrackConfig, protection: Option<&TrackProtection>) {
    w.boxed(*b"trak", |w| {
        write_tkhd(w, &track.media);
        if track.edit_media_time != 0 {
            w.boxed(*b"edts", |w| write_elst(w, track.edit_media_time));
        }
        w.boxed(*b"mdia", |w| {
            write_mdhd(w, track);
            write_hdlr(w, &track.media);
            w.boxed(*b"minf", |w| {
                match track.media {
                    MediaConfig::Avc(_) => w.full_box(*b"vmhd", 0, 1, |w| w.zeros(8)),
                    MediaConfig::Aac(_) => w.full_box(*b"smhd", 0, 0, |w| w.zeros(4)),
                }
                w.boxed(*b"dinf", write_dref);
                w.boxed(*b"stbl", |w| write_stbl(w, &track.media, protection));
            });
        });
    });
}

fn write_tkhd(w: &mut BoxWriter, media: &MediaConfig) {
    let (volume, width_px, height_px) = match media {
        MediaConfig::Avc(avc) => (0, avc.width_px, avc.height_px),
        MediaConfig::Aac(_) => (0x0100, 0, 0),
    };
    // Flags: enabled, in the movie, in the preview.
    w.full_box(*b"tkhd", 0, 7, |w| {
        w.zeros(8);
        w.u32(TRACK_ID);
        w.zeros(4 + 4 + 8); // reserved, duration, reserved
        w.zeros(4); // layer, alternate_group
        w.u16(volume);
        w.zeros(2);
        UNITY_MATRIX.iter().for_each(|&value| w.u32(value));
        w.u32(u32::from(width_px) << 16);
        w.u32(u32::from(height_px) << 16);
    });
}

/// Writes the one edit: presentation starts at `media_time`; its duration of 0 means all of the fragments (§8.6.6.1).
fn write_elst(w: &mut BoxWriter, media_time: i64) {
    w.full_box(*b"elst", 1, 0, |w| {
        w.u32(1);
        w.u64(0);
        w.i64(media_time);
        w.u32(0x0001_0000); // media rate 1
    });
}

fn write_mdhd(w: &mut BoxWriter, track: &TrackConfig) {
    w.full_box(*b"mdhd", 0, 0, |w| {
        w.zeros(8);
        w.u32(track.timescale);
        w.u32(0);
        w.u16(pack_language(&track.language));
        w.u16(0);
    });
}

/// Packs three lowercase letters into 5 bits each (§8.4.2.3); anything else becomes `und`.
fn pack_language(language: &str) -> u16 {
    let fits = language.len() == 3 && language.bytes().all(|byte| byte.is_ascii_lowercase());
    let text = if fits { language } else { "und" };
    text.bytes().fold(0, |packed, byte| packed << 5 | u16::from(byte - 0x60))
}

fn write_hdlr(w: &mut BoxWriter, media: &MediaConfig) {
    let (handler, name): (_, &[u8]) =
        if media.is_video() { (b"vide", b"VideoHandler\0") } else { (b"soun", b"SoundHandler\0") };
    w.full_box(*b"hdlr", 0, 0, |w| {
        w.zeros(4);
        w.bytes(handler);
        w.zeros(12);
        w.bytes(name);
    });
}

fn write_dref(w: &mut BoxWriter) {
    w.full_box(*b"dref", 0, 0, |w| {
        w.u32(1);
        w.full_box(*b"url ", 0, 1, |_| {}); // in this file
    });
}

fn write_stbl(w: &mut BoxWriter, media: &MediaConfig, protection: Option<&TrackProtection>) {
    write_stsd(w, media, protection);
    w.full_box(*b"stts", 0, 0, |w| w.u32(0));
    w.full_box(*b"stsc", 0, 0, |w| w.u32(0));
    w.full_box(*b"stsz", 0, 0, |w| w.zeros(8));
    w.full_box(*b"stco", 0, 0, |w| w.u32(0));
}

fn write_trex(w: &mut BoxWriter) {
    w.full_box(*b"trex", 0, 0, |w| {
        w.u32(TRACK_ID);
        w.u32(1); // default_sample_description_index
        w.zeros(12); // the defaults stand in each tfhd, as brand cmf2 asks
    });
}
