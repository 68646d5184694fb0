//! Taps: what a child shows of a source without encoding it, for fingerprints, moderation and thumbnails. Small luma
//! pictures, cells of dense stretches, sound at one rate, stills as JPEG. Binary on the wire, since there are many of them.

use mcsp_domain::limits;
use serde::{Deserialize, Serialize};

use crate::WireError;
use crate::message::{kind, malformed, take};

/// Samples per second of tapped sound, mono: what landmark fingerprints are made of.
pub const TAP_SAMPLE_RATE_HZ: u32 = 11_025;
/// Samples of one message: about six seconds.
pub const TAP_SAMPLES_MAX: usize = 1 << 16;
/// The longer side of a tapped luma picture.
pub const TAP_LUMA_EDGE_PX_MAX: u16 = 512;
/// The longer side of a still.
pub const STILL_EDGE_PX_MAX: u16 = 4096;
/// Bytes of one still: a sheet of a hundred tiles takes a quarter.
pub const STILL_BYTES_MAX: usize = 8 << 20;
/// Tiles of one sheet.
pub const SHEET_TILES_MAX: usize = 256;
/// Cells across a picture.
pub const CELL_COLUMNS: usize = 32;
/// Cells down a picture.
pub const CELL_ROWS: usize = 18;
/// Cells of a picture.
pub const CELL_COUNT: usize = CELL_COLUMNS * CELL_ROWS;

/// What is wanted of the pictures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoTaps {
    /// A picture at least about this often. Key frames come first; where they lie further apart, what lies between them is
    /// decoded as far as needed.
    pub every_ms: u32,
    /// The most pictures; they are spread over the length that the headers claim.
    pub pictures_max: u32,
    /// The longer side of the luma picture that is told of each; `None` tells none.
    pub luma_edge_px: Option<u16>,
    /// Stretches of which every frame is told as cells.
    pub dense: Option<DenseTap>,
    /// Sheets of small pictures.
    pub storyboard: Option<StoryboardTap>,
    /// One larger picture.
    pub poster: Option<PosterTap>,
}

/// Stretches of which every frame is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DenseTap {
    /// The first stretch, from zero.
    pub first_ms: u32,
    /// Every later one's length.
    pub window_ms: u32,
    /// From the start of one to the start of the next.
    pub every_ms: u32,
}

impl DenseTap {
    /// Returns whether an instant lies in a stretch.
    pub fn covers(&self, time_ms: u64) -> bool {
        let first = time_ms < u64::from(self.first_ms);
        first || time_ms % u64::from(self.every_ms.max(1)) < u64::from(self.window_ms)
    }
}

/// Sheets of tiles, left to right and top to bottom, one tile a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoryboardTap {
    /// The longer side of a tile.
    pub tile_edge_px: u16,
    /// Tiles in a row.
    pub columns: u16,
    /// Rows of a whole sheet.
    pub rows: u16,
}

/// One larger picture: the first tapped one at or after an instant, else the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PosterTap {
    /// The longer side; the picture never grows.
    pub edge_px: u16,
    /// The instant.
    pub at_ms: u64,
}

/// What is wanted of the sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioTaps {
    /// The most samples; what comes after them is left out.
    pub samples_max: u64,
}

/// A luma picture: upright, square pixels, area-scaled, full range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapPicture {
    /// Output time.
    pub time_ms: u64,
    /// Width.
    pub width_px: u16,
    /// Height.
    pub height_px: u16,
    /// `luma: [u8; width * height]`, row-major, 0 is black and 255 white.
    pub luma: Vec<u8>,
}

/// A frame of a dense stretch as means of `CELL_COLUMNS` by `CELL_ROWS` cells, as coded: not turned, full range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapCells {
    /// Output time.
    pub time_ms: u64,
    /// `means: [u8; CELL_COUNT]`, row-major.
    pub means: Vec<u8>,
}

/// A piece of sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapSound {
    /// The place of its first sample; 0 is output zero. Pieces follow each other without gaps.
    pub first_sample: u64,
    /// Mono, at `TAP_SAMPLE_RATE_HZ`.
    pub samples: Vec<i16>,
}

/// What a still is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StillKind {
    /// The one larger picture.
    Poster,
    /// One sheet of a storyboard.
    Sheet,
}

/// A JPEG file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapStill {
    /// What it is.
    pub kind: StillKind,
    /// Width.
    pub width_px: u16,
    /// Height.
    pub height_px: u16,
    /// Width of a tile; the whole width of a poster.
    pub tile_width_px: u16,
    /// Height of a tile.
    pub tile_height_px: u16,
    /// The output time of each tile, in order; a poster has one.
    pub times_ms: Vec<u64>,
    /// The file.
    pub jpeg: Vec<u8>,
}

