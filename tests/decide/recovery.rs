//! The table of docs/recovery.md: a case for each row, after the death of a daemon.

use jr::model::event::StopReason::Asked;
use jr::model::{ExitStatus, Finding, LostReason, Outcome, RunSpec};

use crate::fixture::{
    BOOT, Fixture, NEXT_BOOT, at_once, end, exited, id, intended, job, kinds, over, process,
    run_ended,
};

/// A run whose attempt was given out.
fn intended_run() -> Fixture {
    let mut jr = Fixture::new();
    jr.run(1, job());
    jr
}

#[test]
fn an_exit_record_is_the_end() {
    let mut jr = intended_run().restart(BOOT);
    let events = jr.found(id(1), Finding::Exited(end(exited(3))));
    let failed = Outcome::Failed(jr::model::RunReason::Code(3));
    assert_eq!(events, [over(1, 1, exited(3)), run_ended(1, failed)]);
}

#[test]
fn an_exit_record_of_another_boot_is_the_end_too() {
    let mut jr = intended_run().restart(NEXT_BOOT);
    let events = jr.found(id(1), Finding::Exited(end(exited(0))));
    assert_eq!(events[1], run_ended(1, Outcome::Succeeded));
}

#[test]
fn a_durable_stop_of_what_nobody_claimed_cancels() {
    let mut jr = intended_run();
    jr.stop(&[1]);
    let mut jr = jr.restart(BOOT);
    let events = jr.found(id(1), Finding::Unclaimed);
    let cancelled = run_ended(1, Outcome::Cancelled(Asked));
    assert_eq!(events, [over(1, 1, ExitStatus::NeverStarted), cancelled]);
}

#[test]
fn a_durable_stop_of_what_was_claimed_goes_on() {
    for finding in [Finding::Held, Finding::Running { process: process(), paused: None }] {
        let mut jr = intended_run();
        jr.stop(&[1]);
        let mut jr = jr.restart(BOOT);
        jr.found(id(1), finding);
        assert_eq!(jr.stops(), [id(1)]);
    }
}

#[test]
fn a_running_one_is_taken_over_and_its_start_is_logged_once() {
    let mut jr = intended_run().restart(BOOT);
    let running = Finding::Running { process: process(), paused: None };
    assert_eq!(kinds(&jr.found(id(1), running.clone())), ["attempt_started"]);
    jr.recovered();
    assert_eq!(jr.starts(), []);
    let mut jr = jr.restart(BOOT);
    assert_eq!(jr.found(id(1), running), []);
}

#[test]
fn a_held_one_is_left() {
    let mut jr = intended_run().restart(BOOT);
    assert_eq!(jr.found(id(1), Finding::Held), []);
    jr.recovered();
    assert_eq!(jr.starts(), [], "its shim starts it");
}

#[test]
fn a_dead_or_mute_shim_means_lost() {
    for reason in [LostReason::ShimDied, LostReason::ShimUnresponsive] {
        let mut jr = intended_run().restart(BOOT);
        let events = jr.found(id(1), Finding::Fenced(reason));
        let lost = run_ended(1, Outcome::Lost(reason));
        assert_eq!(events, [over(1, 1, ExitStatus::Lost(reason)), lost]);
    }
}

/// After a reboot a missing claim proves nothing: the journal is not synced.
#[test]
fn another_boot_means_lost_claimed_or_not() {
    for finding in [Finding::OtherBoot, Finding::Unclaimed] {
        let mut jr = intended_run().restart(NEXT_BOOT);
        let events = jr.found(id(1), finding);
        assert_eq!(events[1], run_ended(1, Outcome::Lost(LostReason::Reboot)));
    }
}

#[test]
fn a_reboot_beats_a_durable_stop() {
    let mut jr = intended_run();
    jr.stop(&[1]);
    let mut jr = jr.restart(NEXT_BOOT);
    let events = jr.found(id(1), Finding::Unclaimed);
    assert_eq!(events[1], run_ended(1, Outcome::Lost(LostReason::Reboot)));
}

/// Not lost: in one boot a claim cannot vanish, so nothing ran.
#[test]
fn an_unclaimed_intent_of_this_boot_waits_again() {
    let mut jr = intended_run().restart(BOOT);
    let events = jr.found(id(1), Finding::Unclaimed);
    assert_eq!(events, [over(1, 1, ExitStatus::NeverStarted)]);
    assert_eq!(kinds(&jr.recovered()), ["recovery_finished", "attempt_intended"]);
    assert_eq!(jr.state().runs[&id(1)].attempt, 2, "the first number is spent");
    assert_eq!(jr.starts(), [id(1)]);
}

/// Its claim is gone, but the log knows that it began: "never started" would be an invention, and
/// an illegal event at every start of a daemon (tests/laws.rs).
#[test]
fn an_unclaimed_attempt_that_was_seen_to_start_is_lost() {
    for is_stopped in [false, true] {
        let mut jr = intended_run();
        jr.started(1);
        if is_stopped {
            jr.stop(&[1]);
        }
        let mut jr = jr.restart(BOOT);
        let events = jr.found(id(1), Finding::Unclaimed);
        assert_eq!(events[1], run_ended(1, Outcome::Lost(LostReason::ShimDied)));
    }
}

#[test]
fn an_unclaimed_run_without_a_queue_is_intended_and_started_after_the_recovery() {
    let mut jr = Fixture::new();
    jr.run(1, at_once());
    let mut jr = jr.restart(BOOT);
    let events = jr.found(id(1), Finding::Unclaimed);
    assert_eq!(events, [over(1, 1, ExitStatus::NeverStarted)]);
    assert_eq!(jr.recovered()[1..], [intended(1, 2)]);
    assert_eq!(jr.starts(), [id(1)]);
}

#[test]
fn it_keeps_its_place() {
    let mut jr = Fixture::new();
    for number in 1..=3 {
        jr.run(number, RunSpec { timeout_ms: None, ..job() });
    }
    let mut jr = jr.restart(BOOT);
    for number in [3, 2, 1] {
        jr.found(id(number), Finding::Unclaimed);
    }
    jr.recovered();
    assert_eq!(jr.starts(), [id(1), id(2)]);
}

#[test]
fn what_is_found_twice_changes_nothing() {
    let mut jr = intended_run().restart(BOOT);
    jr.found(id(1), Finding::Exited(end(exited(0))));
    assert_eq!(jr.found(id(1), Finding::Unclaimed), []);
    assert_eq!(jr.found(id(2), Finding::Unclaimed), []);
}

#[test]
fn nothing_starts_before_the_recovery_is_done() {
    let mut jr = Fixture::new().restart(BOOT);
    let (events, _) = jr.run(1, job());
    assert_eq!(kinds(&events), ["run_admitted"]);
    assert_eq!(kinds(&jr.recovered()), ["recovery_finished", "attempt_intended"]);
    assert_eq!(jr.starts(), [id(1)]);
}
