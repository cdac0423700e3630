//! Who goes next: intents ahead of free slots, so that no start waits for a sync, and slots.

use std::collections::BTreeMap;

use super::event::Event;
use super::id::RunId;
use super::phase::Phase;
use super::run::Run;
use super::state::{Queue, State};
use crate::limits;

/// Intents that the queues should have now: a function of the log alone.
pub fn intents(state: &State) -> Vec<Event> {
    let mut events = Vec::new();
    for (name, queue) in &state.queues {
        if queue.waiting.is_empty() {
            continue;
        }
        let wanted = state.limit(name) as usize + limits::INTENTS_AHEAD;
        let more = wanted.saturating_sub(queue.attempts.len());
        for run in queue.waiting.values().take(more) {
            if let Some(live) = state.runs.get(run) {
                events.push(Event::AttemptIntended { run: *run, attempt: live.attempt + 1 });
            }
        }
    }
    events
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

    /// The intended attempts that now get a slot, in the order of their places.
    pub fn next<'a>(&self, state: &'a State) -> Vec<&'a Run> {
        let mut starts = Vec::new();
        for (name, queue) in &state.queues {
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
        if free == 0 {
            return;
        }
        let intended = queue.attempts.values().filter(|run| !self.contains(**run));
        let live = intended.filter_map(|run| state.runs.get(run));
        // A run that is being stopped never gets a slot: its withdrawal is on the way.
        starts.extend(live.filter(|run| run.phase == Phase::Starting).take(free));
    }
}
