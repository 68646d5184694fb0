//! A storyboard's text (WebVTT, with media fragments for the tiles): one cue a tile, which together cover the film.

use std::fmt::Write as _;

use mcsp_domain::ObjectKey;
use mcsp_sandbox::child::TapStill;

/// One tile: where it lies and from when on it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    sheet: u32,
    left_px: u32,
    top_px: u32,
    width_px: u32,
    height_px: u32,
    time_ms: u64,
}

/// Returns the tiles of one sheet, in order.
pub(super) fn tiles(sheet_index: u32, sheet: &TapStill) -> Vec<Tile> {
    let (width_px, height_px) = (u32::from(sheet.tile_width_px), u32::from(sheet.tile_height_px));
    let columns = (u32::from(sheet.width_px) / width_px.max(1)).max(1);
    let tile = |(index, &time_ms): (u32, &u64)| Tile {
        sheet: sheet_index,
        left_px: index % columns * width_px,
        top_px: index / columns * height_px,
        width_px,
        height_px,
        time_ms,
    };
    (0..).zip(&sheet.times_ms).map(tile).collect()
}

/// Writes the cues: each lasts until the next, the first one from zero on and the last one to the end.
pub(super) fn write(tiles: &[Tile], duration_ms: u64) -> String {
    let mut text = "WEBVTT\n".to_owned();
    for (index, tile) in tiles.iter().enumerate() {
        let start_ms = if index == 0 { 0 } else { tile.time_ms };
        let end_ms = tiles.get(index + 1).map_or(duration_ms.max(start_ms + 1), |next| next.time_ms);
        let Tile { left_px, top_px, width_px, height_px, .. } = tile;
        let (start, end, sheet) = (instant(start_ms), instant(end_ms), ObjectKey::storyboard_sheet(tile.sheet));
        // Writing to a string cannot fail.
        let _ = write!(text, "\n{start} --> {end}\n{sheet}#xywh={left_px},{top_px},{width_px},{height_px}\n");
    }
    text
}

/// Writes a WebVTT timestamp (§4.1): `00:00:00.000`.
fn instant(time_ms: u64) -> String {
    let seconds = time_ms / 1000;
    format!("{:02}:{:02}:{:02}.{:03}", seconds / 3600, seconds / 60 % 60, seconds % 60, time_ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcsp_sandbox::child::StillKind;

    fn sheet(times_ms: &[u64]) -> TapStill {
        TapStill {
            kind: StillKind::Sheet,
            width_px: 320,
            height_px: 180,
            tile_width_px: 160,
            tile_height_px: 90,
            times_ms: times_ms.to_vec(),
            jpeg: Vec::new(),
        }
    }

    #[test]
    fn cues_cover_the_film_without_a_gap() {
        let mut all = tiles(0, &sheet(&[40, 2000, 4040]));
        all.extend(tiles(1, &sheet(&[3_661_000])));
        let expected = "WEBVTT

00:00:00.000 --> 00:00:02.000
storyboard-000.jpg#xywh=0,0,160,90

00:00:02.000 --> 00:00:04.040
storyboard-000.jpg#xywh=160,0,160,90

00:00:04.040 --> 01:01:01.000
storyboard-000.jpg#xywh=0,90,160,90

01:01:01.000 --> 01:01:02.500
storyboard-001.jpg#xywh=0,0,160,90
";
        assert_eq!(write(&all, 3_662_500), expected);
    }
}
