//! Who goes next: intents ahead of free slots, so that no start waits for a sync, and slots.

use std::collections::{BTreeMap, BTreeSet};

use super::event::{Event, Outcome, RejectReason, SkipReason};
use super::id::{LockName, RunId};
use super::phase::Phase;
use super::run::Run;
use super::service::gate::{Gate, gate};
use super::service::ports;
use super::spec::LockBusy;
use super::state::State;
use super::waits::Queue;
use crate::limits;

/// The end of a run that will never begin: what it comes after did not succeed, or its lock is
/// taken and it does not wait for it. One at a time: an end may bring others with it.
pub fn ending(state: &State) -> Option<Event> {
    if let Some((run, other)) = state.waits.unmet.first_key_value() {
        let outcome = Outcome::Skipped(SkipReason::DependencyFailed(*other));
        return Some(Event::RunEnded { run: *run, outcome });
    }
    let (run, holder) = state.waits.refused.first_key_value()?;
    let wish = state.runs.get(run)?.spec.lock.as_ref()?;
    let outcome = match wish.otherwise {
        LockBusy::Fail => Outcome::Rejected(RejectReason::LockHeld(*holder)),
        LockBusy::Skip | LockBusy::Wait => Outcome::Skipped(SkipReason::LockHeld(*holder)),
    };
    Some(Event::RunEnded { run: *run, outcome })
}

/// Intents that there should be now: a function of the log alone. Those of services only where
/// something about one has changed since the last look.
pub fn intents(state: &State, with_services: bool) -> Vec<Event> {
    let mut picked = Picked { state, locks: BTreeSet::new(), events: Vec::new() };
    if with_services {
        for run in state.waits.services.values() {
            picked.pick_service(*run);
        }
    }
    for run in state.waits.at_once.values() {
        picked.pick(*run);
    }
    for (name, queue) in &state.waits.queues {
        if queue.paused.is_none() && !queue.waiting.is_empty() {
            picked.pick_waiting(queue, state.limit(name) as usize);
        }
    }
    picked.events
}

/// Intents as they are picked: those before may have taken a lock.
struct Picked<'a> {
    state: &'a State,
    locks: BTreeSet<&'a LockName>,
    events: Vec<Event>,
}

impl<'a> Picked<'a> {
    fn pick_waiting(&mut self, queue: &'a Queue, limit: usize) {
        let mut attempts = queue.attempts.len();
        for run in queue.waiting.values() {
            // A lock is taken only with a slot. Nobody passes who would take that slot first.
            let wants_lock = self.wish(*run).is_some();
            if attempts >= limit + if wants_lock { 0 } else { limits::INTENTS_AHEAD } {
                return;
            }
            attempts += usize::from(self.pick(*run));
        }
    }

    fn pick_service(&mut self, run: RunId) {
        if self.state.runs.get(&run).is_some_and(|live| gate(self.state, live) == Gate::Open) {
            self.pick(run);
        }
    }

    fn wish(&self, run: RunId) -> Option<&'a LockName> {
        self.state.runs.get(&run)?.spec.lock.as_ref().map(|wish| &wish.name)
    }

    /// Whether the run begins.
    fn pick(&mut self, run: RunId) -> bool {
        let Some(live) = self.state.runs.get(&run) else { return false };
        if let Some(name) = self.wish(run) {
            let holder = self.state.waits.locks.get(name).and_then(|lock| lock.holder);
            let is_taken = holder.is_some_and(|holder| holder != run);
            if is_taken || !self.locks.insert(name) {
                return false;
            }
        }
        let ports = ports::of_attempt(self.state, live);
        self.events.push(Event::AttemptIntended { run, attempt: live.attempt + 1, ports });
        true
    }
}

/// Whether the end of another line of its batch may cancel it.
fn hangs_on_others(state: &State, run: &Run) -> bool {
    let batch = state.batch_of(run).and_then(|batch| state.runs.get(&batch));
    batch.is_some_and(|batch| batch.spec.fail_fast)
}

/// Attempts that were given to the runners: memory of this daemon only. After its death the
/// next one asks the shims.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dispatched(BTreeMap<RunId, u32>);

impl Dispatched {
    /// Remembers that the attempt takes a slot.
    pub fn insert(&mut self, run: RunId, attempt: u32) {
        self.0.insert(run, attempt);
    }

    /// Its slot is free.
    pub fn remove(&mut self, run: RunId) {
        self.0.remove(&run);
    }

    /// Whether it takes a slot.
    pub fn contains(&self, run: RunId) -> bool {
        self.0.contains_key(&run)
    }

    /// The intended attempts that are now given out, in the order of their places: those for free
    /// slots and some ahead, which the runners' side begins as others end.
    pub fn next<'a>(&self, state: &'a State) -> Vec<&'a Run> {
        let mut starts = Vec::new();
        let queues = state.waits.queues.iter().filter(|(_, queue)| queue.paused.is_none());
        for (name, queue) in queues {
            self.next_of_queue(state, queue, state.limit(name) as usize, &mut starts);
        }
        starts
    }

    fn next_of_queue<'a>(
        &self,
        state: &'a State,
        queue: &Queue,
        limit: usize,
        starts: &mut Vec<&'a Run>,
    ) {
        let taken = queue.attempts.values().filter(|run| self.contains(**run)).count();
        let free = limit.saturating_sub(taken);
        let ahead = (limit + limits::STARTS_AHEAD).saturating_sub(taken);
        if ahead == 0 {
            return;
        }
        let intended = queue.attempts.values().filter(|run| !self.contains(**run));
        let live = intended.filter_map(|run| state.runs.get(run));
        // What is being stopped or held never gets a slot: its withdrawal is on the way.
        let wanted = |run: &&Run| run.phase == Phase::Starting && !run.pause_wanted;
        // What the end before it may cancel is given only once that is known.
        let fits = |(place, run): &(usize, &Run)| *place < free || !hangs_on_others(state, run);
        let given = live.filter(wanted).take(ahead).enumerate().take_while(fits);
        starts.extend(given.map(|(_, run)| run));
    }
}
