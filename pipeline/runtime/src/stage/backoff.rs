//! How long to wait before the next try: doubling, bounded, with jitter so that many records that failed together do not
//! come back together.

use std::time::Duration;

/// A growing delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The delay after the first failure.
    pub first: Duration,
    /// The longest delay.
    pub max: Duration,
}

impl Default for Backoff {
    /// Half a second to five minutes: eight attempts cover about a minute.
    fn default() -> Self {
        Self { first: Duration::from_millis(500), max: Duration::from_secs(300) }
    }
}

impl Backoff {
    /// Returns the delay after the `failures`-th failure in a row, from 1: between a half and the whole of the doubled
    /// delay. `random` is any number; equal numbers give equal delays.
    pub fn delay(&self, failures: u32, random: u64) -> Duration {
        let doublings = failures.saturating_sub(1).min(32);
        let whole = self.first.saturating_mul(1 << doublings.min(30)).min(self.max);
        let half_us = u64::try_from(whole.as_micros() / 2).unwrap_or(u64::MAX);
        Duration::from_micros(half_us + random % half_us.saturating_add(1))
    }

    /// Returns the delay with a fresh random number.
    pub fn jittered(&self, failures: u32) -> Duration {
        self.delay(failures, fastrand::u64(..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn delays_grow_to_their_bound_and_never_pass_it(failures in 1_u32.., random: u64) {
            let backoff = Backoff::default();
            let delay = backoff.delay(failures, random);
            prop_assert!(delay <= backoff.max);
            prop_assert!(delay >= backoff.first / 2);
            prop_assert!(failures < 2 || delay >= backoff.first.min(backoff.max / 2));
            prop_assert!(failures < 20 || delay >= backoff.max / 2 - Duration::from_micros(1));
        }
    }
}
