//! What a daemon decided about the attempts that it found, and what was released after that: for
//! `jr resume`.

use std::collections::BTreeMap;

use super::view::DecisionView;
use super::why::end_words;
use crate::model::reason::QueuedReason;
use crate::model::{Envelope, Event, ExitStatus, Run, RunId, State};

/// What is said of a run that is let go on.
pub const RESUMED: &str = "it was interrupted and waited to be asked for; it is queued again";

/// The decisions in these records, which follow `before` directly, in the order of admission.
pub fn decisions(before: &State, records: &[Envelope]) -> Vec<DecisionView> {
    let mut items: BTreeMap<u64, DecisionView> = BTreeMap::new();
    let recovery = recovery(records);
    if !recovery.is_empty() {
        for run in before.runs.values().filter(|run| run.attempt_lives) {
            items.insert(run.first_seq, of_attempt(run, recovery));
        }
    }
    // What was admitted meanwhile is not what was left.
    for envelope in records {
        let Event::RunQueued { run, reason: QueuedReason::Resumed, .. } = &envelope.event else {
            continue;
        };
        let Some(run) = before.runs.get(run) else { continue };
        let item = items.entry(run.first_seq).or_insert_with(|| empty(run));
        "resumed".clone_into(&mut item.decision);
        RESUMED.clone_into(&mut item.reason);
        item.events.push(envelope.seq);
    }
    items.into_values().collect()
}

/// The records from the start of a daemon to the end of its recovery.
fn recovery(records: &[Envelope]) -> &[Envelope] {
    let start = records.iter().position(|one| matches!(one.event, Event::DaemonStarted { .. }));
    let end = records.iter().position(|one| matches!(one.event, Event::RecoveryFinished { .. }));
    match (start, end) {
        (Some(start), Some(end)) if start < end => &records[start..=end],
        _ => &[],
    }
}

fn empty(run: &Run) -> DecisionView {
    DecisionView {
        run_id: run.id.to_string(),
        name: run.spec.name.clone(),
        decision: String::new(),
        reason: String::new(),
        events: Vec::new(),
    }
}

fn of_attempt(run: &Run, recovery: &[Envelope]) -> DecisionView {
    let own: Vec<&Envelope> = of_run(run.id, recovery).collect();
    let end = own.iter().find_map(|envelope| match &envelope.event {
        Event::AttemptEnded { end, .. } => Some(end.status),
        _ => None,
    });
    let attempt = run.attempt;
    let (decision, reason) = match end {
        None => ("adopted", format!("attempt {attempt} lives; its shim holds it")),
        Some(ExitStatus::NeverStarted) => {
            ("withdrawn", format!("attempt {attempt} had not begun, and no shim has it"))
        }
        Some(status @ ExitStatus::Lost(_)) => {
            ("lost", format!("attempt {attempt} {}", end_words(status)))
        }
        Some(status) => {
            let words = end_words(status);
            ("ended", format!("attempt {attempt} {words} while no daemon was there"))
        }
    };
    let then = own.iter().find_map(|envelope| match &envelope.event {
        Event::RunEnded { outcome, .. } => Some(format!("; the run is {}", outcome.word())),
        Event::RunQueued { .. } => Some("; the run is queued again".to_owned()),
        Event::RestartScheduled { .. } => Some("; a retry is due".to_owned()),
        _ => None,
    });
    let waits = match end {
        Some(ExitStatus::NeverStarted) => "; the run waits in its old place",
        Some(_) => "; the run waits for jr resume",
        None => "",
    };
    let then = then.unwrap_or_else(|| waits.to_owned());
    let events = own.iter().map(|envelope| envelope.seq).collect();
    let (decision, reason) = (decision.to_owned(), reason + &then);
    DecisionView { decision, reason, events, ..empty(run) }
}

fn of_run(run: RunId, records: &[Envelope]) -> impl Iterator<Item = &Envelope> {
    records.iter().filter(move |envelope| envelope.event.run() == Some(run))
}
