//! What follows from an event that was just applied: further events of the same commit, and
//! effects that wait until it is durable. Pure.

use std::sync::Arc;

use super::action::{Action, Watch};
use super::decide::stop_event;
use super::event::{
    AttemptEnd, Due, Event, ExitStatus, Outcome, QueuedReason, RunReason, StopReason,
};
use super::id::RunId;
use super::observation::Pruned;
use super::phase::Phase;
use super::run::Run;
use super::service::spec::{Health, HookMoment, RestartPolicy, RestartReason, UnwantedReason};
use super::service::{hook, restart};
use super::slots::Slot;
use super::spec::{Kind, OnInterrupt};
use super::state::{Batch, State};
use super::time::{Now, UnixMillis};
use crate::limits;

/// Events that `event` brings with it. `state` has it already.
pub fn consequences(state: &State, event: &Event, now: Now) -> Vec<Event> {
    match event {
        Event::AttemptEnded { run, end, .. } => {
            let mut events = after_attempt(state, *run, end, now);
            events.extend(after_stop_hook(state, *run, end));
            events
        }
        Event::AttemptStarted { run, .. } => {
            let live = state.runs.get(run);
            let ready = live.filter(|run| !is_asked(state, run));
            ready
                .and_then(|run| hook::admission(state, run, HookMoment::AfterReady))
                .into_iter()
                .collect()
        }
        Event::HealthChanged { run, attempt, health, detail } => {
            after_health(state, *run, *attempt, *health, detail.as_ref())
        }
        Event::StopRequested { run, reason, grace_ms, .. } => {
            after_stop(state, *run, *reason, *grace_ms)
        }
        Event::RunEnded { .. }
        | Event::RunAdmitted { .. }
        | Event::AttemptIntended { .. }
        | Event::PortConflict { .. }
        | Event::RestartRequested { .. }
        | Event::ServiceDeclared { .. }
        | Event::ServiceForgotten { .. }
        | Event::ServiceWanted { .. }
        | Event::ServiceUnwanted { .. }
        | Event::PortAssigned { .. }
        | Event::PortReleased { .. }
        | Event::SignalRequested { .. }
        | Event::SignalSent { .. }
        | Event::OutputLost { .. }
        | Event::EnvironmentCreated { .. }
        | Event::DaemonStarted { .. }
        | Event::DaemonStopped { .. }
        | Event::RecoveryFinished { .. }
        | Event::ClockJumped { .. }
        | Event::ConfigResolved { .. }
        | Event::ConfigRejected { .. }
        | Event::PruneRequested { .. }
        | Event::RunsPruned { .. }
        | Event::RunPinned { .. }
        | Event::QueueSet { .. }
        | Event::QueuePaused { .. }
        | Event::QueueUnpaused { .. }
        | Event::RestartScheduled { .. }
        | Event::RunQueued { .. }
        | Event::PauseRequested { .. }
        | Event::RunPaused { .. }
        | Event::UnpauseRequested { .. }
        | Event::RunUnpaused { .. } => Vec::new(),
    }
}

/// What the end of a line brings for its batch. `state` has the end already.
pub fn batch_consequences(state: &State, parent: RunId, outcome: Outcome) -> Vec<Event> {
    let (Some(batch), Some(run)) = (state.batches.get(&parent), state.runs.get(&parent)) else {
        return Vec::new();
    };
    if batch.open.is_empty() {
        return vec![Event::RunEnded { run: parent, outcome: batch_outcome(run, batch) }];
    }
    if !(outcome.is_own_failure() && run.spec.fail_fast) {
        return Vec::new();
    }
    let lines = batch.open.values().filter_map(|line| state.runs.get(line));
    let open = lines.filter(|line| line.phase != Phase::Stopping);
    open.map(|line| stop_event(state, line, StopReason::FailFast, None, None)).collect()
}

fn batch_outcome(run: &Run, batch: &Batch) -> Outcome {
    match run.stop {
        Some(reason) => Outcome::Cancelled(reason),
        None if batch.failed > 0 => Outcome::Failed(RunReason::Lines(batch.failed)),
        None if batch.cancelled > 0 => Outcome::Cancelled(StopReason::Asked),
        None => Outcome::Succeeded,
    }
}

