//! Reasons of what has ended.

use super::evidence::{Evidence, end_words, is_stop, item, name_of, oom_words, who};
use crate::model::event::{Event, Outcome, RejectReason, RunReason, SkipReason, StopReason};
use crate::model::{LostReason, Run, RunId, Signal, SpawnError};
use crate::projections::query::QueryError;
use crate::projections::view::WhyItem;

/// Records between the failure of one line and the stop of the others, which came of it.
const FAIL_FAST_LOOK: u64 = 100_000;
/// Failed lines of a batch that are named; the rest is counted.
const LINES_NAMED: usize = 5;

pub(super) fn ended(evidence: &Evidence<'_>) -> Result<Vec<WhyItem>, QueryError> {
    let Some(outcome) = evidence.run.outcome else { return Ok(Vec::new()) };
    match outcome {
        Outcome::Succeeded => Ok(vec![succeeded(evidence)]),
        Outcome::Failed(RunReason::Lines(count)) => failed_lines(evidence, count),
        Outcome::Failed(reason) => Ok(vec![failed(evidence, reason)]),
        Outcome::Signalled(signal) => Ok(signalled(evidence, signal)),
        Outcome::TimedOut => Ok(vec![timed_out(evidence)]),
        Outcome::Stopped(reason) | Outcome::Cancelled(reason) => stopped(evidence, reason),
        Outcome::Lost(reason) => Ok(vec![lost(evidence, reason)]),
        Outcome::Skipped(SkipReason::DependencyFailed(other)) => unmet(evidence, other),
        Outcome::Skipped(SkipReason::LockHeld(holder))
        | Outcome::Rejected(RejectReason::LockHeld(holder)) => locked_out(evidence, holder),
    }
}

/// The end of the last attempt and the end of the run.
fn ends(evidence: &Evidence<'_>) -> Vec<u64> {
    let attempt = evidence.last_seq(|event| matches!(event, Event::AttemptEnded { .. }));
    let run = evidence.last_seq(|event| matches!(event, Event::RunEnded { .. }));
    attempt.into_iter().chain(run).collect()
}

fn last_words(run: &Run) -> String {
    run.last_end.as_ref().map(|end| end_words(end.status)).unwrap_or_default()
}

fn succeeded(evidence: &Evidence<'_>) -> WhyItem {
    let run = evidence.run;
    let accepted = matches!(
        run.last_end.as_ref().and_then(|end| end.status.last_word()),
        Some(crate::model::event::Final::Exited(code)) if code != 0
    );
    let message = match (run.last_end.is_some(), accepted) {
        (false, _) => "all its lines succeeded".to_owned(),
        (true, false) => format!("attempt {} {}", run.attempt, last_words(run)),
        (true, true) => format!("attempt {} {}, which --ok accepts", run.attempt, last_words(run)),
    };
    item("succeeded", message, &ends(evidence))
}

fn failed(evidence: &Evidence<'_>, reason: RunReason) -> WhyItem {
    let run = evidence.run;
    let program = run.spec.command.first().map(crate::model::ByteString::to_text);
    let program = program.unwrap_or_default();
    let (code, mut message) = match reason {
        RunReason::Code(_) => ("exit_code", format!("attempt {} {}", run.attempt, last_words(run))),
        RunReason::NotStarted(SpawnError::NotFound) => {
            ("not_found", format!("there is no program {program:?} in its PATH"))
        }
        RunReason::NotStarted(SpawnError::NotExecutable) => {
            ("not_executable", format!("{program:?} is not executable"))
        }
        RunReason::NotStarted(SpawnError::SecretUnreadable) => {
            let files = run.spec.variable_files.iter();
            let files =
                files.map(|(name, path)| format!("{} from {}", name.to_text(), path.to_text()));
            let files = files.collect::<Vec<_>>().join(", ");
            ("secret_unreadable", format!("a variable's file cannot be read: {files}"))
        }
        RunReason::NotStarted(error) => {
            ("not_started", format!("attempt {} could not be started: {error}", run.attempt))
        }
        RunReason::Hook(hook) => {
            ("hook", format!("its before_start command did not succeed: jr why {hook}"))
        }
        RunReason::Unwell(reason) => {
            let message = format!(
                "it was ended ({}): attempt {} {}",
                reason.word(),
                run.attempt,
                last_words(run)
            );
            (reason.word(), message)
        }
        RunReason::Lines(count) => ("lines", format!("{count} of its lines did not succeed")),
    };
    if let Some(words) = run.last_end.as_ref().and_then(oom_words) {
        message = format!("{message}; {words}{}", memory_limit(run));
    }
    match run.spec.retry.map_or(0, |retry| retry.times) {
        0 => {}
        1 => message = format!("{message}; its one retry is used up"),
        times => message = format!("{message}; its {times} retries are used up"),
    }
    item(code, message, &ends(evidence))
}

