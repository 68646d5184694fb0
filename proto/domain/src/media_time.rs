//! Instants on a track, and the one function that moves them between timescales.

use serde::{Deserialize, Serialize};

/// An instant on a track: `ticks / timescale` seconds. Floating seconds exist only at the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaTime {
    /// The number of ticks since zero; negative before it.
    pub ticks: i64,
    /// Ticks per second; never 0.
    pub timescale: u32,
}

/// What `rescale` does with a result that is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// Towards minus infinity.
    Down,
    /// Towards plus infinity.
    Up,
    /// To the nearest tick, halves up.
    Nearest,
}

impl MediaTime {
    /// Returns the instant `ticks / timescale`.
    ///
    /// # Panics
    /// If `timescale` is 0: a promise of the caller, who checks foreign timescales first.
    pub fn new(ticks: i64, timescale: u32) -> Self {
        assert!(timescale > 0, "a timescale of 0 ticks per second");
        Self { ticks, timescale }
    }

    /// Returns the same instant in another timescale.
    pub fn to(self, timescale: u32, round: Round) -> Self {
        Self::new(rescale(self.ticks, self.timescale.into(), timescale.into(), round), timescale)
    }

    /// Returns the instant in seconds, for people and for manifests.
    pub fn seconds(self) -> f64 {
        self.ticks as f64 / f64::from(self.timescale)
    }
}

/// Returns `ticks * to / from`, saturating at the ends of `i64`. `from` and `to` are ticks per second, `from` is not 0.
pub fn rescale(ticks: i64, from: u64, to: u64, round: Round) -> i64 {
    assert!(from > 0, "a timescale of 0 ticks per second");
    let (from, product) = (i128::from(from), i128::from(ticks) * i128::from(to));
    let quotient = match round {
        Round::Down => product.div_euclid(from),
        Round::Up => -(-product).div_euclid(from),
        Round::Nearest => (2 * product + from).div_euclid(2 * from),
    };
    i64::try_from(quotient).unwrap_or(if quotient < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rescale_rounds_as_told_on_both_sides_of_zero() {
        for (ticks, down, up, nearest) in [(3, 1, 2, 2), (-3, -2, -1, -1), (1, 0, 1, 1), (-1, -1, 0, 0), (4, 2, 2, 2)] {
            assert_eq!(rescale(ticks, 2, 1, Round::Down), down, "{ticks} down");
            assert_eq!(rescale(ticks, 2, 1, Round::Up), up, "{ticks} up");
            assert_eq!(rescale(ticks, 2, 1, Round::Nearest), nearest, "{ticks} nearest");
        }
    }

    #[test]
    fn rescale_saturates_instead_of_wrapping() {
        assert_eq!(rescale(i64::MAX, 1, u64::from(u32::MAX), Round::Down), i64::MAX);
        assert_eq!(rescale(i64::MIN, 1, u64::from(u32::MAX), Round::Down), i64::MIN);
    }

    #[test]
    fn media_time_changes_its_timescale() {
        assert_eq!(MediaTime::new(1001, 30_000).to(90_000, Round::Nearest), MediaTime::new(3003, 90_000));
    }
}
