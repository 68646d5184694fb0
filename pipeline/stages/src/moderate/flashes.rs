//! Flashing that may cause seizures, after Recommendation ITU-R BT.1702: pairs of opposing changes of luminance by a tenth
//! of white and more, over more than a quarter of the picture, more than three times within a second. In: frames of dense
//! stretches as cells. Out: where it flashes. Saturated red and stripes, which the recommendation also names, are not seen.

use std::collections::VecDeque;

use mcsp_events::TimeRange;
use mcsp_sandbox::child::{CELL_COUNT, TapCells};

/// The change that counts, of white: 20 cd/m² of 200.
const CHANGE_MIN: f32 = 0.1;
/// Changes between two brighter values than this do not count: 160 cd/m² of 200.
const DARKER_MAX: f32 = 0.8;
/// The part of the picture that must change: more than a quarter.
const CELLS_MIN: usize = CELL_COUNT / 4;
/// Changes that one second may hold: three pairs.
const CHANGES_MAX: usize = 6;
const SECOND_MS: u64 = 1000;
/// How long a change over the picture may take: two frames at 25 a second, and a part of one.
const CHANGE_MS: u64 = 90;
/// Frames further apart than this belong to two stretches.
const GAP_MS: u64 = 300;
/// The exponent of a display's response, ITU-R BT.1886.
const GAMMA: f32 = 2.4;

/// Watches dense stretches for flashing.
pub(super) struct FlashMeter {
    /// Light of each of the 256 luma values, white is 1.
    lights: Vec<f32>,
    cells: Vec<Cell>,
    last_ms: Option<u64>,
    /// Changes of the whole picture within the last second.
    changes: VecDeque<u64>,
    /// When the whole picture last changed, and whether it became brighter.
    last_change: Option<(u64, bool)>,
    watched_ms: u64,
    found: Vec<TimeRange>,
}

/// One place of the picture.
#[derive(Clone, Copy)]
struct Cell {
    /// The brightest or darkest value since it last turned.
    extreme: f32,
    /// When it last turned, and whether it rises since.
    turned: Option<(u64, bool)>,
}

impl FlashMeter {
    /// Returns a meter that has seen nothing.
    pub(super) fn new() -> Self {
        Self {
            lights: (0..=255_u8).map(|luma| (f32::from(luma) / 255.0).powf(GAMMA)).collect(),
            cells: Vec::new(),
            last_ms: None,
            changes: VecDeque::new(),
            last_change: None,
            watched_ms: 0,
            found: Vec::new(),
        }
    }

    /// Looks at the next frame.
    pub(super) fn push(&mut self, frame: &TapCells) {
        let gap_ms = self.last_ms.map(|last| frame.time_ms.saturating_sub(last));
        self.last_ms = Some(frame.time_ms);
        let light = |&luma: &u8| self.lights.get(usize::from(luma)).copied().unwrap_or(0.0);
        let lights: Vec<f32> = frame.means.iter().map(light).collect();
        match gap_ms {
            Some(gap_ms) if gap_ms <= GAP_MS => self.watched_ms += gap_ms,
            _ => return self.begin(&lights),
        }
        for (cell, light) in self.cells.iter_mut().zip(lights) {
            cell.step(light, frame.time_ms);
        }
        self.look_for_change(frame.time_ms);
    }

    /// Returns where it flashes, and how much was watched.
    pub(super) fn finish(self) -> (Vec<TimeRange>, u64) {
        (self.found, self.watched_ms)
    }

    fn begin(&mut self, lights: &[f32]) {
        self.cells = lights.iter().map(|&extreme| Cell { extreme, turned: None }).collect();
        self.changes.clear();
        self.last_change = None;
    }

