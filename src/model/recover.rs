//! What a daemon does with the attempts that an earlier one left (docs/recovery.md). Pure.

use super::action::Action;
use super::event::{AttemptEnd, Event, ExitStatus, LostReason};
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
        // The shell has made sure that no shim will ever begin it, whether it is to be stopped
        // (then the run is cancelled) or not (then it waits again).
        Finding::Unclaimed if run.process.is_none() => ended(unclaimed()),
        // Its process was seen, so there was a claim: the shims' directory was cleared.
        Finding::Unclaimed => ended(ExitStatus::Lost(LostReason::ShimDied)),
        Finding::Held => Verdict { events: Vec::new(), actions: stop_again(run), lives: true },
        Finding::Running(process) => {
            let mut events = Vec::new();
            if run.process.is_none() {
                events.push(Event::AttemptStarted { run: run.id, attempt: run.attempt, process });
            }
            Verdict { events, actions: stop_again(run), lives: true }
        }
    }
}

/// Nothing was started, so nothing is lost.
fn unclaimed() -> ExitStatus {
    #[cfg(feature = "mutants")]
    if crate::mutants::is_on("unclaimed_is_lost") {
        return ExitStatus::Lost(LostReason::ShimDied);
    }
    ExitStatus::NeverStarted
}

fn end(run: &Run, end: AttemptEnd) -> Verdict {
    let event = Event::AttemptEnded { run: run.id, attempt: run.attempt, end };
    Verdict { events: vec![event], actions: Vec::new(), lives: false }
}

fn stop_again(run: &Run) -> Vec<Action> {
    if run.phase != Phase::Stopping {
        return Vec::new();
    }
    let (signal, grace_ms) = (run.spec.stop_signal, run.spec.grace_ms);
    vec![Action::Stop { run: run.id, attempt: run.attempt, signal, grace_ms }]
}
