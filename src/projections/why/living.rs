//! Reasons of what has not ended: what it waits for, who holds it, why it runs.

use super::evidence::{Evidence, end_words, item, name_of, stop_words, who};
use crate::model::event::ExitStatus;
use crate::model::{Condition, Event, Phase, Run, RunId, State, UnixMillis};
use crate::projections::query::QueryError;
use crate::projections::run_view::rfc3339;
use crate::projections::view::WhyItem;

/// Holders of slots that are named; the rest is counted.
const NAMED: usize = 5;

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
        let message = format!("queue {name} is paused; jr queue unpause {name}");
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
        let message =
            format!("it waits for {} to {end}, which is {}", name_of(other), other.shown_state());
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
    if holders.len() < limit && before == 0 {
        return Ok(on_its_way(evidence));
    }
    let mut names: Vec<String> = holders.iter().take(NAMED).map(|run| name_of(run)).collect();
    if holders.len() > NAMED {
        names.push(format!("{} more", holders.len() - NAMED));
    }
    let slots = if limit == 1 { "slot".to_owned() } else { format!("{limit} slots") };
    let are = if limit == 1 { "is" } else { "are" };
    let place = match before {
        0 => "it is the next".to_owned(),
        1 => "one run is before it".to_owned(),
        before => format!("{before} runs are before it"),
    };
    let message =
        format!("the {slots} of queue {name} {are} taken by {}; {place}", names.join(", "));
    let mut rests_on = vec![evidence.admission()];
    rests_on.extend(evidence.last_seq(|event| matches!(event, Event::AttemptIntended { .. })));
    for holder in holders.iter().take(NAMED) {
        rests_on.extend(evidence.first_intent(holder)?);
    }
    Ok(item("queue", message, &rests_on))
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

/// Why it runs: who asked for it.
pub(super) fn runs(evidence: &Evidence<'_>) -> Vec<WhyItem> {
    let run = evidence.run;
    let asked = who(run.cause, None);
    let mut items = vec![item("asked", format!("{asked} asked for it"), &[evidence.admission()])];
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
    let interrupted = matches!(status, Some(ExitStatus::Lost(_)));
    let code = if interrupted { "interrupted" } else { "delayed" };
    let message = format!(
        "attempt {} {ended}, and with --on-interrupt ask somebody has to say how to go on: \
         jr resume {}, or jr stop {}",
        run.attempt, run.id, run.id
    );
    vec![item(code, message, &rests_on)]
}

/// Who stops it.
pub(super) fn stopping(evidence: &Evidence<'_>) -> Option<WhyItem> {
    let stop = evidence.last(|event| matches!(event, Event::StopRequested { .. }))?;
    let Event::StopRequested { reason, signal, grace_ms, asker, .. } = &stop.envelope.event else {
        return None;
    };
    let who = who(stop.envelope.cause, asker.as_ref());
    let words = stop_words(*reason, &who);
    let message =
        format!("it is being stopped {words}: {signal}, then SIGKILL after {grace_ms} ms");
    Some(item("stopping", message, &[stop.envelope.seq]))
}