/// Sent after the last tap: what they covered. JSON on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapsEnd {
    /// Pictures taken.
    pub pictures: u32,
    /// Frames told as cells.
    pub dense_frames: u64,
    /// Output time at which the last packet of video ends; 0 without video.
    pub video_end_ms: u64,
    /// Samples of sound sent.
    pub samples: u64,
    /// Whether there was more of either than was asked for.
    pub is_cut: bool,
}

const PICTURE_HEADER_BYTES: usize = 8 + 2 + 2;
const STILL_HEADER_BYTES: usize = 1 + 4 * 2 + 2;

/// Returns the most payload bytes of a tap's kind.
pub(crate) fn payload_bytes_max(kind: u8) -> usize {
    let edge = usize::from(TAP_LUMA_EDGE_PX_MAX);
    match kind {
        kind::TAP_PICTURE => PICTURE_HEADER_BYTES + edge * edge,
        kind::TAP_CELLS => 8 + CELL_COUNT,
        kind::TAP_SOUND => 8 + TAP_SAMPLES_MAX * 2,
        kind::TAP_STILL => STILL_HEADER_BYTES + SHEET_TILES_MAX * 8 + STILL_BYTES_MAX,
        _ => limits::CODEC_CONFIG_BYTES_MAX,
    }
}

impl TapPicture {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(PICTURE_HEADER_BYTES + self.luma.len());
        out.extend_from_slice(&self.time_ms.to_le_bytes());
        out.extend_from_slice(&self.width_px.to_le_bytes());
        out.extend_from_slice(&self.height_px.to_le_bytes());
        out.extend_from_slice(&self.luma);
        out
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<Self, WireError> {
        let kind = kind::TAP_PICTURE;
        let time_ms = time(kind, payload, 0)?;
        let width_px = take(kind, payload, 8).map(u16::from_le_bytes)?;
        let height_px = take(kind, payload, 10).map(u16::from_le_bytes)?;
        let luma = payload.get(PICTURE_HEADER_BYTES..).unwrap_or_default().to_vec();
        let fits = (1..=TAP_LUMA_EDGE_PX_MAX).contains(&width_px) && (1..=TAP_LUMA_EDGE_PX_MAX).contains(&height_px);
        if !fits || luma.len() != usize::from(width_px) * usize::from(height_px) {
            return Err(malformed(kind, format!("{} bytes of {width_px}x{height_px} luma", luma.len())));
        }
        Ok(Self { time_ms, width_px, height_px, luma })
    }
}

impl TapCells {
    pub(crate) fn encode(&self) -> Vec<u8> {
        [&self.time_ms.to_le_bytes()[..], &self.means].concat()
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<Self, WireError> {
        let time_ms = time(kind::TAP_CELLS, payload, 0)?;
        let means = payload.get(8..).unwrap_or_default().to_vec();
        if means.len() != CELL_COUNT {
            return Err(malformed(kind::TAP_CELLS, format!("{} cells, {CELL_COUNT} expected", means.len())));
        }
        Ok(Self { time_ms, means })
    }
}

impl TapSound {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + self.samples.len() * 2);
        out.extend_from_slice(&self.first_sample.to_le_bytes());
        for sample in &self.samples {
            out.extend_from_slice(&sample.to_le_bytes());
        }
        out
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<Self, WireError> {
        let first_sample = take(kind::TAP_SOUND, payload, 0).map(u64::from_le_bytes)?;
        let (pairs, rest) = payload.get(8..).unwrap_or_default().as_chunks::<2>();
        let samples_max = limits::SOURCE_DURATION_S_MAX * u64::from(TAP_SAMPLE_RATE_HZ) * 2;
        if pairs.is_empty() || !rest.is_empty() || first_sample > samples_max {
            let bytes = payload.len();
            return Err(malformed(kind::TAP_SOUND, format!("{bytes} bytes of sound from sample {first_sample}")));
        }
        Ok(Self { first_sample, samples: pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect() })
    }
}

