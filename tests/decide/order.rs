//! What comes after what: dependencies and locks.

use std::sync::Arc;

use jr::model::command::Rejection;
use jr::model::event::{RejectReason, SkipReason, StopReason};
use jr::model::{
    Command, Condition, Dependency, Event, LockBusy, LockWish, Outcome, Phase, Reply, RunReason,
    RunSpec,
};

use crate::fixture::{Fixture, at_once, exited, id, job, kinds, queue, run_ended};

fn after(runs: &[u64], condition: Condition) -> RunSpec {
    let after = runs.iter().map(|run| Dependency { run: id(*run), condition }).collect();
    RunSpec { after, ..job() }
}

fn locked(otherwise: LockBusy) -> RunSpec {
    RunSpec { lock: Some(LockWish { name: "db".parse().expect("a name"), otherwise }), ..job() }
}

fn skipped(number: u64, other: u64) -> Event {
    run_ended(number, Outcome::Skipped(SkipReason::DependencyFailed(id(other))))
}

fn finish(jr: &mut Fixture, number: u64, code: i32) -> Vec<Event> {
    jr.started(number);
    jr.ended(number, exited(code))
}

#[test]
fn a_run_begins_when_all_that_it_comes_after_has_succeeded() {
    let mut jr = Fixture::new();
    jr.run(1, job());
    jr.run(2, job());
    let (events, _) = jr.run(3, after(&[1, 2], Condition::Ok));
    assert_eq!(kinds(&events), ["run_admitted"]);
    assert_eq!(jr.phase(3), Phase::Queued);
    finish(&mut jr, 1, 0);
    assert_eq!(jr.starts(), []);
    let events = finish(&mut jr, 2, 0);
    assert_eq!(kinds(&events), ["attempt_ended", "run_ended", "attempt_intended"]);
    assert_eq!(jr.starts(), [id(3)]);
}

#[test]
fn a_failure_skips_all_that_needed_a_success_down_the_chain() {
    let mut jr = Fixture::new();
    jr.run(1, job());
    jr.run(2, after(&[1], Condition::Ok));
    jr.run(3, after(&[2], Condition::Ok));
    jr.run(4, after(&[2], Condition::Any));
    jr.run(5, after(&[1], Condition::Any));
    let events = finish(&mut jr, 1, 7);
    assert_eq!(events[1], run_ended(1, Outcome::Failed(RunReason::Code(7))));
    assert!(events.contains(&skipped(2, 1)) && events.contains(&skipped(3, 2)));
    assert_eq!(jr.starts(), [id(4), id(5)], "an end of any kind is enough for these");
}

#[test]
fn a_run_may_come_after_what_has_ended() {
    let mut jr = Fixture::new();
    jr.run(1, at_once());
    finish(&mut jr, 1, 0);
    jr.run(2, after(&[1], Condition::Ok));
    assert_eq!(jr.starts(), [id(2)]);
    jr.run(3, at_once());
    finish(&mut jr, 3, 1);
    let (events, reply) = jr.run(4, after(&[3], Condition::Ok));
    assert_eq!(reply, Reply::Admitted { run: id(4), existing: false });
    assert_eq!(events[1..], [skipped(4, 3)]);
}

#[test]
fn of_older_runs_the_shell_knows_and_its_facts_must_be_fresh() {
    let mut jr = Fixture::new();
    let ask = |jr: &mut Fixture, number: u64, facts_seq: u64, ended: Vec<_>| {
        let (spec, run) = (Arc::new(after(&[99], Condition::Ok)), id(number));
        let command = Command::Run { run, spec, key_holder: None, ended };
        jr.ask_as(1_000 + number, facts_seq, command)
    };
    let seq = jr.state().seq;
    let (events, _) = ask(&mut jr, 1, seq, vec![(id(99), Outcome::Succeeded)]);
    assert_eq!(kinds(&events), ["run_admitted", "attempt_intended"]);
    let seq = jr.state().seq;
    let (events, _) = ask(&mut jr, 2, seq, vec![(id(99), Outcome::TimedOut)]);
    assert_eq!(events[1..], [skipped(2, 99)]);
    let seq = jr.state().seq;
    let (_, reply) = ask(&mut jr, 3, seq, Vec::new());
    assert!(matches!(reply, Reply::Rejected(Rejection::StaleFacts { .. })), "{reply:?}");
}

#[test]
fn what_waits_for_others_can_be_stopped_and_leaves_nothing() {
    let mut jr = Fixture::new();
    jr.run(1, job());
    jr.run(2, after(&[1], Condition::Ok));
    let (events, _) = jr.stop(&[2]);
    assert_eq!(events[1], run_ended(2, Outcome::Cancelled(StopReason::Asked)));
    finish(&mut jr, 1, 1);
    assert_eq!(jr.state().waits.dependents.len() + jr.state().waits.dependencies.len(), 0);
}