fn after_attempt(state: &State, run: RunId, end: &AttemptEnd, now: Now) -> Vec<Event> {
    let Some(live) = state.runs.get(&run) else { return Vec::new() };
    if live.phase != Phase::Delayed {
        // It never started: its old place in the queue is found by its admission, and no retry is
        // spent. What is being stopped ends.
        let over = live.phase == Phase::Stopping;
        let outcome = outcome(live, end.status);
        return over.then_some(Event::RunEnded { run, outcome }).into_iter().collect();
    }
    let outcome = outcome(live, end.status);
    if live.spec.role.is_some() {
        return restart::after_attempt(state, live, end, outcome, now);
    }
    match end.status {
        ExitStatus::Lost(_) => match live.spec.on_interrupt {
            OnInterrupt::Ask => Vec::new(),
            OnInterrupt::Requeue if live.interruptions <= limits::REQUEUES => {
                vec![Event::RunQueued { run, reason: QueuedReason::Interrupted, asker: None }]
            }
            OnInterrupt::Fail | OnInterrupt::Requeue => vec![Event::RunEnded { run, outcome }],
        },
        ExitStatus::Exited(_)
        | ExitStatus::Signalled(_)
        | ExitStatus::TimedOut(_)
        | ExitStatus::NotStarted(_)
        | ExitStatus::NeverStarted => {
            retry(live, outcome, now).unwrap_or_else(|| vec![Event::RunEnded { run, outcome }])
        }
    }
}

/// Another attempt, if the run has one left and needs it.
fn retry(run: &Run, outcome: Outcome, now: Now) -> Option<Vec<Event>> {
    let retry = run.spec.retry.filter(|retry| run.retries < retry.times)?;
    if outcome.is_success() {
        return None;
    }
    let wait_ms = retry.backoff.delay_ms(run.id, run.retries + 1);
    let at = UnixMillis(now.wall.0.saturating_add(i64::try_from(wait_ms).unwrap_or(i64::MAX)));
    let due = Due { at, boottime_ms: now.boottime_ms.saturating_add(wait_ms) };
    let streak = run.retries + 1;
    let scheduled = Event::RestartScheduled { run: run.id, attempt: run.attempt, due, streak };
    let at_once = (wait_ms == 0).then_some(Event::RunQueued {
        run: run.id,
        reason: QueuedReason::Due,
        asker: None,
    });
    Some(std::iter::once(scheduled).chain(at_once).collect())
}

/// How a run ends whose last attempt ended so.
fn outcome(run: &Run, status: ExitStatus) -> Outcome {
    match (status, run.stop) {
        (ExitStatus::Lost(reason), _) => Outcome::Lost(reason),
        (ExitStatus::NeverStarted, reason) => never_again(run, reason.unwrap_or(StopReason::Asked)),
        (ExitStatus::NotStarted(error), _) => Outcome::Failed(RunReason::NotStarted(error)),
        (ExitStatus::TimedOut(_), _) => Outcome::TimedOut,
        (ExitStatus::Exited(_) | ExitStatus::Signalled(_), Some(reason)) => {
            Outcome::Stopped(reason)
        }
        (ExitStatus::Exited(_) | ExitStatus::Signalled(_), None) if run.restart.is_some() => {
            Outcome::Failed(run.restart.map_or(RunReason::Lines(0), RunReason::Unwell))
        }
        (ExitStatus::Exited(code), None) if run.spec.is_ok(code) => Outcome::Succeeded,
        (ExitStatus::Exited(code), None) => Outcome::Failed(RunReason::Code(code)),
        (ExitStatus::Signalled(signal), None) => Outcome::Signalled(signal),
    }
}

/// How a run ends that is stopped between two attempts, or before the first.
fn never_again(run: &Run, reason: StopReason) -> Outcome {
    if run.started_at.is_some() { Outcome::Stopped(reason) } else { Outcome::Cancelled(reason) }
}

fn after_stop(state: &State, run: RunId, reason: StopReason, grace_ms: u64) -> Vec<Event> {
    let Some(live) = state.runs.get(&run) else { return Vec::new() };
    match live.spec.kind {
        Kind::Batch => {
            let Some(batch) = state.batches.get(&run) else { return Vec::new() };
            let lines = batch.open.values().filter_map(|line| state.runs.get(line));
            let stop =
                |line| stop_event(state, line, StopReason::ParentStopped, Some(grace_ms), None);
            lines.map(stop).collect()
        }
        Kind::Job | Kind::Service if live.attempt_lives => {
            let hook = hook::admission(state, live, HookMoment::Stop);
            hook.filter(|_| live.process.is_some()).into_iter().collect()
        }
        Kind::Job | Kind::Service => {
            vec![Event::RunEnded { run, outcome: never_again(live, reason) }]
        }
    }
}

