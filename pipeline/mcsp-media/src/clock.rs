//! Pure time keeping: audio frames on one sample count, video times as runs, keyframes on the grid.

use mcsp_domain::{Grid, Round, rescale};

/// Timestamps that are off by more than this are believed, smaller ones are rounding or jitter: below what a viewer
/// notices between picture and sound (ITU-R BT.1359 gives 45 ms; the platform promises 20 ms).
const JUMP_MS: i64 = 15;

/// Lays decoded audio frames on the source's continuous sample count. Analysis and transcoding use the same clock, so that
/// a frame has the same place in both.
pub(crate) struct AudioClock {
    rate_hz: u32,
    timescale: u32,
    next: Option<i64>,
}

impl AudioClock {
    /// Returns a clock that takes its count from the first frame.
    pub(crate) fn new(rate_hz: u32, timescale: u32) -> Self {
        Self { rate_hz, timescale, next: None }
    }

    /// Returns a clock that continues at a known place.
    pub(crate) fn at(rate_hz: u32, timescale: u32, position: i64) -> Self {
        Self { rate_hz, timescale, next: Some(position) }
    }

    /// Returns the place of a frame's first sample and counts the frame.
    pub(crate) fn place(&mut self, pts: Option<i64>, sample_count: i64) -> i64 {
        let told = pts.map(|pts| rescale(pts, self.timescale.into(), self.rate_hz.into(), Round::Nearest));
        let tolerance = i64::from(self.rate_hz) * JUMP_MS / 1000;
        let position = match (self.next, told) {
            (Some(next), Some(told)) if told.abs_diff(next) > tolerance.unsigned_abs() => told,
            (Some(next), _) => next,
            (None, told) => told.unwrap_or(0),
        };
        self.next = Some(position.saturating_add(sample_count));
        position
    }
}

/// Returns delta-coded times: each of `count` frames is followed by the next after `ticks`; the last one by `end_pts`.
pub(crate) fn runs_of(times: &[i64], end_pts: i64) -> Vec<(u32, i64)> {
    let mut runs: Vec<(u32, i64)> = Vec::new();
    let ends = times.iter().skip(1).copied().chain(std::iter::once(end_pts));
    for (start, end) in times.iter().zip(ends) {
        let ticks = end - start;
        match runs.last_mut() {
            Some((count, same)) if *same == ticks && *count < u32::MAX => *count += 1,
            _ => runs.push((1, ticks)),
        }
    }
    runs
}

/// Tells which frames start a GOP: the first frame at or after each grid point, and the first one of all.
pub(crate) struct KeyClock {
    grid: Grid,
    timescale: u32,
    last_gop: Option<u64>,
}

impl KeyClock {
    /// Returns a clock before the first frame.
    pub(crate) fn new(grid: Grid, timescale: u32) -> Self {
        Self { grid, timescale, last_gop: None }
    }

    /// Returns whether the frame at an output time, later than the one before, starts a GOP.
    pub(crate) fn starts_gop(&mut self, ticks: i64) -> bool {
        let gop = self.grid.gop_of(ticks, self.timescale);
        self.last_gop.replace(gop) != Some(gop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_counted_through_and_jumps_are_believed() {
        // Milliseconds as ticks, 48 samples a tick, 20 ms frames.
        let mut clock = AudioClock::new(48_000, 1000);
        let frames =
            [(Some(10), 480), (Some(31), 1440), (None, 2400), (Some(62), 3360), (Some(200), 9600), (Some(190), 9120)];
        for (pts, position) in frames {
            assert_eq!(clock.place(pts, 960), position, "{pts:?}");
        }
        assert_eq!(AudioClock::at(48_000, 1000, 77).place(Some(0), 960), 77);
    }

    #[test]
    fn times_become_runs() {
        assert_eq!(runs_of(&[100, 110, 120, 140], 165), [(2, 10), (1, 20), (1, 25)]);
        assert_eq!(runs_of(&[], 5), []);
    }

    #[test]
    fn keys_stand_at_or_after_grid_points() {
        let mut keys = KeyClock::new(Grid::new(2000).unwrap(), 1000);
        let frames = [(0, true), (1999, false), (2001, true), (3990, false), (8100, true), (9000, false)];
        for (ticks, key) in frames {
            assert_eq!(keys.starts_gop(ticks), key, "{ticks}");
        }
    }
}
