//! Who may begin: what a queued run of a service waits for, the first reason that holds.

use super::hook;
use super::spec::{HookMoment, Role, ServiceCondition, ServiceDependency, Supervision};
use super::state::{Replica, Service, Standing};
use crate::model::event::{Event, Outcome, SkipReason};
use crate::model::id::RunId;
use crate::model::phase::Phase;
use crate::model::run::Run;
use crate::model::state::State;
use crate::mutants;

/// Whether a run may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Now.
    Open,
    /// Not yet.
    Waits(Waits),
    /// Never: it depends on this run, which came to another end than it should.
    Never(RunId),
}

/// What it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waits {
    /// It is to stop.
    Unwanted,
    /// The run before it lives.
    Predecessor(RunId),
    /// What it depends on is not so far.
    Dependency(ServiceDependency),
    /// A command of it runs.
    Hook(RunId),
    /// Its `before_start` has to run.
    Preparation,
    /// It has no ports yet.
    Ports,
}

/// How far a dependency is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Met {
    Yes,
    NotYet,
    Never(RunId),
}

/// Looks at a queued run.
pub fn gate(state: &State, run: &Run) -> Gate {
    let Some(role) = &run.spec.role else { return Gate::Open };
    let Some((service, replica)) = state.services.replica(role) else {
        return Gate::Waits(Waits::Unwanted);
    };
    let Some(standing) = replica.runs.iter().find(|standing| standing.run == run.id) else {
        return Gate::Waits(Waits::Unwanted);
    };
    if is_superfluous(service, replica, role.replica, run.id) {
        return Gate::Waits(Waits::Unwanted);
    }
    let before = replica.runs.first().filter(|first| first.run != run.id);
    if let Some(before) = before.filter(|_| !mutants::is_on("no_predecessor")) {
        return Gate::Waits(Waits::Predecessor(before.run));
    }
    let supervision = &standing.spec.supervision;
    for dependency in &supervision.depends_on {
        match met(state, dependency) {
            Met::Yes => {}
            Met::NotYet if mutants::is_on("no_dependency") => {}
            Met::Never(other) if run.started_at.is_none() => return Gate::Never(other),
            // What was up before comes back with what it depends on (seed 435).
            Met::NotYet | Met::Never(_) => {
                return Gate::Waits(Waits::Dependency(dependency.clone()));
            }
        }
    }
    if let Some((hook, _)) = standing.hooks.iter().find(|(_, moment)| moment.holds_start()) {
        return Gate::Waits(Waits::Hook(*hook));
    }
    if supervision.ports.iter().any(|wish| !replica.ports.contains_key(&wish.name)) {
        return Gate::Waits(Waits::Ports);
    }
    let prepares = supervision.hooks.contains_key(&HookMoment::BeforeStart);
    if prepares && standing.prepared <= run.attempt {
        return Gate::Waits(Waits::Preparation);
    }
    Gate::Open
}

impl HookMoment {
    /// Whether the next attempt waits until a command of this moment is over.
    fn holds_start(self) -> bool {
        match self {
            Self::BeforeStart | Self::BeforeStop | Self::Stop | Self::AfterStop => true,
            Self::AfterReady => false,
        }
    }
}

/// Whether a live run is not to be any more.
pub fn is_superfluous(service: &Service, replica: &Replica, number: u32, run: RunId) -> bool {
    let is_newest = replica.newest().is_some_and(|newest| newest.run == run);
    !service.wanted || number >= service.spec.replicas || !is_newest
}

/// Whether others may count on it.
pub fn is_ready(run: &Run, supervision: &Supervision) -> bool {
    let answers = run.health.is_some_and(super::spec::Health::is_ready);
    let says_so = answers || !(supervision.is_asked() || supervision.oneshot);
    is_started(run) && run.restart.is_none() && says_so
}

fn is_started(run: &Run) -> bool {
    let runs = match run.phase {
        Phase::Running | Phase::Paused => true,
        Phase::Queued | Phase::Starting | Phase::Stopping | Phase::Delayed | Phase::Ended => false,
    };
    runs && run.attempt_lives && run.process.is_some()
}

/// All replicas have to be so far.
fn met(state: &State, dependency: &ServiceDependency) -> Met {
    let Some(service) = state.services.known.get(&dependency.service) else { return Met::NotYet };
    let mut all = Met::Yes;
    for number in 0..service.spec.replicas {
        let role = Role { service: dependency.service.clone(), replica: number };
        match met_by(state, &role, dependency.condition) {
            Met::Yes => {}
            Met::NotYet => all = Met::NotYet,
            Met::Never(run) => return Met::Never(run),
        }
    }
    all
}

fn met_by(state: &State, role: &Role, condition: ServiceCondition) -> Met {
    let Some((_, replica)) = state.services.replica(role) else { return Met::NotYet };
    if let Some(Standing { run, spec, .. }) = replica.newest() {
        let Some(run) = state.runs.get(run) else { return Met::NotYet };
        let is_met = match condition {
            ServiceCondition::Started => is_started(run),
            ServiceCondition::Ready => is_ready(run, &spec.supervision),
            ServiceCondition::Completed | ServiceCondition::Failed | ServiceCondition::Ended => {
                false
            }
        };
        return if is_met { Met::Yes } else { Met::NotYet };
    }
    let Some(last) = replica.last else { return Met::NotYet };
    match (condition, last.outcome) {
        // It was, and can be again.
        (_, Outcome::Stopped(_) | Outcome::Cancelled(_)) => Met::NotYet,
        (ServiceCondition::Ended, _) => Met::Yes,
        (condition, outcome) => {
            let wants_failure = condition == ServiceCondition::Failed;
            let is_met = wants_failure != outcome.is_success();
            if is_met { Met::Yes } else { Met::Never(last.run) }
        }
    }
}

/// The end of a queued run that will never begin: what it depends on has come to another end than
/// it should. One at a time: an end may bring others with it.
pub fn refused(state: &State) -> Option<Event> {
    let mut queued = state.waits.services.values().filter_map(|run| state.runs.get(run));
    queued.find_map(|run| match gate(state, run) {
        Gate::Never(other) => {
            let outcome = Outcome::Skipped(SkipReason::DependencyFailed(other));
            Some(Event::RunEnded { run: run.id, outcome })
        }
        Gate::Open | Gate::Waits(_) => None,
    })
}

/// Commands that have to succeed before queued runs begin.
pub fn preparations(state: &State) -> Vec<Event> {
    let queued = state.waits.services.values().filter_map(|run| state.runs.get(run));
    let unprepared = queued.filter(|run| gate(state, run) == Gate::Waits(Waits::Preparation));
    unprepared.filter_map(|run| hook::admission(state, run, HookMoment::BeforeStart)).collect()
}
