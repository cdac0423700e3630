//! What the journals of shims say, put together: claims, ends, and who will say nothing more.

use std::collections::BTreeMap;
use std::path::Path;

use crate::model::AttemptEnd;
use crate::model::event::LostReason;
use crate::runners::protocol::AttemptId;
use crate::runners::shim::journal::{self, Entry};

/// Claims and ends by attempt.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    ends: BTreeMap<AttemptId, AttemptEnd>,
    lost: BTreeMap<AttemptId, LostReason>,
}

impl Ledger {
    /// The journal of one shim as it lies there; empty where it cannot be read, since then
    /// nothing of it was ever claimed or all of it is lost.
    pub fn of(directory: &Path, reason: LostReason) -> Self {
        let mut ledger = Self::default();
        ledger.fenced(directory, reason);
        ledger
    }

    /// Takes note of exit records.
    fn add(&mut self, entries: &[Entry]) {
        for entry in entries {
            if let Entry::Ended(id, end) = entry {
                self.ends.insert(*id, end.clone());
            }
        }
    }

    /// A shim that is gone with its tree: what it claimed and did not see ended is lost.
    pub fn fenced(&mut self, directory: &Path, reason: LostReason) {
        let entries = journal::read(&directory.join(journal::FILE)).unwrap_or_default();
        self.add(&entries);
        for entry in &entries {
            if let Entry::Claim(claim) = entry {
                self.lost.insert(claim.id, reason);
            }
        }
    }

    /// The exit record of an attempt.
    pub fn end_of(&self, id: AttemptId) -> Option<&AttemptEnd> {
        self.ends.get(&id)
    }

    /// Why nobody will ever see the end of an attempt that was claimed.
    pub fn lost(&self, id: AttemptId) -> Option<LostReason> {
        self.lost.get(&id).copied()
    }
}
