//! What the world says of services: probes, ports and watched files. What is late, repeated or
//! about nothing that can be asked changes nothing.

use super::ports;
use super::spec::RestartReason;
use crate::model::event::{Event, QueuedReason};
use crate::model::id::{RunId, ServiceName};
use crate::model::observation::Observation;
use crate::model::phase::Phase;
use crate::model::run::Run;
use crate::model::state::State;

/// What follows.
pub fn observed(state: &State, seen: &Observation) -> Vec<Event> {
    match seen {
        Observation::PortsFound { run, ports } => ports::found(state, *run, ports),
        Observation::FilesChanged { service, path } => files_changed(state, service, path),
        Observation::PortHeld { run, attempt, number, holder } => {
            let (run, attempt, number, holder) = (*run, *attempt, *number, holder.clone());
            let live = state.runs.get(&run).filter(|live| live.attempt_lives);
            let fits = live.is_some_and(|live| live.attempt == attempt && live.process.is_none());
            let event = Event::PortConflict { run, attempt, number, holder };
            fits.then_some(event).into_iter().collect()
        }
        Observation::HealthSeen { run, attempt, health, detail } => {
            let (run, attempt, health, detail) = (*run, *attempt, *health, detail.clone());
            let news = |live: &&Run| live.health != Some(health);
            let live = answering(state, run, attempt).filter(news);
            // Before it was ready it cannot fall ill.
            let fits = live.is_some_and(|live| health.is_ready() || live.health.is_some());
            let event = Event::HealthChanged { run, attempt, health, detail };
            fits.then_some(event).into_iter().collect()
        }
        Observation::StartupOverdue { run, attempt, detail } => {
            let (run, attempt, detail) = (*run, *attempt, detail.clone());
            let live = answering(state, run, attempt).filter(|live| live.ready_seq.is_none());
            let reason = RestartReason::StartupTimeout;
            let event = Event::RestartRequested { run, attempt, reason, detail };
            live.map(|_| event).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// The run, if that attempt of it can be asked: it runs, and nobody ends it or holds it still.
fn answering(state: &State, run: RunId, attempt: u32) -> Option<&Run> {
    let live = state.runs.get(&run).filter(|live| live.attempt_lives && live.attempt == attempt)?;
    let answers = live.phase == Phase::Running && !live.pause_wanted && live.restart.is_none();
    Some(live).filter(|_| answers && live.spec.role.is_some())
}

/// What runs of a service is to be started again, and what waits for its next attempt waits no
/// longer: what made it fail may be mended.
fn files_changed(state: &State, service: &ServiceName, path: &str) -> Vec<Event> {
    let Some(known) = state.services.known.get(service) else { return Vec::new() };
    let newest = known.replicas.values().filter_map(|replica| replica.newest());
    let runs = newest.filter_map(|standing| state.runs.get(&standing.run));
    let again = runs.filter_map(|run| match run.phase {
        Phase::Delayed if run.due.is_some() => {
            Some(Event::RunQueued { run: run.id, reason: QueuedReason::FilesChanged, asker: None })
        }
        _ => answering(state, run.id, run.attempt).map(|live| Event::RestartRequested {
            run: live.id,
            attempt: live.attempt,
            reason: RestartReason::FilesChanged,
            detail: Some(path.to_owned()),
        }),
    });
    again.collect()
}
