//! A run as `--json` shows it. What a derived field means is said once, here.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;

use super::view::{BatchView, RunView};
use crate::model::event::Final;
use crate::model::{Kind, Run, UnixMillis};

/// The run object of a run that is shown in `state`, with times measured against `now`.
pub fn run_view(
    run: &Run,
    state: &str,
    batch: Option<BatchView>,
    environment: &str,
    now: UnixMillis,
) -> RunView {
    let spec = &run.spec;
    let last_word = last_word(run);
    let process = run.process.as_ref().filter(|_| run.attempt_lives);
    let until = run.ended_at.unwrap_or(now);
    RunView {
        run_id: run.id.to_string(),
        name: spec.name.clone(),
        kind: kind_word(spec.kind).to_owned(),
        runner: "process".to_owned(),
        environment: environment.to_owned(),
        state: state.to_owned(),
        outcome: run.outcome.map(|outcome| outcome.word().to_owned()),
        exit_code: last_word.and_then(exit_code),
        signal: last_word.and_then(signal),
        reason: run.outcome.and_then(crate::model::Outcome::reason),
        attempt: run.attempt,
        command: spec.command.iter().map(crate::model::ByteString::to_text).collect(),
        cwd: spec.cwd.to_text(),
        labels: spec.labels.clone(),
        parent: spec.parent.map(|parent| parent.to_string()),
        pid: process.map(|process| process.pid),
        ports: run.ports.iter().cloned().collect(),
        health: run.health.filter(|_| run.attempt_lives).map(|health| health.word().to_owned()),
        image: None,
        queue: spec.queue.as_ref().map(ToString::to_string),
        config: spec.config.map(|digest| digest.to_string()),
        commit: spec.commit.map(|commit| commit.to_string()),
        created_at: rfc3339(run.created_at),
        started_at: run.started_at.map(rfc3339),
        ended_at: run.ended_at.map(rfc3339),
        duration_ms: run.started_at.map(|start| between(start, until)),
        first_seq: run.first_seq,
        last_seq: run.last_seq,
        batch,
        progress: None,
    }
}

/// How the latest attempt ended. While a new one lives, the end of the one before says nothing.
pub(super) fn last_word(run: &Run) -> Option<Final> {
    let end = run.last_end.as_ref().filter(|_| !run.attempt_lives);
    end.and_then(|end| end.status.last_word())
}

/// The word of `--json` and `--kind`.
pub(super) fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Job => "job",
        Kind::Batch => "batch",
        Kind::Service => "service",
    }
}

pub(super) fn exit_code(last: Final) -> Option<i32> {
    match last {
        Final::Exited(code) => Some(code),
        Final::Signalled(_) => None,
    }
}

pub(super) fn signal(last: Final) -> Option<i32> {
    match last {
        Final::Exited(_) => None,
        Final::Signalled(signal) => Some(signal.number()),
    }
}

/// Milliseconds by the wall clock; a clock that went back makes none of them negative.
pub(super) fn between(start: UnixMillis, end: UnixMillis) -> i64 {
    end.0.saturating_sub(start.0).max(0)
}

/// RFC 3339 in UTC with milliseconds; what no calendar has becomes its first or last moment.
pub fn rfc3339(time: UnixMillis) -> String {
    const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
    let outside = if time.0 < 0 { Timestamp::MIN } else { Timestamp::MAX };
    PRINTER.timestamp_to_string(&Timestamp::from_millisecond(time.0).unwrap_or(outside))
}
