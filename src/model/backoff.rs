//! How long to wait before a retry: exponential backoff with jitter, a function of the run alone.
//!
//! The jitter comes from the run's id, which is random, so that the same log always gives the
//! same times.

use super::id::{RunId, scatter};
use super::spec::Backoff;

impl Default for Backoff {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Backoff {
    /// What `--retries` alone means.
    pub const DEFAULT: Self =
        Self { first_ms: 1_000, max_ms: 300_000, factor_percent: 200, jitter_percent: 10 };

    /// Before the `retry`th further attempt of `run`, from 1, in milliseconds.
    pub fn delay_ms(&self, run: RunId, retry: u32) -> u64 {
        let mut delay = self.first_ms.min(self.max_ms);
        for _ in 1..retry {
            let next = delay.saturating_mul(u64::from(self.factor_percent)) / 100;
            let next = next.min(self.max_ms);
            if next == delay {
                break;
            }
            delay = next;
        }
        let spread = delay / 100 * u64::from(self.jitter_percent.min(100))
            + delay % 100 * u64::from(self.jitter_percent.min(100)) / 100;
        let chance = scatter(run.to_u64() ^ u64::from(retry).rotate_left(40));
        delay - spread + chance % (2 * spread + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_bound() {
        let plain = Backoff { jitter_percent: 0, max_ms: 10_000, ..Backoff::DEFAULT };
        let run = RunId::from_chance(1);
        let waits: Vec<u64> = (1..=6).map(|retry| plain.delay_ms(run, retry)).collect();
        assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
        assert_eq!(plain.delay_ms(run, u32::MAX), 10_000);
    }

    #[test]
    fn jitter_stays_within_its_bounds_and_scatters() {
        let waits: Vec<u64> = (0..200)
            .map(|number| Backoff::DEFAULT.delay_ms(RunId::from_chance(number), 1))
            .collect();
        assert!(waits.iter().all(|wait| (900..=1_100).contains(wait)), "{waits:?}");
        let distinct: std::collections::BTreeSet<_> = waits.iter().collect();
        assert!(distinct.len() > 100, "{}", distinct.len());
    }

    #[test]
    fn no_bounds_overflow() {
        let huge = Backoff {
            first_ms: u64::MAX / 2,
            max_ms: u64::MAX / 2,
            factor_percent: u32::MAX,
            jitter_percent: 100,
        };
        let shrinking = Backoff { first_ms: 5, factor_percent: 0, ..Backoff::DEFAULT };
        for retry in [1, 2, 90, u32::MAX] {
            let _wait = huge.delay_ms(RunId::from_chance(7), retry);
            assert!(shrinking.delay_ms(RunId::from_chance(7), retry) <= 10);
        }
    }
}
