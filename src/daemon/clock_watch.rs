//! Notices when the wall clock moves against `CLOCK_BOOTTIME`.
//!
//! Nothing depends on it: order is kept by number, and waits count on both clocks. The record is
//! there for people, whom times of records would mislead.

use crate::limits;
use crate::model::{BootId, Now, Observation, State, UnixMillis};

/// What the difference of the clocks was when it was last said or first seen.
#[derive(Debug)]
pub(super) struct ClockWatch {
    offset_ms: i64,
}

impl ClockWatch {
    pub(super) fn new(now: Now) -> Self {
        Self { offset_ms: offset_ms(now) }
    }

    /// How far the wall clock was moved since the last look that said so, where that is worth a
    /// record. `again` reads both clocks anew: between the two readings of `now` this thread may
    /// have been held up, or the machine may have slept.
    pub(super) fn look(&mut self, now: Now, again: impl FnOnce() -> Now) -> Option<i64> {
        self.moved(now)?;
        let by_ms = self.moved(again())?;
        self.offset_ms += by_ms;
        Some(by_ms)
    }

    fn moved(&self, now: Now) -> Option<i64> {
        let by_ms = offset_ms(now).saturating_sub(self.offset_ms);
        (by_ms.abs() >= limits::CLOCK_JUMP_MS).then_some(by_ms)
    }
}

fn offset_ms(now: Now) -> i64 {
    now.wall.0.saturating_sub(i64::try_from(now.boottime_ms).unwrap_or(i64::MAX))
}

/// What the first record of a daemon shows against the last one before it, in the same boot: that
/// the clock was set back while no daemon looked, at least so far. How much time passed without a
/// daemon nobody knows, so that a clock that was set ahead cannot be told from one that went on.
pub(super) fn jump_before(
    state: &State,
    boot: BootId,
    last: Option<UnixMillis>,
    now: UnixMillis,
) -> Option<Observation> {
    let by_ms = now.0.saturating_sub(last?.0);
    let is_back = state.boot == boot && by_ms <= -limits::CLOCK_JUMP_MS;
    is_back.then_some(Observation::ClockJumped { by_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(wall: i64, boottime_ms: u64) -> Now {
        Now { wall: UnixMillis(wall), boottime_ms }
    }

    #[test]
    fn a_clock_that_is_set_is_told_once_and_slow_corrections_are_not() {
        let never = || unreachable!("nothing is to be looked at again");
        let mut watch = ClockWatch::new(now(1_000_000, 1_000));
        assert_eq!(watch.look(now(1_060_000, 61_000), never), None, "a minute on both clocks");
        // Adjusting its speed moves both clocks; what is left of it is below the limit.
        assert_eq!(watch.look(now(1_120_999, 121_000), never), None);
        let ahead = || now(8_380_001, 181_001);
        assert_eq!(watch.look(ahead(), ahead), Some(7_200_000));
        assert_eq!(watch.look(now(8_381_001, 182_001), never), None, "it was told");
        let back = || now(1_182_001, 183_001);
        assert_eq!(watch.look(back(), back), Some(-7_200_000));
    }

    #[test]
    fn a_machine_that_slept_between_two_readings_has_not_set_its_clock() {
        let mut watch = ClockWatch::new(now(1_000_000, 1_000));
        // Asleep for an hour after the wall clock was read.
        let awake = || now(4_600_000, 3_601_000);
        assert_eq!(watch.look(now(1_000_000, 3_601_000), awake), None);
        assert_eq!(watch.look(awake(), awake), None);
    }

    #[test]
    fn a_daemon_that_begins_before_the_last_record_of_its_boot_says_so() {
        let (boot, other) = (BootId([1; 16]), BootId([2; 16]));
        let state = State { boot, ..State::default() };
        let last = Some(UnixMillis(9_000_000));
        let seen = |boot, now| jump_before(&state, boot, last, UnixMillis(now));
        let back = Some(Observation::ClockJumped { by_ms: -7_000_000 });
        assert_eq!(seen(boot, 2_000_000), back);
        assert_eq!(seen(other, 2_000_000), None, "its clock may never have been set yet");
        assert_eq!(seen(boot, 8_999_500), None);
        assert_eq!(seen(boot, 99_000_000), None, "time went on");
        assert_eq!(jump_before(&state, boot, None, UnixMillis(0)), None);
    }
}
