//! Reasons of what has not ended: what it waits for, who holds it, why it runs.

use super::evidence::{Evidence, end_words, is_stop, item, name_of, who};
use crate::model::event::ExitStatus;
use crate::model::{
    Condition, Event, OnInterrupt, Phase, QueueName, Run, RunId, State, UnixMillis,
};
use crate::projections::query::QueryError;
use crate::projections::run_view::rfc3339;
use crate::projections::view::WhyItem;

/// Holders of slots, and held lines of a batch, that are named.
const NAMED: usize = 5;
/// Only `--at` a record between two of one decision finds a run so.
pub(super) const NEXT_RECORD: &str = "what follows from it is in the next records";

/// What a queued run waits for: other runs, a lock, its queue, its place.
pub(super) fn waits(evidence: &Evidence<'_>) -> Result<Vec<WhyItem>, QueryError> {
    let (run, state) = (evidence.run, evidence.state()?);
    let dependencies = dependencies(evidence)?;
    if !dependencies.is_empty() {
        return Ok(dependencies);
    }
    let mut items = Vec::new();
    if !run.attempt_lives {
        items.extend(lock(evidence)?);
    }
    let Some(name) = &run.spec.queue else {
        if items.is_empty() {
            items.push(on_its_way(evidence));
        }
        return Ok(items);
    };
    let queue = state.waits.queues.get(name);
    if let Some(seq) = queue.and_then(|queue| queue.paused) {
        let by = evidence.who_paused(seq)?;
        let message = format!("queue {name} is paused{by}; jr queue unpause {name}");
        items.push(item("queue_paused", message, &[seq]));
    }
    if items.is_empty() {
        items.push(place_in_queue(evidence)?);
    }
    Ok(items)
}

fn dependencies(evidence: &Evidence<'_>) -> Result<Vec<WhyItem>, QueryError> {
    let (run, state) = (evidence.run, evidence.state()?);
    let Some(open) = state.waits.dependencies.get(&run.id) else { return Ok(Vec::new()) };
    let of = |other: &RunId| {
        let other = state.runs.get(other)?;
        let wish = run.spec.after.iter().find(|after| after.run == other.id)?;
        let end = match wish.condition {
            Condition::Ok => "succeed",
            Condition::Any => "end",
        };
        let word = state.shown_state(other);
        let message = format!("it waits for {} to {end}, which is {word}", name_of(other));
        Some(item("dependency", message, &[evidence.admission(), other.first_seq, other.last_seq]))
    };
    Ok(open.iter().filter_map(of).collect())
}

fn lock(evidence: &Evidence<'_>) -> Result<Option<WhyItem>, QueryError> {
    let (run, state) = (evidence.run, evidence.state()?);
    let Some(wish) = &run.spec.lock else { return Ok(None) };
    let holder = state.waits.locks.get(&wish.name).and_then(|lock| lock.holder);
    let holder = holder.filter(|holder| *holder != run.id);
    let Some(holder) = holder.and_then(|holder| state.runs.get(&holder)) else { return Ok(None) };
    let message = format!(
        "it waits for lock {}, which {} holds, which is {}",
        wish.name,
        name_of(holder),
        holder.shown_state()
    );
    let mut rests_on = vec![evidence.admission()];
    rests_on.extend(evidence.first_intent(holder)?);
    Ok(Some(item("lock", message, &rests_on)))
}

fn place_in_queue(evidence: &Evidence<'_>) -> Result<WhyItem, QueryError> {
    let (run, state) = (evidence.run, evidence.state()?);
    let Some(name) = &run.spec.queue else { return Ok(on_its_way(evidence)) };
    let (holders, before) = ahead(state, run);
    let limit = state.limit(name) as usize;
    if holders.len() + before < limit {
        return Ok(on_its_way(evidence));
    }
    let place = match before {
        0 => "it is the next".to_owned(),
        1 => "one run is before it".to_owned(),
        before => format!("{before} runs are before it"),
    };
    let message = format!("{}; {place}", slots_words(name.as_str(), limit, &holders));
    let mut rests_on = vec![evidence.admission()];
    rests_on.extend(evidence.last_seq(|event| matches!(event, Event::AttemptIntended { .. })));
    for holder in holders.iter().take(NAMED) {
        rests_on.extend(evidence.first_intent(holder)?);
    }
    Ok(item("queue", message, &rests_on))
}

