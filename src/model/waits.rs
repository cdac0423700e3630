//! Who waits for what: a slot, a lock, the end of another run, or time. Indexes over the live
//! runs, kept in step by `State::apply`, so that no decision has to look at all of them.
//!
//! A run that wants a lock somebody else holds is parked, not in line for a slot: a line of ten
//! thousand such runs costs nothing. When the lock comes free, the first of each line becomes a
//! candidate; the one that gets a slot first takes it, and the others are parked again.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::event::Outcome;
use super::id::{LockName, QueueName, RunId};
use super::phase::Phase;
use super::run::Run;
use super::spec::{Condition, Kind, LockBusy};
use super::time::{Now, UnixMillis};

/// Runs in the order of their places: the seq of the admission, kept when a run comes back.
pub type Line = BTreeMap<u64, RunId>;

/// A queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Slots, where somebody set them.
    pub limit: Option<u32>,
    /// It gives no starts, since that record.
    pub paused: Option<u64>,
    /// Who may begin as soon as there is a slot.
    pub waiting: Line,
    /// Who has a live attempt.
    pub attempts: Line,
}

/// A lock that is held or wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Who has it, from the intent of its first attempt until its end.
    pub holder: Option<RunId>,
    /// Who may take it with the next slot.
    pub candidates: Line,
    /// Who waits for it outside its line.
    pub parked: BTreeMap<Option<QueueName>, Line>,
}

/// All lines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Waits {
    /// Queues that were set, or in which something lives.
    pub queues: BTreeMap<QueueName, Queue>,
    /// Runs without a queue that may begin.
    pub at_once: Line,
    /// Runs of services, in the order of admission; what each waits for is asked of
    /// [`super::service::gate`].
    pub services: Line,
    /// Locks.
    pub locks: BTreeMap<LockName, Lock>,
    /// Runs that come after others, with those that still live.
    pub dependencies: BTreeMap<RunId, BTreeSet<RunId>>,
    /// The same from the other side.
    pub dependents: BTreeMap<RunId, BTreeSet<RunId>>,
    /// Runs that are to be skipped, with the run that did not succeed.
    pub unmet: BTreeMap<RunId, RunId>,
    /// Runs that do not wait for a lock, with its holder: they are to be ended.
    pub refused: BTreeMap<RunId, RunId>,
    /// Delayed runs by their time on `CLOCK_BOOTTIME`.
    pub timers: BTreeSet<(u64, RunId)>,
    /// Delayed runs of an earlier boot, by the wall clock.
    pub older_timers: BTreeSet<(UnixMillis, RunId)>,
}

impl Waits {
    /// Takes the run out of every line.
    pub(super) fn remove(&mut self, run: &Run) {
        if run.spec.kind == Kind::Batch {
            return;
        }
        let place = run.first_seq;
        self.services.remove(&place);
        match run.spec.queue.as_ref().map(|name| self.queues.get_mut(name)) {
            Some(Some(queue)) => {
                queue.waiting.remove(&place);
                queue.attempts.remove(&place);
            }
            Some(None) => {}
            None => {
                self.at_once.remove(&place);
            }
        }
        if let Some(due) = run.due {
            self.timers.remove(&(due.boottime_ms, run.id));
            self.older_timers.remove(&(due.at, run.id));
        }
        self.refused.remove(&run.id);
        if let Some(wish) = &run.spec.lock {
            self.leave_lock(&wish.name, run);
        }
    }

    /// Puts the run into the line that its phase asks for.
    pub(super) fn insert(&mut self, run: &Run) {
        if run.spec.kind == Kind::Batch {
            return;
        }
        match (run.phase, run.due) {
            (Phase::Delayed, Some(due)) => {
                self.timers.insert((due.boottime_ms, run.id));
            }
            (Phase::Queued, _) => self.wait(run),
            _ => {}
        }
        if let Some(name) = run.spec.queue.as_ref().filter(|_| run.attempt_lives) {
            let queue = self.queues.entry(name.clone()).or_default();
            queue.attempts.insert(run.first_seq, run.id);
        }
    }

    fn wait(&mut self, run: &Run) {
        if self.dependencies.contains_key(&run.id) {
            return;
        }
        let place = run.first_seq;
        if run.spec.role.is_some() {
            self.services.insert(place, run.id);
            return;
        }
        if let Some(wish) = &run.spec.lock {
            let lock = self.locks.entry(wish.name.clone()).or_default();
            match lock.holder {
                Some(holder) if holder != run.id => {
                    if wish.otherwise == LockBusy::Wait {
                        let line = lock.parked.entry(run.spec.queue.clone()).or_default();
                        line.insert(place, run.id);
                    } else {
                        self.refused.insert(run.id, holder);
                    }
                    return;
                }
                Some(_) => {}
                None => {
                    lock.candidates.insert(place, run.id);
                }
            }
        }
        self.line(run.spec.queue.as_ref()).insert(place, run.id);
    }

