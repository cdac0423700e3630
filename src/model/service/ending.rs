//! Who is to stop: what is not to be any more, those first that others do not depend on.

use std::collections::BTreeSet;

use super::gate::is_superfluous;
use super::hook;
use super::spec::{HookMoment, UnwantedReason};
use super::state::{Replica, Service, Standing};
use crate::model::decide::stop_event;
use crate::model::event::{Event, StopReason};
use crate::model::id::ServiceName;
use crate::model::phase::Phase;
use crate::model::state::State;

/// Stops that are due, and the commands that come before them.
pub fn stops(state: &State) -> Vec<Event> {
    let mut events = Vec::new();
    let held = needed(state);
    for (name, service) in &state.services.known {
        if held.contains(name) {
            continue;
        }
        for (number, replica) in &service.replicas {
            let superfluous =
                |standing: &&Standing| is_superfluous(service, replica, *number, standing.run);
            for standing in replica.runs.iter().filter(superfluous) {
                events.extend(stop(state, service, replica, standing));
            }
        }
    }
    events
}

/// Services that something superfluous still lives on: they stop after it.
fn needed(state: &State) -> BTreeSet<&ServiceName> {
    let mut needed = BTreeSet::new();
    for service in state.services.known.values() {
        for (number, replica) in &service.replicas {
            for standing in &replica.runs {
                let begun = state.runs.get(&standing.run).is_some_and(|run| run.attempt_lives);
                if begun && is_superfluous(service, replica, *number, standing.run) {
                    let on = standing.spec.supervision.depends_on.iter();
                    needed.extend(on.map(|dependency| &dependency.service));
                }
            }
        }
    }
    needed
}

fn stop(state: &State, service: &Service, replica: &Replica, standing: &Standing) -> Option<Event> {
    let run = state.runs.get(&standing.run).filter(|run| run.phase != Phase::Stopping)?;
    let is_up = run.attempt_lives && run.process.is_some();
    let asks = standing.spec.supervision.hooks.contains_key(&HookMoment::BeforeStop);
    if is_up && asks && !standing.may_stop {
        let is_asked = standing.hooks.values().any(|moment| *moment == HookMoment::BeforeStop);
        let ask = || hook::admission(state, run, HookMoment::BeforeStop);
        return (!is_asked).then(ask).flatten();
    }
    Some(stop_event(state, run, reason(service, replica, standing), None, None))
}

/// Why a run is superfluous.
fn reason(service: &Service, replica: &Replica, standing: &Standing) -> StopReason {
    if !service.wanted {
        return match service.unwanted {
            Some(UnwantedReason::Removed) => StopReason::Removed,
            Some(UnwantedReason::Stopped) => StopReason::Asked,
            Some(UnwantedReason::Down) | None => StopReason::Down,
        };
    }
    match replica.newest() {
        Some(newest) if newest.run != standing.run && newest.spec.is_same(&standing.spec) => {
            StopReason::Restarted
        }
        Some(newest) if newest.run != standing.run => StopReason::Changed,
        Some(_) | None => StopReason::Removed,
    }
}
