//! Small pictures made upright, and sizes that fit an edge.

use mcsp_domain::Orientation;

/// Returns the largest size of a shape whose longer side is at most `edge_px`, never larger than the shape itself.
pub(super) fn fit((width_px, height_px): (u32, u32), edge_px: u32) -> (usize, usize) {
    let longer = width_px.max(height_px).max(1);
    let edge_px = edge_px.clamp(1, longer);
    let side = |side_px: u32| {
        let scaled = (u64::from(side_px) * u64::from(edge_px) + u64::from(longer) / 2) / u64::from(longer);
        usize::try_from(scaled.max(1)).unwrap_or(1)
    };
    (side(width_px), side(height_px))
}

/// Returns a row-major plane upright: mirrored first, then turned clockwise.
pub(super) fn turned(plane: &[u8], width: usize, orientation: Orientation) -> Vec<u8> {
    let height = plane.len() / width.max(1);
    let at = |column: usize, row: usize| {
        let column = if orientation.mirrored { width - 1 - column } else { column };
        plane.get(row * width + column).copied().unwrap_or(0)
    };
    let mut out = Vec::with_capacity(plane.len());
    let (out_width, out_height) = if orientation.quarter_turns % 2 == 1 { (height, width) } else { (width, height) };
    for row in 0..out_height {
        for column in 0..out_width {
            out.push(match orientation.quarter_turns % 4 {
                0 => at(column, row),
                1 => at(row, height - 1 - column),
                2 => at(width - 1 - column, height - 1 - row),
                _ => at(width - 1 - row, column),
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_keep_their_shape_and_never_grow() {
        assert_eq!(fit((1920, 1080), 512), (512, 288));
        assert_eq!(fit((1080, 1920), 160), (90, 160));
        assert_eq!(fit((320, 180), 512), (320, 180));
        assert_eq!(fit((4000, 3), 100), (100, 1));
    }

    #[test]
    fn pictures_turn_clockwise_after_they_are_mirrored() {
        let turn = |quarter_turns, mirrored| turned(b"abcdef", 3, Orientation { quarter_turns, mirrored });
        assert_eq!(turn(0, false), b"abcdef");
        assert_eq!(turn(1, false), b"daebfc");
        assert_eq!(turn(2, false), b"fedcba");
        assert_eq!(turn(3, false), b"cfbead");
        assert_eq!(turn(0, true), b"cbafed");
        assert_eq!(turn(1, true), b"fcebda");
    }
}
