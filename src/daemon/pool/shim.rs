//! A shim as the pool knows it.

use std::collections::BTreeSet;

use crate::limits;
use crate::model::RunId;
use crate::runners::linux::clock;
use crate::runners::process::ShimHandle;
use crate::runners::protocol::{AttemptId, ToShim};

/// Looks at a tree that does not go come at ever longer intervals, the longest of which is so many
/// doublings.
const FENCE_DOUBLINGS: u32 = 6;

/// A shim as this daemon knows it.
#[derive(Debug)]
pub(super) struct Shim {
    pub(super) handle: ShimHandle,
    pub(super) holds: BTreeSet<AttemptId>,
    /// Since when an answer is due, on `CLOCK_BOOTTIME`.
    pub(super) due_since_ms: Option<u64>,
    pub(super) state: Standing,
    /// The run whose next attempt comes here, since its sockets are open here; of an earlier
    /// daemon's shim any that it has.
    pub(super) kept_for: Option<RunId>,
    /// How often it was looked at whether it and its tree are gone.
    pub(super) fence_tries: u32,
}

/// Whether a shim is of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It takes starts.
    Serving,
    /// It was told to end, or keeps strays: it gets no more starts.
    Leaving,
    /// It is dead or mute and being ended.
    Fencing,
}

impl Shim {
    pub(super) fn tell(&mut self, message: &ToShim) {
        // A connection that is gone is noticed where it is read.
        let _gone = self.handle.send(message);
    }

    /// Sends what has to be answered in time.
    pub(super) fn ask(&mut self, message: &ToShim) {
        self.tell(message);
        self.due_since_ms = self.due_since_ms.or_else(|| Some(clock::boottime_ms()));
    }

    /// Whether it takes the start of any run.
    pub(super) fn is_free(&self) -> bool {
        self.holds.is_empty() && self.state == Standing::Serving && self.kept_for.is_none()
    }

    /// Before the next look whether it and its tree are gone: the first is at once.
    pub(super) fn fence_wait_ms(&mut self) -> u64 {
        let tries = self.fence_tries;
        self.fence_tries = tries.saturating_add(1);
        wait_ms(tries)
    }
}

fn wait_ms(tries: u32) -> u64 {
    match tries {
        0 => 0,
        tries => limits::FENCE_AGAIN_MS << (tries - 1).min(FENCE_DOUBLINGS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_go_is_looked_at_ever_more_seldom() {
        let waits: Vec<u64> = (0..9).map(wait_ms).collect();
        assert_eq!(waits, [0, 250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 16_000]);
    }
}