/// Who has the slots of a queue. Those that nobody has yet go to runs whose start is on the way.
fn slots_words(queue: &str, limit: usize, holders: &[&Run]) -> String {
    let holder = |run: &&Run| match run.phase {
        Phase::Running => name_of(run),
        phase => format!("{} ({})", name_of(run), phase.word()),
    };
    let mut names: Vec<String> = holders.iter().take(NAMED).map(holder).collect();
    if holders.len() > NAMED {
        names.push(format!("{} more", holders.len() - NAMED));
    }
    let names = names.join(", ");
    match (limit, holders.len()) {
        (1, 0) => format!("the slot of queue {queue} goes to a run that is about to start"),
        (limit, 0) => {
            format!("the {limit} slots of queue {queue} go to runs that are about to start")
        }
        (1, 1) => format!("the slot of queue {queue} is taken by {names}"),
        (limit, held) if held == limit => {
            format!("the {limit} slots of queue {queue} are taken by {names}")
        }
        (limit, held) if held > limit => {
            let slots = if limit == 1 { "slot" } else { "slots" };
            format!("queue {queue} has {limit} {slots} now, and {held} runs have one: {names}")
        }
        (limit, held) => {
            let are = if held == 1 { "is" } else { "are" };
            let left = match limit - held {
                1 => "the other one goes to a run that is".to_owned(),
                left => format!("the other {left} go to runs that are"),
            };
            format!(
                "{held} of the {limit} slots of queue {queue} {are} taken by {names}; {left} \
                 about to start"
            )
        }
    }
}

/// Who has a slot of the run's queue, and how many others wait before it.
fn ahead<'a>(state: &'a State, run: &Run) -> (Vec<&'a Run>, usize) {
    let queue = run.spec.queue.as_ref().and_then(|name| state.waits.queues.get(name));
    let Some(queue) = queue else { return (Vec::new(), 0) };
    let attempts = queue.attempts.values().filter_map(|run| state.runs.get(run));
    let (waiting, holders): (Vec<&Run>, Vec<&Run>) =
        attempts.partition(|other| other.shown_state() == Phase::Queued.word());
    let intended = waiting.iter().filter(|other| other.first_seq < run.first_seq).count();
    (holders, intended + queue.waiting.range(..run.first_seq).count())
}

fn on_its_way(evidence: &Evidence<'_>) -> WhyItem {
    let mut rests_on = vec![evidence.admission()];
    rests_on.extend(evidence.last_seq(|event| matches!(event, Event::AttemptIntended { .. })));
    rests_on.dedup();
    item("starting", "its start is on the way; nothing holds it".to_owned(), &rests_on)
}

/// Who asked for it.
pub(super) fn asked(evidence: &Evidence<'_>) -> WhyItem {
    let asked = who(evidence.run.cause, None);
    item("asked", format!("{asked} asked for it"), &[evidence.admission()])
}

/// Why it runs: who asked for it.
pub(super) fn runs(evidence: &Evidence<'_>) -> Vec<WhyItem> {
    let run = evidence.run;
    let mut items = vec![asked(evidence)];
    if let Some(stored) = evidence.last(|event| matches!(event, Event::AttemptStarted { .. })) {
        let attempt = run.attempt;
        let at = run.process.as_ref().map_or(stored.envelope.time, |process| process.at);
        let message = format!("attempt {attempt} runs since {}", rfc3339(at));
        items.push(item("running", message, &[stored.envelope.seq]));
    }
    items
}

