//! Slots: who goes, who waits, and what a limit changes while things run.

use jr::model::{Command, Finding, Rejection, Reply, RunSpec};

use crate::fixture::{BOOT, Fixture, at_once, exited, id, job, kinds, process, queue};

fn limit(jr: &mut Fixture, name: &str, limit: u32) -> Reply {
    jr.ask(Command::SetQueue { queue: queue(name), limit }).1
}

fn slow() -> RunSpec {
    RunSpec { queue: Some(queue("slow")), ..job() }
}

#[test]
fn a_queue_has_a_slot_for_each_core() {
    let mut jr = Fixture::new();
    for number in 1..=2 {
        jr.run(number, job());
        assert_eq!(jr.starts(), [id(number)]);
    }
    let (events, _) = jr.run(3, job());
    assert_eq!(kinds(&events), ["run_admitted", "attempt_intended"], "durable ahead of a slot");
    assert_eq!(jr.starts(), []);
    jr.started(1);
    jr.ended(1, exited(0));
    assert_eq!(jr.starts(), [id(3)]);
}

#[test]
fn the_order_is_that_of_admission() {
    let mut jr = Fixture::new();
    limit(&mut jr, "slow", 1);
    for number in [5, 3, 4] {
        jr.run(number, slow());
    }
    jr.ended(5, exited(0));
    assert_eq!(jr.starts(), [id(3)]);
    jr.ended(3, exited(1));
    assert_eq!(jr.starts(), [id(4)]);
}

#[test]
fn queues_do_not_wait_for_each_other() {
    let mut jr = Fixture::new();
    for number in 1..=3 {
        jr.run(number, job());
    }
    jr.run(4, slow());
    assert_eq!(jr.starts(), [id(4)]);
    jr.run(5, at_once());
    assert_eq!(jr.starts(), [id(5)]);
}

#[test]
fn a_higher_limit_starts_who_waits() {
    let mut jr = Fixture::new();
    limit(&mut jr, "slow", 1);
    for number in 1..=4 {
        jr.run(number, slow());
    }
    assert_eq!(limit(&mut jr, "slow", 3), Reply::Done);
    assert_eq!(jr.starts(), [id(2), id(3)]);
}

#[test]
fn a_lower_limit_stops_nobody_and_starts_nobody() {
    let mut jr = Fixture::new();
    for number in 1..=3 {
        jr.run(number, job());
    }
    limit(&mut jr, "default", 1);
    assert_eq!((jr.starts(), jr.stops()), (vec![], vec![]));
    jr.ended(1, exited(0));
    assert_eq!(jr.starts(), [], "one still runs in the only slot");
    jr.ended(2, exited(0));
    assert_eq!(jr.starts(), [id(3)]);
}

#[test]
fn a_queue_needs_a_slot() {
    let mut jr = Fixture::new();
    assert_eq!(limit(&mut jr, "slow", 0), Reply::Rejected(Rejection::NoSlots));
    assert!(!jr.state().waits.queues.contains_key(&queue("slow")));
}

#[test]
fn a_withdrawn_start_goes_back_to_its_old_place() {
    let mut jr = Fixture::new();
    limit(&mut jr, "slow", 1);
    for number in 1..=3 {
        jr.run(number, slow());
    }
    let events = jr.withdrawn(1);
    assert_eq!(kinds(&events), ["attempt_ended", "attempt_intended"]);
    assert_eq!(jr.state().runs[&id(1)].attempt, 2, "the number is spent");
    assert_eq!(jr.starts(), [id(2)], "it was given ahead of its slot, which was free at once");
    jr.ended(2, exited(0));
    assert_eq!(jr.starts(), [id(1)], "before the one that came later");
}

#[test]
fn a_paused_queue_gives_nothing_that_was_given_ahead() {
    let mut jr = Fixture::new();
    limit(&mut jr, "slow", 1);
    for number in 1..=3 {
        jr.run(number, slow());
    }
    jr.ask(Command::PauseQueue { queue: queue("slow"), paused: true, asker: None });
    jr.ended(1, exited(0));
    assert_eq!(jr.starts(), []);
    jr.ask(Command::PauseQueue { queue: queue("slow"), paused: false, asker: None });
    assert_eq!(jr.starts(), [id(2)]);
}

#[test]
fn a_daemon_that_takes_over_a_full_queue_starts_nothing_more() {
    let mut jr = Fixture::new();
    limit(&mut jr, "slow", 1);
    for number in 1..=3 {
        jr.run(number, slow());
    }
    jr.started(1);
    let mut jr = jr.restart(BOOT);
    jr.found(id(1), Finding::Running { process: process(), paused: None });
    for number in 2..=3 {
        jr.found(id(number), Finding::Unclaimed);
    }
    jr.recovered();
    assert_eq!(jr.starts(), []);
    jr.ended(1, exited(0));
    assert_eq!(jr.starts(), [id(2)]);
}

#[test]
fn intents_are_bounded_and_the_rest_waits() {
    let mut jr = Fixture::new();
    let ahead = 2 + jr::limits::INTENTS_AHEAD as u64;
    for number in 1..=ahead {
        let (events, _) = jr.run(number, job());
        assert_eq!(kinds(&events), ["run_admitted", "attempt_intended"]);
    }
    let (events, _) = jr.run(ahead + 1, job());
    assert_eq!(kinds(&events), ["run_admitted"]);
    let events = jr.ended(1, exited(0));
    assert_eq!(kinds(&events), ["attempt_ended", "run_ended", "attempt_intended"]);
}
