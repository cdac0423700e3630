//! What a shim does that is bound to whoever started it: it ends with that, and leaves nothing.

use std::io;
use std::time::Duration;

use rustix::process::{Pid, getppid};

use super::ladder::Ladder;
use crate::runners::bond::Bond;
use crate::runners::linux::tree::Tree;

/// A shim that nobody waits for looks so long whether it is the last.
const OTHERS: Duration = Duration::from_secs(2);

/// The bond, and how its end stands.
#[derive(Debug)]
pub(super) struct Bound {
    bond: Bond,
    parent: Option<Pid>,
    /// Whoever started it said farewell, and stays until it is gone.
    is_seen_off: bool,
    ladder: Ladder,
}

impl Bound {
    pub(super) fn new(bond: Bond) -> Self {
        Self { bond, parent: getppid(), is_seen_off: false, ladder: Ladder::default() }
    }

    pub(super) fn see_off(&mut self) {
        self.is_seen_off = true;
    }

    /// Kills what was spared after its attempt; whether nothing is left, or will not end.
    pub(super) fn end_tree(&mut self, tree: &Tree, now_ms: u64) -> bool {
        if tree.is_empty() || self.ladder.has_failed(now_ms) {
            return true;
        }
        if self.ladder.kill_is_due(now_ms) {
            tree.kill();
        }
        false
    }

    /// When [`Self::end_tree`] wants to be called again.
    pub(super) fn deadline(&self) -> Option<u64> {
        self.ladder.deadline()
    }

    /// The last thing that the shim does.
    pub(super) fn leave(self) -> io::Result<()> {
        let is_awaited = self.is_seen_off && getppid() == self.parent;
        self.bond.leave(if is_awaited { Duration::ZERO } else { OTHERS }).map(drop)
    }
}