    fn line(&mut self, queue: Option<&QueueName>) -> &mut Line {
        match queue {
            Some(name) => &mut self.queues.entry(name.clone()).or_default().waiting,
            None => &mut self.at_once,
        }
    }

    /// The run begins: the lock is its own. Answers who else was about to take it.
    pub(super) fn take_lock(&mut self, name: &LockName, run: RunId) -> Vec<RunId> {
        let lock = self.locks.entry(name.clone()).or_default();
        lock.holder = Some(run);
        std::mem::take(&mut lock.candidates).into_values().filter(|other| *other != run).collect()
    }

    fn leave_lock(&mut self, name: &LockName, run: &Run) {
        let Some(lock) = self.locks.get_mut(name) else { return };
        let was_candidate = lock.candidates.remove(&run.first_seq).is_some();
        if let Some(line) = lock.parked.get_mut(&run.spec.queue) {
            line.remove(&run.first_seq);
            if line.is_empty() {
                lock.parked.remove(&run.spec.queue);
            }
        }
        if was_candidate {
            self.promote(name);
        }
    }

    /// The run has ended: what it held is free.
    pub(super) fn release_lock(&mut self, name: &LockName, run: RunId) {
        let Some(lock) = self.locks.get_mut(name) else { return };
        if lock.holder == Some(run) {
            lock.holder = None;
        }
        self.promote(name);
    }

    /// If the lock is free, the first parked run of each line may take it with the next slot.
    fn promote(&mut self, name: &LockName) {
        let Some(lock) = self.locks.get_mut(name) else { return };
        if lock.holder.is_some() {
            return;
        }
        let mut promoted = Vec::new();
        lock.parked.retain(|queue, line| {
            if let Some((place, run)) = line.pop_first() {
                promoted.push((queue.clone(), place, run));
            }
            !line.is_empty()
        });
        lock.candidates.extend(promoted.iter().map(|(_, place, run)| (*place, *run)));
        if lock.candidates.is_empty() {
            self.locks.remove(name);
        }
        for (queue, place, run) in promoted {
            self.line(queue.as_ref()).insert(place, run);
        }
    }

    /// The run comes after those of its dependencies that still live.
    pub(super) fn depend(&mut self, run: &Run, lives: impl Fn(RunId) -> bool) {
        let open: BTreeSet<RunId> = run.spec.after.iter().map(|after| after.run).collect();
        let open: BTreeSet<RunId> = open.into_iter().filter(|other| lives(*other)).collect();
        for other in &open {
            self.dependents.entry(*other).or_default().insert(run.id);
        }
        if !open.is_empty() {
            self.dependencies.insert(run.id, open);
        }
    }

    /// A run has ended: takes it out of the dependencies. Answers who waits for nobody any more.
    pub(super) fn ended(
        &mut self,
        ended: RunId,
        outcome: Outcome,
        runs: &BTreeMap<RunId, Run>,
    ) -> Vec<RunId> {
        self.unmet.remove(&ended);
        for other in self.dependencies.remove(&ended).unwrap_or_default() {
            if let Some(dependents) = self.dependents.get_mut(&other) {
                dependents.remove(&ended);
            }
        }
        let mut free = Vec::new();
        for waiting in self.dependents.remove(&ended).unwrap_or_default() {
            let Some(run) = runs.get(&waiting) else { continue };
            let must_succeed = run
                .spec
                .after
                .iter()
                .any(|after| after.run == ended && after.condition == Condition::Ok);
            if must_succeed && !outcome.is_success() {
                self.unmet.entry(waiting).or_insert(ended);
                continue;
            }
            if let Some(open) = self.dependencies.get_mut(&waiting) {
                open.remove(&ended);
                if open.is_empty() {
                    self.dependencies.remove(&waiting);
                    free.push(waiting);
                }
            }
        }
        free
    }

    /// The machine was started anew: `CLOCK_BOOTTIME` begins again.
    pub(super) fn new_boot(&mut self, runs: &BTreeMap<RunId, Run>) {
        for (_, run) in std::mem::take(&mut self.timers) {
            if let Some(due) = runs.get(&run).and_then(|run| run.due) {
                self.older_timers.insert((due.at, run));
            }
        }
    }

    /// Delayed runs whose time has come.
    pub fn due(&self, now: Now) -> Vec<RunId> {
        let timers = self.timers.iter().take_while(|(at, _)| *at <= now.boottime_ms);
        let older = self.older_timers.iter().take_while(|(at, _)| *at <= now.wall);
        timers.map(|(_, run)| *run).chain(older.map(|(_, run)| *run)).collect()
    }

    /// How long until the next delayed run is due, in milliseconds.
    pub fn next_due_ms(&self, now: Now) -> Option<u64> {
        let timer = self.timers.first().map(|(at, _)| at.saturating_sub(now.boottime_ms));
        let older = self
            .older_timers
            .first()
            .map(|(at, _)| u64::try_from(at.0.saturating_sub(now.wall.0)).unwrap_or(0));
        timer.into_iter().chain(older).min()
    }
}
