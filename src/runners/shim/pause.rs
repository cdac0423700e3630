//! A tree that is held still: how it is brought to a standstill, and how it is let go.
//!
//! ```text
//! begin ──▶ freeze the leaf, SIGSTOP to what is outside it ──▶ look again … ──▶ still
//! lift  ──▶ thaw, SIGCONT to those that were sent SIGSTOP
//! ```

use std::collections::BTreeSet;

use crate::limits;
use crate::model::Signal;
use crate::model::event::PausedBy;
use crate::runners::linux::tree::Tree;

/// Between two looks at a tree that is coming to a standstill.
const LOOK_MS: u64 = 2;
/// A process that forks while it is being listed may hide one child from one look, not from two.
const QUIET_LOOKS: u32 = 2;
/// SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, Linux numbering: each cancels those before it.
const JOB_CONTROL: std::ops::RangeInclusive<i32> = 18..=22;

/// A pause that has begun.
#[derive(Debug)]
pub(super) struct Pause {
    by: PausedBy,
    since_ms: u64,
    /// When to look again; `None` once it stands still.
    look_at_ms: Option<u64>,
    quiet_looks: u32,
    /// Who was sent SIGSTOP by us.
    stopped: BTreeSet<u32>,
    /// The last signal that would have ended the pause or been lost in it: sent afterwards.
    kept_back: Option<Signal>,
}

impl Pause {
    /// Begins to hold it still.
    pub(super) fn begin(tree: &Tree, now_ms: u64) -> Self {
        let by = if tree.freeze() { PausedBy::Freezer } else { PausedBy::Signal };
        Self {
            by,
            since_ms: now_ms,
            look_at_ms: Some(now_ms),
            quiet_looks: 0,
            stopped: BTreeSet::new(),
            kept_back: None,
        }
    }

    pub(super) fn by(&self) -> PausedBy {
        self.by
    }

    /// For how long it has lasted.
    pub(super) fn length_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.since_ms)
    }

    /// Whether nothing runs any more, as far as that can be had.
    pub(super) fn is_still(&self) -> bool {
        self.look_at_ms.is_none()
    }

    /// Goes on; true when it has just come to its standstill.
    pub(super) fn advance(&mut self, tree: &Tree, now_ms: u64) -> bool {
        if self.look_at_ms.is_none_or(|at| now_ms < at) {
            return false;
        }
        let is_frozen = self.by == PausedBy::Signal || tree.is_frozen();
        let is_quiet = tree.stop_all(self.by == PausedBy::Freezer, &mut self.stopped);
        self.quiet_looks = if is_quiet && is_frozen { self.quiet_looks + 1 } else { 0 };
        let is_late = now_ms >= self.since_ms.saturating_add(limits::PAUSE_WAIT_MS);
        self.look_at_ms =
            if self.quiet_looks >= QUIET_LOOKS || is_late { None } else { Some(now_ms + LOOK_MS) };
        self.is_still()
    }

    /// Keeps a signal back that means the same as the pause does; false where it can be sent now.
    pub(super) fn keeps_back(&mut self, signal: Signal) -> bool {
        let is_kept = self.by == PausedBy::Signal && JOB_CONTROL.contains(&signal.number());
        if is_kept {
            self.kept_back = Some(signal);
        }
        is_kept
    }

    /// Lets it go, and gives the signal that was kept back.
    pub(super) fn lift(self, tree: &Tree) -> Option<Signal> {
        if self.by == PausedBy::Freezer {
            tree.thaw();
        }
        tree.continue_all(&self.stopped);
        self.kept_back
    }

    pub(super) fn deadline(&self) -> Option<u64> {
        self.look_at_ms
    }
}
