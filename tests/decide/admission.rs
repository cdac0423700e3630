//! Who is let in, and what the same question gets the second time.

use std::sync::Arc;

use jr::limits;
use jr::model::command::KeyHolder;
use jr::model::{Action, ByteString, Command, ExitStatus, Rejection, Reply, RunSpec, Slot};

use crate::fixture::{Fixture, at_once, exited, id, job, keyed, kinds};

fn admitted(number: u64, existing: bool) -> Reply {
    Reply::Admitted { run: id(number), existing }
}

fn run(number: u64, spec: RunSpec, key_holder: Option<KeyHolder>) -> Command {
    Command::Run { run: id(number), spec: Arc::new(spec), key_holder, ended: Vec::new() }
}

#[test]
fn a_run_without_a_queue_starts_at_once() {
    let mut jr = Fixture::new();
    let (events, reply) = jr.run(1, at_once());
    assert_eq!(kinds(&events), ["run_admitted", "attempt_intended"]);
    assert_eq!(reply, admitted(1, false));
    assert_eq!(jr.starts(), [id(1)]);
}

#[test]
fn a_start_carries_all_that_was_asked_for() {
    let mut jr = Fixture::new();
    let labels = [("team".to_owned(), "a".to_owned())].into();
    let spec = RunSpec { labels, timeout_ms: Some(7), ..job() };
    jr.run(1, spec.clone());
    let start = Action::Start {
        run: id(1),
        attempt: 1,
        spec: Arc::new(spec),
        ports: Vec::new(),
        passed: Vec::new(),
        notifies: false,
        main_pid: None,
        slot: Some(Slot { queue: "default".parse().expect("a name"), limit: 2, place: 4 }),
    };
    assert_eq!(jr.actions(), [start]);
}

#[test]
fn the_same_command_again_gets_the_same_run() {
    let mut jr = Fixture::new();
    jr.ask_as(77, 0, run(1, job(), None));
    let (events, reply) = jr.ask_as(77, 0, run(2, job(), None));
    assert_eq!((events, reply), (vec![], admitted(1, true)));
}

#[test]
fn the_same_command_again_gets_the_same_run_after_its_end() {
    let mut jr = Fixture::new();
    jr.ask_as(77, 0, run(1, job(), None));
    jr.started(1);
    jr.ended(1, exited(0));
    let (events, reply) = jr.ask_as(77, 0, run(2, job(), None));
    assert_eq!((events, reply), (vec![], admitted(1, true)));
}

#[test]
fn an_id_is_given_once() {
    let mut jr = Fixture::new();
    jr.run(1, job());
    assert_eq!(jr.run(1, job()), (vec![], Reply::Rejected(Rejection::IdTaken(id(1)))));
    jr.started(1);
    jr.ended(1, exited(0));
    assert_eq!(jr.run(1, job()), (vec![], Reply::Rejected(Rejection::IdTaken(id(1)))));
}

#[test]
fn a_key_starts_one_run_alive_or_ended() {
    let mut jr = Fixture::new();
    jr.run(1, keyed("k", "true"));
    assert_eq!(jr.run(2, keyed("k", "true")), (vec![], admitted(1, true)));
    jr.started(1);
    jr.ended(1, exited(0));
    assert_eq!(jr.run(3, keyed("k", "true")), (vec![], admitted(1, true)));
}

#[test]
fn a_key_stands_for_one_command() {
    let mut jr = Fixture::new();
    jr.run(1, keyed("k", "true"));
    let conflict = Rejection::KeyConflict { key: "k".to_owned(), holder: id(1) };
    assert_eq!(jr.run(2, keyed("k", "other")), (vec![], Reply::Rejected(conflict)));
}

#[test]
fn a_key_that_only_the_views_know_holds_too() {
    let mut jr = Fixture::new();
    let holder = |word: &str| Some(KeyHolder { run: id(9), command: vec![ByteString::from(word)] });
    let head = jr.state().seq;
    let (events, reply) = jr.ask_as(1, head, run(1, keyed("k", "true"), holder("true")));
    assert_eq!((events, reply), (vec![], admitted(9, true)));
    let (_, reply) = jr.ask_as(2, head, run(1, keyed("k", "true"), holder("other")));
    let conflict = Rejection::KeyConflict { key: "k".to_owned(), holder: id(9) };
    assert_eq!(reply, Reply::Rejected(conflict));
}

#[test]
fn memory_beats_what_the_views_said_earlier() {
    let mut jr = Fixture::new();
    let facts_seq = jr.state().seq;
    jr.run(1, keyed("k", "true"));
    let (_, reply) = jr.ask_as(50, facts_seq, run(2, keyed("k", "true"), None));
    assert_eq!(reply, admitted(1, true));
}

/// Events until memory covers no more than the window.
fn fill_window(jr: &mut Fixture) {
    for _ in 0..limits::ENDED_WINDOW {
        let name = jr::model::QueueName::default_queue();
        jr.ask(Command::SetQueue { queue: name, limit: 2 });
    }
}

#[test]
fn facts_that_memory_no_longer_covers_are_looked_up_anew() {
    let mut jr = Fixture::new();
    let read_at = jr.state().seq;
    fill_window(&mut jr);
    let (_, reply) = jr.ask_as(9_999, read_at, run(1, keyed("k", "true"), None));
    assert_eq!(reply, admitted(1, false), "at the edge they are good");
    let head = jr.state().seq;
    let (events, reply) = jr.ask_as(10_000, read_at, run(2, keyed("other", "true"), None));
    assert_eq!((events, reply), (vec![], Reply::Rejected(Rejection::StaleFacts { read_at, head })));
}

#[test]
fn a_run_without_a_key_needs_no_facts() {
    let mut jr = Fixture::new();
    fill_window(&mut jr);
    jr.run(1, job());
    let (_, reply) = jr.ask_as(9_999, 0, run(2, job(), None));
    assert_eq!(reply, admitted(2, false));
}

#[test]
fn a_run_that_could_not_start_holds_its_key() {
    let mut jr = Fixture::new();
    jr.run(1, keyed("k", "true"));
    jr.ended(1, ExitStatus::NotStarted(jr::model::SpawnError::NotFound));
    assert_eq!(jr.run(2, keyed("k", "true")).1, admitted(1, true));
}
