//! The one writer of the log: while one commit syncs, the next gathers.

use std::time::Duration;

use super::mailbox::Mailbox;
use super::message::{ToEngine, ToStorage};
use super::views_loop::ToViews;
use crate::limits;
use crate::log::{LogError, Store};
use crate::model::{Digest, Envelope};
use crate::projections::Stored;

/// Events that nobody waits for gather so long, so that many share two syncs.
const GATHER: Duration = Duration::from_millis(limits::GATHER_MS);

/// The storage thread.
pub struct Storage {
    /// The log.
    pub store: Store,
    /// Steps of the engine.
    pub inbox: Mailbox<ToStorage>,
    /// Who decides.
    pub engine: Mailbox<ToEngine>,
    /// Who shows.
    pub views: Mailbox<ToViews>,
    /// Events of one segment.
    pub segment_events: u64,
}

impl Storage {
    /// Runs until told to end, or until a commit fails: then its outcome is unknown, so that
    /// nothing is ever written by this process again.
    pub fn run(mut self) {
        loop {
            let mut gathered: Vec<Envelope> = Vec::new();
            let may_gather =
                |message: &ToStorage| matches!(message, ToStorage::Batch { waited_for: false, .. });
            for message in self.inbox.gather(GATHER, may_gather) {
                match message {
                    ToStorage::Batch { events, .. } => gathered.extend(events),
                    ToStorage::Seal { at, snapshot, tell } => {
                        let events = std::mem::take(&mut gathered);
                        if !events.is_empty() && !self.commit(events) {
                            return;
                        }
                        if !self.seal(at, &snapshot) {
                            return;
                        }
                        drop(tell);
                    }
                    ToStorage::End => return,
                }
                // A step is never torn apart: its events become durable together or not at all.
                if gathered.len() >= limits::COMMIT_EVENTS
                    && !self.commit(std::mem::take(&mut gathered))
                {
                    return;
                }
            }
            if !gathered.is_empty() && !self.commit(gathered) {
                return;
            }
        }
    }

    fn commit(&mut self, events: Vec<Envelope>) -> bool {
        match self.append(&events) {
            Ok(hashes) => {
                let stored = events.into_iter().zip(hashes);
                let stored = stored.map(|(envelope, hash)| Stored { envelope, hash }).collect();
                // The views first: whoever hears of an event may ask for it at once.
                self.views.post(ToViews::Applied(stored));
                self.engine.post(ToEngine::Durable(self.store.head().seq));
                true
            }
            Err(error) => {
                self.engine.post(ToEngine::StorageFailed(error));
                false
            }
        }
    }

    /// Between two commits. A disk that has no room for another segment has some for this one yet.
    fn seal(&mut self, at: u64, snapshot: &[u8]) -> bool {
        let fits = self.store.head().seq == at;
        let sealed = if fits { self.store.seal(snapshot) } else { Ok(()) };
        // Another error means that nothing has changed: it is tried again later.
        if let Err(error) = sealed
            && self.store.is_poisoned()
        {
            self.engine.post(ToEngine::StorageFailed(error));
            return false;
        }
        let first = self.store.header().first_seq;
        let due = first - 1 + self.segment_events;
        let next_at = due.max(at + (self.segment_events / 8).max(1));
        let next_at = if self.store.hot_records() == 0 { due } else { next_at };
        self.engine.post(ToEngine::SealOver { next_at });
        true
    }

    /// One durable commit; the chain's hash at each event.
    fn append(&mut self, events: &[Envelope]) -> Result<Vec<Digest>, LogError> {
        let batch = self.store.encode(events)?;
        self.store.append_batch(&batch)?;
        Ok(batch.hashes().to_vec())
    }
}
