//! A record as `--json` shows it: every kind says which of its fields appear.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::run_view::{exit_code, kind_word, rfc3339, signal};
use super::source::Stored;
use super::view::EventView;
use crate::model::event::{AttemptEnd, Process};
use crate::model::{ByteString, Event, ExitStatus, LimitsBy, RunSpec};

/// Kinds of events that this version writes, as `jr events --kind` takes them.
pub(super) const KINDS: [&str; 37] = [
    "environment_created",
    "daemon_started",
    "daemon_stopped",
    "recovery_finished",
    "clock_jumped",
    "config_resolved",
    "config_rejected",
    "run_admitted",
    "attempt_intended",
    "attempt_started",
    "attempt_ended",
    "run_ended",
    "stop_requested",
    "signal_requested",
    "signal_sent",
    "queue_set",
    "queue_paused",
    "queue_unpaused",
    "restart_scheduled",
    "run_queued",
    "pause_requested",
    "run_paused",
    "unpause_requested",
    "run_unpaused",
    "output_lost",
    "prune_requested",
    "runs_pruned",
    "run_pinned",
    "service_declared",
    "service_forgotten",
    "service_wanted",
    "service_unwanted",
    "port_assigned",
    "port_released",
    "port_conflict",
    "health_changed",
    "restart_requested",
];

/// The record with its kind's fields.
pub fn event_view(stored: &Stored) -> EventView {
    let envelope = &stored.envelope;
    EventView {
        seq: envelope.seq,
        time: rfc3339(envelope.time),
        kind: envelope.event.kind_name().to_owned(),
        run_id: envelope.event.run().map(|run| run.to_string()),
        command_id: envelope.cause.map(|cause| cause.command.to_string()),
        uid: envelope.cause.map(|cause| cause.uid),
        hash: stored.hash.to_string(),
        fields: fields(&envelope.event),
    }
}

type Fields = BTreeMap<String, Value>;

fn fields(event: &Event) -> Fields {
    match event {
        Event::EnvironmentCreated { id } => object(json!({"environment": id})),
        Event::DaemonStarted { pid, version, boot, cores } => object(json!({
            "pid": pid, "version": version, "boot": boot.to_string(), "cores": cores,
        })),
        Event::DaemonStopped { reason } => object(json!({"reason": reason.word()})),
        Event::RecoveryFinished { adopted, ended, lost, requeued } => object(json!({
            "adopted": adopted, "ended": ended, "lost": lost, "requeued": requeued,
        })),
        Event::ClockJumped { by_ms } => object(json!({"by_ms": by_ms})),
        Event::ConfigResolved { resolution } => object(json!({
            "config": resolution.config, "sources": resolution.sources,
            "queues": resolution.queues,
        })),
        Event::ConfigRejected { source, reason } => object(json!({
            "source": source, "reason": reason,
        })),
        Event::RunAdmitted { run: _, spec } => admission(spec),
        Event::AttemptIntended { run: _, attempt, ports } => intent(*attempt, ports),
        Event::RunUnpaused { run: _, attempt } => object(json!({"attempt": attempt})),
        Event::AttemptStarted { run: _, attempt, process } => start(*attempt, process),
        Event::AttemptEnded { run: _, attempt, end } => ending(*attempt, end),
        Event::RunEnded { run: _, outcome } => object(json!({
            "outcome": outcome.word(), "reason": outcome.reason(),
        })),
        Event::StopRequested { run: _, reason, signal, grace_ms, asker } => object(json!({
            "reason": reason.word(), "signal": signal.number(), "grace_ms": grace_ms,
            "asker": asker,
        })),
        Event::SignalRequested { run: _, attempt, signal, asker } => object(json!({
            "attempt": attempt, "signal": signal.number(), "asker": asker,
        })),
        Event::RestartScheduled { run: _, attempt, due, streak } => object(json!({
            "attempt": attempt, "due_at": rfc3339(due.at), "streak": streak,
        })),
        Event::RunQueued { run: _, reason, asker } => {
            object(json!({"reason": reason.word(), "asker": asker}))
        }
        Event::PauseRequested { run: _, asker } | Event::UnpauseRequested { run: _, asker } => {
            object(json!({"asker": asker}))
        }
        Event::RunPaused { attempt, by, .. } => {
            object(json!({"attempt": attempt, "by": by.word()}))
        }
        Event::SignalSent { run: _, attempt, signal, errno } => object(json!({
            "attempt": attempt, "signal": signal.number(), "errno": errno,
        })),
        Event::QueueSet { .. } | Event::QueuePaused { .. } | Event::QueueUnpaused { .. } => {
            of_queue(event)
        }
        Event::PruneRequested { before, keep_days, keep_runs } => object(json!({
            "before": before, "keep_days": keep_days, "keep_runs": keep_runs,
        })),
        Event::RunsPruned { before, runs, events, bytes, error } => object(json!({
            "before": before, "runs": runs, "events": events, "bytes": bytes, "error": error,
        })),
        Event::RunPinned { run, pinned } => object(json!({"pinned_run": run, "pinned": pinned})),
        Event::ServiceDeclared { .. }
        | Event::ServiceForgotten { .. }
        | Event::ServiceWanted { .. }
        | Event::ServiceUnwanted { .. }
        | Event::PortAssigned { .. }
        | Event::PortReleased { .. } => of_service(event),
        Event::PortConflict { .. }
        | Event::HealthChanged { .. }
        | Event::RestartRequested { .. } => of_watched(event),
        Event::OutputLost { run: _, attempt, bytes, reason } => object(json!({
            "attempt": attempt, "bytes": bytes, "reason": reason.word(),
        })),
    }
}