impl TapStill {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(STILL_HEADER_BYTES + self.times_ms.len() * 8 + self.jpeg.len());
        out.push(match self.kind {
            StillKind::Poster => 0,
            StillKind::Sheet => 1,
        });
        for edge_px in [self.width_px, self.height_px, self.tile_width_px, self.tile_height_px] {
            out.extend_from_slice(&edge_px.to_le_bytes());
        }
        let count = u16::try_from(self.times_ms.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&count.to_le_bytes());
        for time_ms in &self.times_ms {
            out.extend_from_slice(&time_ms.to_le_bytes());
        }
        out.extend_from_slice(&self.jpeg);
        out
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<Self, WireError> {
        let wire_kind = kind::TAP_STILL;
        let [tag] = take(wire_kind, payload, 0)?;
        let kind = match tag {
            0 => StillKind::Poster,
            1 => StillKind::Sheet,
            _ => return Err(malformed(wire_kind, format!("still of kind {tag} is unknown"))),
        };
        let edge = |at: usize| take(wire_kind, payload, at).map(u16::from_le_bytes);
        let (width_px, height_px, tile_width_px, tile_height_px) = (edge(1)?, edge(3)?, edge(5)?, edge(7)?);
        let count = usize::from(edge(9)?);
        let sizes = [(tile_width_px, width_px), (tile_height_px, height_px)];
        let sizes_fit = sizes.iter().all(|&(tile, whole)| tile > 0 && tile <= whole && whole <= STILL_EDGE_PX_MAX);
        if !sizes_fit || count == 0 || count > SHEET_TILES_MAX {
            return Err(malformed(wire_kind, format!("{count} tiles in a still of {width_px}x{height_px} pixels")));
        }
        let times_ms: Result<Vec<u64>, WireError> =
            (0..count).map(|index| time(wire_kind, payload, STILL_HEADER_BYTES + index * 8)).collect();
        let jpeg = payload.get(STILL_HEADER_BYTES + count * 8..).unwrap_or_default().to_vec();
        // Start of image, ISO/IEC 10918-1 table B.1.
        if jpeg.len() > STILL_BYTES_MAX || !jpeg.starts_with(&[0xff, 0xd8]) {
            return Err(malformed(wire_kind, format!("{} bytes are no JPEG", jpeg.len())));
        }
        Ok(Self { kind, width_px, height_px, tile_width_px, tile_height_px, times_ms: times_ms?, jpeg })
    }
}

fn time(kind: u8, payload: &[u8], at: usize) -> Result<u64, WireError> {
    let time_ms = take(kind, payload, at).map(u64::from_le_bytes)?;
    if time_ms > limits::SOURCE_DURATION_S_MAX * 2000 {
        return Err(malformed(kind, format!("time {time_ms} ms passes the longest source")));
    }
    Ok(time_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FromChild;

    fn round_trip(message: &FromChild) -> FromChild {
        let (kind, payload) = message.encode();
        FromChild::decode(kind, payload).unwrap()
    }

    fn still() -> TapStill {
        TapStill {
            kind: StillKind::Sheet,
            width_px: 320,
            height_px: 90,
            tile_width_px: 160,
            tile_height_px: 90,
            times_ms: vec![0, 2000],
            jpeg: vec![0xff, 0xd8, 1, 2],
        }
    }

    #[test]
    fn taps_survive_the_pipe() {
        let picture = TapPicture { time_ms: 40, width_px: 3, height_px: 2, luma: vec![0, 1, 2, 3, 4, 255] };
        for message in [
            FromChild::TapPicture(picture),
            FromChild::TapCells(TapCells { time_ms: 7, means: vec![9; CELL_COUNT] }),
            FromChild::TapSound(TapSound { first_sample: 5, samples: vec![-1, i16::MIN, i16::MAX] }),
            FromChild::TapStill(still()),
            FromChild::TapsEnd(TapsEnd { pictures: 2, ..TapsEnd::default() }),
        ] {
            assert_eq!(round_trip(&message), message);
        }
    }

    #[test]
    fn wrong_sizes_are_refused_by_their_numbers() {
        let picture = TapPicture { time_ms: 0, width_px: 3, height_px: 2, luma: vec![0; 5] };
        let error = |message: FromChild| {
            let (kind, payload) = message.encode();
            FromChild::decode(kind, payload).unwrap_err().to_string()
        };
        assert_eq!(error(FromChild::TapPicture(picture)), "message of kind 27 is malformed: 5 bytes of 3x2 luma");
        let sound = TapSound { first_sample: 3, samples: Vec::new() };
        assert_eq!(
            error(FromChild::TapSound(sound)),
            "message of kind 29 is malformed: 8 bytes of sound from sample 3"
        );
        let text = TapStill { jpeg: b"GIF".to_vec(), ..still() };
        assert_eq!(error(FromChild::TapStill(text)), "message of kind 30 is malformed: 3 bytes are no JPEG");
        let tall = TapStill { tile_height_px: 91, ..still() };
        assert!(error(FromChild::TapStill(tall)).ends_with("2 tiles in a still of 320x90 pixels"));
    }

    #[test]
    fn dense_stretches_come_again() {
        let dense = DenseTap { first_ms: 5000, window_ms: 2000, every_ms: 20_000 };
        let covered: Vec<u64> = [0, 4999, 5000, 19_999, 20_000, 21_999, 22_000, 40_000]
            .into_iter()
            .filter(|&time_ms| dense.covers(time_ms))
            .collect();
        assert_eq!(covered, [0, 4999, 20_000, 21_999, 40_000]);
    }
}