/// Effects that `event` asks for, to be done once it is durable. Starts come from
/// [`super::schedule`]: they wait for a slot as well.
pub fn actions(state: &State, event: &Event) -> Vec<Action> {
    match event {
        Event::StopRequested { run, signal, grace_ms, .. } => match state.runs.get(run) {
            Some(live) if live.attempt_lives => {
                let (signal, grace_ms) = (*signal, *grace_ms);
                vec![Action::Stop { run: *run, attempt: live.attempt, signal, grace_ms }]
            }
            _ => Vec::new(),
        },
        Event::PauseRequested { run, .. } => {
            with_attempt(state, *run, |run, attempt| Action::Pause { run, attempt })
        }
        Event::UnpauseRequested { run, .. } => {
            with_attempt(state, *run, |run, attempt| Action::Unpause { run, attempt })
        }
        Event::SignalRequested { run, attempt, signal, .. } => {
            vec![Action::Signal { run: *run, attempt: *attempt, signal: *signal }]
        }
        Event::PruneRequested { .. } => state.pruning.iter().cloned().map(Action::Prune).collect(),
        Event::RunsPruned { before, runs, events, bytes, error } => {
            let (before, runs, events, bytes) = (*before, *runs, *events, *bytes);
            let error = error.clone();
            vec![Action::TellPruned(Pruned { before, runs, events, bytes, error })]
        }
        // The engine holds it back where the next attempt takes over sockets.
        Event::AttemptEnded { run, attempt, .. } => {
            vec![Action::Forget { run: *run, attempt: *attempt }]
        }
        Event::AttemptStarted { run, .. } => {
            let live = state.runs.get(run);
            live.and_then(|run| watch(state, run)).into_iter().collect()
        }
        Event::RestartRequested { run, .. } => with_attempt_of(state, *run, again),
        Event::QueueSet { queue, .. }
        | Event::QueuePaused { queue, .. }
        | Event::QueueUnpaused { queue, .. } => {
            let is_paused =
                state.waits.queues.get(queue).is_some_and(|queue| queue.paused.is_some());
            let limit = if is_paused { 0 } else { state.limit(queue) };
            vec![Action::Resize { queue: queue.clone(), limit }]
        }
        Event::RunEnded { .. }
        | Event::RunAdmitted { .. }
        | Event::AttemptIntended { .. }
        | Event::PortConflict { .. }
        | Event::HealthChanged { .. }
        | Event::ServiceDeclared { .. }
        | Event::ServiceForgotten { .. }
        | Event::ServiceWanted { .. }
        | Event::ServiceUnwanted { .. }
        | Event::PortAssigned { .. }
        | Event::PortReleased { .. }
        | Event::SignalSent { .. }
        | Event::OutputLost { .. }
        | Event::EnvironmentCreated { .. }
        | Event::DaemonStarted { .. }
        | Event::DaemonStopped { .. }
        | Event::RecoveryFinished { .. }
        | Event::ClockJumped { .. }
        | Event::ConfigResolved { .. }
        | Event::ConfigRejected { .. }
        | Event::RunPinned { .. }
        | Event::RestartScheduled { .. }
        | Event::RunQueued { .. }
        | Event::RunPaused { .. }
        | Event::RunUnpaused { .. } => Vec::new(),
    }
}

fn with_attempt(state: &State, run: RunId, action: impl Fn(RunId, u32) -> Action) -> Vec<Action> {
    let live = state.runs.get(&run).filter(|live| live.attempt_lives);
    live.map(|live| action(run, live.attempt)).into_iter().collect()
}

fn with_attempt_of(state: &State, run: RunId, action: impl Fn(&Run) -> Action) -> Vec<Action> {
    let live = state.runs.get(&run).filter(|live| live.attempt_lives);
    live.map(action).into_iter().collect()
}

/// The end of an attempt of a service after which another follows.
pub(super) fn again(run: &Run) -> Action {
    let (signal, grace_ms) = (run.spec.stop_signal, run.spec.grace_ms);
    Action::Stop { run: run.id, attempt: run.attempt, signal, grace_ms }
}

/// The questions to a live attempt of a service, and the files that it watches.
pub(super) fn watch(state: &State, run: &Run) -> Option<Action> {
    let standing = state.services.standing(run)?;
    let process = run.process.clone().filter(|_| run.attempt_lives)?;
    let watch = Watch {
        run: run.id,
        attempt: run.attempt,
        spec: Arc::clone(&run.spec),
        supervision: Arc::clone(&standing.spec.supervision),
        ports: run.ports.clone(),
        process,
        health: run.health,
    };
    standing.spec.supervision.is_watched().then(|| Action::Watch(Box::new(watch)))
}

/// Whether it is asked before it counts as ready; what is no service is never ready.
fn is_asked(state: &State, run: &Run) -> bool {
    let standing = state.services.standing(run);
    standing.is_none_or(|standing| standing.spec.supervision.is_asked())
}

