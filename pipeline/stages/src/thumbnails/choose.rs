//! Which picture a poster shows: the one that is the least uniform.

use mcsp_sandbox::child::TapPicture;

/// The best picture so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Choice {
    time_ms: u64,
    score: f64,
}

impl Choice {
    /// Looks at one candidate.
    pub(super) fn look(&mut self, picture: &TapPicture) {
        let score = entropy(&picture.luma);
        // The first of equals stays, so that a poster does not depend on rounding far behind.
        if score > self.score {
            *self = Self { time_ms: picture.time_ms, score };
        }
    }

    /// Returns the time of the best one; the start where none shows anything.
    pub(super) fn time_ms(&self) -> u64 {
        self.time_ms
    }
}

/// Returns the entropy of a picture's luma in 32 steps, in bits: 0 for one tone, 5 for all alike.
fn entropy(luma: &[u8]) -> f64 {
    let mut counts = [0_u32; 32];
    for &value in luma {
        counts[usize::from(value / 8)] += 1;
    }
    let total = luma.len().max(1) as f64;
    let shares = counts.iter().filter(|&&count| count > 0).map(|&count| f64::from(count) / total);
    shares.map(|share| -share * share.log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_uniform_picture_wins_and_the_first_of_equals() {
        let picture = |time_ms, luma: &[u8]| TapPicture { time_ms, width_px: 4, height_px: 1, luma: luma.to_vec() };
        let mut choice = Choice::default();
        for (time_ms, luma) in [(0, [0; 4]), (2, [0, 0, 99, 200]), (4, [7, 60, 120, 200]), (6, [200, 7, 60, 120])] {
            choice.look(&picture(time_ms, &luma));
        }
        assert_eq!(choice.time_ms(), 4);
        assert_eq!(entropy(&[0, 8, 16, 24]), 2.0);
    }
}