/// Who holds it.
pub(super) fn paused(evidence: &Evidence<'_>) -> Vec<WhyItem> {
    let wish = evidence.last(|event| matches!(event, Event::PauseRequested { .. }));
    let Some(wish) = wish else { return Vec::new() };
    let asker = match &wish.envelope.event {
        Event::PauseRequested { asker, .. } => asker.as_ref(),
        _ => None,
    };
    let who = who(wish.envelope.cause, asker);
    let how = match evidence.run.paused_by {
        Some(by) => format!("its processes stand still ({})", by.word()),
        None => "it keeps its place and gets no start".to_owned(),
    };
    let mut rests_on = vec![wish.envelope.seq];
    let held = evidence.last_seq(|event| matches!(event, Event::RunPaused { .. }));
    rests_on.extend(held.into_iter().filter(|seq| *seq > wish.envelope.seq));
    let message = format!("paused by {who}: {how}; jr resume {}", evidence.run.id);
    vec![item("paused", message, &rests_on)]
}

/// What it waits for between attempts.
pub(super) fn delayed(evidence: &Evidence<'_>, now: UnixMillis) -> Vec<WhyItem> {
    let run = evidence.run;
    let mut rests_on = evidence.last_seq(|event| matches!(event, Event::AttemptEnded { .. }));
    let status = run.last_end.as_ref().map(|end| end.status);
    let ended = status.map(end_words).unwrap_or_default();
    if let Some(due) = run.due {
        rests_on.extend(evidence.last_seq(|event| matches!(event, Event::RestartScheduled { .. })));
        let wait_ms = due.at.0.saturating_sub(now.0).max(0);
        let left = run.spec.retry.map_or(0, |retry| retry.times.saturating_sub(run.retries));
        let message = format!(
            "attempt {} {ended}; the next begins at {} (in {}.{} s), \
             after it {left} more may follow",
            run.attempt,
            rfc3339(due.at),
            wait_ms / 1_000,
            wait_ms % 1_000 / 100,
        );
        return vec![item("retry", message, &rests_on)];
    }
    let is_asked = run.spec.on_interrupt == OnInterrupt::Ask;
    if !matches!(status, Some(ExitStatus::Lost(_))) || !is_asked {
        let message = format!("attempt {} {ended}; {NEXT_RECORD}", run.attempt);
        return vec![item("between", message, &rests_on)];
    }
    let message = format!(
        "attempt {} {ended}, and with --on-interrupt ask somebody has to say how to go on: \
         jr resume {}, or jr stop {}",
        run.attempt, run.id, run.id
    );
    vec![item("interrupted", message, &rests_on)]
}

/// Who stops it.
pub(super) fn stopping(evidence: &Evidence<'_>) -> Result<Option<WhyItem>, QueryError> {
    let Some(stop) = evidence.last(is_stop) else { return Ok(None) };
    let Event::StopRequested { reason, signal, grace_ms, asker, .. } = &stop.envelope.event else {
        return Ok(None);
    };
    let story = evidence.stop_story(*reason, stop.envelope.cause, asker.as_ref())?;
    let (words, mut rests_on) = story;
    rests_on.insert(0, stop.envelope.seq);
    let message =
        format!("it is being stopped {words}: {signal}, then SIGKILL after {grace_ms} ms");
    Ok(Some(item("stopping", message, &rests_on)))
}

/// A batch whose queue is held gives its lines no start; without one its lines are held.
pub(super) fn held_batch(evidence: &Evidence<'_>) -> Result<Option<WhyItem>, QueryError> {
    let run = evidence.run;
    let queue = QueueName::of_batch(run.id);
    let state = evidence.state()?;
    let own = state.waits.queues.get(&queue);
    if let Some(seq) = own.and_then(|queue| queue.paused) {
        let by = evidence.who_paused(seq)?;
        let message = format!("it is paused{by}: its lines get no start; jr resume {}", run.id);
        return Ok(Some(item("paused", message, &[seq])));
    }
    if !state.holds_batch(run) {
        return Ok(None);
    }
    let open = state.batches.get(&run.id).into_iter().flat_map(|batch| batch.open.values());
    let held = open.filter_map(|line| state.runs.get(line)).map(|line| line.last_seq);
    let message = format!("it is paused: each line of it is held; jr resume {}", run.id);
    Ok(Some(item("paused", message, &held.take(NAMED).collect::<Vec<u64>>())))
}