/// It is ready for the first time, or it is to be ended because it is not well.
fn after_health(
    state: &State,
    run: RunId,
    attempt: u32,
    health: Health,
    detail: Option<&String>,
) -> Vec<Event> {
    let Some(live) = state.runs.get(&run) else { return Vec::new() };
    let Some(standing) = state.services.standing(live) else { return Vec::new() };
    let first = health.is_ready() && live.ready_seq == Some(state.seq);
    let policy = standing.spec.supervision.restart;
    match health {
        Health::Ready | Health::Healthy if first => {
            hook::admission(state, live, HookMoment::AfterReady).into_iter().collect()
        }
        Health::Unhealthy if policy != RestartPolicy::Never => {
            let (reason, detail) = (RestartReason::Unhealthy, detail.cloned());
            vec![Event::RestartRequested { run, attempt, reason, detail }]
        }
        Health::Ready | Health::Healthy | Health::Unhealthy => Vec::new(),
    }
}

/// The command after an attempt that had a process.
fn after_stop_hook(state: &State, run: RunId, end: &AttemptEnd) -> Option<Event> {
    let live = state.runs.get(&run)?;
    let had_process = live.process.is_some() || end.duration_ms.is_some();
    hook::admission(state, live, HookMoment::AfterStop).filter(|_| had_process)
}

/// What the end of a command beside a service's run brings for that run. `state` has the end.
pub fn hook_consequences(state: &State, hook: &Run, outcome: Outcome, now: Now) -> Vec<Event> {
    match hook::parent(state, hook) {
        Some((HookMoment::BeforeStart, run))
            if run.phase == Phase::Queued && !outcome.is_success() =>
        {
            restart::not_prepared(state, run, Outcome::Failed(RunReason::Hook(hook.id)), now)
        }
        Some(_) | None => Vec::new(),
    }
}

/// What the end of a service's run brings: commands beside it that nobody needs are stopped, and
/// who stopped it by name does not want it. `hooks` are those that lived.
pub fn service_consequences(
    state: &State,
    run: &Run,
    outcome: Outcome,
    hooks: &[(RunId, HookMoment)],
) -> Vec<Event> {
    let needless = hooks.iter().filter(|(_, moment)| match moment {
        HookMoment::BeforeStart | HookMoment::AfterReady => true,
        HookMoment::BeforeStop | HookMoment::Stop | HookMoment::AfterStop => false,
    });
    let live = needless.filter_map(|(hook, _)| state.runs.get(hook));
    let live = live.filter(|hook| hook.phase != Phase::Stopping);
    let mut events: Vec<Event> =
        live.map(|hook| stop_event(state, hook, StopReason::ParentStopped, None, None)).collect();
    let by_name = matches!(
        outcome,
        Outcome::Stopped(StopReason::Asked | StopReason::Interrupted)
            | Outcome::Cancelled(StopReason::Asked | StopReason::Interrupted)
    );
    if let Some(role) = run.spec.role.as_ref().filter(|_| by_name)
        && state
            .services
            .known
            .get(&role.service)
            .is_some_and(|known| known.wanted && !known.lives())
    {
        let (service, reason) = (role.service.clone(), UnwantedReason::Stopped);
        events.push(Event::ServiceUnwanted { service, reason, asker: None });
    }
    events
}

/// The secrets that nothing can need any more once `run` has ended: its own, or its whole batch's.
pub fn secrets_to_drop(state: &State, run: &Run) -> Option<Action> {
    let owner = run.spec.secrets?;
    let batch_lives = owner != run.id && state.runs.contains_key(&owner);
    let is_declared = state.services.uses(owner);
    (!batch_lives && !is_declared).then_some(Action::DropSecrets { owner })
}

/// The start of an attempt.
pub fn start(state: &State, run: &Run) -> Action {
    let (spec, ports) = (Arc::clone(&run.spec), run.ports.clone());
    let standing = state.services.standing(run);
    let wishes = standing.map(|standing| standing.spec.supervision.ports.as_slice());
    let passed = wishes.into_iter().flatten().filter(|wish| wish.pass_socket);
    let passed = passed.map(|wish| (wish.name.clone(), wish.host.clone())).collect();
    let notifies = standing.is_some_and(|standing| standing.spec.supervision.says_itself());
    let of = run.spec.hook.and(run.spec.parent).and_then(|parent| state.runs.get(&parent));
    let process = of.filter(|of| of.attempt_lives).and_then(|of| of.process.as_ref());
    let main_pid = process.map(|process| process.pid);
    let place = run.first_seq;
    let slot = run.spec.queue.clone();
    let slot = slot.map(|queue| Slot { limit: state.limit(&queue), queue, place });
    let (run, attempt) = (run.id, run.attempt);
    Action::Start { run, attempt, spec, ports, passed, notifies, main_pid, slot }
}
