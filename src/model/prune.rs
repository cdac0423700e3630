//! What is decided about what is kept: prunes and pins. Pure; docs/decisions/0010.

use super::action::Reply;
use super::command::{Rejection, Request};
use super::decide::Decision;
use super::event::Event;
use super::id::RunId;
use super::observation::Pruned;
use super::state::State;
use crate::limits;

/// One prune at a time: the next would have to know what this one leaves.
pub(super) fn request(
    state: &State,
    before: u64,
    keep_days: Option<u32>,
    keep_runs: Option<u64>,
) -> Result<Decision, Rejection> {
    if state.pruning.is_some() {
        return Err(Rejection::PruneUnderWay);
    }
    let request = state.seq + 1;
    let before = before.clamp(1, request);
    let events = vec![Event::PruneRequested { before, keep_days, keep_runs }];
    Ok(Decision { events, reply: Reply::Pruning { request } })
}

/// Keeps a run, or lets it go with the next prune. To ask twice changes nothing.
pub(super) fn pin(
    state: &State,
    request: &Request,
    run: RunId,
    pinned: bool,
) -> Result<Decision, Rejection> {
    check_named(state, request, [run])?;
    let limit = limits::PINS;
    if pinned && state.pins.len() >= limit && !state.pins.contains(&run) {
        return Err(Rejection::TooManyPins { limit });
    }
    let changes = state.pins.contains(&run) != pinned;
    let events = changes.then_some(Event::RunPinned { run, pinned });
    Ok(Decision { events: events.into_iter().collect(), reply: Reply::Done })
}

/// A command that names an older run: that one must not be on its way out, nor be gone since it
/// was looked up.
pub(super) fn check_named(
    state: &State,
    request: &Request,
    named: impl IntoIterator<Item = RunId>,
) -> Result<(), Rejection> {
    // What lives has its end before it, beyond any cut so far.
    if named.into_iter().all(|run| state.runs.contains_key(&run)) {
        return Ok(());
    }
    if state.pruning.is_some() {
        return Err(Rejection::PruneUnderWay);
    }
    let (read_at, head) = (request.facts_seq, state.seq);
    if read_at < state.pruned_at { Err(Rejection::StaleFacts { read_at, head }) } else { Ok(()) }
}

/// The end of the prune that is under way, and of no other.
pub(super) fn done(state: &State, request: u64, pruned: &Pruned) -> Vec<Event> {
    if state.pruning.as_ref().is_none_or(|pruning| pruning.request != request) {
        return Vec::new();
    }
    let Pruned { before, runs, events, bytes, error } = pruned.clone();
    vec![Event::RunsPruned { before, runs, events, bytes, error }]
}
