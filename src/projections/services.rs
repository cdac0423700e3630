//! `jr status`, `jr ports`, `jr endpoints` and what `jr up` would do.

use std::collections::BTreeMap;

use super::query::QueryError;
use super::run_view::rfc3339;
use super::view::{List, PortView, ServiceView, StepView};
use crate::model::command::Rejection;
use crate::model::event::Outcome;
use crate::model::service::gate::{Gate, Waits, gate, is_ready};
use crate::model::service::plan::{self, Step, Verb, Wish};
use crate::model::service::restart::is_crash_looping;
use crate::model::service::spec::{Health, Role};
use crate::model::service::state::{Replica, Service, Standing};
use crate::model::{Phase, Run, State, UnixMillis};

/// All replicas of all services, by name.
pub(super) fn services(state: &State, now: UnixMillis) -> List<ServiceView> {
    let mut items = Vec::new();
    for (name, service) in &state.services.known {
        let live = service.replicas.iter().filter(|(_, replica)| !replica.runs.is_empty());
        let most = live.map(|(number, _)| number + 1).max().unwrap_or(0);
        for number in 0..service.spec.replicas.max(most) {
            let role = Role { service: name.clone(), replica: number };
            items.push(view(state, service, &role, now));
        }
    }
    List { schema: "jr.status/1".to_owned(), items }
}

fn view(state: &State, service: &Service, role: &Role, now: UnixMillis) -> ServiceView {
    let replica = service.replica(role.replica);
    let standing = replica.and_then(|replica| shown(state, replica));
    let run = standing.and_then(|standing| state.runs.get(&standing.run));
    let (word, reason) = match (run, standing) {
        (Some(run), Some(standing)) => living(state, run, standing, now),
        _ => ended(service, replica),
    };
    let ports = replica.map(|replica| &replica.ports).into_iter().flatten();
    let ports: BTreeMap<String, u16> =
        ports.map(|(name, port)| (name.clone(), port.number)).collect();
    let main = service.spec.supervision.ports.first().and_then(|wish| ports.get(&wish.name));
    let last = replica.and_then(|replica| replica.last);
    let last_restarts = last.map_or(0, |last| last.restarts);
    let live = run.filter(|run| run.attempt_lives);
    let process = live.and_then(|run| run.process.as_ref());
    let health = live.and_then(|run| run.health).map(|health| health.word().to_owned());
    let on = service.spec.supervision.depends_on.iter();
    ServiceView {
        service: role.service.to_string(),
        replica: role.replica,
        title: service.spec.title.clone(),
        state: word.to_owned(),
        health,
        reason,
        wanted: service.wanted && role.replica < service.spec.replicas,
        run_id: run.map(|run| run.id).or(last.map(|last| last.run)).map(|run| run.to_string()),
        pid: process.map(|process| process.pid),
        url: main.filter(|_| process.is_some()).map(|port| url(service, *port)),
        ports,
        restarts: run.map_or(last_restarts, |run| run.retries),
        hostname: service.spec.hostname.clone(),
        depends_on: on.map(|dependency| dependency.service.to_string()).collect(),
        started_at: process.map(|process| rfc3339(process.at)),
    }
}

fn url(service: &Service, port: u16) -> String {
    let host = service.spec.supervision.ports.first().and_then(|wish| wish.host.as_deref());
    let host = host.filter(|host| !matches!(*host, "0.0.0.0" | "::" | "*"));
    match host {
        Some(host) if host.contains(':') => format!("http://[{host}]:{port}"),
        Some(host) => format!("http://{host}:{port}"),
        None => format!("http://127.0.0.1:{port}"),
    }
}

/// What has a process, else what is to stay.
fn shown<'a>(state: &State, replica: &'a Replica) -> Option<&'a Standing> {
    let lives =
        |standing: &&Standing| state.runs.get(&standing.run).is_some_and(|run| run.attempt_lives);
    replica.runs.iter().find(lives).or(replica.newest())
}

