//! Pure time keeping: audio frames on one sample count, video times as runs, keyframes on the grid.

use mcsp_domain::{Grid, Round, rescale};

/// Times that are off by more than this are believed at once: a gap or a cut.
const JUMP_MS: i64 = 100;
/// Frames in a row whose times have strayed before they are believed: jitter comes back, a small gap does not.
const STRAYED_FRAMES_MAX: u32 = 8;

/// Lays decoded audio frames on the source's continuous sample count. Analysis and transcoding use the same clock, so that
/// a frame has the same place in both.
pub(crate) struct AudioClock {
    rate_hz: u32,
    timescale: u32,
    stray_samples: u64,
    next: Option<i64>,
    strayed_frames: u32,
}

impl AudioClock {
    /// Returns a clock that takes its count from the first frame. `stray_ms` is how far times may stray from the count.
    pub(crate) fn new(rate_hz: u32, timescale: u32, stray_ms: i64) -> Self {
        let stray_samples = samples(stray_ms, rate_hz);
        Self { rate_hz, timescale, stray_samples, next: None, strayed_frames: 0 }
    }

    /// Returns a clock that continues at a known place, at which another clock was settled.
    pub(crate) fn at(rate_hz: u32, timescale: u32, stray_ms: i64, position: i64) -> Self {
        Self { next: Some(position), ..Self::new(rate_hz, timescale, stray_ms) }
    }

    /// Returns whether the last frame's time agreed with the count, so that a clock that starts here counts alike.
    pub(crate) fn is_settled(&self) -> bool {
        self.strayed_frames == 0
    }

    /// Returns the place of a frame's first sample and counts the frame.
    pub(crate) fn place(&mut self, pts: Option<i64>, sample_count: i64) -> i64 {
        let told = pts.map(|pts| rescale(pts, self.timescale.into(), self.rate_hz.into(), Round::Nearest));
        let position = match (self.next, told) {
            (Some(next), Some(told)) => self.weigh(next, told),
            (next, told) => next.or(told).unwrap_or(0),
        };
        self.next = Some(position.saturating_add(sample_count));
        position
    }

    /// Chooses between the count and what the container tells.
    fn weigh(&mut self, next: i64, told: i64) -> i64 {
        let apart = told.abs_diff(next);
        if apart <= self.stray_samples {
            self.strayed_frames = 0;
            return next;
        }
        self.strayed_frames += 1;
        if apart <= samples(JUMP_MS, self.rate_hz) && self.strayed_frames < STRAYED_FRAMES_MAX {
            return next;
        }
        self.strayed_frames = 0;
        told
    }
}

fn samples(milliseconds: i64, rate_hz: u32) -> u64 {
    (i64::from(rate_hz) * milliseconds / 1000).unsigned_abs()
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

    /// A clock of 48 samples a tick.
    fn clock() -> AudioClock {
        AudioClock::new(48_000, 1000, 15)
    }

    #[test]
    fn jitter_is_counted_through_and_jumps_are_believed() {
        let mut clock = clock();
        let frames =
            [(Some(10), 480), (Some(31), 1440), (None, 2400), (Some(62), 3360), (Some(300), 14_400), (Some(190), 9120)];
        for (pts, position) in frames {
            assert_eq!(clock.place(pts, 960), position, "{pts:?}");
        }
        assert_eq!(AudioClock::at(48_000, 1000, 15, 77).place(Some(0), 960), 77);
    }

    #[test]
    fn a_small_gap_is_believed_when_it_stays_and_jitter_that_comes_back_is_not() {
        let mut clock = clock();
        clock.place(Some(0), 960);
        for (index, pts) in [20, 60, 80, 80, 100].into_iter().enumerate() {
            clock.place(Some(pts), 960);
            assert_eq!(clock.is_settled(), index == 0 || index > 2, "{pts}");
        }
        let mut last = 0;
        for frame in 0..8 {
            last = clock.place(Some(160 + frame * 20), 960);
        }
        assert_eq!(last, 48 * (160 + 7 * 20), "after eight frames the gap is real");
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
