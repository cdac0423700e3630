//! Runs and queues that are held, and go on.

use jr::model::action::{Action, PauseAnswer, ResumeAnswer};
use jr::model::command::Rejection;
use jr::model::event::StopReason;
use jr::model::{Command, Event, Finding, Outcome, PausedBy, Phase, Reply};

use crate::fixture::{BOOT, Fixture, exited, id, job, kinds, process, queue, run_ended};

fn pauses(jr: &Fixture) -> usize {
    jr.actions().iter().filter(|action| matches!(action, Action::Pause { .. })).count()
}

#[test]
fn a_running_run_is_paused_and_goes_on() {
    let mut jr = Fixture::new();
    jr.run(1, job());
    jr.started(1);
    let (events, reply) = jr.pause(&[1]);
    assert_eq!(kinds(&events), ["pause_requested"]);
    assert_eq!(reply, Reply::Pausing(vec![(id(1), PauseAnswer::Pausing)]));
    assert_eq!((pauses(&jr), jr.phase(1)), (1, Phase::Running));
    let by = PausedBy::Freezer;
    assert_eq!(jr.held_still(1), [Event::RunPaused { run: id(1), attempt: 1, by }]);
    assert_eq!(jr.phase(1), Phase::Paused);
    assert_eq!(jr.held_still(1), [], "what is repeated changes nothing");
    let (events, reply) = jr.pause(&[1]);
    assert_eq!(
        (events, reply),
        (vec![], Reply::Pausing(vec![(id(1), PauseAnswer::AlreadyPaused)]))
    );
    let (events, reply) = jr.resume(&[1]);
    assert_eq!(kinds(&events), ["unpause_requested"]);
    assert_eq!(reply, Reply::Resuming(vec![(id(1), ResumeAnswer::Resumed)]));
    assert_eq!(kinds(&jr.goes_on(1)), ["run_unpaused"]);
    assert_eq!(jr.phase(1), Phase::Running);
    assert_eq!(jr.ended(1, exited(0))[1], run_ended(1, Outcome::Succeeded));
}

#[test]
fn a_waiting_run_keeps_its_place_and_gets_no_start() {
    let mut jr = Fixture::new();
    jr.ask(Command::SetQueue { queue: queue("default"), limit: 1 });
    for number in 1..=3 {
        jr.run(number, job());
    }
    let (events, _) = jr.pause(&[2]);
    assert_eq!(kinds(&events), ["pause_requested"]);
    assert_eq!(pauses(&jr), 1, "its intent is durable already: the start is given back");
    jr.withdrawn(2);
    assert_eq!(jr.phase(2), Phase::Paused);
    jr.started(1);
    jr.ended(1, exited(0));
    assert_eq!(jr.starts(), [id(3)]);
    jr.resume(&[2]);
    assert_eq!(jr.phase(2), Phase::Starting);
    jr.ended(3, exited(0));
    assert_eq!(jr.starts(), [id(2)]);
}

#[test]
fn a_pause_that_was_taken_back_before_the_answer_holds_nobody() {
    let mut jr = Fixture::new();
    jr.run(1, job());
    jr.pause(&[1]);
    jr.resume(&[1]);
    let events = jr.withdrawn(1);
    assert_eq!(kinds(&events), ["attempt_ended", "attempt_intended"]);
}

#[test]
fn a_paused_run_can_be_stopped_and_its_end_is_seen() {
    let mut jr = Fixture::new();
    jr.run(1, job());
    jr.started(1);
    jr.pause(&[1]);
    jr.held_still(1);
    jr.stop(&[1]);
    assert_eq!(jr.stops(), [id(1)]);
    assert_eq!(kinds(&jr.goes_on(1)), ["run_unpaused"]);
    let events = jr.ended(1, exited(1));
    assert_eq!(events[1], run_ended(1, Outcome::Stopped(StopReason::Asked)));
    jr.run(2, job());
    jr.started(2);
    jr.pause(&[2]);
    jr.held_still(2);
    assert_eq!(jr.ended(2, exited(0))[1], run_ended(2, Outcome::Succeeded), "somebody let it end");
}

#[test]
fn resume_says_what_it_cannot_do() {
    let mut jr = Fixture::new();
    jr.run(1, job());
    jr.started(1);
    let (events, reply) = jr.resume(&[1, 9]);
    assert_eq!(events, []);
    let answers = vec![(id(1), ResumeAnswer::NotPaused), (id(9), ResumeAnswer::AlreadyEnded)];
    assert_eq!(reply, Reply::Resuming(answers));
    jr.stop(&[1]);
    assert_eq!(jr.pause(&[1]).1, Reply::Pausing(vec![(id(1), PauseAnswer::Stopping)]));
}

#[test]
fn the_next_daemon_knows_what_is_held_and_asks_again_for_what_is_not() {
    let paused = |by| Finding::Running { process: process(), paused: by };
    let before = |held: bool| {
        let mut jr = Fixture::new();
        jr.run(1, job());
        jr.started(1);
        jr.pause(&[1]);
        if held {
            jr.held_still(1);
        }
        jr.restart(BOOT)
    };
    let mut jr = before(true);
    assert_eq!(jr.found(id(1), paused(Some(PausedBy::Freezer))), []);
    assert_eq!(jr.phase(1), Phase::Paused);
    let mut jr = before(true);
    let events = jr.found(id(1), paused(None));
    assert_eq!((kinds(&events), pauses(&jr)), (vec!["run_unpaused"], 1));
    let mut jr = before(false);
    let events = jr.found(id(1), paused(Some(PausedBy::Signal)));
    assert_eq!((kinds(&events), pauses(&jr)), (vec!["run_paused"], 0));
    let mut jr = before(false);
    assert_eq!((jr.found(id(1), paused(None)), pauses(&jr)), (vec![], 1));
}