/// A batch that failed, with the first lines that did.
fn failed_lines(evidence: &Evidence<'_>, count: u32) -> Result<Vec<WhyItem>, QueryError> {
    let (failed, mut rests_on) = (evidence.failed_lines(LINES_NAMED)?, Vec::new());
    let mut words = Vec::new();
    for line in &failed {
        let is_end = |event: &Event| matches!(event, Event::RunEnded { .. });
        rests_on.extend(evidence.first_of(line, is_end)?);
        let outcome = line.outcome.map_or("unknown", Outcome::word);
        words.push(match &line.last_end {
            Some(end) => format!("{} {}", name_of(line), end_words(end.status)),
            None => format!("{} ended as {outcome}", name_of(line)),
        });
    }
    let more = (count as usize).saturating_sub(failed.len());
    if more > 0 && !failed.is_empty() {
        words.push(format!("{more} more"));
    }
    let mut message = match count {
        1 => "one of its lines did not succeed".to_owned(),
        count => format!("{count} of its lines did not succeed"),
    };
    if !words.is_empty() {
        message = format!("{message}: {}", words.join(", "));
    }
    rests_on.extend(ends(evidence));
    Ok(vec![item("lines", message, &rests_on)])
}

fn signalled(evidence: &Evidence<'_>, signal: Signal) -> Vec<WhyItem> {
    let run = evidence.run;
    let mut rests_on = ends(evidence);
    if let Some((seqs, words)) = sender(evidence, signal) {
        rests_on.splice(0..0, seqs);
        return vec![item("signal", format!("{signal} ended it, which {words}"), &rests_on)];
    }
    match run.last_end.as_ref().and_then(oom_words) {
        Some(words) if signal == Signal::KILL => {
            let message = format!("{signal} ended it: {words}{}", memory_limit(run));
            vec![item("out_of_memory", message, &rests_on)]
        }
        _ => {
            let message = format!("{signal} ended it, which jr did not send{}", hint(run, signal));
            vec![item("signal", message, &rests_on)]
        }
    }
}

/// Who sent the signal to the attempt that it ended, as the end of a sentence, where jr did it.
fn sender(evidence: &Evidence<'_>, signal: Signal) -> Option<(Vec<u64>, String)> {
    let attempt = evidence.run.attempt;
    let sent = evidence.last_seq(|event| {
        matches!(event, Event::SignalSent { attempt: of, signal: which, errno: None, .. }
            if *of == attempt && *which == signal)
    });
    let asked = evidence.last(|event| {
        matches!(event, Event::SignalRequested { attempt: of, signal: which, .. }
            if *of == attempt && *which == signal)
    });
    if let Some(stored) = asked
        && let Event::SignalRequested { asker, .. } = &stored.envelope.event
    {
        let who = who(stored.envelope.cause, asker.as_ref());
        let seqs = std::iter::once(stored.envelope.seq).chain(sent).collect();
        return Some((seqs, format!("{who} had sent")));
    }
    // What nobody asked the daemon for goes straight from a client to the shim.
    let words = "its own client (jr run, jr attach) got and passed on".to_owned();
    (!sent.is_empty()).then_some((sent, words))
}

fn memory_limit(run: &Run) -> String {
    let limit = run.spec.limits.memory_bytes;
    limit.map_or_else(String::new, |bytes| format!(" (its limit: {} MiB)", bytes >> 20))
}

/// What such a signal usually means.
fn hint(run: &Run, signal: Signal) -> String {
    let usage = run.last_end.as_ref().and_then(|end| end.usage);
    let megabytes = usage.map_or(0, |usage| usage.max_rss_bytes >> 20);
    match signal.number() {
        4 => ": an illegal instruction".to_owned(),
        6 => ": it aborted itself (a failed assertion, say)".to_owned(),
        8 => ": a division by zero, say".to_owned(),
        9 => format!(
            ": somebody else did, or the kernel for want of memory; its largest process had \
             {megabytes} MiB"
        ),
        7 | 11 => ": it touched memory that is not its own".to_owned(),
        13 => ": nobody read what it wrote".to_owned(),
        _ => String::new(),
    }
}

