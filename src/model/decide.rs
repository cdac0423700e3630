//! What follows from a command or an observation: events, or a reason why not. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::action::{Reply, SignalAnswer, StopAnswer};
use super::command::{BatchLine, Command, KeyHolder, Rejection, Request};
use super::config;
use super::event::{
    Asker, AttemptEnd, Event, ExitStatus, Outcome, QueuedReason, SkipReason, StopReason,
};
use super::hold;
use super::id::{QueueName, RunId};
use super::observation::Observation;
use super::phase::Phase;
use super::prune;
use super::run::Run;
use super::service::spec::HookMoment;
use super::service::{observe, plan};
use super::signal::Signal;
use super::spec::{Condition, Kind, RunSpec};
use super::state::State;
use super::time::Now;
use crate::limits;

/// The events of an accepted command, and what to answer once they are durable.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// In order; consequences follow from [`super::react`].
    pub events: Vec<Event>,
    /// The answer.
    pub reply: Reply,
}

/// Decides a command.
///
/// # Errors
/// [`Rejection`]: nothing happens, and why.
pub fn command(state: &State, request: &Request, now: Now) -> Result<Decision, Rejection> {
    match &request.command {
        Command::Run { run, spec, key_holder, ended } => {
            admit_run(state, request, *run, spec, key_holder.as_ref(), ended)
        }
        Command::Batch { run, spec, jobs, lines } => {
            admit_batch(state, request, *run, spec, *jobs, lines)
        }
        Command::Stop { runs, reason, grace_ms, asker } => {
            Ok(stop(state, runs, *reason, *grace_ms, asker.as_ref()))
        }
        Command::Signal { runs, signal, asker } => {
            Ok(signal_runs(state, runs, *signal, asker.as_ref()))
        }
        Command::Pause { runs, asker } => Ok(hold::pause(state, runs, asker.as_ref())),
        Command::Resume { runs, asker } => Ok(hold::resume(state, runs, asker.as_ref())),
        Command::ResumeInterrupted { asker } => {
            Ok(hold::resume(state, &hold::interrupted(state), asker.as_ref()))
        }
        Command::PauseQueue { queue, paused, asker } => {
            hold::pause_queue(state, queue, *paused, asker.as_ref())
        }
        Command::Prune { before, keep_days, keep_runs } => {
            prune::request(state, *before, *keep_days, *keep_runs)
        }
        Command::Configure { resolution } => Ok(config::configure(state, resolution)),
        Command::Up { wish, asker } => up(state, request, wish, asker.as_ref(), now),
        Command::Down { services, asker } => {
            let plan = plan::down(state, services.as_deref(), asker.as_ref())?;
            Ok(Decision { events: plan.events, reply: Reply::Planned(plan.steps) })
        }
        Command::Pin { run, pinned } => prune::pin(state, request, *run, *pinned),
        Command::SetQueue { queue, limit } => {
            if *limit == 0 {
                return Err(Rejection::NoSlots);
            }
            let events = vec![Event::QueueSet { queue: queue.clone(), limit: *limit }];
            Ok(Decision { events, reply: Reply::Done })
        }
    }
}

/// The run that this very command admitted when it came before.
fn seen_before(state: &State, request: &Request) -> Option<Decision> {
    let run = *state.commands.get(&request.cause.command)?;
    Some(Decision { events: Vec::new(), reply: Reply::Admitted { run, existing: true } })
}

/// Brings services up. Sent again it acts once: what it admitted is there.
fn up(
    state: &State,
    request: &Request,
    wish: &plan::Wish,
    asker: Option<&Asker>,
    now: Now,
) -> Result<Decision, Rejection> {
    let seen = state.commands.contains_key(&request.cause.command);
    let again = plan::Wish { anew: wish.anew && !seen, ..wish.clone() };
    let plan = plan::up(
        state,
        &again,
        plan::Asked { seed: request.cause.command.to_u128(), asker, now: now.wall },
    )?;
    room_for(state, plan.steps.len())?;
    Ok(Decision { events: plan.events, reply: Reply::Planned(plan.steps) })
}

