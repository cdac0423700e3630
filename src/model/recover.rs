//! What a daemon does with the attempts that an earlier one left (docs/recovery.md). Pure.

use super::action::Action;
use super::event::{AttemptEnd, Event, ExitStatus, LostReason, PausedBy};
use super::observation::Finding;
use super::phase::Phase;
use super::run::Run;
use super::time::Now;

/// What follows for one attempt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// To append.
    pub events: Vec<Event>,
    /// To do again: a stop that may not have arrived.
    pub actions: Vec<Action>,
    /// It takes a slot.
    pub lives: bool,
}

/// Applies the table to one live attempt. `older_boot`: it was intended before the last boot.
pub fn verdict(run: &Run, older_boot: bool, finding: Finding, now: Now) -> Verdict {
    let ended = |status| end(run, AttemptEnd::unmeasured(status, now.wall));
    match finding {
        Finding::Exited(seen) => end(run, seen),
        _ if older_boot => ended(ExitStatus::Lost(LostReason::Reboot)),
        Finding::OtherBoot => ended(ExitStatus::Lost(LostReason::Reboot)),
        Finding::Fenced(reason) => ended(ExitStatus::Lost(reason)),
        // The log saw it begin, so its claim is gone together with the shim's directory.
        Finding::Unclaimed if run.process.is_some() => {
            ended(ExitStatus::Lost(LostReason::ShimDied))
        }
        // The shell has made sure that no shim will ever begin it, whether it is to be stopped
        // (then the run is cancelled) or not (then it waits again).
        Finding::Unclaimed => ended(unclaimed()),
        Finding::Held => Verdict { events: Vec::new(), actions: again(run, None), lives: true },
        Finding::Running { process, paused } => {
            let (id, attempt) = (run.id, run.attempt);
            let mut events = Vec::new();
            if run.process.is_none() {
                events.push(Event::AttemptStarted { run: id, attempt, process });
            }
            match (run.paused_by, paused) {
                (None, Some(by)) => events.push(Event::RunPaused { run: id, attempt, by }),
                (Some(_), None) => events.push(Event::RunUnpaused { run: id, attempt }),
                (None, None) | (Some(_), Some(_)) => {}
            }
            Verdict { events, actions: again(run, paused), lives: true }
        }
    }
}

/// Nothing was started, so nothing is lost.
fn unclaimed() -> ExitStatus {
    if crate::mutants::is_on("unclaimed_is_lost") {
        return ExitStatus::Lost(LostReason::ShimDied);
    }
    ExitStatus::NeverStarted
}

fn end(run: &Run, end: AttemptEnd) -> Verdict {
    let event = Event::AttemptEnded { run: run.id, attempt: run.attempt, end };
    Verdict { events: vec![event], actions: Vec::new(), lives: false }
}

/// What was wished and may not have arrived.
fn again(run: &Run, paused: Option<PausedBy>) -> Vec<Action> {
    let (id, attempt) = (run.id, run.attempt);
    if run.phase == Phase::Stopping {
        let (signal, grace_ms) = (run.spec.stop_signal, run.spec.grace_ms);
        return vec![Action::Stop { run: id, attempt, signal, grace_ms }];
    }
    if run.restart.is_some() {
        return vec![super::react::again(run)];
    }
    match (run.pause_wanted, paused) {
        (true, None) => vec![Action::Pause { run: id, attempt }],
        (false, Some(_)) => vec![Action::Unpause { run: id, attempt }],
        (true, Some(_)) | (false, None) => Vec::new(),
    }
}
