//! Stills of the tapped pictures: sheets of tiles, and one poster.

use mcsp_child::{
    FromChild, PosterTap, SHEET_TILES_MAX, STILL_BYTES_MAX, STILL_EDGE_PX_MAX, StillKind, StoryboardTap, TapStill,
};
use mcsp_domain::VideoTrack;

use super::turn::{fit, turned};
use crate::error::MediaError;
use crate::ffmpeg::{Frame, Graph, Planes, encode_jpeg};
use crate::parent::Parent;

/// Quantisers of a poster and of sheets: 2 shows no blocks, 5 shows none at a tile's size.
const POSTER_QUANTISER: u8 = 3;
const SHEET_QUANTISER: u8 = 5;

/// The stills of one track.
pub(super) struct Stills<'a> {
    parent: &'a Parent,
    track: VideoTrack,
    board: Option<(StoryboardTap, Option<Sheet>)>,
    poster: Poster,
}

enum Poster {
    /// None is wanted, or it was sent.
    Done,
    /// Wanted; the last picture before its instant is kept, for films that end early.
    Wanted { tap: PosterTap, last: Option<(Frame, (u32, u32), u64)> },
}

/// A sheet that is being filled.
struct Sheet {
    tile_px: (usize, usize),
    scale: Graph,
    tiles: Vec<Planes>,
    times_ms: Vec<u64>,
}

impl<'a> Stills<'a> {
    /// Returns stills to be made.
    pub(super) fn new(
        parent: &'a Parent,
        board: Option<StoryboardTap>,
        poster: Option<PosterTap>,
        track: &VideoTrack,
    ) -> Self {
        let poster = poster.map_or(Poster::Done, |tap| Poster::Wanted { tap, last: None });
        Self { parent, track: track.clone(), board: board.map(|tap| (tap, None)), poster }
    }

    /// Takes a tagged picture, which is `shown_px` large when shown.
    pub(super) fn take(&mut self, frame: &Frame, shown_px: (u32, u32), time_ms: u64) -> Result<(), MediaError> {
        self.tile(frame, shown_px, time_ms)?;
        let Poster::Wanted { tap, last } = &mut self.poster else { return Ok(()) };
        if time_ms < tap.at_ms {
            *last = Some((frame.share()?, shown_px, time_ms));
            return Ok(());
        }
        let edge_px = tap.edge_px;
        self.poster = Poster::Done;
        self.send_poster(frame, shown_px, edge_px, time_ms)
    }

    /// Sends what is not sent yet.
    pub(super) fn finish(&mut self) -> Result<(), MediaError> {
        self.send_sheet()?;
        if let Poster::Wanted { tap, last: Some((frame, shown_px, time_ms)) } =
            std::mem::replace(&mut self.poster, Poster::Done)
        {
            self.send_poster(&frame, shown_px, tap.edge_px, time_ms)?;
        }
        Ok(())
    }

    fn tile(&mut self, frame: &Frame, shown_px: (u32, u32), time_ms: u64) -> Result<(), MediaError> {
        let Some((tap, sheet)) = &mut self.board else { return Ok(()) };
        let sheet = match sheet {
            Some(sheet) => sheet,
            None => sheet.insert(Sheet::new(even(fit(shown_px, tap.tile_edge_px.into())), &self.track)),
        };
        sheet.tiles.push(upright(sheet.scale.run(frame.share()?)?, &self.track)?);
        sheet.times_ms.push(time_ms);
        if sheet.tiles.len() >= tiles_of(*tap) { self.send_sheet() } else { Ok(()) }
    }

    fn send_sheet(&mut self) -> Result<(), MediaError> {
        let Some((tap, Some(sheet))) = &mut self.board else { return Ok(()) };
        if sheet.tiles.is_empty() {
            return Ok(());
        }
        let (tile_width, tile_height) = sheet.tile_px;
        let columns = usize::from(tap.columns.max(1)).min(sheet.tiles.len());
        let rows = sheet.tiles.len().div_ceil(columns);
        let mut whole = Planes::black(columns * tile_width, rows * tile_height);
        for (index, tile) in sheet.tiles.drain(..).enumerate() {
            whole.paste(&tile, index % columns * tile_width, index / columns * tile_height);
        }
        let times_ms = std::mem::take(&mut sheet.times_ms);
        let tile_px = sheet.tile_px;
        self.send(StillKind::Sheet, &whole, tile_px, times_ms, SHEET_QUANTISER)
    }

