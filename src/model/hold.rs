//! What follows from a wish to hold runs or queues, or to let them go on. Pure.

use std::collections::BTreeSet;

use super::action::{PauseAnswer, Reply, ResumeAnswer};
use super::command::Rejection;
use super::decide::Decision;
use super::event::{Asker, Event, QueuedReason};
use super::id::{QueueName, RunId};
use super::phase::Phase;
use super::run::Run;
use super::spec::Kind;
use super::state::State;

impl State {
    /// The word that people see of a run that lives: of a batch also whether it is paused, which
    /// none of its own records says.
    pub fn shown_state(&self, run: &Run) -> &'static str {
        if self.holds_batch(run) { Phase::Paused.word() } else { run.shown_state() }
    }

    /// Whether a batch is paused: nothing of it runs, and each line that has not ended is held, by
    /// itself or, where it has not begun, by the paused queue of the batch.
    pub fn holds_batch(&self, batch: &Run) -> bool {
        let has_open = self.batches.get(&batch.id).is_some_and(|lines| !lines.open.is_empty());
        if !has_open || batch.phase != Phase::Running {
            return false;
        }
        let queue = self.waits.queues.get(&QueueName::of_batch(batch.id));
        let gives_no_start = queue.is_some_and(|queue| queue.paused.is_some());
        lines(self, batch.id).all(|line| match line.phase {
            Phase::Paused => true,
            Phase::Queued | Phase::Delayed => gives_no_start,
            Phase::Starting | Phase::Running | Phase::Stopping | Phase::Ended => false,
        })
    }
}

/// Holds runs: those with processes still, the others in their places. Of a batch, its queue and
/// the lines that have begun.
pub(super) fn pause(state: &State, runs: &[RunId], asker: Option<&Asker>) -> Decision {
    let mut events = Vec::new();
    let mut answers = Vec::new();
    for run in once_each(runs) {
        let Some(live) = state.runs.get(&run) else {
            answers.push((run, PauseAnswer::AlreadyEnded));
            continue;
        };
        let answer = match live.spec.kind {
            Kind::Job | Kind::Service => pause_job(live, asker, &mut events),
            Kind::Batch => pause_batch(state, live, asker, &mut events),
        };
        answers.push((run, answer));
    }
    // A line may be named beside its batch.
    let mut held = BTreeSet::new();
    events.retain(|event| match event {
        Event::PauseRequested { run, .. } => held.insert(*run),
        _ => true,
    });
    Decision { events, reply: Reply::Pausing(answers) }
}

fn pause_job(run: &Run, asker: Option<&Asker>, events: &mut Vec<Event>) -> PauseAnswer {
    let answer = match run.phase {
        _ if run.pause_wanted => return PauseAnswer::AlreadyPaused,
        Phase::Queued | Phase::Delayed => PauseAnswer::Held,
        Phase::Starting | Phase::Running | Phase::Paused => PauseAnswer::Pausing,
        Phase::Stopping => return PauseAnswer::Stopping,
        Phase::Ended => return PauseAnswer::AlreadyEnded,
    };
    events.push(Event::PauseRequested { run: run.id, asker: asker.cloned() });
    answer
}

fn pause_batch(
    state: &State,
    batch: &Run,
    asker: Option<&Asker>,
    events: &mut Vec<Event>,
) -> PauseAnswer {
    let queue = QueueName::of_batch(batch.id);
    let own = state.waits.queues.get(&queue);
    let was_paused = own.is_some_and(|queue| queue.paused.is_some());
    if own.is_some() && !was_paused {
        events.push(Event::QueuePaused { queue, asker: asker.cloned() });
    }
    let before = events.len();
    for line in lines(state, batch.id) {
        // With a queue of its own, what has not begun is held by the queue.
        if line.attempt_lives || own.is_none() {
            pause_job(line, asker, events);
        }
    }
    if batch.phase == Phase::Stopping {
        return PauseAnswer::Stopping;
    }
    let is_new = events.len() > before || (own.is_some() && !was_paused);
    if is_new { PauseAnswer::Pausing } else { PauseAnswer::AlreadyPaused }
}

/// Lets runs go on.
pub(super) fn resume(state: &State, runs: &[RunId], asker: Option<&Asker>) -> Decision {
    let mut events = Vec::new();
    let mut answers = Vec::new();
    for run in once_each(runs) {
        let Some(live) = state.runs.get(&run) else {
            answers.push((run, ResumeAnswer::AlreadyEnded));
            continue;
        };
        let before = events.len();
        match live.spec.kind {
            Kind::Job | Kind::Service => events.extend(resume_event(live, asker)),
            Kind::Batch => {
                let queue = QueueName::of_batch(run);
                if state.waits.queues.get(&queue).is_some_and(|queue| queue.paused.is_some()) {
                    events.push(Event::QueueUnpaused { queue, asker: asker.cloned() });
                }
                events.extend(lines(state, run).filter_map(|line| resume_event(line, asker)));
            }
        }
        let is_new = events.len() > before;
        answers.push((run, if is_new { ResumeAnswer::Resumed } else { ResumeAnswer::NotPaused }));
    }
    // A line may be named beside its batch.
    let mut going = BTreeSet::new();
    events.retain(|event| event.run().is_none_or(|run| going.insert(run)));
    Decision { events, reply: Reply::Resuming(answers) }
}

/// What waits to be asked for, in the order of admission.
pub(super) fn interrupted(state: &State) -> Vec<RunId> {
    let mut runs: Vec<&Run> = state.runs.values().filter(|run| run.awaits_answer()).collect();
    runs.sort_unstable_by_key(|run| run.first_seq);
    runs.into_iter().map(|run| run.id).collect()
}

fn resume_event(run: &Run, asker: Option<&Asker>) -> Option<Event> {
    if run.pause_wanted && run.phase != Phase::Stopping {
        return Some(Event::UnpauseRequested { run: run.id, asker: asker.cloned() });
    }
    let (run, reason, delayed) = (run.id, QueuedReason::Resumed, run.phase == Phase::Delayed);
    delayed.then(|| Event::RunQueued { run, reason, asker: asker.cloned() })
}

/// A queue gives no more starts, or gives them again.
pub(super) fn pause_queue(
    state: &State,
    queue: &QueueName,
    paused: bool,
    asker: Option<&Asker>,
) -> Result<Decision, Rejection> {
    let known = state.waits.queues.get(queue);
    if known.is_none() && *queue != QueueName::default_queue() {
        return Err(Rejection::NoSuchQueue(queue.clone()));
    }
    let changes = known.is_some_and(|queue| queue.paused.is_some()) != paused;
    let (queue, asker) = (queue.clone(), asker.cloned());
    let event = if paused {
        Event::QueuePaused { queue, asker }
    } else {
        Event::QueueUnpaused { queue, asker }
    };
    let events = changes.then_some(event).into_iter().collect();
    Ok(Decision { events, reply: Reply::Done })
}

fn lines(state: &State, batch: RunId) -> impl Iterator<Item = &Run> {
    let open = state.batches.get(&batch).into_iter().flat_map(|batch| batch.open.values());
    open.filter_map(|line| state.runs.get(line))
}

fn once_each(runs: &[RunId]) -> impl Iterator<Item = RunId> {
    let mut named = BTreeSet::new();
    runs.iter().copied().filter(move |run| named.insert(*run))
}
