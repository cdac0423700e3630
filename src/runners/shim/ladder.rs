//! How an attempt is brought to its end: first signal, grace, SIGKILL, and how long to wait for
//! what survives even that. Pure; times are `CLOCK_BOOTTIME` in milliseconds.

use crate::limits;

/// SIGKILL is repeated so often, for what forks faster than it is found.
const KILL_AGAIN_MS: u64 = 20;
/// The same for what has outlived `limits::KILL_WAIT_MS`: it hangs in the kernel.
const KILL_SELDOM_MS: u64 = 1_000;

/// Where on the ladder an attempt stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ladder {
    /// Its time was over before anybody stopped it.
    pub(super) is_timed_out: bool,
    kill_at_ms: Option<u64>,
    killing_since_ms: Option<u64>,
    again_at_ms: Option<u64>,
}

impl Ladder {
    /// Somebody stops it, or its time is over.
    pub(super) fn is_stopping(&self) -> bool {
        self.kill_at_ms.is_some()
    }

    /// A first signal has been sent. A later call can only shorten the grace.
    pub(super) fn stop(&mut self, now_ms: u64, grace_ms: u64) {
        let kill_at_ms = now_ms.saturating_add(grace_ms);
        self.kill_at_ms = Some(self.kill_at_ms.map_or(kill_at_ms, |at| at.min(kill_at_ms)));
    }

    /// Whether what lives still has time to end by itself.
    pub(super) fn is_in_grace(&self, now_ms: u64) -> bool {
        !self.has_killed() && self.kill_at_ms.is_some_and(|at| now_ms < at)
    }

    /// SIGKILL has been sent at least once.
    pub(super) fn has_killed(&self) -> bool {
        self.killing_since_ms.is_some()
    }

    /// SIGKILL is due now, for the first time or again.
    pub(super) fn kill_is_due(&mut self, now_ms: u64) -> bool {
        if self.again_at_ms.is_some_and(|at| now_ms < at) {
            return false;
        }
        self.killing_since_ms.get_or_insert(now_ms);
        let wait_ms = if self.has_failed(now_ms) { KILL_SELDOM_MS } else { KILL_AGAIN_MS };
        self.again_at_ms = Some(now_ms + wait_ms);
        true
    }

    /// What lives now will not end.
    pub(super) fn has_failed(&self, now_ms: u64) -> bool {
        self.killing_since_ms.is_some_and(|since| now_ms >= since + limits::KILL_WAIT_MS)
    }

    /// When something is due next.
    pub(super) fn deadline(&self) -> Option<u64> {
        self.again_at_ms.or(self.kill_at_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_stop_only_shortens_the_grace() {
        let mut ladder = Ladder::default();
        assert!(!ladder.is_stopping());
        ladder.stop(100, 1_000);
        ladder.stop(200, 5_000);
        assert!(ladder.is_in_grace(1_099) && !ladder.is_in_grace(1_100));
        ladder.stop(300, 10);
        assert!(ladder.is_in_grace(309) && !ladder.is_in_grace(310));
        assert_eq!(ladder.deadline(), Some(310));
    }

    #[test]
    fn killing_repeats_and_gives_up_after_its_bound() {
        let mut ladder = Ladder::default();
        assert!(ladder.kill_is_due(10));
        assert!(!ladder.kill_is_due(11));
        assert_eq!(ladder.deadline(), Some(10 + KILL_AGAIN_MS));
        assert!(ladder.kill_is_due(10 + KILL_AGAIN_MS));
        assert!(!ladder.has_failed(limits::KILL_WAIT_MS));
        assert!(ladder.has_failed(10 + limits::KILL_WAIT_MS));
    }
}
