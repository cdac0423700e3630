//! Further attempts: when, how many, and what counts as a success.

use jr::model::event::{Due, QueuedReason, StopReason};
use jr::model::{
    Backoff, Command, Event, ExitStatus, Finding, LostReason, OnInterrupt, Outcome, Phase, Retry,
    RunReason, RunSpec, Signal, SpawnError,
};

use crate::fixture::{BOOT, Fixture, NEXT_BOOT, at_once, exited, id, job, kinds, run_ended};

/// Waits of 100, 200, 400 … milliseconds, without jitter.
fn retrying(times: u32) -> RunSpec {
    let backoff = Backoff { first_ms: 100, jitter_percent: 0, ..Backoff::DEFAULT };
    RunSpec { retry: Some(Retry { times, backoff }), ..job() }
}

fn fail(jr: &mut Fixture, number: u64) -> Vec<Event> {
    jr.started(number);
    jr.ended(number, exited(3))
}

#[test]
fn a_failed_attempt_is_followed_by_another_after_its_wait() {
    let mut jr = Fixture::new();
    jr.run(1, retrying(2));
    let events = fail(&mut jr, 1);
    assert_eq!(kinds(&events), ["attempt_ended", "restart_scheduled"]);
    let now = jr.now();
    let due =
        Due { at: jr::model::UnixMillis(now.wall.0 + 100), boottime_ms: now.boottime_ms + 100 };
    assert_eq!(events[1], Event::RestartScheduled { run: id(1), attempt: 1, due, streak: 1 });
    assert_eq!((jr.phase(1), jr.next_due_ms()), (Phase::Delayed, Some(100)));
    assert_eq!(jr.pass(99), []);
    let events = jr.pass(1);
    assert_eq!(kinds(&events), ["run_queued", "attempt_intended"]);
    assert_eq!(jr.starts(), [id(1)]);
    assert_eq!(jr.next_due_ms(), None);
    fail(&mut jr, 1);
    assert_eq!(jr.next_due_ms(), Some(200), "the wait doubles");
    jr.pass(200);
    let events = fail(&mut jr, 1);
    assert_eq!(events[1], run_ended(1, Outcome::Failed(RunReason::Code(3))), "no more are left");
}

#[test]
fn a_success_ends_it_and_so_does_an_accepted_code() {
    let mut jr = Fixture::new();
    jr.run(1, retrying(5));
    fail(&mut jr, 1);
    jr.pass(100);
    jr.started(1);
    assert_eq!(jr.ended(1, exited(0))[1], run_ended(1, Outcome::Succeeded));
    jr.run(2, RunSpec { ok_codes: vec![3], ..retrying(5) });
    assert_eq!(fail(&mut jr, 2)[1], run_ended(2, Outcome::Succeeded));
}

#[test]
fn whatever_is_no_success_is_tried_again() {
    let mut jr = Fixture::new();
    let statuses = [
        ExitStatus::Signalled(Signal::KILL),
        ExitStatus::TimedOut(jr::model::event::Final::Exited(0)),
        ExitStatus::NotStarted(SpawnError::NotFound),
    ];
    for (number, status) in (1..).zip(statuses) {
        jr.run(number, retrying(1));
        assert_eq!(kinds(&jr.ended(number, status)), ["attempt_ended", "restart_scheduled"]);
    }
}

#[test]
fn a_wait_gives_the_slot_to_others() {
    let mut jr = Fixture::new();
    for number in 1..=3 {
        jr.run(number, retrying(1));
    }
    fail(&mut jr, 1);
    assert_eq!(jr.starts(), [id(3)]);
    jr.pass(100);
    assert_eq!(jr.starts(), [], "both slots are taken");
    jr.ended(2, exited(0));
    assert_eq!(jr.starts(), [id(1)]);
}

#[test]
fn a_stop_ends_the_wait_and_the_run() {
    let mut jr = Fixture::new();
    jr.run(1, retrying(1));
    fail(&mut jr, 1);
    let (events, _) = jr.stop(&[1]);
    assert_eq!(events[1], run_ended(1, Outcome::Stopped(StopReason::Asked)));
    assert_eq!(jr.next_due_ms(), None);
    jr.run(2, retrying(1));
    jr.started(2);
    jr.stop(&[2]);
    let events = jr.ended(2, exited(3));
    assert_eq!(kinds(&events), ["attempt_ended", "run_ended"], "what was stopped is not retried");
}

