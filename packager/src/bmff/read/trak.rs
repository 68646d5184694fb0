//! What `trak` says apart from its samples (ISO/IEC 14496-12 §8.3 to §8.6): header, edits, timescale, language, codec.

use mcsp_domain::limits::TIMESCALE_MAX;
use mcsp_domain::{Round, rescale};

use super::cursor::BoxRef;
use super::entry;
use crate::TrackConfig;
use crate::bmff::{BmffError, FourCc};

/// A track of pictures or sound, before its samples.
pub(super) struct TrackHeader<'a> {
    pub(super) track_id: u32,
    pub(super) config: TrackConfig,
    /// Ticks by which a first, empty edit delays the track.
    pub(super) delay: i64,
    pub(super) stbl: BoxRef<'a>,
}

/// Reads a `trak`. Tracks of neither pictures nor sound give nothing.
pub(super) fn read<'a>(trak: &BoxRef<'a>, movie_timescale: u32) -> Result<Option<TrackHeader<'a>>, BmffError> {
    let mdia = trak.child(*b"mdia")?;
    let mut fields = mdia.child(*b"hdlr")?.full()?.2;
    fields.skip(4)?;
    let handler: [u8; 4] = fields.array()?;
    if !matches!(&handler, b"vide" | b"soun") {
        return Ok(None);
    }
    let (timescale, language) = read_mdhd(&mdia.child(*b"mdhd")?)?;
    let stbl = mdia.child(*b"minf")?.child(*b"stbl")?;
    let media = entry::read(&stbl.child(*b"stsd")?)?;
    let track_id = read_tkhd(&trak.child(*b"tkhd")?, media.is_video())?;
    let edit = match trak.find(*b"edts")? {
        Some(edts) => edts.find(*b"elst")?.map(|elst| read_elst(&elst)).transpose()?,
        None => None,
    };
    let edit = edit.unwrap_or_default();
    let delay = rescale(edit.delay_movie_ticks, movie_timescale.into(), timescale.into(), Round::Nearest);
    let config = TrackConfig { timescale, language, edit_media_time: edit.media_time, media };
    Ok(Some(TrackHeader { track_id, config, delay, stbl }))
}

/// Reads `mvhd` or `mdhd` up to the timescale, which must be usable.
pub(super) fn read_timescale(header: &BoxRef) -> Result<u32, BmffError> {
    let (version, _, mut fields) = header.full()?;
    fields.skip(if version == 1 { 16 } else { 8 })?;
    let timescale = fields.u32()?;
    if timescale == 0 || timescale > TIMESCALE_MAX {
        let reason = format!("timescale {timescale} is not within 1 to {TIMESCALE_MAX}");
        return Err(BmffError::invalid(header.name.0, reason));
    }
    Ok(timescale)
}

fn read_mdhd(mdhd: &BoxRef) -> Result<(u32, String), BmffError> {
    let timescale = read_timescale(mdhd)?;
    let (version, _, mut fields) = mdhd.full()?;
    fields.skip(if version == 1 { 28 } else { 16 })?;
    let packed = fields.u16()?;
    let letters = [packed >> 10, packed >> 5, packed].map(|bits| u8::try_from(bits & 31).unwrap_or(0));
    let fits = letters.iter().all(|letter| (1..=26).contains(letter));
    // Packed values without three letters are Macintosh language codes of old QuickTime.
    let language = if fits {
        letters.iter().map(|&letter| char::from(letter.saturating_add(0x60))).collect()
    } else {
        "und".into()
    };
    Ok((timescale, language))
}

fn read_tkhd(tkhd: &BoxRef, video: bool) -> Result<u32, BmffError> {
    let (version, _, mut fields) = tkhd.full()?;
    fields.skip(if version == 1 { 16 } else { 8 })?;
    let track_id = fields.u32()?;
    fields.skip(if version == 1 { 12 } else { 8 })?;
    fields.skip(16)?;
    let mut matrix = [0; 9];
    for value in &mut matrix {
        *value = fields.u32()?;
    }
    let [a, b, _, c, d, ..] = matrix;
    if video && (a, b, c, d) != (0x0001_0000, 0, 0, 0x0001_0000) {
        return Err(BmffError::invalid(*b"tkhd", "its matrix turns or scales the picture, which is not supported"));
    }
    Ok(track_id)
}

/// An edit list that we understand: at most one empty edit, then one that plays from `media_time` on.
#[derive(Default)]
struct Edit {
    delay_movie_ticks: i64,
    media_time: i64,
}

fn read_elst(elst: &BoxRef) -> Result<Edit, BmffError> {
    let (version, _, mut fields) = elst.full()?;
    let wide = version == 1;
    let mut entries = fields.counted(if wide { 20 } else { 12 })?;
    let count = entries.len();
    let mut edit = Edit::default();
    let mut plays = 0_u32;
    while entries.advance() {
        let fields = &mut entries.fields;
        let duration = if wide { fields.u64()? } else { fields.u32()?.into() };
        let media_time = if wide { fields.array().map(i64::from_be_bytes)? } else { fields.i32()?.into() };
        let rate = fields.u32()?;
        if media_time == -1 && plays == 0 && edit.delay_movie_ticks == 0 {
            edit.delay_movie_ticks = i64::try_from(duration).unwrap_or(i64::MAX);
            continue;
        }
        plays = plays.saturating_add(1);
        if plays > 1 || media_time < 0 || rate != 0x0001_0000 {
            let reason = format!("{count} edits, one from media time {media_time} at rate {rate:#x}: not supported");
            return Err(BmffError::Invalid { name: FourCc(*b"elst"), reason });
        }
        edit.media_time = media_time;
    }
    Ok(edit)
}