/// What is about a queue.
fn of_queue(event: &Event) -> Fields {
    match event {
        Event::QueueSet { queue, limit } => object(json!({"queue": queue, "limit": limit})),
        Event::QueuePaused { queue, asker } | Event::QueueUnpaused { queue, asker } => {
            object(json!({"queue": queue, "asker": asker}))
        }
        _ => Fields::new(),
    }
}

/// What is about a service, and no run of it.
fn of_service(event: &Event) -> Fields {
    let mut fields = match event {
        Event::ServiceDeclared { spec, .. } => object(json!({
            "digest": spec.digest, "replicas": spec.replicas,
            "command": spec.run.command.iter().map(ByteString::to_text).collect::<Vec<_>>(),
        })),
        Event::ServiceWanted { asker, .. } => object(json!({"asker": asker})),
        Event::ServiceUnwanted { reason, asker, .. } => {
            object(json!({"reason": reason.word(), "asker": asker}))
        }
        Event::PortAssigned { replica, port, .. } => object(json!({
            "replica": replica, "name": port.name, "requested": port.requested,
            "port": port.number, "retries": port.retries,
        })),
        Event::PortReleased { replica, name, number, reason, .. } => object(json!({
            "replica": replica, "name": name, "port": number, "reason": reason.word(),
        })),
        _ => Fields::new(),
    };
    let service = event.service().map(ToString::to_string);
    fields.insert("service".to_owned(), json!(service));
    fields
}

fn object(value: Value) -> Fields {
    match value {
        Value::Object(fields) => fields.into_iter().collect(),
        _ => Fields::new(),
    }
}

/// `run_kind`, because `kind` is the event's.
fn admission(spec: &RunSpec) -> Fields {
    let command: Vec<String> = spec.command.iter().map(ByteString::to_text).collect();
    object(json!({
        "name": spec.name, "run_kind": kind_word(spec.kind), "command": command,
        "cwd": spec.cwd.to_text(), "labels": spec.labels, "queue": spec.queue,
        "key": spec.key, "parent": spec.parent.map(|parent| parent.to_string()),
        "line": spec.line.as_ref().map(ByteString::to_text), "timeout_ms": spec.timeout_ms,
        "retry": spec.retry, "ok_codes": spec.ok_codes, "after": spec.after, "lock": spec.lock,
        "on_interrupt": spec.on_interrupt, "tty": spec.tty.is_some(), "capture": spec.capture,
        "limits": spec.limits, "config": spec.config, "commit": spec.commit,
        "variable_files": spec.variable_files,
    }))
}

