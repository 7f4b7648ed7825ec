//! Waits that grow, and are never the same twice.
//!
//! This file owns the arithmetic. It must not know the clock, nor what is waited for.
//!
//! The surprising fact: without jitter, everything that failed together tries again together, and
//! fails together.

use std::time::Duration;

/// Spreads waits; the same seed spreads them the same way.
#[derive(Debug)]
pub struct Jitter {
    random: u64,
}

impl Jitter {
    /// A source that is fed by `seed`.
    pub fn new(seed: u64) -> Self {
        // Zero is the one state xorshift never leaves.
        Self { random: seed | 1 }
    }

    /// A wait between half of `step` and the whole.
    pub fn spread(&mut self, step: Duration) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let half = step / 2;
        half + half * u32::try_from(self.random % 1001).unwrap_or(0) / 1000
    }
}

/// The step of the `times`th failure in a row: `first`, twice that, up to `cap`.
pub fn grown(first: Duration, times: u32, cap: Duration) -> Duration {
    first
        .saturating_mul(1 << times.saturating_sub(1).min(16))
        .min(cap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_grow_to_their_cap() {
        let steps = |n| grown(Duration::from_secs(1), n, Duration::from_secs(30)).as_secs();
        assert_eq!(
            [1, 2, 3, 4, 5, 6, 7, 99].map(steps),
            [1, 2, 4, 8, 16, 30, 30, 30]
        );
    }

    #[test]
    fn waits_are_between_half_and_the_whole() {
        let step = Duration::from_secs(10);
        for seed in 0..100 {
            let mut jitter = Jitter::new(seed);
            let waits: Vec<Duration> = (0..20).map(|_| jitter.spread(step)).collect();
            assert!(
                waits.iter().all(|wait| step / 2 <= *wait && *wait <= step),
                "{waits:?}"
            );
            assert!(waits.windows(2).any(|pair| pair[0] != pair[1]), "{waits:?}");
        }
    }
}