#[test]
fn a_paused_queue_gives_no_starts_and_ends_nothing() {
    let mut jr = Fixture::new();
    let pause = |jr: &mut Fixture, paused| {
        jr.ask(Command::PauseQueue { queue: queue("default"), paused, asker: None })
    };
    jr.run(1, job());
    let (events, _) = pause(&mut jr, true);
    assert_eq!(kinds(&events), ["queue_paused"]);
    assert_eq!(pause(&mut jr, true).0, [], "once is enough");
    let (events, _) = jr.run(2, job());
    assert_eq!((kinds(&events), jr.starts()), (vec!["run_admitted"], vec![]));
    jr.started(1);
    jr.ended(1, exited(0));
    assert_eq!(jr.starts(), []);
    pause(&mut jr, false);
    assert_eq!(jr.starts(), [id(2)]);
    let (_, reply) =
        jr.ask(Command::PauseQueue { queue: queue("nowhere"), paused: true, asker: None });
    assert_eq!(reply, Reply::Rejected(Rejection::NoSuchQueue(queue("nowhere"))));
}

#[test]
fn an_intent_of_a_paused_queue_waits_for_it() {
    let mut jr = Fixture::new();
    for number in 1..=3 {
        jr.run(number, job());
    }
    assert_eq!(jr.phase(3), Phase::Starting, "its intent is ahead of a slot");
    jr.ask(Command::PauseQueue { queue: queue("default"), paused: true, asker: None });
    jr.started(1);
    jr.ended(1, exited(0));
    assert_eq!(jr.starts(), []);
    jr.ask(Command::PauseQueue { queue: queue("default"), paused: false, asker: None });
    assert_eq!(jr.starts(), [id(3)]);
}

#[test]
fn a_paused_batch_holds_its_queue_and_its_running_lines() {
    let mut jr = Fixture::new();
    jr.batch(1, 4, 2, false);
    jr.started(101);
    jr.started(102);
    let (events, reply) = jr.pause(&[1]);
    assert_eq!(events[0].kind_name(), "queue_paused");
    assert_eq!(reply, Reply::Pausing(vec![(id(1), PauseAnswer::Pausing)]));
    assert_eq!(kinds(&events)[1..3], ["pause_requested", "pause_requested"]);
    jr.held_still(101);
    jr.held_still(102);
    let (events, _) = jr.resume(&[1]);
    assert_eq!(events[0].kind_name(), "queue_unpaused");
    jr.goes_on(101);
    jr.goes_on(102);
    for line in 101..=104 {
        jr.ended(line, exited(0));
    }
    assert_eq!(jr.phase(1), Phase::Ended);
}

#[test]
fn a_batch_is_shown_as_paused_once_nothing_of_it_runs() {
    let mut jr = Fixture::new();
    jr.batch(1, 4, 2, false);
    jr.started(101);
    jr.started(102);
    let shown = |jr: &Fixture| jr.state().shown_state(&jr.state().runs[&id(1)]);
    assert_eq!(shown(&jr), "running");
    jr.pause(&[1]);
    jr.held_still(101);
    jr.withdrawn(103);
    jr.withdrawn(104);
    assert_eq!(shown(&jr), "running", "102 still runs");
    jr.ended(102, exited(0));
    assert_eq!(shown(&jr), "paused", "101 stands still, 103 and 104 get no start");
    jr.resume(&[101]);
    jr.goes_on(101);
    assert_eq!(shown(&jr), "running", "one line of it goes on by itself");
    jr.ended(101, exited(0));
    assert_eq!(shown(&jr), "paused");
    jr.resume(&[1]);
    assert_eq!(shown(&jr), "running");
}

#[test]
fn a_batch_in_a_queue_of_others_is_paused_when_each_of_its_lines_is() {
    let mut jr = Fixture::new();
    jr.batch_in(1, 3, queue("default"));
    jr.started(101);
    let shown = |jr: &Fixture| jr.state().shown_state(&jr.state().runs[&id(1)]);
    jr.ask(Command::PauseQueue { queue: queue("default"), paused: true, asker: None });
    jr.ended(101, exited(0));
    assert_eq!(shown(&jr), "running", "nobody paused the batch");
    jr.pause(&[1]);
    jr.withdrawn(102);
    jr.withdrawn(103);
    assert_eq!(shown(&jr), "paused");
    jr.resume(&[102]);
    assert_eq!(shown(&jr), "running", "102 waits for its queue");
}

/// Seed 277: a start that a pause gives back must not go out when it is resumed at once.
#[test]
fn a_start_that_is_being_given_back_does_not_go_out() {
    let mut jr = Fixture::new();
    for number in 1..=3 {
        jr.run(number, job());
    }
    assert_eq!(jr.phase(3), Phase::Starting, "intended ahead of a slot");
    jr.pause(&[3]);
    jr.resume(&[3]);
    jr.started(1);
    jr.ended(1, exited(0));
    assert!(!jr.starts().contains(&id(3)), "its withdrawal is on the way");
    let events = jr.withdrawn(3);
    assert_eq!(kinds(&events)[..2], ["attempt_ended", "attempt_intended"]);
    assert_eq!(jr.starts(), [id(3)]);
}
