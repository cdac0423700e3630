//! What follows from an event that was just applied: further events of the same commit, and
//! effects that wait until it is durable. Pure.

use std::sync::Arc;

use super::action::Action;
use super::decide::stop_event;
use super::event::{
    AttemptEnd, Due, Event, ExitStatus, Outcome, QueuedReason, RunReason, StopReason,
};
use super::id::RunId;
use super::observation::Pruned;
use super::phase::Phase;
use super::run::Run;
use super::spec::{Kind, OnInterrupt};
use super::state::{Batch, State};
use super::time::{Now, UnixMillis};
use crate::limits;

/// Events that `event` brings with it. `state` has it already.
pub fn consequences(state: &State, event: &Event, now: Now) -> Vec<Event> {
    match event {
        Event::AttemptEnded { run, end, .. } => after_attempt(state, *run, end, now),
        Event::StopRequested { run, reason, grace_ms, .. } => {
            after_stop(state, *run, *reason, *grace_ms)
        }
        Event::RunEnded { .. }
        | Event::RunAdmitted { .. }
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
    open.map(|line| stop_event(line, StopReason::FailFast, None, None)).collect()
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
    match end.status {
        ExitStatus::Lost(_) => match live.spec.on_interrupt {
            OnInterrupt::Ask => Vec::new(),
            OnInterrupt::Requeue if live.interruptions <= limits::REQUEUES => {
                vec![Event::RunQueued { run, reason: QueuedReason::Interrupted }]
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
    let scheduled = Event::RestartScheduled { run: run.id, attempt: run.attempt, due };
    let at_once =
        (wait_ms == 0).then_some(Event::RunQueued { run: run.id, reason: QueuedReason::Due });
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
            let stop = |line| stop_event(line, StopReason::ParentStopped, Some(grace_ms), None);
            lines.map(stop).collect()
        }
        Kind::Job if live.attempt_lives => Vec::new(),
        Kind::Job => vec![Event::RunEnded { run, outcome: never_again(live, reason) }],
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
        | Event::ConfigResolved { .. }
        | Event::ConfigRejected { .. }
        | Event::RunPinned { .. }
        | Event::QueueSet { .. }
        | Event::QueuePaused { .. }
        | Event::QueueUnpaused { .. }
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