fn intent(attempt: u32, ports: &[(String, u16)]) -> Fields {
    let ports: BTreeMap<_, _> = ports.iter().cloned().collect();
    object(json!({"attempt": attempt, "ports": ports}))
}

/// What is seen of a service's run.
fn of_watched(event: &Event) -> Fields {
    match event {
        Event::PortConflict { attempt, number, holder, .. } => object(json!({
            "attempt": attempt, "port": number, "holder": holder,
        })),
        Event::HealthChanged { attempt, health, detail, .. } => object(json!({
            "attempt": attempt, "health": health.word(), "detail": detail,
        })),
        Event::RestartRequested { attempt, reason, detail, .. } => object(json!({
            "attempt": attempt, "reason": reason.word(), "detail": detail,
        })),
        _ => Fields::new(),
    }
}

fn start(attempt: u32, process: &Process) -> Fields {
    object(json!({
        "attempt": attempt, "pid": process.pid, "start_ticks": process.start_ticks,
        "started_at": rfc3339(process.at), "tracking": process.tracking.word(),
        "shim": process.shim, "limits_by": limits_by(process),
    }))
}

/// Of those limits that it has.
fn limits_by(process: &Process) -> Option<BTreeMap<&'static str, &'static str>> {
    let LimitsBy { cpu, memory, pids } = process.limits_by;
    let all = [("cpu", cpu), ("memory", memory), ("pids", pids)];
    let by: BTreeMap<_, _> =
        all.into_iter().filter_map(|(name, by)| Some((name, by?.word()))).collect();
    (!by.is_empty()).then_some(by)
}

fn ending(attempt: u32, end: &AttemptEnd) -> Fields {
    let last = end.status.last_word();
    let (usage, output) = (end.usage, end.output);
    object(json!({
        "attempt": attempt, "status": status_word(end.status),
        "exit_code": last.and_then(exit_code), "signal": last.and_then(signal),
        "reason": status_reason(end.status), "ended_at": rfc3339(end.at),
        "duration_ms": end.duration_ms, "strays": end.strays, "survivors": end.survivors,
        "user_ms": usage.map(|usage| usage.user_ms),
        "system_ms": usage.map(|usage| usage.system_ms),
        "max_rss_bytes": usage.map(|usage| usage.max_rss_bytes),
        "oom_kills": usage.and_then(|usage| usage.oom_kills),
        "stdout_bytes": output.map(|output| output.stdout_bytes),
        "stderr_bytes": output.map(|output| output.stderr_bytes),
        "stdout_digest": output.and_then(|output| output.stdout_digest),
        "stderr_digest": output.and_then(|output| output.stderr_digest),
    }))
}

/// How an attempt ended, in a word.
pub(super) fn status_word(status: ExitStatus) -> &'static str {
    match status {
        ExitStatus::Exited(_) => "exited",
        ExitStatus::Signalled(_) => "signalled",
        ExitStatus::TimedOut(_) => "timed_out",
        ExitStatus::NotStarted(_) => "not_started",
        ExitStatus::NeverStarted => "never_started",
        ExitStatus::Lost(_) => "lost",
    }
}

/// Why it did not start, or was lost.
pub(super) fn status_reason(status: ExitStatus) -> Option<String> {
    match status {
        ExitStatus::NotStarted(error) => Some(error.to_string()),
        ExitStatus::Lost(reason) => Some(reason.word().to_owned()),
        ExitStatus::Exited(_)
        | ExitStatus::Signalled(_)
        | ExitStatus::TimedOut(_)
        | ExitStatus::NeverStarted => None,
    }
}
