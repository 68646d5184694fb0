//! Bit rates of a rendition, each by the definition of the manifest that prints it. In: segment sizes and durations. Out:
//! whole bits per second, rounded up.

use super::{RenditionInfo, SegmentInfo};

/// Returns the average over the whole rendition: `AVERAGE-BANDWIDTH`, RFC 8216bis §4.4.6.2.
pub(super) fn average_bps(rendition: &RenditionInfo) -> u64 {
    let bits = rendition.segments.iter().map(bits).sum();
    let ticks = rendition.segments.iter().map(ticks).sum();
    rate_bps(bits, ticks, rendition.timescale)
}

/// Returns the peak segment bit rate, RFC 8216bis §4.4.6.2: the largest of any contiguous set of segments that lasts
/// between 0.5 and 1.5 target durations. A presentation shorter than that has its average.
pub(super) fn peak_bps(rendition: &RenditionInfo, target_duration_s: u64) -> u64 {
    let target_ticks = u128::from(target_duration_s) * u128::from(rendition.timescale);
    let mut peak_bps = None;
    for first in 0..rendition.segments.len() {
        let (mut set_bits, mut set_ticks) = (0, 0);
        for segment in rendition.segments.iter().skip(first) {
            set_bits += bits(segment);
            set_ticks += ticks(segment);
            if 2 * set_ticks > 3 * target_ticks {
                break;
            }
            if 2 * set_ticks >= target_ticks {
                peak_bps = peak_bps.max(Some(rate_bps(set_bits, set_ticks, rendition.timescale)));
            }
        }
    }
    peak_bps.unwrap_or_else(|| average_bps(rendition))
}

/// Returns the smallest `@bandwidth` of ISO/IEC 23009-1 §5.3.5.2: whoever starts at any segment, receives at this rate and
/// waits for `min_buffer_ms` of it, has every segment whole before it is due. Never below the average, which a short film
/// allows by the letter but no player that adapts to rates expects.
pub(super) fn buffered_bps(rendition: &RenditionInfo, min_buffer_ms: u64) -> u64 {
    // A rate at which all segments arrive within the first wait is enough; below it, halve the interval.
    let all_bits: u128 = rendition.segments.iter().map(bits).sum();
    let (mut low, mut enough) = (0, (all_bits * 1000).div_ceil(u128::from(min_buffer_ms.max(1))));
    while low + 1 < enough {
        let middle = low + (enough - low) / 2;
        if never_starves(rendition, middle, min_buffer_ms) {
            enough = middle;
        } else {
            low = middle;
        }
    }
    u64::try_from(enough).unwrap_or(u64::MAX).max(average_bps(rendition))
}

/// Returns whether the rate serves every start: `backlog` is the worst of them, bits owed less bits received.
fn never_starves(rendition: &RenditionInfo, rate_bps: u128, min_buffer_ms: u64) -> bool {
    // All sides are multiplied by 1000 * timescale, so that no rounding enters.
    let per_tick = 1000 * rate_bps;
    let per_bit = 1000 * u128::from(rendition.timescale);
    let credit = u128::from(min_buffer_ms) * rate_bps * u128::from(rendition.timescale);
    let mut backlog = 0u128;
    for segment in &rendition.segments {
        backlog += bits(segment) * per_bit;
        if backlog > credit {
            return false;
        }
        backlog = backlog.saturating_sub(ticks(segment) * per_tick);
    }
    true
}

fn rate_bps(bits: u128, ticks: u128, timescale: u32) -> u64 {
    u64::try_from((bits * u128::from(timescale)).div_ceil(ticks.max(1))).unwrap_or(u64::MAX)
}

fn bits(segment: &SegmentInfo) -> u128 {
    8 * u128::from(segment.size_bytes)
}

fn ticks(segment: &SegmentInfo) -> u128 {
    segment.duration_ticks.into()
}
