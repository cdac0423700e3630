//! Stops and signals: of what waits, is held, runs, or is over.

use jr::model::action::{SignalAnswer, StopAnswer};
use jr::model::event::StopReason::{Asked, ParentStopped};
use jr::model::{
    Action, Command, ExitStatus, LostReason, Observation, Outcome, Reply, RunSpec, Signal,
};

use crate::fixture::{
    Fixture, at_once, exited, id, job, kinds, over, queue, run_ended, stop_requested,
};

fn waiting() -> Fixture {
    let mut jr = Fixture::new();
    jr.ask(Command::SetQueue { queue: queue("slow"), limit: 1 });
    for number in 1..=40 {
        jr.run(number, RunSpec { queue: Some(queue("slow")), ..job() });
    }
    jr
}

#[test]
fn what_is_not_intended_is_cancelled_at_once() {
    let mut jr = waiting();
    let (events, reply) = jr.stop(&[40]);
    let expected = [stop_requested(40, Asked, 9), run_ended(40, Outcome::Cancelled(Asked))];
    assert_eq!(events, expected);
    assert_eq!(reply, Reply::Stopping(vec![(id(40), StopAnswer::Cancelled)]));
    assert_eq!(jr.stops(), []);
}

#[test]
fn what_is_intended_is_withdrawn_and_then_cancelled() {
    let mut jr = waiting();
    let (events, reply) = jr.stop(&[2]);
    assert_eq!(events, [stop_requested(2, Asked, 9)]);
    assert_eq!(reply, Reply::Stopping(vec![(id(2), StopAnswer::Stopping)]));
    assert_eq!(jr.stops(), [id(2)]);
    let events = jr.withdrawn(2);
    let ended = run_ended(2, Outcome::Cancelled(Asked));
    assert_eq!(events[..2], [over(2, 1, ExitStatus::NeverStarted), ended]);
}

#[test]
fn what_is_being_stopped_gets_no_slot() {
    let mut jr = waiting();
    jr.stop(&[2]);
    jr.ended(1, exited(0));
    assert_eq!(jr.starts(), [id(3)]);
}

#[test]
fn what_runs_is_stopped_with_the_grace_that_was_asked_for() {
    let mut jr = Fixture::new();
    jr.run(1, at_once());
    jr.started(1);
    jr.stop(&[1]);
    let (run, signal) = (id(1), Signal::TERM);
    assert_eq!(jr.actions(), [Action::Stop { run, attempt: 1, signal, grace_ms: 9 }]);
    let events = jr.ended(1, ExitStatus::Signalled(Signal::TERM));
    assert_eq!(events[1], run_ended(1, Outcome::Stopped(Asked)));
}

#[test]
fn an_exit_code_after_a_stop_is_still_a_stop() {
    let mut jr = Fixture::new();
    jr.run(1, at_once());
    jr.started(1);
    jr.stop(&[1]);
    assert_eq!(jr.ended(1, exited(0))[1], run_ended(1, Outcome::Stopped(Asked)));
}

#[test]
fn a_stop_that_meets_a_start_in_flight_stops_the_process() {
    let mut jr = Fixture::new();
    jr.run(1, at_once());
    jr.stop(&[1]);
    assert_eq!(kinds(&jr.started(1)), ["attempt_started"]);
    assert_eq!(kinds(&jr.withdrawn(1)), [""; 0], "it has a process: too late for that");
    assert_eq!(kinds(&jr.ended(1, exited(0))), ["attempt_ended", "run_ended"]);
}

#[test]
fn a_loss_after_a_stop_is_a_loss() {
    let mut jr = Fixture::new();
    jr.run(1, at_once());
    jr.started(1);
    jr.stop(&[1]);
    let reason = LostReason::ShimDied;
    let events = jr.see(Observation::ShimLost { run: id(1), attempt: 1, reason });
    assert_eq!(events[1], run_ended(1, Outcome::Lost(reason)));
}

#[test]
fn what_has_ended_or_never_was_is_said_to_have_ended() {
    let mut jr = Fixture::new();
    jr.run(1, at_once());
    jr.ended(1, exited(0));
    let (events, reply) = jr.stop(&[1, 2]);
    let ended = StopAnswer::AlreadyEnded;
    let answers = vec![(id(1), ended), (id(2), ended)];
    assert_eq!((events, reply), (vec![], Reply::Stopping(answers)));
}

/// The second stop named a run that the first one had ended (simulation, seed 19).
#[test]
fn a_run_that_is_named_twice_is_stopped_once() {
    let mut jr = waiting();
    let (events, reply) = jr.stop(&[40, 40]);
    assert_eq!(kinds(&events), ["stop_requested", "run_ended"]);
    assert_eq!(reply, Reply::Stopping(vec![(id(40), StopAnswer::Cancelled)]));
}

/// The stop of a batch ended the line that the same command named after it, and the other way
/// round (simulation, seed 19).
#[test]
fn a_batch_and_its_lines_may_be_named_together() {
    for order in [[1, 140], [140, 1]] {
        let mut jr = Fixture::new();
        jr.batch(1, 40, 1, false);
        let (events, _) = jr.stop(&order);
        let parent = stop_requested(140, ParentStopped, 9);
        assert_eq!(events.iter().filter(|event| **event == parent).count(), 1);
        assert!(!events.contains(&stop_requested(140, Asked, 9)));
        assert!(events.contains(&run_ended(140, Outcome::Cancelled(ParentStopped))));
    }
}

#[test]
fn a_signal_goes_to_what_has_a_process() {
    let mut jr = Fixture::new();
    jr.run(1, at_once());
    jr.run(2, at_once());
    jr.started(1);
    let (runs, signal) = (vec![id(1), id(2), id(3)], Signal::HUP);
    let (events, reply) = jr.ask(Command::Signal { runs, signal, asker: None });
    assert_eq!(kinds(&events), ["signal_requested"]);
    let (sending, not) = (SignalAnswer::Sending, SignalAnswer::NotRunning);
    let answers = vec![(id(1), sending), (id(2), not), (id(3), not)];
    assert_eq!(reply, Reply::Signalling(answers));
    assert_eq!(jr.actions(), [Action::Signal { run: id(1), attempt: 1, signal }]);
}