fn room_for(state: &State, more: usize) -> Result<(), Rejection> {
    let (live, limit) = (state.runs.len(), limits::LIVE_RUNS);
    if live + more > limit { Err(Rejection::TooManyRuns { live, limit }) } else { Ok(()) }
}

fn fresh(state: &State, run: RunId) -> Result<(), Rejection> {
    let taken = state.runs.contains_key(&run) || state.ended_lately(run).is_some();
    if taken { Err(Rejection::IdTaken(run)) } else { Ok(()) }
}

fn admit_run(
    state: &State,
    request: &Request,
    run: RunId,
    spec: &Arc<RunSpec>,
    key_holder: Option<&KeyHolder>,
    ended: &[(RunId, Outcome)],
) -> Result<Decision, Rejection> {
    if let Some(decision) = seen_before(state, request) {
        return Ok(decision);
    }
    if let Some(key) = &spec.key {
        let holder = if let Some(holder) = holder_in_memory(state, key) {
            Some(holder)
        } else {
            check_facts(state, request.facts_seq)?;
            key_holder.cloned()
        };
        if let Some(holder) = holder {
            if holder.command != spec.command {
                return Err(Rejection::KeyConflict { key: key.clone(), holder: holder.run });
            }
            let reply = Reply::Admitted { run: holder.run, existing: true };
            return Ok(Decision { events: Vec::new(), reply });
        }
    }
    prune::check_named(state, request, spec.names())?;
    room_for(state, 1)?;
    fresh(state, run)?;
    let unmet = unmet_dependency(state, request, spec, ended)?;
    let skip = unmet.map(|other| {
        let outcome = Outcome::Skipped(SkipReason::DependencyFailed(other));
        Event::RunEnded { run, outcome }
    });
    let admission = Event::RunAdmitted { run, spec: Arc::clone(spec) };
    let events = std::iter::once(admission).chain(skip).collect();
    Ok(Decision { events, reply: Reply::Admitted { run, existing: false } })
}

/// A run that had to succeed first, and has ended otherwise. Of those that live the log will tell.
fn unmet_dependency(
    state: &State,
    request: &Request,
    spec: &RunSpec,
    ended: &[(RunId, Outcome)],
) -> Result<Option<RunId>, Rejection> {
    for after in &spec.after {
        if state.runs.contains_key(&after.run) {
            continue;
        }
        let outcome = if let Some(ended) = state.ended_lately(after.run) {
            ended.outcome
        } else {
            check_facts(state, request.facts_seq)?;
            let known = ended.iter().find(|(run, _)| *run == after.run);
            let stale = Rejection::StaleFacts { read_at: request.facts_seq, head: state.seq };
            known.ok_or(stale)?.1
        };
        if after.condition == Condition::Ok && !outcome.is_success() {
            return Ok(Some(after.run));
        }
    }
    Ok(None)
}

/// What was looked up in the views holds only while memory covers all that came since.
fn check_facts(state: &State, read_at: u64) -> Result<(), Rejection> {
    let head = state.seq;
    let too_old = read_at.saturating_add(limits::ENDED_WINDOW) < head;
    if too_old || read_at < state.pruned_at {
        return Err(Rejection::StaleFacts { read_at, head });
    }
    Ok(())
}

fn holder_in_memory(state: &State, key: &str) -> Option<KeyHolder> {
    let run = *state.keys.get(key)?;
    let command = match state.runs.get(&run) {
        Some(live) => live.spec.command.clone(),
        None => state.ended_lately(run)?.command.clone(),
    };
    Some(KeyHolder { run, command })
}

