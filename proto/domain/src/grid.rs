//! The GOP grid: every rendition's keyframes, segments and chunks stand on multiples of one length of output time.

use serde::{Deserialize, Serialize};

use crate::{Round, rescale};

/// The longest GOP a plan makes, in milliseconds: 2 s seeks well and costs little (ARCHITECTURE.md section 8).
const GOP_TARGET_MS: u32 = 2000;

/// The output-time grid of a plan: a segment is `gops_per_segment` GOPs long. Grid times are exact rationals,
/// so that no rounding adds up over a film.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grid {
    segment_ms: u32,
    gops_per_segment: u32,
}

/// Why a segment length was refused.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum GridError {
    /// The length lies outside what players handle.
    #[error("segment length {segment_ms} ms is outside {min_ms} to {max_ms} ms")]
    Segment {
        /// The length asked for.
        segment_ms: u32,
        /// The shortest allowed.
        min_ms: u32,
        /// The longest allowed.
        max_ms: u32,
    },
}

impl Grid {
    /// Returns the grid for segments of `segment_ms`, cut into GOPs as near to 2 s as whole numbers allow.
    ///
    /// # Errors
    /// When the length is below 500 ms or above 60 s.
    pub fn new(segment_ms: u32) -> Result<Self, GridError> {
        let (min_ms, max_ms) = (crate::limits::SEGMENT_MS_MIN, crate::limits::SEGMENT_MS_MAX);
        if !(min_ms..=max_ms).contains(&segment_ms) {
            return Err(GridError::Segment { segment_ms, min_ms, max_ms });
        }
        let gops_per_segment = ((segment_ms + GOP_TARGET_MS / 2) / GOP_TARGET_MS).max(1);
        Ok(Self { segment_ms, gops_per_segment })
    }

    /// Returns the length of a segment in milliseconds.
    pub fn segment_ms(self) -> u32 {
        self.segment_ms
    }

    /// Returns the number of GOPs in a segment.
    pub fn gops_per_segment(self) -> u32 {
        self.gops_per_segment
    }

    /// Returns the first tick at or after the start of GOP `gop_index`.
    pub fn gop_start_ticks(self, gop_index: u64, timescale: u32) -> i64 {
        let numerator = i64::try_from(gop_index).unwrap_or(i64::MAX).saturating_mul(self.segment_ms.into());
        rescale(numerator, 1000 * u64::from(self.gops_per_segment), timescale.into(), Round::Up)
    }

    /// Returns the first tick at or after the start of segment `segment_index`.
    pub fn segment_start_ticks(self, segment_index: u64, timescale: u32) -> i64 {
        self.gop_start_ticks(segment_index.saturating_mul(self.gops_per_segment.into()), timescale)
    }

    /// Returns the GOP that holds `ticks`; instants before zero belong to GOP 0.
    pub fn gop_of(self, ticks: i64, timescale: u32) -> u64 {
        let per_gop = u64::from(timescale) * u64::from(self.segment_ms);
        let index = rescale(ticks, per_gop, 1000 * u64::from(self.gops_per_segment), Round::Down);
        u64::try_from(index).unwrap_or(0)
    }

    /// Returns the segment that holds `ticks`; instants before zero belong to segment 0.
    pub fn segment_of(self, ticks: i64, timescale: u32) -> u64 {
        self.gop_of(ticks, timescale) / u64::from(self.gops_per_segment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gops_stay_near_two_seconds() {
        for (segment_ms, gops) in [(6000, 3), (4000, 2), (2000, 1), (1000, 1), (5000, 3), (3000, 2), (10_000, 5)] {
            assert_eq!(Grid::new(segment_ms).unwrap().gops_per_segment(), gops, "{segment_ms} ms");
        }
    }

    #[test]
    fn refuses_lengths_no_player_takes() {
        assert_eq!(Grid::new(10).unwrap_err().to_string(), "segment length 10 ms is outside 500 to 60000 ms");
        assert!(Grid::new(61_000).is_err());
    }

    #[test]
    fn grid_points_and_their_gops_agree_in_odd_timescales() {
        let grid = Grid::new(5000).unwrap();
        for timescale in [1, 7, 1000, 11_025, 24_000, 30_000, 44_100, 90_000] {
            for gop in 0..2000 {
                let start = grid.gop_start_ticks(gop, timescale);
                if grid.gop_start_ticks(gop + 1, timescale) > start {
                    assert_eq!(grid.gop_of(start, timescale), gop, "gop {gop} of timescale {timescale}");
                }
                if start > 0 {
                    assert!(grid.gop_of(start - 1, timescale) < gop.max(1));
                }
            }
        }
    }
}