    /// Notes a change of the whole picture, and a flash too many.
    fn look_for_change(&mut self, time_ms: u64) {
        let since_ms =
            self.last_change.map_or(0, |(change_ms, _)| change_ms + 1).max(time_ms.saturating_sub(CHANGE_MS));
        let turned = |to_rise: bool| {
            let turns = self.cells.iter().filter_map(|cell| cell.turned);
            turns.filter(|&(turn_ms, is_rise)| turn_ms >= since_ms && is_rise == to_rise).count()
        };
        let (rises, falls) = (turned(true), turned(false));
        let is_rise = rises > falls;
        if rises.max(falls) <= CELLS_MIN || self.last_change.is_some_and(|(_, was_rise)| was_rise == is_rise) {
            return;
        }
        self.last_change = Some((time_ms, is_rise));
        self.changes.push_back(time_ms);
        while self.changes.front().is_some_and(|first| first + SECOND_MS <= time_ms) {
            self.changes.pop_front();
        }
        let Some(&start_ms) = self.changes.front().filter(|_| self.changes.len() > CHANGES_MAX) else { return };
        match self.found.last_mut() {
            Some(last) if start_ms <= last.end_ms => last.end_ms = time_ms,
            _ => self.found.push(TimeRange { start_ms, end_ms: time_ms }),
        }
    }
}

impl Cell {
    /// Follows the light, and turns where it went the other way by what counts.
    fn step(&mut self, light: f32, time_ms: u64) {
        let change = light - self.extreme;
        let is_rise = change > 0.0;
        if self.turned.is_some_and(|(_, is_rising)| is_rising == is_rise) {
            self.extreme = light;
        } else if change.abs() >= CHANGE_MIN && light.min(self.extreme) < DARKER_MAX {
            *self = Self { extreme: light, turned: Some((time_ms, is_rise)) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns where a film of 25 frames a second flashes; `luma` gives each cell of each frame.
    fn flashes(frames: u64, luma: impl Fn(u64, usize) -> u8) -> Vec<(u64, u64)> {
        let mut meter = FlashMeter::new();
        for frame in 0..frames {
            let means = (0..CELL_COUNT).map(|cell| luma(frame, cell)).collect();
            meter.push(&TapCells { time_ms: frame * 40, means });
        }
        let (found, watched_ms) = meter.finish();
        assert_eq!(watched_ms, (frames - 1) * 40);
        found.into_iter().map(|range| (range.start_ms, range.end_ms)).collect()
    }

    #[test]
    fn a_strobe_is_found_and_where() {
        // Five flashes a second from the first to the second second.
        let strobe = |frame: u64, _| if (25..50).contains(&frame) && (frame / 2).is_multiple_of(2) { 255 } else { 0 };
        let found = flashes(100, strobe);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].0 >= 960 && found[0].1 <= 2080, "{found:?}");
    }

    #[test]
    fn three_flashes_a_second_are_allowed() {
        // One pair of changes in ten frames is 2.5 a second, one in six is 4.2.
        assert_eq!(flashes(200, |frame, _| if (frame / 5).is_multiple_of(2) { 200 } else { 20 }), []);
        assert!(!flashes(200, |frame, _| if (frame / 3).is_multiple_of(2) { 200 } else { 20 }).is_empty());
    }

    #[test]
    fn small_faint_and_bright_flashes_do_not_count() {
        let flash = |frame: u64| frame.is_multiple_of(2);
        assert_eq!(flashes(100, |frame, cell| if flash(frame) && cell < CELLS_MIN { 255 } else { 0 }), []);
        assert_eq!(flashes(100, |frame, _| if flash(frame) { 80 } else { 70 }), []);
        assert_eq!(flashes(100, |frame, _| if flash(frame) { 255 } else { 236 }), []);
    }

    #[test]
    fn a_slow_fade_and_a_cut_are_no_flashes() {
        assert_eq!(flashes(250, |frame, _| u8::try_from(frame).unwrap()), []);
        assert_eq!(flashes(50, |frame, _| if frame < 25 { 0 } else { 255 }), []);
    }
}