#[test]
fn a_lock_is_held_by_one_run_at_a_time_in_the_order_of_admission() {
    let mut jr = Fixture::new();
    for number in 1..=3 {
        jr.run(number, locked(LockBusy::Wait));
    }
    let (_, _) = jr.run(4, job());
    assert_eq!(jr.starts(), [id(4)], "who wants no lock is not held up");
    assert_eq!(
        jr.state().waits.queues[&queue("default")].waiting.len(),
        0,
        "the others are parked"
    );
    finish(&mut jr, 1, 1);
    assert_eq!(jr.starts(), [id(2)]);
    finish(&mut jr, 2, 0);
    assert_eq!(jr.starts(), [id(3)]);
    finish(&mut jr, 3, 0);
    assert!(jr.state().waits.locks.is_empty());
}

#[test]
fn a_lock_reaches_over_queues_and_over_none() {
    let mut jr = Fixture::new();
    jr.run(1, RunSpec { queue: None, ..locked(LockBusy::Wait) });
    jr.run(2, locked(LockBusy::Wait));
    jr.run(3, RunSpec { queue: Some(queue("other")), ..locked(LockBusy::Wait) });
    jr.run(4, RunSpec { queue: None, ..locked(LockBusy::Wait) });
    let mut order = Vec::new();
    let mut holder = 1;
    while holder != 0 {
        finish(&mut jr, holder, 0);
        let next = (2..=4).find(|number| jr.starts() == [id(*number)]);
        order.extend(next);
        holder = next.unwrap_or(0);
    }
    order.sort_unstable();
    assert_eq!(order, [2, 3, 4]);
}

#[test]
fn a_taken_lock_rejects_or_skips_who_does_not_wait() {
    let mut jr = Fixture::new();
    jr.run(1, locked(LockBusy::Fail));
    assert_eq!(jr.starts(), [id(1)], "the lock was free");
    let (events, _) = jr.run(2, locked(LockBusy::Fail));
    assert_eq!(events[1], run_ended(2, Outcome::Rejected(RejectReason::LockHeld(id(1)))));
    let (events, _) = jr.run(3, locked(LockBusy::Skip));
    assert_eq!(events[1], run_ended(3, Outcome::Skipped(SkipReason::LockHeld(id(1)))));
}

#[test]
fn a_lock_is_kept_between_attempts_and_while_paused() {
    let mut jr = Fixture::new();
    let backoff = jr::model::Backoff { first_ms: 50, ..jr::model::Backoff::DEFAULT };
    let retry = Some(jr::model::Retry { times: 1, backoff });
    jr.run(1, RunSpec { retry, ..locked(LockBusy::Wait) });
    jr.run(2, locked(LockBusy::Wait));
    finish(&mut jr, 1, 1);
    assert_eq!((jr.phase(1), jr.starts()), (Phase::Delayed, vec![]));
    jr.pass(100);
    assert_eq!(jr.starts(), [id(1)]);
    finish(&mut jr, 1, 1);
    assert_eq!(jr.starts(), [id(2)]);
}

#[test]
fn a_lock_is_taken_only_with_a_slot() {
    let mut jr = Fixture::new();
    jr.ask(Command::SetQueue { queue: queue("default"), limit: 1 });
    jr.run(1, job());
    jr.run(2, locked(LockBusy::Wait));
    jr.run(3, RunSpec { queue: Some(queue("other")), ..locked(LockBusy::Wait) });
    assert_eq!(jr.starts(), [id(3)], "the one that could begin has it");
    jr.run(4, job());
    finish(&mut jr, 1, 0);
    assert_eq!(jr.starts(), [id(4)], "and its rival holds nobody up");
    finish(&mut jr, 3, 0);
    assert_eq!(jr.starts(), []);
    finish(&mut jr, 4, 0);
    assert_eq!(jr.starts(), [id(2)]);
}

#[test]
fn the_next_in_line_steps_forward_when_a_candidate_goes() {
    let mut jr = Fixture::new();
    jr.run(9, RunSpec { queue: None, ..locked(LockBusy::Wait) });
    for number in 1..=2 {
        jr.run(number, locked(LockBusy::Wait));
    }
    jr.ask(Command::PauseQueue { queue: queue("default"), paused: true, asker: None });
    finish(&mut jr, 9, 0);
    assert_eq!(jr.starts(), []);
    jr.stop(&[1]);
    jr.ask(Command::PauseQueue { queue: queue("default"), paused: false, asker: None });
    assert_eq!(jr.starts(), [id(2)]);
}
