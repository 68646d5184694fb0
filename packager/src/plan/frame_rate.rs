//! The frame rate of a rendition, when it has one. In: decode times. Out: a fraction that manifests can say.

use super::ObjectInput;

/// Rates that files mean when their timescale can only come near them, as frames and seconds.
const COMMON: [(u32, u32); 14] = [
    (24000, 1001),
    (24, 1),
    (25, 1),
    (30000, 1001),
    (30, 1),
    (48, 1),
    (50, 1),
    (60000, 1001),
    (60, 1),
    (12, 1),
    (15, 1),
    (100, 1),
    (120_000, 1001),
    (120, 1),
];

/// Returns frames per second when all frames are equally far apart, give or take the rounding to one tick.
pub(super) fn of(objects: &[ObjectInput], timescale: u32) -> Option<(u32, u32)> {
    let mut times = objects.iter().flat_map(|object| object.track.samples.dts().iter().copied());
    let first = times.next()?;
    let (mut shortest, mut longest, mut steps, mut last) = (i64::MAX, 0, 0_u64, first);
    for time in times {
        let step = time.saturating_sub(last);
        (shortest, longest, steps, last) = (shortest.min(step), longest.max(step), steps + 1, time);
    }
    if shortest == longest {
        return reduce(timescale.into(), u64::try_from(longest).ok()?);
    }
    if steps == 0 || longest.saturating_sub(shortest) > 1 {
        return None;
    }
    let average = steps as f64 * f64::from(timescale) / last.saturating_sub(first) as f64;
    let near = |&(frames, seconds): &(u32, u32)| {
        let rate = f64::from(frames) / f64::from(seconds);
        // 24 and 24000/1001 lie 1/1000 apart.
        (average - rate).abs() < rate / 5000.0
    };
    COMMON.into_iter().find(near)
}

fn reduce(frames: u64, ticks: u64) -> Option<(u32, u32)> {
    let (mut a, mut b) = (frames, ticks);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    Some((u32::try_from(frames.checked_div(a)?).ok()?, u32::try_from(ticks.checked_div(a)?).ok()?))
}
