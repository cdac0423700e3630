//! What follows from an event that was just applied: further events of the same commit, and
//! effects that wait until it is durable. Pure.

use std::sync::Arc;

use super::action::Action;
use super::decide::stop_event;
use super::event::{AttemptEnd, Event, ExitStatus, Outcome, RunReason, StopReason};
use super::id::RunId;
use super::phase::Phase;
use super::run::Run;
use super::spec::Kind;
use super::state::{Batch, State};

/// Events that `event` brings with it. `state` has it already.
pub fn consequences(state: &State, event: &Event) -> Vec<Event> {
    match event {
        Event::RunAdmitted { run, .. } => begin_unqueued(state, *run),
        Event::AttemptEnded { run, end, .. } => after_attempt(state, *run, end),
        Event::StopRequested { run, reason, grace_ms, .. } => {
            after_stop(state, *run, *reason, *grace_ms)
        }
        Event::RunEnded { .. }
        | Event::AttemptIntended { .. }
        | Event::AttemptStarted { .. }
        | Event::SignalRequested { .. }
        | Event::SignalSent { .. }
        | Event::OutputLost { .. }
        | Event::EnvironmentCreated { .. }
        | Event::DaemonStarted { .. }
        | Event::DaemonStopped { .. }
        | Event::RecoveryFinished { .. }
        | Event::ClockJumped { .. }
        | Event::QueueSet { .. } => Vec::new(),
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
    let failed = !outcome.is_success() && !matches!(outcome, Outcome::Cancelled(_));
    if !(failed && run.spec.fail_fast) {
        return Vec::new();
    }
    let lines = batch.open.values().filter_map(|line| state.runs.get(line));
    let open = lines.filter(|line| line.phase != Phase::Stopping);
    open.map(|line| stop_event(line, StopReason::FailFast, None)).collect()
}

fn batch_outcome(run: &Run, batch: &Batch) -> Outcome {
    match run.stop {
        Some(reason) => Outcome::Cancelled(reason),
        None if batch.failed > 0 => Outcome::Failed(RunReason::Lines(batch.failed)),
        None if batch.cancelled > 0 => Outcome::Cancelled(StopReason::Asked),
        None => Outcome::Succeeded,
    }
}

/// A run that waits in no queue is to be started at once.
fn begin_unqueued(state: &State, run: RunId) -> Vec<Event> {
    match state.runs.get(&run) {
        Some(live) if live.phase == Phase::Queued && live.spec.queue.is_none() => {
            vec![Event::AttemptIntended { run, attempt: live.attempt + 1 }]
        }
        _ => Vec::new(),
    }
}

fn after_attempt(state: &State, run: RunId, end: &AttemptEnd) -> Vec<Event> {
    let Some(live) = state.runs.get(&run) else { return Vec::new() };
    if end.status == ExitStatus::NeverStarted && live.phase == Phase::Queued {
        // Its old place in the queue is found by its admission; no retry is spent.
        return begin_unqueued(state, run);
    }
    vec![Event::RunEnded { run, outcome: outcome(live, end.status) }]
}

/// How a run ends whose only attempt ended so.
fn outcome(run: &Run, status: ExitStatus) -> Outcome {
    match (status, run.stop) {
        (ExitStatus::Lost(reason), _) => Outcome::Lost(reason),
        (ExitStatus::NeverStarted, reason) => {
            Outcome::Cancelled(reason.unwrap_or(StopReason::Asked))
        }
        (ExitStatus::NotStarted(error), _) => Outcome::Failed(RunReason::NotStarted(error)),
        (ExitStatus::TimedOut(_), _) => Outcome::TimedOut,
        (ExitStatus::Exited(_) | ExitStatus::Signalled(_), Some(reason)) => {
            Outcome::Stopped(reason)
        }
        (ExitStatus::Exited(0), None) => Outcome::Succeeded,
        (ExitStatus::Exited(code), None) => Outcome::Failed(RunReason::Code(code)),
        (ExitStatus::Signalled(signal), None) => Outcome::Signalled(signal),
    }
}

fn after_stop(state: &State, run: RunId, reason: StopReason, grace_ms: u64) -> Vec<Event> {
    let Some(live) = state.runs.get(&run) else { return Vec::new() };
    match live.spec.kind {
        Kind::Batch => {
            let Some(batch) = state.batches.get(&run) else { return Vec::new() };
            let lines = batch.open.values().filter_map(|line| state.runs.get(line));
            let stop = |line| stop_event(line, StopReason::ParentStopped, Some(grace_ms));
            lines.map(stop).collect()
        }
        Kind::Job if live.attempt_lives => Vec::new(),
        Kind::Job => vec![Event::RunEnded { run, outcome: Outcome::Cancelled(reason) }],
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
        Event::SignalRequested { run, attempt, signal } => {
            vec![Action::Signal { run: *run, attempt: *attempt, signal: *signal }]
        }
        Event::AttemptEnded { run, attempt, .. } => {
            vec![Action::Forget { run: *run, attempt: *attempt }]
        }
        Event::RunEnded { .. }
        | Event::RunAdmitted { .. }
        | Event::AttemptIntended { .. }
        | Event::AttemptStarted { .. }
        | Event::SignalSent { .. }
        | Event::OutputLost { .. }
        | Event::EnvironmentCreated { .. }
        | Event::DaemonStarted { .. }
        | Event::DaemonStopped { .. }
        | Event::RecoveryFinished { .. }
        | Event::ClockJumped { .. }
        | Event::QueueSet { .. } => Vec::new(),
    }
}

/// The secrets that nothing can need any more once `run` has ended: its own, or its whole batch's.
pub fn secrets_to_drop(state: &State, run: &Run) -> Option<Action> {
    let owner = run.spec.secrets?;
    let batch_lives = owner != run.id && state.runs.contains_key(&owner);
    (!batch_lives).then_some(Action::DropSecrets { owner })
}

/// The start of an attempt.
pub fn start(run: &Run) -> Action {
    Action::Start { run: run.id, attempt: run.attempt, spec: Arc::clone(&run.spec) }
}