    fn send_poster(
        &mut self,
        frame: &Frame,
        shown_px: (u32, u32),
        edge_px: u16,
        time_ms: u64,
    ) -> Result<(), MediaError> {
        let size_px = even(fit(shown_px, edge_px.min(STILL_EDGE_PX_MAX).into()));
        let scaled = scale_to(size_px, &self.track).run(frame.share()?)?;
        let picture = upright(scaled, &self.track)?;
        self.send(StillKind::Poster, &picture, size_px, vec![time_ms], POSTER_QUANTISER)
    }

    fn send(
        &self,
        kind: StillKind,
        picture: &Planes,
        tile_px: (usize, usize),
        times_ms: Vec<u64>,
        quantiser: u8,
    ) -> Result<(), MediaError> {
        let edges = [picture.width_px, picture.height_px, tile_px.0, tile_px.1];
        let [Ok(width_px), Ok(height_px), Ok(tile_width_px), Ok(tile_height_px)] = edges.map(u16::try_from) else {
            return Err(MediaError::Limit(format!("a still has {}x{} pixels", picture.width_px, picture.height_px)));
        };
        if width_px.max(height_px) > STILL_EDGE_PX_MAX {
            let max = STILL_EDGE_PX_MAX;
            return Err(MediaError::Limit(format!("a still has {width_px}x{height_px} pixels, {max} a side allowed")));
        }
        let jpeg = encode_jpeg(picture, quantiser)?;
        if jpeg.len() > STILL_BYTES_MAX {
            return Err(MediaError::Limit(format!("a still has {} bytes, {STILL_BYTES_MAX} allowed", jpeg.len())));
        }
        let still = TapStill { kind, width_px, height_px, tile_width_px, tile_height_px, times_ms, jpeg };
        self.parent.send(&FromChild::TapStill(still))
    }
}

impl Sheet {
    fn new(tile_px: (usize, usize), track: &VideoTrack) -> Self {
        Self { tile_px, scale: scale_to(tile_px, track), tiles: Vec::new(), times_ms: Vec::new() }
    }
}

fn tiles_of(tap: StoryboardTap) -> usize {
    (usize::from(tap.columns.max(1)) * usize::from(tap.rows.max(1))).min(SHEET_TILES_MAX)
}

/// Returns the chain that brings a coded picture to an upright size, before it is turned.
fn scale_to((width, height): (usize, usize), track: &VideoTrack) -> Graph {
    let edge = |edge: usize| u32::try_from(edge).unwrap_or(2);
    let is_turned = track.orientation.quarter_turns % 2 == 1;
    let (width, height) = if is_turned { (edge(height), edge(width)) } else { (edge(width), edge(height)) };
    Graph::still(width, height, track.colour)
}

/// Returns a scaled picture upright.
fn upright(frame: Frame, track: &VideoTrack) -> Result<Planes, MediaError> {
    let Planes { width_px, height_px, planes } = Planes::of(&frame)?;
    let [luma, blue, red] = &planes;
    let turn = |plane: &[u8], width: usize| turned(plane, width, track.orientation);
    let planes = [turn(luma, width_px), turn(blue, width_px / 2), turn(red, width_px / 2)];
    let is_turned = track.orientation.quarter_turns % 2 == 1;
    let (width_px, height_px) = if is_turned { (height_px, width_px) } else { (width_px, height_px) };
    Ok(Planes { width_px, height_px, planes })
}

/// 4:2:0 pictures have even edges.
fn even((width, height): (usize, usize)) -> (usize, usize) {
    let edge = |edge: usize| (edge - edge % 2).max(2);
    (edge(width), edge(height))
}