#[test]
fn somebody_may_end_the_wait() {
    let mut jr = Fixture::new();
    jr.run(1, retrying(1));
    fail(&mut jr, 1);
    let (events, _) = jr.resume(&[1]);
    assert_eq!(
        events[0],
        Event::RunQueued { run: id(1), reason: QueuedReason::Resumed, asker: None }
    );
    assert_eq!(jr.starts(), [id(1)]);
}

#[test]
fn what_was_interrupted_goes_on_together_and_a_retry_keeps_its_time() {
    let mut jr = Fixture::new();
    for run in [2, 1] {
        jr.run(run, RunSpec { on_interrupt: OnInterrupt::Ask, ..at_once() });
        jr.started(run);
        jr.ended(run, ExitStatus::Lost(LostReason::ShimDied));
    }
    jr.run(3, retrying(1));
    fail(&mut jr, 3);
    let (events, _) = jr.ask(Command::ResumeInterrupted { asker: None });
    let resumed =
        |run| Event::RunQueued { run: id(run), reason: QueuedReason::Resumed, asker: None };
    assert_eq!(events[..2], [resumed(2), resumed(1)], "in the order of admission");
    assert!(!events.contains(&resumed(3)), "a retry has a time");
    let (events, _) = jr.ask(Command::ResumeInterrupted { asker: None });
    assert_eq!(events, [], "twice changes nothing");
}

#[test]
fn without_a_wait_the_next_attempt_follows_in_the_same_commit() {
    let mut jr = Fixture::new();
    let backoff = Backoff { first_ms: 0, ..Backoff::DEFAULT };
    let spec = RunSpec { retry: Some(Retry { times: 1, backoff }), ..at_once() };
    jr.run(1, spec);
    let events = fail(&mut jr, 1);
    let expected = ["attempt_ended", "restart_scheduled", "run_queued", "attempt_intended"];
    assert_eq!(kinds(&events), expected);
}

#[test]
fn a_wait_goes_on_in_the_next_daemon_and_after_a_reboot_by_the_wall_clock() {
    for (boot, early) in [(BOOT, 40), (NEXT_BOOT, 40)] {
        let mut jr = Fixture::new();
        jr.run(1, retrying(1));
        fail(&mut jr, 1);
        jr.pass(50);
        let mut jr = jr.restart(boot);
        assert_eq!(jr.next_due_ms(), None, "first what an earlier daemon left is found");
        jr.recovered();
        assert_eq!(jr.next_due_ms(), Some(50));
        assert_eq!(jr.pass(early), []);
        assert_eq!(kinds(&jr.pass(10)), ["run_queued", "attempt_intended"]);
    }
}

#[test]
fn a_lost_attempt_is_no_failure_and_its_own_policy_decides() {
    let lost = |on_interrupt| {
        let mut jr = Fixture::new();
        jr.run(1, RunSpec { on_interrupt, ..retrying(3) });
        jr.started(1);
        let mut jr = jr.restart(BOOT);
        let events = jr.found(id(1), Finding::Fenced(LostReason::ShimDied));
        let kinds = kinds(&events);
        (jr, kinds)
    };
    let (_, kinds_of_fail) = lost(OnInterrupt::Fail);
    assert_eq!(kinds_of_fail, ["attempt_ended", "run_ended"]);
    let (mut jr, kinds_of_requeue) = lost(OnInterrupt::Requeue);
    assert_eq!(kinds_of_requeue, ["attempt_ended", "run_queued"]);
    assert_eq!(kinds(&jr.recovered()), ["recovery_finished", "attempt_intended"]);
    let (mut jr, kinds_of_ask) = lost(OnInterrupt::Ask);
    assert_eq!(kinds_of_ask, ["attempt_ended"]);
    jr.recovered();
    assert_eq!((jr.phase(1), jr.next_due_ms()), (Phase::Delayed, None));
    let (events, _) = jr.resume(&[1]);
    assert_eq!(kinds(&events), ["run_queued", "attempt_intended"]);
}

#[test]
fn a_run_that_ends_every_shim_does_not_come_back_for_ever() {
    let mut jr = Fixture::new();
    jr.run(1, RunSpec { on_interrupt: OnInterrupt::Requeue, ..job() });
    let mut attempts = 0;
    while jr.phase(1) != Phase::Ended {
        attempts += 1;
        assert!(attempts <= jr::limits::REQUEUES + 1, "it never ends");
        let (run, attempt) = (id(1), jr.state().runs[&id(1)].attempt);
        let reason = LostReason::ShimDied;
        jr.see(jr::model::Observation::ShimLost { run, attempt, reason });
    }
    assert_eq!(attempts, jr::limits::REQUEUES + 1);
}
