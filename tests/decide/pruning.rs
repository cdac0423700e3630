//! What is pruned and pinned, and what must wait meanwhile.

use std::sync::Arc;

use jr::model::{Action, Command, Event, Observation, Pruned, Pruning, Rejection, Reply, RunSpec};

use crate::fixture::{BOOT, Fixture, at_once, exited, id, job, keyed, kinds};

fn prune(before: u64) -> Command {
    Command::Prune { before, keep_days: None, keep_runs: Some(1) }
}

fn done(request: u64, before: u64) -> Observation {
    Observation::Pruned { request, pruned: Pruned { before, runs: 3, ..Pruned::default() } }
}

#[test]
fn a_prune_is_an_intent_then_an_action_then_an_outcome() {
    let mut jr = Fixture::new();
    past(&mut jr, 1, at_once());
    let request = jr.state().seq + 1;
    let (events, reply) = jr.ask(prune(4));
    assert_eq!((kinds(&events), reply), (vec!["prune_requested"], Reply::Pruning { request }));
    let pruning = Pruning { request, before: 4, keep: [].into() };
    assert_eq!(jr.actions(), [Action::Prune(pruning)]);
    assert!(!jr.state().is_idle(), "the daemon stays for it");
    assert_eq!(kinds(&jr.see(done(request, 4))), ["runs_pruned"]);
    assert!(matches!(jr.actions(), [Action::TellPruned(told)] if told.runs == 3));
    assert!(jr.see(done(request, 4)).is_empty(), "it is over once");
    assert!(jr.state().is_idle());
}

#[test]
fn the_next_daemon_goes_on_with_it() {
    let mut jr = Fixture::new();
    past(&mut jr, 1, at_once());
    jr.ask(prune(4));
    let mut next = jr.restart(BOOT);
    next.recovered();
    assert!(matches!(next.actions(), [Action::Prune(pruning)] if pruning.before == 4));
}

#[test]
fn what_lives_names_and_what_is_pinned_is_kept() {
    let mut jr = Fixture::new();
    past(&mut jr, 1, at_once());
    past(&mut jr, 2, at_once());
    let (events, _) = jr.ask(Command::Pin { run: id(1), pinned: true });
    assert_eq!(events, [Event::RunPinned { run: id(1), pinned: true }]);
    let (events, reply) = jr.ask(Command::Pin { run: id(1), pinned: true });
    assert_eq!((events, reply), (vec![], Reply::Done), "it is pinned already");
    jr.run(3, RunSpec { parent: Some(id(2)), ..job() });
    jr.ask(prune(u64::MAX));
    let pruning = jr.state().pruning.clone().expect("under way");
    assert_eq!(pruning.keep, [id(1), id(2)].into());
    assert_eq!(pruning.before, pruning.request, "not beyond what was there");
}

#[test]
fn what_would_name_an_older_run_waits_for_the_end_of_it() {
    let mut jr = Fixture::new();
    past(&mut jr, 1, at_once());
    let before = jr.state().seq;
    jr.ask(prune(4));
    let request = before + 1;
    let named = || Command::Run {
        run: id(2),
        spec: Arc::new(RunSpec { parent: Some(id(1)), ..job() }),
        key_holder: None,
        ended: Vec::new(),
    };
    for command in [prune(5), Command::Pin { run: id(1), pinned: true }, named()] {
        let (events, reply) = jr.ask(command);
        assert_eq!((events, reply), (vec![], Reply::Rejected(Rejection::PruneUnderWay)));
    }
    jr.run(3, job());
    jr.see(done(request, 4));
    let (_, reply) = jr.ask_as(90, before, named());
    let stale = matches!(reply, Reply::Rejected(Rejection::StaleFacts { .. }));
    assert!(stale, "it was looked up before: {reply:?}");
    let (events, _) = jr.ask(named());
    assert_eq!(events[0].kind_name(), "run_admitted");
}

#[test]
fn the_key_of_a_run_that_is_gone_is_free() {
    let mut jr = Fixture::new();
    past(&mut jr, 1, keyed("gone", "true"));
    past(&mut jr, 2, keyed("kept", "true"));
    jr.ask(Command::Pin { run: id(2), pinned: true });
    jr.ask(prune(u64::MAX));
    let pruning = jr.state().pruning.clone().expect("under way");
    jr.see(done(pruning.request, pruning.before));
    let (_, reply) = jr.run(3, keyed("gone", "true"));
    assert_eq!(reply, Reply::Admitted { run: id(3), existing: false });
    let (_, reply) = jr.run(4, keyed("kept", "true"));
    assert_eq!(reply, Reply::Admitted { run: id(2), existing: true });
}

/// A run that came to its end.
fn past(jr: &mut Fixture, number: u64, spec: RunSpec) {
    jr.run(number, spec);
    jr.started(number);
    jr.ended(number, exited(0));
    assert!(!jr.state().runs.contains_key(&id(number)));
}
