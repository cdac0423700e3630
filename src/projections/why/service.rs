//! Reasons of a service's run: what it waits for, how it answers, when it is started again.

use super::evidence::{Evidence, end_words, item};
use super::living::NEXT_RECORD;
use crate::model::service::gate::{Gate, gate};
use crate::model::{Event, ExitStatus, UnixMillis};
use crate::projections::query::QueryError;
use crate::projections::run_view::rfc3339;
use crate::projections::services::waiting;
use crate::projections::view::WhyItem;

/// What a queued run waits for.
pub(super) fn waits(evidence: &Evidence<'_>) -> Result<Vec<WhyItem>, QueryError> {
    let (run, state) = (evidence.run, evidence.state()?);
    let (code, message) = match gate(state, run) {
        Gate::Open => ("starting", "its start is on the way; nothing holds it".to_owned()),
        Gate::Never(other) => {
            ("dependency", format!("run {other}, which it depends on, did not succeed"))
        }
        Gate::Waits(waits) => ("waits", format!("it waits: {}", waiting(&waits))),
    };
    Ok(vec![item(code, message, &[evidence.admission()])])
}

/// How it answers.
pub(super) fn health(evidence: &Evidence<'_>) -> Vec<WhyItem> {
    let mut items = Vec::new();
    if let Some(stored) = evidence.last(|event| matches!(event, Event::HealthChanged { .. }))
        && let Event::HealthChanged { attempt, health, detail, .. } = &stored.envelope.event
        && *attempt == evidence.run.attempt
    {
        let detail = detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
        let since = rfc3339(stored.envelope.time);
        let message = format!("it is {} since {since}{detail}", health.word());
        items.push(item("health", message, &[stored.envelope.seq]));
    }
    if let Some(stored) = evidence.last(|event| matches!(event, Event::RestartRequested { .. }))
        && let Event::RestartRequested { attempt, reason, detail, .. } = &stored.envelope.event
        && *attempt == evidence.run.attempt
    {
        let detail = detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
        let message = format!("it is ended to be started again ({}){detail}", reason.word());
        items.push(item("restart", message, &[stored.envelope.seq]));
    }
    items
}

/// Between two attempts.
pub(super) fn delayed(evidence: &Evidence<'_>, now: UnixMillis) -> Vec<WhyItem> {
    let run = evidence.run;
    let mut rests_on = evidence.last_seq(|event| matches!(event, Event::AttemptEnded { .. }));
    let status = run.last_end.as_ref().map(|end| end.status);
    let ended = status.map(end_words).unwrap_or_default();
    let attempt = run.attempt;
    let conflict = evidence.last(|event| matches!(event, Event::PortConflict { .. }));
    let mut items = Vec::new();
    if let Some(stored) = conflict
        && let Event::PortConflict { attempt: of, number, holder, .. } = &stored.envelope.event
        && *of == attempt
    {
        let who = holder.as_ref().map_or_else(
            || "somebody".to_owned(),
            |holder| match holder.pid {
                Some(pid) => format!("pid {pid} ({})", holder.command),
                None => "another user's process".to_owned(),
            },
        );
        let message = format!("port {number} is held by {who}");
        items.push(item("port_taken", message, &[stored.envelope.seq]));
    }
    let Some(due) = run.due else {
        if !matches!(status, Some(ExitStatus::Lost(_))) {
            let message = format!("attempt {attempt} {ended}; {NEXT_RECORD}");
            items.push(item("between", message, &rests_on));
            return items;
        }
        let message = format!("attempt {attempt} {ended}; bring it back: jr up, or jr resume");
        items.push(item("interrupted", message, &rests_on));
        return items;
    };
    rests_on.extend(evidence.last_seq(|event| matches!(event, Event::RestartScheduled { .. })));
    let wait_ms = due.at.0.saturating_sub(now.0).max(0);
    let message = format!(
        "attempt {attempt} {ended}; it is start {} in a row that does not last, and the next \
         begins at {} (in {}.{} s)",
        run.streak,
        rfc3339(due.at),
        wait_ms / 1_000,
        wait_ms % 1_000 / 100,
    );
    items.push(item("restart", message, &rests_on));
    items
}
