//! How long the session waits before it tries again.
//!
//! This file owns the steps and their jitter. It must not know the clock: it gives durations.
//!
//! The surprising fact: one cap does not fit all. A connect that this machine refuses costs nobody
//! anything, and salara promises to be back within two seconds of Asterisk; a wrong password every
//! second would get the bridge banned.

use std::time::Duration;

use crate::backoff::{Jitter, grown};

const FIRST: Duration = Duration::from_secs(1);
const CAP: Duration = Duration::from_secs(30);
const REFUSED: Duration = Duration::from_secs(1);
const FIRST_REJECTION: Duration = Duration::from_secs(60);
const REJECTION_CAP: Duration = Duration::from_secs(300);

/// Growing, jittered waits: each is between half of its step and the whole.
#[derive(Debug)]
pub(super) struct Backoff {
    failures: u32,
    rejections: u32,
    jitter: Jitter,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            failures: 0,
            rejections: 0,
            jitter: Jitter::new(seed),
        }
    }

    /// The link came up: the next trouble is new trouble.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
        self.rejections = 0;
    }

    /// After a connection that failed or was lost: 1, 2, 4 … 30 s.
    pub(super) fn after_failure(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let step = grown(FIRST, self.failures, CAP);
        self.jitter.spread(step)
    }

    /// After this machine refused the connection: about a second, as often as it takes.
    pub(super) fn after_refusal(&mut self) -> Duration {
        self.jitter.spread(REFUSED)
    }

    /// After Asterisk refused the account: 1, 2, 4, 5 minutes.
    pub(super) fn after_rejection(&mut self) -> Duration {
        self.rejections = self.rejections.saturating_add(1);
        let step = grown(FIRST_REJECTION, self.rejections, REJECTION_CAP);
        self.jitter.spread(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_cap_and_start_over_after_a_success() {
        for seed in 0..200 {
            let mut backoff = Backoff::new(seed);
            for step in [1, 2, 4, 8, 16, 30, 30, 30] {
                let (wait, step) = (backoff.after_failure(), Duration::from_secs(step));
                assert!(step / 2 <= wait && wait <= step, "{wait:?} for {step:?}");
            }
            backoff.reset();
            assert!(backoff.after_failure() <= FIRST);
            for _ in 0..50 {
                assert!(backoff.after_refusal() <= REFUSED);
            }
            for step in [60, 120, 240, 300, 300] {
                let (wait, step) = (backoff.after_rejection(), Duration::from_secs(step));
                assert!(step / 2 <= wait && wait <= step, "{wait:?} for {step:?}");
            }
        }
    }
}
