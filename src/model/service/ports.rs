//! Which ports a replica gets: fixed ones at once, any others where the shell finds some free.

use std::collections::BTreeSet;

use super::gate::{Gate, Waits, gate};
use super::spec::{AssignedPort, PortWish, Role};
use crate::model::action::Action;
use crate::model::event::Event;
use crate::model::id::RunId;
use crate::model::run::Run;
use crate::model::state::State;

/// Ports that need no look at the machine, for queued runs that lack nothing else.
pub fn fixed(state: &State) -> Vec<Event> {
    let mut events = Vec::new();
    for run in waiting(state) {
        for wish in missing(state, run) {
            if let Some(requested) = wish.number {
                let Some(role) = run.spec.role.clone() else { continue };
                let number = number_of(requested, role.replica);
                events.push(assigned(state, &role, wish, number));
            }
        }
    }
    events
}

/// What the shell is to look for: once for each run, and again when what it found was no use.
pub fn to_find(state: &State, asked: &BTreeSet<RunId>) -> Vec<Action> {
    let mut actions = Vec::new();
    let queued = waiting(state).filter(|run| !asked.contains(&run.id));
    for run in queued {
        let Some(role) = run.spec.role.clone() else { continue };
        let open = missing(state, run).into_iter().filter(|wish| wish.number.is_none());
        let wishes: Vec<PortWish> = open.cloned().collect();
        if !wishes.is_empty() {
            let avoid = state.services.ports().map(|(_, port)| port.number).collect();
            actions.push(Action::FindPorts { run: run.id, role, wishes, avoid });
        }
    }
    actions
}

/// The shell found these. What somebody else has got meanwhile is looked for again.
pub fn found(state: &State, run: RunId, ports: &[(String, u16)]) -> Vec<Event> {
    let Some(live) = state.runs.get(&run) else { return Vec::new() };
    let Some(role) = &live.spec.role else { return Vec::new() };
    let wishes = missing(state, live);
    let mut taken: BTreeSet<u16> = state.services.ports().map(|(_, port)| port.number).collect();
    let mut events = Vec::new();
    for (name, number) in ports {
        let wish = wishes.iter().find(|wish| wish.name == *name && wish.number.is_none());
        if let Some(wish) = wish
            && taken.insert(*number)
        {
            events.push(assigned(state, role, wish, *number));
        }
    }
    events
}

/// The ports that the next attempt of a run gets: of a hook, those of its service.
pub fn of_attempt(state: &State, run: &Run) -> Vec<(String, u16)> {
    let parent = run.spec.parent.filter(|_| run.spec.hook.is_some());
    let owner = parent.and_then(|parent| state.runs.get(&parent)).unwrap_or(run);
    let Some(role) = &owner.spec.role else { return Vec::new() };
    let (Some((_, replica)), Some(standing)) =
        (state.services.replica(role), state.services.standing(owner))
    else {
        return Vec::new();
    };
    // The main one first, as they were asked for.
    let wishes = standing.spec.supervision.ports.iter();
    let ports = wishes.filter_map(|wish| replica.ports.get(&wish.name));
    ports.map(|port| (port.name.clone(), port.number)).collect()
}

fn waiting(state: &State) -> impl Iterator<Item = &Run> {
    let runs = state.waits.services.values().filter_map(|run| state.runs.get(run));
    runs.filter(|run| gate(state, run) == Gate::Waits(Waits::Ports))
}

fn missing<'a>(state: &'a State, run: &Run) -> Vec<&'a PortWish> {
    let Some(role) = &run.spec.role else { return Vec::new() };
    let (Some((_, replica)), Some(standing)) =
        (state.services.replica(role), state.services.standing(run))
    else {
        return Vec::new();
    };
    let wishes = standing.spec.supervision.ports.iter();
    wishes.filter(|wish| !replica.ports.contains_key(&wish.name)).collect()
}

/// Replicas follow one another.
pub fn number_of(requested: u16, replica: u32) -> u16 {
    let step = u16::try_from(replica).unwrap_or(u16::MAX);
    requested.saturating_add(step)
}

fn assigned(state: &State, role: &Role, wish: &PortWish, number: u16) -> Event {
    let replica = state.services.replica(role).map(|(_, replica)| replica);
    let retries = replica.and_then(|replica| replica.tried.get(&wish.name)).copied().unwrap_or(0);
    let (name, requested) = (wish.name.clone(), wish.number);
    let port = AssignedPort { name, requested, number, retries };
    Event::PortAssigned { service: role.service.clone(), replica: role.replica, port }
}
