//! Batches: admitted whole, and ended with their last line.

use std::sync::Arc;

use jr::model::action::StopAnswer;
use jr::model::event::StopReason::{Asked, FailFast, ParentStopped};
use jr::model::{Command, Kind, Outcome, Rejection, Reply, RunReason, RunSpec};

use crate::fixture::{Fixture, exited, id, job, kinds, run_ended, stop_requested};

#[test]
fn a_batch_and_its_lines_come_in_one_commit() {
    let mut jr = Fixture::new();
    assert_eq!(jr.batch(1, 3, 2, false), Reply::Admitted { run: id(1), existing: false });
    assert_eq!(jr.starts(), [id(101), id(102)], "its own queue has the slots asked for");
    assert_eq!(jr.state().runs.len(), 4);
}

#[test]
fn a_batch_needs_lines_and_slots() {
    let mut jr = Fixture::new();
    assert_eq!(jr.batch(1, 0, 2, false), Reply::Rejected(Rejection::EmptyBatch));
    assert_eq!(jr.batch(1, 1, 0, false), Reply::Rejected(Rejection::NoSlots));
    assert!(jr.state().runs.is_empty());
}

#[test]
fn it_succeeds_with_its_last_line() {
    let mut jr = Fixture::new();
    jr.batch(1, 2, 1, false);
    assert_eq!(kinds(&jr.ended(101, exited(0))), ["attempt_ended", "run_ended"]);
    let events = jr.ended(102, exited(0));
    assert_eq!(events.last(), Some(&run_ended(1, Outcome::Succeeded)));
    assert!(jr.state().runs.is_empty() && jr.state().waits.queues.is_empty());
}

#[test]
fn by_itself_it_keeps_going_and_counts_failures() {
    let mut jr = Fixture::new();
    jr.batch(1, 3, 1, false);
    jr.ended(101, exited(1));
    jr.ended(102, exited(0));
    let events = jr.ended(103, exited(2));
    assert_eq!(events.last(), Some(&run_ended(1, Outcome::Failed(RunReason::Lines(2)))));
}

#[test]
fn the_first_failure_cancels_the_rest_where_that_was_asked_for() {
    let mut jr = Fixture::new();
    jr.batch(1, 40, 1, true);
    let events = jr.ended(101, exited(1));
    assert!(events.contains(&stop_requested(102, FailFast, 4)), "held: it is withdrawn");
    assert!(events.contains(&run_ended(140, Outcome::Cancelled(FailFast))), "it was waiting");
    assert!(!jr.starts().contains(&id(102)));
    for line in 102..=133 {
        jr.withdrawn(line);
    }
    assert!(jr.state().runs.is_empty(), "{:?}", jr.state().runs.keys());
}

#[test]
fn fail_fast_stops_lines_that_run() {
    let mut jr = Fixture::new();
    jr.batch(1, 2, 2, true);
    jr.started(102);
    jr.ended(101, exited(1));
    assert_eq!(jr.stops(), [id(102)]);
    let events = jr.ended(102, exited(0));
    assert_eq!(events[1], run_ended(102, Outcome::Stopped(FailFast)));
    assert_eq!(events[2], run_ended(1, Outcome::Failed(RunReason::Lines(2))));
}

#[test]
fn a_stopped_batch_ends_when_its_lines_have() {
    let mut jr = Fixture::new();
    jr.batch(1, 2, 1, false);
    jr.started(101);
    let (_, reply) = jr.stop(&[1]);
    assert_eq!(reply, Reply::Stopping(vec![(id(1), StopAnswer::Stopping)]));
    assert_eq!(jr.stops(), [id(101), id(102)]);
    jr.withdrawn(102);
    let events = jr.ended(101, exited(0));
    assert_eq!(events[1], run_ended(101, Outcome::Stopped(ParentStopped)));
    assert_eq!(events[2], run_ended(1, Outcome::Cancelled(Asked)));
}

#[test]
fn the_same_batch_again_is_the_same_batch() {
    let mut jr = Fixture::new();
    jr.batch(1, 2, 1, false);
    let batch = |number: u64| Command::Batch {
        run: id(number),
        spec: Arc::new(RunSpec { kind: Kind::Batch, ..job() }),
        jobs: 1,
        lines: Vec::new(),
    };
    let (events, reply) = jr.ask_as(1, 0, batch(2));
    assert_eq!((events, reply), (vec![], Reply::Admitted { run: id(1), existing: true }));
}

/// A run whose parent is a batch because it repeats or continues it is no line of it.
#[test]
fn a_batch_does_not_count_what_only_continues_it() {
    let mut jr = Fixture::new();
    jr.batch(1, 1, 1, true);
    let line = jr::model::command::BatchLine {
        run: id(201),
        name: "line".to_owned(),
        command: Vec::new(),
        line: "true".into(),
    };
    let spec = RunSpec { kind: Kind::Batch, queue: None, parent: Some(id(1)), ..job() };
    let spec = Arc::new(spec);
    jr.ask(Command::Batch { run: id(2), spec, jobs: 1, lines: vec![line] });
    let events = jr.ended(201, exited(1));
    assert_eq!(events.last(), Some(&run_ended(2, Outcome::Failed(RunReason::Lines(1)))));
    assert_eq!(jr.state().batches[&id(1)].failed, 0);
    let events = jr.ended(101, exited(0));
    assert_eq!(events.last(), Some(&run_ended(1, Outcome::Succeeded)));
}