fn admit_batch(
    state: &State,
    request: &Request,
    run: RunId,
    spec: &Arc<RunSpec>,
    jobs: u32,
    lines: &[BatchLine],
) -> Result<Decision, Rejection> {
    if let Some(decision) = seen_before(state, request) {
        return Ok(decision);
    }
    if lines.is_empty() {
        return Err(Rejection::EmptyBatch);
    }
    if jobs == 0 {
        return Err(Rejection::NoSlots);
    }
    prune::check_named(state, request, spec.names())?;
    room_for(state, lines.len() + 1)?;
    fresh(state, run)?;
    lines.iter().try_for_each(|line| fresh(state, line.run))?;
    let mut events = Vec::with_capacity(lines.len() + 2);
    let queue = spec.queue.clone().unwrap_or_else(|| {
        let queue = QueueName::of_batch(run);
        events.push(Event::QueueSet { queue: queue.clone(), limit: jobs });
        queue
    });
    events.push(Event::RunAdmitted { run, spec: Arc::clone(spec) });
    for line in lines {
        let spec = RunSpec {
            name: line.name.clone(),
            kind: Kind::Job,
            command: line.command.clone(),
            queue: Some(queue.clone()),
            parent: Some(run),
            line: Some(line.line.clone()),
            key: None,
            fail_fast: false,
            ..(**spec).clone()
        };
        events.push(Event::RunAdmitted { run: line.run, spec: Arc::new(spec) });
    }
    Ok(Decision { events, reply: Reply::Admitted { run, existing: false } })
}

fn stop(
    state: &State,
    runs: &[RunId],
    reason: StopReason,
    grace_ms: Option<u64>,
    asker: Option<&Asker>,
) -> Decision {
    let mut events = Vec::new();
    let mut answers = Vec::new();
    let mut named = BTreeSet::new();
    let batches: BTreeSet<&RunId> =
        runs.iter().filter(|run| state.batches.contains_key(run)).collect();
    for run in runs.iter().filter(|run| named.insert(**run)) {
        let Some(live) = state.runs.get(run) else {
            answers.push((*run, StopAnswer::AlreadyEnded));
            continue;
        };
        // The stop of a batch stops its lines. After a second one of the same line, or after that
        // of the last line, there may be nothing left that the other could name.
        let with_batch = state.batch_of(live).is_some_and(|batch| batches.contains(&batch));
        if !with_batch {
            events.push(stop_event(state, live, reason, grace_ms, asker.cloned()));
        }
        let begun = live.attempt_lives || live.spec.kind == Kind::Batch;
        answers.push((*run, if begun { StopAnswer::Stopping } else { StopAnswer::Cancelled }));
    }
    Decision { events, reply: Reply::Stopping(answers) }
}

/// The stop of one run, with its own signal and grace time.
pub(super) fn stop_event(
    state: &State,
    run: &Run,
    reason: StopReason,
    grace_ms: Option<u64>,
    asker: Option<Asker>,
) -> Event {
    let grace_ms = grace_ms.unwrap_or(run.spec.grace_ms);
    let standing = state.services.standing(run);
    let has_command = standing
        .is_some_and(|standing| standing.spec.supervision.hooks.contains_key(&HookMoment::Stop));
    // The command does what a signal would; this one changes nothing.
    let signal = if has_command { Signal::CONT } else { run.spec.stop_signal };
    Event::StopRequested { run: run.id, reason, signal, grace_ms, asker }
}

fn signal_runs(state: &State, runs: &[RunId], signal: Signal, asker: Option<&Asker>) -> Decision {
    let mut events = Vec::new();
    let mut answers = Vec::new();
    for run in runs {
        match state.runs.get(run) {
            Some(live) if live.process.is_some() && live.attempt_lives => {
                let (attempt, asker) = (live.attempt, asker.cloned());
                events.push(Event::SignalRequested { run: *run, attempt, signal, asker });
                answers.push((*run, SignalAnswer::Sending));
            }
            _ => answers.push((*run, SignalAnswer::NotRunning)),
        }
    }
    Decision { events, reply: Reply::Signalling(answers) }
}