/// The state of a live run, and why.
fn living(
    state: &State,
    run: &Run,
    standing: &Standing,
    now: UnixMillis,
) -> (&'static str, Option<String>) {
    let loops = is_crash_looping(run, &standing.spec.supervision, now);
    let last = || run.last_end.as_ref().map(|end| super::why::end_words(end.status));
    let last = || last().map(|words| format!("its last attempt {words}"));
    match run.phase {
        Phase::Queued => match gate(state, run) {
            Gate::Open if loops => ("crash_looping", last()),
            Gate::Open => ("starting", None),
            Gate::Never(other) => ("skipped", Some(format!("run {other} did not succeed"))),
            Gate::Waits(waits) => (waiting_state(&waits), Some(waiting(&waits))),
        },
        Phase::Starting if loops => ("crash_looping", last()),
        Phase::Starting => ("starting", None),
        Phase::Running if run.health == Some(Health::Unhealthy) => ("unhealthy", None),
        Phase::Running if loops => ("crash_looping", last()),
        Phase::Running if run.restart.is_some() => {
            ("restarting", run.restart.map(|reason| reason.word().to_owned()))
        }
        Phase::Running if is_ready(run, &standing.spec.supervision) => ("ready", None),
        Phase::Running if standing.spec.supervision.oneshot => {
            ("starting", Some("it has not ended yet".to_owned()))
        }
        Phase::Running => ("starting", Some("it does not say that it is ready yet".to_owned())),
        Phase::Paused => ("paused", None),
        Phase::Stopping => ("stopping", run.stop.map(|reason| reason.word().to_owned())),
        Phase::Delayed if run.due.is_none() => {
            ("interrupted", Some("bring it back: jr up, or jr resume".to_owned()))
        }
        Phase::Delayed if loops => ("crash_looping", last()),
        Phase::Delayed => ("restarting", last()),
        Phase::Ended => ("down", None),
    }
}

/// What it does itself before its process runs is a part of its start.
fn waiting_state(waits: &Waits) -> &'static str {
    match waits {
        Waits::Unwanted | Waits::Predecessor(_) | Waits::Dependency(_) => "waiting",
        Waits::Hook(_) | Waits::Preparation | Waits::Ports => "starting",
    }
}

pub(super) fn waiting(waits: &Waits) -> String {
    match waits {
        Waits::Unwanted => "it is to stop".to_owned(),
        Waits::Predecessor(run) => format!("run {run} before it has to end"),
        Waits::Dependency(on) => format!("{} has to be {}", on.service, on.condition.word()),
        Waits::Hook(run) => format!("command {run} of it has to end"),
        Waits::Preparation => "its before_start command comes first".to_owned(),
        Waits::Ports => "a free port is looked for".to_owned(),
    }
}

/// The state of what has no live run, and why.
fn ended(service: &Service, replica: Option<&Replica>) -> (&'static str, Option<String>) {
    let Some(last) = replica.and_then(|replica| replica.last) else { return ("down", None) };
    let reason = last.outcome.detail();
    let word = match last.outcome {
        Outcome::Succeeded => "completed",
        Outcome::Stopped(_) | Outcome::Cancelled(_) if service.wanted => "stopped",
        Outcome::Stopped(_) | Outcome::Cancelled(_) => "down",
        Outcome::Skipped(_) => "skipped",
        Outcome::Failed(_)
        | Outcome::Signalled(_)
        | Outcome::TimedOut
        | Outcome::Lost(_)
        | Outcome::Rejected(_) => "failed",
    };
    (word, reason)
}

/// All ports that replicas have.
pub(super) fn ports(state: &State) -> List<PortView> {
    let items = state.services.ports().map(|(role, port)| {
        let live = state.services.replica(&role).and_then(|(_, replica)| shown(state, replica));
        let run = live.and_then(|standing| state.runs.get(&standing.run));
        let process = run.filter(|run| run.attempt_lives).and_then(|run| run.process.as_ref());
        let source = match (port.requested, port.retries) {
            (Some(_), _) => "fixed",
            (None, 0) => "allocated",
            (None, _) => "retried",
        };
        PortView {
            service: role.service.to_string(),
            replica: role.replica,
            name: port.name.clone(),
            requested: port.requested,
            assigned: port.number,
            actual: None,
            source: source.to_owned(),
            retries: port.retries,
            holder: None,
            shim: process.map(|process| process.shim),
        }
    });
    List { schema: "jr.ports/1".to_owned(), items: items.collect() }
}

/// What a wish would come to at `now`.
///
/// # Errors
/// [`QueryError::NoSuchService`].
pub fn plan(state: &State, wish: &Wish, now: UnixMillis) -> Result<List<StepView>, QueryError> {
    let plan =
        plan::up(state, wish, plan::Asked { seed: 0, asker: None, now }).map_err(|rejection| {
            match rejection {
                Rejection::NoSuchService(service) => QueryError::NoSuchService { service },
                other => QueryError::Log { message: other.to_string() },
            }
        })?;
    let items = plan.steps.iter().map(|step| {
        let view = step_view(step);
        // Its id will be another one.
        let is_new = matches!(step.verb, Verb::Start | Verb::Restart);
        StepView { run_id: view.run_id.filter(|_| !is_new), ..view }
    });
    Ok(List { schema: "jr.plan/1".to_owned(), items: items.collect() })
}

/// A step as clients see it.
pub fn step_view(step: &Step) -> StepView {
    StepView {
        service: step.role.service.to_string(),
        replica: step.role.replica,
        action: step.verb.word().to_owned(),
        reason: step.because.text(),
        run_id: step.run.map(|run| run.to_string()),
    }
}
