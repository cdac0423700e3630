//! Shims that are dead or mute: each is ended with its tree by a thread of its own, and what it
//! held is told from its journal.

use std::time::Duration;

use super::shim::{Shim, Standing};
use super::{Order, Pool};
use crate::daemon::ledger::Ledger;
use crate::limits;
use crate::model::Observation;
use crate::model::event::{AttemptEnd, ExitStatus, LostReason, SpawnError};
use crate::runners::linux::clock;
use crate::runners::process::{self, Fenced};
use crate::runners::protocol::AttemptId;

/// Shims in a row that died before their first word; more would not do better, so that what they
/// were to start is given up. Their own words lie in `shims/<n>/shim.err`.
const STILLBORN_MAX: u32 = 3;
/// EIO.
const IO_ERROR: i32 = 5;

impl Pool {
    /// The connection is gone: the shim is dead, or left as it was told.
    pub(super) fn gone(&mut self, id: u32) {
        let Some(shim) = self.shims.get(&id) else { return };
        if shim.holds.is_empty() && shim.state == Standing::Leaving {
            self.bury(id);
            return;
        }
        self.fence(id, LostReason::ShimDied);
    }

    pub(super) fn look_for_mute(&mut self) {
        let now = clock::boottime_ms();
        let mute = |shim: &Shim| {
            let due = shim.due_since_ms.is_some_and(|since| since + limits::SHIM_MUTE_MS < now);
            due && shim.state != Standing::Fencing
        };
        let ids: Vec<u32> =
            self.shims.iter().filter(|(_, shim)| mute(shim)).map(|(id, _)| *id).collect();
        for id in ids {
            self.fence(id, LostReason::ShimUnresponsive);
        }
    }

    /// Ends the shim and its tree in a thread of its own; the answer comes as an order.
    fn fence(&mut self, id: u32, reason: LostReason) {
        let Some(shim) = self.shims.get_mut(&id) else { return };
        shim.state = Standing::Fencing;
        shim.due_since_ms = None;
        let (directory, orders) = (self.place.shim(id), self.orders.clone());
        let wait_ms = shim.fence_wait_ms();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(wait_ms));
            let survivors = match process::fence(&directory) {
                Ok(Fenced::Empty) => Some(Vec::new()),
                Ok(Fenced::Survivors(survivors)) => Some(survivors),
                // It cannot be proven to be ours, so it was not touched; look again later.
                Err(_) => None,
            };
            orders.post(Order::Fenced { shim: id, reason, survivors });
        });
    }

    /// The shim is gone: what its journal says is true, the rest is lost or never began.
    pub(super) fn fenced(&mut self, id: u32, reason: LostReason, survivors: Option<&[u32]>) {
        if survivors.is_none_or(|survivors| !survivors.is_empty()) {
            // Law 5: nothing follows while something of it may live.
            self.fence(id, reason);
            return;
        }
        let Some(mut shim) = self.shims.remove(&id) else { return };
        shim.handle.try_reap();
        if shim.handle.hello().is_none() {
            self.stillborn += 1;
        }
        let ledger = Ledger::of(&self.place.shim(id), reason);
        for attempt in &shim.holds {
            let AttemptId { run, attempt: number } = *attempt;
            let observation = match (ledger.end_of(*attempt), ledger.lost(*attempt)) {
                (Some(end), _) => {
                    Observation::ProcessEnded { run, attempt: number, end: end.clone() }
                }
                (None, Some(reason)) => Observation::ShimLost { run, attempt: number, reason },
                (None, None) if self.stillborn >= STILLBORN_MAX => {
                    let status = ExitStatus::NotStarted(SpawnError::Errno(IO_ERROR));
                    let end = AttemptEnd::unmeasured(status, clock::now().wall);
                    Observation::ProcessEnded { run, attempt: number, end }
                }
                (None, None) => Observation::StartWithdrawn { run, attempt: number },
            };
            self.see(observation);
        }
        self.holders.retain(|_, holder| *holder != id);
    }

    /// A shim that left: its directory and leaf go too, unless something of it still lives.
    fn bury(&mut self, id: u32) {
        if let Some(mut shim) = self.shims.remove(&id) {
            shim.handle.try_reap();
        }
        // What stays is looked at again by the next daemon's recovery.
        let _stays = process::remove(&self.place.shim(id));
    }
}