fn timed_out(evidence: &Evidence<'_>) -> WhyItem {
    let run = evidence.run;
    let limit = run.spec.timeout_ms.unwrap_or(0);
    let message = format!(
        "its time limit of {limit} ms was over: attempt {} {}",
        run.attempt,
        last_words(run)
    );
    let mut rests_on = vec![evidence.admission()];
    rests_on.extend(ends(evidence));
    item("timeout", message, &rests_on)
}

fn stopped(evidence: &Evidence<'_>, reason: StopReason) -> Result<Vec<WhyItem>, QueryError> {
    let Some(stop) = evidence.first(is_stop) else { return Ok(Vec::new()) };
    let Event::StopRequested { asker, .. } = &stop.envelope.event else { return Ok(Vec::new()) };
    let seq = stop.envelope.seq;
    let begun = evidence.run.started_at.is_some();
    let verb = if begun { "stopped" } else { "cancelled" };
    let (words, mut rests_on) = evidence.stop_story(reason, stop.envelope.cause, asker.as_ref())?;
    let mut message = format!("it was {verb} {words}");
    rests_on.insert(0, seq);
    match reason {
        StopReason::FailFast => {
            if let Some((failure, words)) = failure_before(evidence, seq)? {
                message = format!("{message}: {words}");
                rests_on.push(failure);
            }
        }
        StopReason::Asked
        | StopReason::ParentStopped
        | StopReason::Interrupted
        | StopReason::Down
        | StopReason::Restarted
        | StopReason::Changed
        | StopReason::Removed => {}
    }
    // A batch has no attempt of its own.
    if begun && evidence.run.last_end.is_some() {
        let attempt = evidence.run.attempt;
        message = format!("{message}; attempt {attempt} {}", last_words(evidence.run));
    }
    rests_on.extend(ends(evidence));
    Ok(vec![item(verb, message, &rests_on)])
}

/// The line whose end brought the stop at `seq` with it.
fn failure_before(evidence: &Evidence<'_>, seq: u64) -> Result<Option<(u64, String)>, QueryError> {
    for before in (seq.saturating_sub(FAIL_FAST_LOOK).max(1)..seq).rev() {
        let Some(stored) = evidence.record(before)? else { return Ok(None) };
        let Event::RunEnded { run, outcome } = stored.envelope.event else { continue };
        if !outcome.is_own_failure() {
            continue;
        }
        let Some(other) = evidence.other(run)? else { continue };
        if other.spec.parent == evidence.run.spec.parent {
            return Ok(Some((before, format!("{} {}", name_of(&other), last_words(&other)))));
        }
    }
    Ok(None)
}

fn lost(evidence: &Evidence<'_>, reason: LostReason) -> WhyItem {
    let words = match reason {
        LostReason::ShimDied => "the shim that held it was killed, so nobody saw its end",
        LostReason::ShimUnresponsive => {
            "the shim that held it did not answer and was ended together with it"
        }
        LostReason::Reboot => "the machine went down, and nothing tells whether it had ended",
    };
    let mut message = words.to_owned();
    if evidence.run.interruptions > 1 {
        message = format!("{message}, {} times", evidence.run.interruptions);
    }
    item("lost", message, &ends(evidence))
}

fn unmet(evidence: &Evidence<'_>, other: RunId) -> Result<Vec<WhyItem>, QueryError> {
    let mut rests_on = vec![evidence.admission()];
    let message = match evidence.other(other)? {
        Some(other) => {
            rests_on.push(other.last_seq);
            let outcome = other.outcome.map_or("unknown", Outcome::word);
            format!("it was to begin when {} succeeds, which ended as {outcome}", name_of(&other))
        }
        None => format!("it was to begin when {other} succeeds, which did not"),
    };
    rests_on.extend(ends(evidence));
    Ok(vec![item("dependency_failed", message, &rests_on)])
}

fn locked_out(evidence: &Evidence<'_>, holder: RunId) -> Result<Vec<WhyItem>, QueryError> {
    let lock = evidence.run.spec.lock.as_ref().map(|wish| wish.name.to_string());
    let lock = lock.unwrap_or_default();
    let mut rests_on = vec![evidence.admission()];
    let message = match evidence.other(holder)? {
        Some(holder) => {
            rests_on.extend(evidence.first_intent(&holder)?);
            format!("{} held lock {lock}, and it was not to wait for it", name_of(&holder))
        }
        None => format!("run {holder} held lock {lock}, and it was not to wait for it"),
    };
    rests_on.extend(ends(evidence));
    Ok(vec![item("lock_held", message, &rests_on)])
}
