//! Observations: how attempts end, what comes late or twice, clocks, and the daemon's own end.

use jr::model::event::{DaemonStopReason, Final};
use jr::model::{
    Action, ExitStatus, LostReason, Observation, Outcome, RunReason, Signal, SpawnError,
};

use crate::fixture::{BOOT, Fixture, at_once, end, exited, id, job, kinds, process, run_ended};

#[test]
fn an_outcome_is_what_was_observed() {
    let errno = SpawnError::Errno(8);
    let cases = [
        (exited(0), Outcome::Succeeded),
        (exited(3), Outcome::Failed(RunReason::Code(3))),
        (ExitStatus::Signalled(Signal::KILL), Outcome::Signalled(Signal::KILL)),
        (ExitStatus::TimedOut(Final::Exited(0)), Outcome::TimedOut),
        (ExitStatus::NotStarted(errno), Outcome::Failed(RunReason::NotStarted(errno))),
        (ExitStatus::Lost(LostReason::ShimDied), Outcome::Lost(LostReason::ShimDied)),
    ];
    for (status, outcome) in cases {
        let mut jr = Fixture::new();
        jr.run(1, at_once());
        let events = jr.ended(1, status);
        assert_eq!(kinds(&events), ["attempt_ended", "run_ended"]);
        assert_eq!(events[1], run_ended(1, outcome));
        assert_eq!(jr.actions(), [Action::Forget { run: id(1), attempt: 1 }]);
    }
}

#[test]
fn a_repeated_end_is_only_forgotten() {
    let mut jr = Fixture::new();
    jr.run(1, at_once());
    jr.ended(1, exited(0));
    assert_eq!(jr.ended(1, exited(0)), []);
    assert_eq!(jr.actions(), [Action::Forget { run: id(1), attempt: 1 }]);
}

#[test]
fn a_repeated_start_changes_nothing() {
    let mut jr = Fixture::new();
    jr.run(1, at_once());
    assert_eq!(kinds(&jr.started(1)), ["attempt_started"]);
    assert_eq!(jr.started(1), []);
}

#[test]
fn a_message_about_an_attempt_of_the_past_finds_no_taker() {
    let mut jr = Fixture::new();
    jr.run(1, at_once());
    jr.withdrawn(1);
    let (run, attempt) = (id(1), 1);
    let late = [
        Observation::ProcessStarted { run, attempt, process: process() },
        Observation::ProcessEnded { run, attempt, end: end(exited(0)) },
        Observation::ShimLost { run, attempt, reason: LostReason::ShimDied },
        Observation::StartWithdrawn { run, attempt },
    ];
    for seen in late {
        assert_eq!(jr.see(seen.clone()), [], "{seen:?}");
    }
    assert_eq!(jr.state().runs[&run].attempt, 2);
}

#[test]
fn the_end_may_come_before_the_start() {
    let mut jr = Fixture::new();
    jr.run(1, at_once());
    jr.ended(1, exited(0));
    assert_eq!(jr.started(1), []);
}

#[test]
fn a_clock_that_jumps_is_noted_and_moves_nothing() {
    let mut jr = Fixture::new();
    jr.run(1, job());
    jr.started(1);
    for by_ms in [-3_600_000, 3_600_000] {
        assert_eq!(kinds(&jr.see(Observation::ClockJumped { by_ms })), ["clock_jumped"]);
        assert_eq!(jr.actions(), []);
    }
    assert_eq!(jr.state().runs.len(), 1);
}

#[test]
fn secrets_are_dropped_with_the_last_run_that_may_need_them() {
    let mut jr = Fixture::new();
    let spec = jr::model::RunSpec { secrets: Some(id(1)), ..at_once() };
    jr.run(1, spec);
    jr.ended(1, exited(0));
    assert!(jr.actions().contains(&Action::DropSecrets { owner: id(1) }));
}

/// An end that was seen behind `daemon_stopped` stood in the log after it, which the law checker
/// refuses (simulation, seed 6).
#[test]
fn after_the_daemons_last_event_nothing_is_taken() {
    let mut jr = Fixture::new();
    jr.run(1, at_once());
    jr.started(1);
    let reason = DaemonStopReason::Upgraded;
    assert_eq!(kinds(&jr.see(Observation::DaemonEnds { reason })), ["daemon_stopped"]);
    assert_eq!(jr.ended(1, exited(0)), []);
    assert_eq!(jr.actions(), [], "the shim must not forget what is not in the log");
    assert_eq!(jr.see(Observation::ClockJumped { by_ms: 1 }), []);
    let mut jr = jr.restart(BOOT);
    let events = jr.found(id(1), jr::model::Finding::Exited(end(exited(0))));
    assert_eq!(events[1], run_ended(1, Outcome::Succeeded));
}
