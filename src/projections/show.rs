//! `jr show`: one run with all its attempts and records.

use std::collections::BTreeMap;

use super::answer::{Where, view_at};
use super::event_view::{event_view, status_reason, status_word};
use super::moment::Moment;
use super::progress::begun::Begun;
use super::query::QueryError;
use super::rows::Child;
use super::run_view::{exit_code, rfc3339, signal};
use super::select::select_one;
use super::source::{SourceError, Stored};
use super::view::{AttemptView, LimitsByView, RunView, ShowView};
use crate::model::event::{AttemptEnd, Process};
use crate::model::{Capture, Digest, Event, Kind, LimitsBy, RunId, Strays};

pub(super) fn show(
    selector: &str,
    moment: &Moment<'_>,
    place: &Where<'_>,
) -> Result<ShowView, QueryError> {
    let row = select_one(moment, selector)?;
    let seqs = moment.seqs_of(row.run.first_seq)?;
    let records = moment.source.get_many(&seqs).map_err(|error| match error {
        // In the middle of a prune its records go before its row.
        SourceError::Pruned { .. } => QueryError::MaybePruned { selector: selector.to_owned() },
        error => error.into(),
    })?;
    let children = moment.children(row.run.first_seq)?;
    let progress = Begun::new(moment).of(&row)?;
    let spec = &row.run.spec;
    let is_batch = spec.kind == Kind::Batch;
    let ids = |fits: &dyn Fn(&Child) -> bool| {
        let fitting = children.iter().filter(|(_, child)| fits(child));
        fitting.map(|(_, child)| RunId::from_chance(child.id).to_string()).collect()
    };
    let (variables, variables_error) = variables(spec.variables, place);
    Ok(ShowView {
        schema: "jr.show/1".to_owned(),
        run: RunView { progress, ..view_at(&row, moment, place) },
        key: spec.key.clone(),
        timeout_ms: spec.timeout_ms,
        stop_signal: spec.stop_signal.to_string(),
        grace_ms: spec.grace_ms,
        strays: match spec.strays {
            Strays::Kill => "kill".to_owned(),
            Strays::Keep => "keep".to_owned(),
        },
        capture: match spec.capture {
            Capture::File => "file".to_owned(),
            Capture::Pipe => "pipe".to_owned(),
        },
        limits: spec.limits,
        variables,
        variables_error,
        attempts: attempts(&records),
        timeline: records.iter().map(event_view).collect(),
        lines: ids(&|child| is_batch && !child.is_batch),
        continuations: ids(&|child| is_batch && child.is_batch),
        reruns: ids(&|_| !is_batch),
    })
}

fn variables(
    digest: Option<Digest>,
    place: &Where<'_>,
) -> (BTreeMap<String, String>, Option<String>) {
    match digest.map(|digest| (place.variables)(digest)) {
        None => (BTreeMap::new(), None),
        Some(Err(error)) => (BTreeMap::new(), Some(error)),
        Some(Ok(variables)) => {
            let text = variables.iter().map(|(name, value)| (name.to_text(), value.to_text()));
            (text.collect(), None)
        }
    }
}

/// The attempts that these records of one run tell of.
fn attempts(records: &[Stored]) -> Vec<AttemptView> {
    let mut attempts: Vec<AttemptView> = Vec::new();
    for stored in records {
        match &stored.envelope.event {
            Event::AttemptIntended { attempt, .. } => attempts.push(intended(*attempt)),
            Event::AttemptStarted { process, .. } => {
                if let Some(last) = attempts.last_mut() {
                    started(last, process);
                }
            }
            Event::AttemptEnded { end, .. } => {
                if let Some(last) = attempts.last_mut() {
                    ended(last, end);
                }
            }
            Event::RunAdmitted { .. }
            | Event::RunEnded { .. }
            | Event::StopRequested { .. }
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
            | Event::RunUnpaused { .. }
            | Event::ServiceDeclared { .. }
            | Event::ServiceForgotten { .. }
            | Event::ServiceWanted { .. }
            | Event::ServiceUnwanted { .. }
            | Event::PortAssigned { .. }
            | Event::PortReleased { .. }
            | Event::PortConflict { .. }
            | Event::HealthChanged { .. }
            | Event::RestartRequested { .. } => {}
        }
    }
    attempts
}

fn intended(attempt: u32) -> AttemptView {
    AttemptView {
        attempt,
        state: "intended".to_owned(),
        status: None,
        exit_code: None,
        signal: None,
        reason: None,
        pid: None,
        tracking: None,
        limits_by: LimitsByView::default(),
        started_at: None,
        ended_at: None,
        duration_ms: None,
        user_ms: None,
        system_ms: None,
        max_rss_bytes: None,
        oom_kills: None,
        strays: 0,
        survivors: Vec::new(),
        stdout_bytes: None,
        stderr_bytes: None,
    }
}

fn started(view: &mut AttemptView, process: &Process) {
    "running".clone_into(&mut view.state);
    view.pid = Some(process.pid);
    view.tracking = Some(process.tracking.word().to_owned());
    let LimitsBy { cpu, memory, pids } = process.limits_by;
    let [cpu, memory, pids] = [cpu, memory, pids].map(|by| by.map(|by| by.word().to_owned()));
    view.limits_by = LimitsByView { cpu, memory, pids };
    view.started_at = Some(rfc3339(process.at));
}

fn ended(view: &mut AttemptView, end: &AttemptEnd) {
    let last = end.status.last_word();
    "ended".clone_into(&mut view.state);
    view.status = Some(status_word(end.status).to_owned());
    view.exit_code = last.and_then(exit_code);
    view.signal = last.and_then(signal);
    view.reason = status_reason(end.status);
    if view.started_at.is_none() {
        view.started_at = end.started_at().map(rfc3339);
    }
    view.ended_at = Some(rfc3339(end.at));
    view.duration_ms = end.duration_ms;
    view.user_ms = end.usage.map(|usage| usage.user_ms);
    view.system_ms = end.usage.map(|usage| usage.system_ms);
    view.max_rss_bytes = end.usage.map(|usage| usage.max_rss_bytes);
    view.oom_kills = end.usage.and_then(|usage| usage.oom_kills);
    view.strays = end.strays;
    view.survivors.clone_from(&end.survivors);
    view.stdout_bytes = end.output.map(|output| output.stdout_bytes);
    view.stderr_bytes = end.output.map(|output| output.stderr_bytes);
}