/// Decides an observation. What is late, repeated or about nothing we know changes nothing.
pub fn observation(state: &State, seen: &Observation, now: Now) -> Vec<Event> {
    match seen {
        Observation::EnvironmentMade { id } => {
            if state.environment.is_some() {
                return Vec::new();
            }
            vec![Event::EnvironmentCreated { id: id.clone() }]
        }
        Observation::DaemonBegan { pid, version, boot, cores } => vec![Event::DaemonStarted {
            pid: *pid,
            version: version.clone(),
            boot: *boot,
            cores: *cores,
        }],
        Observation::DaemonEnds { reason } => vec![Event::DaemonStopped { reason: *reason }],
        Observation::Pruned { request, pruned } => prune::done(state, *request, pruned),
        Observation::ConfigChanged { resolution } => config::configure(state, resolution).events,
        Observation::ConfigRefused { source, reason } => config::reject(state, source, reason),
        Observation::ClockJumped { by_ms } => vec![Event::ClockJumped { by_ms: *by_ms }],
        Observation::ProcessStarted { run, attempt, process } => {
            let (run, attempt, process) = (*run, *attempt, process.clone());
            let live = live_attempt(state, run, attempt);
            let fits = live.is_some_and(|live| live.process.is_none());
            fits.then_some(Event::AttemptStarted { run, attempt, process }).into_iter().collect()
        }
        Observation::ProcessEnded { run, attempt, end } => {
            attempt_ended(state, *run, *attempt, end.clone())
        }
        Observation::StartWithdrawn { run, attempt } => {
            let never =
                live_attempt(state, *run, *attempt).is_some_and(|run| run.process.is_none());
            let end = AttemptEnd::unmeasured(ExitStatus::NeverStarted, now.wall);
            if never { attempt_ended(state, *run, *attempt, end) } else { Vec::new() }
        }
        Observation::ShimLost { run, attempt, reason } => {
            let end = AttemptEnd::unmeasured(ExitStatus::Lost(*reason), now.wall);
            attempt_ended(state, *run, *attempt, end)
        }
        Observation::SignalDelivered { run, attempt, signal, errno } => {
            let (run, attempt, signal, errno) = (*run, *attempt, *signal, *errno);
            let fits = live_attempt(state, run, attempt).is_some_and(|run| {
                matches!(run.phase, Phase::Running | Phase::Paused | Phase::Stopping)
            });
            let event = Event::SignalSent { run, attempt, signal, errno };
            fits.then_some(event).into_iter().collect()
        }
        Observation::TreePaused { run, attempt, by } => {
            let (run, attempt, by) = (*run, *attempt, *by);
            let fits = live_attempt(state, run, attempt).is_some_and(|live| {
                live.paused_by.is_none() && matches!(live.phase, Phase::Running | Phase::Stopping)
            });
            fits.then_some(Event::RunPaused { run, attempt, by }).into_iter().collect()
        }
        Observation::TreeResumed { run, attempt } => {
            let (run, attempt) = (*run, *attempt);
            let fits =
                live_attempt(state, run, attempt).is_some_and(|live| live.paused_by.is_some());
            fits.then_some(Event::RunUnpaused { run, attempt }).into_iter().collect()
        }
        Observation::PortsFound { .. }
        | Observation::FilesChanged { .. }
        | Observation::PortHeld { .. }
        | Observation::HealthSeen { .. }
        | Observation::StartupOverdue { .. } => observe::observed(state, seen),
        Observation::OutputMissing { run, attempt, bytes, reason } => {
            let (run, attempt, bytes, reason) = (*run, *attempt, *bytes, *reason);
            let fits = live_attempt(state, run, attempt).is_some();
            let event = Event::OutputLost { run, attempt, bytes, reason };
            fits.then_some(event).into_iter().collect()
        }
    }
}

/// Delayed runs whose time has come.
pub fn due(state: &State, now: Now) -> Vec<Event> {
    let due = state.waits.due(now).into_iter();
    due.map(|run| Event::RunQueued { run, reason: QueuedReason::Due, asker: None }).collect()
}

fn attempt_ended(state: &State, run: RunId, attempt: u32, end: AttemptEnd) -> Vec<Event> {
    match live_attempt(state, run, attempt) {
        Some(_) => vec![Event::AttemptEnded { run, attempt, end }],
        None => Vec::new(),
    }
}

/// The run, if this attempt of it is the one that lives.
fn live_attempt(state: &State, run: RunId, attempt: u32) -> Option<&Run> {
    state.runs.get(&run).filter(|live| live.attempt_lives && live.attempt == attempt)
}
