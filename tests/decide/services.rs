//! Services: who begins when, what follows an end, and who stops first.

use std::collections::BTreeSet;
use std::sync::Arc;

use jr::limits;
use jr::model::event::{LostReason, StopReason};
use jr::model::service::plan::{Because, Step, Verb, Wish};
use jr::model::service::probe::{Probe, ProbePort, ProbeWay};
use jr::model::service::spec::{
    Health, HookMoment, PortWish, RestartPolicy, ServiceCondition, ServiceDependency, ServiceSpec,
    Supervision,
};
use jr::model::{
    Action, Backoff, ByteString, Command, Digest, Event, ExitStatus, Finding, GitCommit, Kind,
    Observation, OnInterrupt, Outcome, PausedBy, Phase, Reply, Run, RunId, RunReason, RunSpec,
    ServiceName, SpawnError, State,
};

use crate::fixture::{BOOT, Fixture, NEXT_BOOT, end, exited, kinds, process};

fn name(text: &str) -> ServiceName {
    text.parse().expect("a name")
}

/// A service without probes or ports that is always started again, after 100, 200, … ms.
fn supervision() -> Supervision {
    let backoff = Backoff { first_ms: 100, max_ms: 400, factor_percent: 200, jitter_percent: 0 };
    Supervision { backoff, stable_ms: 10_000, ..Supervision::default() }
}

fn spec(version: u8, supervision: Supervision) -> ServiceSpec {
    let run = RunSpec {
        kind: Kind::Service,
        command: vec![ByteString::from("serve")],
        on_interrupt: OnInterrupt::Ask,
        ..RunSpec::default()
    };
    ServiceSpec {
        title: None,
        hostname: None,
        run: Arc::new(run),
        replicas: 1,
        supervision: Arc::new(supervision),
        digest: Digest([version; 32]),
    }
}

fn on(service: &str, condition: ServiceCondition) -> ServiceDependency {
    ServiceDependency { service: name(service), condition }
}

fn probe() -> Probe {
    Probe {
        way: ProbeWay::Tcp { host: "localhost".into(), port: ProbePort::Number(1) },
        initial_delay_ms: 0,
        interval_ms: 1,
        timeout_ms: 1,
        failure_threshold: 1,
        success_threshold: 1,
    }
}

fn up(jr: &mut Fixture, declared: &[(&str, ServiceSpec)]) -> (Vec<Event>, Vec<Step>) {
    let names = declared.iter().map(|(text, _)| name(text)).collect();
    wish(jr, declared, Wish { names, with_dependencies: true, ..Wish::default() })
}

fn wish(jr: &mut Fixture, declared: &[(&str, ServiceSpec)], wish: Wish) -> (Vec<Event>, Vec<Step>) {
    let declared = declared.iter().map(|(text, spec)| (name(text), Arc::new(spec.clone())));
    let wish = Wish { declared: declared.collect(), ..wish };
    let (events, reply) = jr.ask(Command::Up { wish, asker: None });
    let Reply::Planned(steps) = reply else { panic!("{reply:?}") };
    (events, steps)
}

fn down(jr: &mut Fixture, services: &[&str]) -> Vec<Event> {
    let services = services.iter().map(|text| name(text)).collect::<Vec<_>>();
    let services = (!services.is_empty()).then_some(services);
    jr.ask(Command::Down { services, asker: None }).0
}

fn verbs(steps: &[Step]) -> Vec<(&str, Verb)> {
    steps.iter().map(|step| (step.role.service.as_str(), step.verb)).collect()
}

/// The newest run of replica 0.
fn newest(state: &State, service: &str) -> RunId {
    let replica = &state.services.known[&name(service)].replicas[&0];
    let live = replica.newest().map(|standing| standing.run);
    live.or(replica.last.map(|last| last.run)).expect("it has a run")
}

fn run<'a>(jr: &'a Fixture, service: &str) -> &'a Run {
    &jr.state().runs[&newest(jr.state(), service)]
}

fn phase(jr: &Fixture, service: &str) -> Phase {
    let run = newest(jr.state(), service);
    jr.state().runs.get(&run).map_or(Phase::Ended, |run| run.phase)
}

fn at(jr: &Fixture, service: &str) -> (RunId, u32) {
    let live = run(jr, service);
    (live.id, live.attempt)
}

/// What is checked out is of each start, and a service is the same whatever it is.
#[test]
fn a_run_of_a_service_has_the_commit_of_the_command_that_began_it() {
    let mut jr = Fixture::new();
    let commit = |byte: u8| GitCommit::from_bytes(&[byte; 20]).expect("a commit");
    let at = |byte: u8| [(name("web"), commit(byte))].into_iter().collect();
    let web = || ("web", spec(1, supervision()));
    let names = || vec![name("web")];
    wish(&mut jr, &[web()], Wish { names: names(), commits: at(1), ..Wish::default() });
    assert_eq!(run(&jr, "web").spec.commit, Some(commit(1)));
    assert_eq!(jr.state().services.known[&name("web")].spec.run.commit, None);
    let again = Wish { names: names(), commits: at(2), ..Wish::default() };
    let (events, steps) = wish(&mut jr, &[web()], again);
    assert_eq!((events, verbs(&steps)), (Vec::new(), vec![("web", Verb::Keep)]));
    let anew = Wish { names: names(), commits: at(3), anew: true, ..Wish::default() };
    wish(&mut jr, &[], anew);
    assert_eq!(run(&jr, "web").spec.commit, Some(commit(3)));
    wish(&mut jr, &[], Wish { names: names(), anew: true, ..Wish::default() });
    assert_eq!(run(&jr, "web").spec.commit, None, "nobody looked");
}

fn started(jr: &mut Fixture, service: &str) -> Vec<Event> {
    let (run, attempt) = at(jr, service);
    jr.see(Observation::ProcessStarted { run, attempt, process: process() })
}

fn ended(jr: &mut Fixture, service: &str, status: ExitStatus) -> Vec<Event> {
    let (run, attempt) = at(jr, service);
    jr.see(Observation::ProcessEnded { run, attempt, end: end(status) })
}

fn healthy(jr: &mut Fixture, service: &str, health: Health) -> Vec<Event> {
    let (run, attempt) = at(jr, service);
    jr.see(Observation::HealthSeen { run, attempt, health, detail: None })
}

#[test]
fn up_twice_starts_once() {
    let mut jr = Fixture::new();
    let (events, steps) = up(&mut jr, &[("web", spec(1, supervision()))]);
    let begun = ["service_declared", "service_wanted", "run_admitted", "attempt_intended"];
    assert_eq!(kinds(&events), begun);
    assert_eq!(verbs(&steps), [("web", Verb::Start)]);
    assert_eq!(jr.starts().len(), 1);
    let (events, steps) = up(&mut jr, &[("web", spec(1, supervision()))]);
    assert_eq!((kinds(&events), verbs(&steps)), (vec![], vec![("web", Verb::Keep)]));
}

#[test]
fn up_leaves_paused_what_somebody_paused_and_says_so() {
    let mut jr = Fixture::new();
    up(&mut jr, &[("web", spec(1, supervision()))]);
    started(&mut jr, "web");
    let (run, attempt) = at(&jr, "web");
    jr.ask(Command::Pause { runs: vec![run], asker: None });
    jr.see(Observation::TreePaused { run, attempt, by: PausedBy::Freezer });
    let (events, steps) = up(&mut jr, &[("web", spec(1, supervision()))]);
    assert_eq!((kinds(&events), steps[0].verb), (vec![], Verb::Keep));
    assert_eq!(steps[0].because, Because::Paused);
}

/// Why a step of `up` leaves the service as it is.
fn kept(jr: &mut Fixture, declared: &[(&str, ServiceSpec)]) -> Vec<Because> {
    let (events, steps) = up(jr, declared);
    assert_eq!(events, []);
    assert!(steps.iter().all(|step| step.verb == Verb::Keep), "{steps:?}");
    steps.iter().map(|step| step.because).collect()
}

#[test]
fn up_says_of_what_is_not_up_how_it_is() {
    let mut jr = Fixture::new();
    let db = Supervision { readiness: Some(probe()), ..supervision() };
    let web = Supervision { depends_on: vec![on("db", ServiceCondition::Ready)], ..supervision() };
    let all = [("db", spec(1, db)), ("web", spec(1, web))];
    up(&mut jr, &all);
    assert_eq!(kept(&mut jr, &all), [Because::Starting, Because::Waiting]);
    started(&mut jr, "db");
    assert_eq!(kept(&mut jr, &all), [Because::Starting, Because::Waiting], "it is not ready");
    healthy(&mut jr, "db", Health::Ready);
    assert_eq!(kept(&mut jr, &all), [Because::Up, Because::Starting]);
    started(&mut jr, "web");
    assert_eq!(kept(&mut jr, &all), [Because::Up, Because::Up]);
    for streak in 1..=limits::CRASH_LOOP {
        ended(&mut jr, "web", exited(1));
        let is = if streak < limits::CRASH_LOOP {
            [Because::Restarting, Because::Starting]
        } else {
            [Because::CrashLooping; 2]
        };
        assert_eq!(kept(&mut jr, &all)[1], is[0], "after end {streak}");
        jr.pass(400);
        assert_eq!(kept(&mut jr, &all)[1], is[1], "after end {streak}");
        started(&mut jr, "web");
    }
    assert_eq!(kept(&mut jr, &all)[1], Because::CrashLooping, "it may not last either");
    jr.pass(10_000);
    assert_eq!(kept(&mut jr, &all)[1], Because::Up);
    healthy(&mut jr, "db", Health::Unhealthy);
    assert_eq!(kept(&mut jr, &all)[0], Because::Unhealthy);
}

#[test]
fn whoever_depends_waits_until_it_is_ready() {
    let mut jr = Fixture::new();
    let db = Supervision { readiness: Some(probe()), ..supervision() };
    let web = Supervision { depends_on: vec![on("db", ServiceCondition::Ready)], ..supervision() };
    up(&mut jr, &[("web", spec(1, web)), ("db", spec(1, db))]);
    assert_eq!((phase(&jr, "db"), phase(&jr, "web")), (Phase::Starting, Phase::Queued));
    started(&mut jr, "db");
    assert!(matches!(jr.actions()[0], Action::Watch(_)));
    assert_eq!(phase(&jr, "web"), Phase::Queued, "it runs and is not ready");
    let events = healthy(&mut jr, "db", Health::Ready);
    assert_eq!(kinds(&events), ["health_changed", "attempt_intended"]);
    assert_eq!(phase(&jr, "web"), Phase::Starting);
}

#[test]
fn what_depends_on_a_failure_is_skipped_and_comes_with_the_next_up() {
    let mut jr = Fixture::new();
    let migrate = Supervision { restart: RestartPolicy::Never, ..supervision() };
    let on = vec![on("migrate", ServiceCondition::Completed)];
    let web = Supervision { depends_on: on, ..supervision() };
    let declared = [("web", spec(1, web)), ("migrate", spec(1, migrate))];
    up(&mut jr, &declared);
    started(&mut jr, "migrate");
    let events = ended(&mut jr, "migrate", exited(3));
    assert_eq!(kinds(&events), ["attempt_ended", "run_ended", "run_ended"]);
    assert_eq!(phase(&jr, "web"), Phase::Ended);
    let (_, steps) = up(&mut jr, &declared);
    assert_eq!(verbs(&steps), [("migrate", Verb::Start), ("web", Verb::Start)]);
    started(&mut jr, "migrate");
    ended(&mut jr, "migrate", exited(0));
    assert_eq!(phase(&jr, "web"), Phase::Starting);
    let (_, steps) = up(&mut jr, &declared);
    assert_eq!(steps[0].because, Because::Completed, "it is not run again by itself");
}

#[test]
fn a_crash_is_followed_by_a_start_after_a_wait_that_grows() {
    let mut jr = Fixture::new();
    up(&mut jr, &[("web", spec(1, supervision()))]);
    for wait in [100, 200, 400, 400] {
        started(&mut jr, "web");
        let events = ended(&mut jr, "web", exited(1));
        assert_eq!(kinds(&events), ["attempt_ended", "restart_scheduled"]);
        assert_eq!(jr.next_due_ms(), Some(wait));
        jr.pass(wait);
    }
    assert_eq!(run(&jr, "web").streak, 4);
    started(&mut jr, "web");
    let (run, attempt) = at(&jr, "web");
    let mut late = end(exited(1));
    late.duration_ms = Some(10_000);
    jr.see(Observation::ProcessEnded { run, attempt, end: late });
    assert_eq!(jr.next_due_ms(), Some(100), "it had lasted: the row is over");
}

#[test]
fn who_may_start_so_often_in_a_row_is_left_alone_then() {
    let mut jr = Fixture::new();
    up(&mut jr, &[("web", spec(1, Supervision { max_restarts: Some(2), ..supervision() }))]);
    for wait in [100, 200] {
        started(&mut jr, "web");
        ended(&mut jr, "web", exited(1));
        assert_eq!(jr.next_due_ms(), Some(wait));
        jr.pass(wait);
    }
    started(&mut jr, "web");
    let run = at(&jr, "web").0;
    let events = ended(&mut jr, "web", exited(1));
    assert_eq!(events[1], Event::RunEnded { run, outcome: Outcome::Failed(RunReason::Code(1)) });
    assert_eq!(phase(&jr, "web"), Phase::Ended);
    // Whoever asks again gets it again.
    let declared = spec(1, Supervision { max_restarts: Some(2), ..supervision() });
    let (_, steps) = up(&mut jr, &[("web", declared)]);
    assert_eq!(verbs(&steps), [("web", Verb::Start)]);
}

#[test]
fn a_changed_file_ends_the_wait_for_the_next_attempt() {
    let mut jr = Fixture::new();
    let changed = Observation::FilesChanged { service: name("web"), path: "/p/main.rs".to_owned() };
    up(&mut jr, &[("web", spec(1, supervision()))]);
    started(&mut jr, "web");
    assert_eq!(kinds(&jr.see(changed.clone())), ["restart_requested"]);
    assert!(jr.see(changed.clone()).is_empty(), "it is on its way already");
    ended(&mut jr, "web", exited(1));
    started(&mut jr, "web");
    ended(&mut jr, "web", exited(1));
    assert_eq!(phase(&jr, "web"), Phase::Delayed);
    assert_eq!(kinds(&jr.see(changed.clone())), ["run_queued", "attempt_intended"]);
    down(&mut jr, &[]);
    assert!(jr.see(changed).is_empty(), "what is not to be is not started");
}

#[test]
fn each_policy_follows_its_word() {
    let cases = [
        (RestartPolicy::Always, 0, Phase::Delayed),
        (RestartPolicy::UnlessStopped, 1, Phase::Delayed),
        (RestartPolicy::OnFailure, 1, Phase::Delayed),
        (RestartPolicy::OnFailure, 0, Phase::Ended),
        (RestartPolicy::Never, 1, Phase::Ended),
    ];
    for (restart, code, expected) in cases {
        let mut jr = Fixture::new();
        up(&mut jr, &[("web", spec(1, Supervision { restart, ..supervision() }))]);
        started(&mut jr, "web");
        ended(&mut jr, "web", exited(code));
        assert_eq!(phase(&jr, "web"), expected, "{restart:?} after {code}");
    }
}

#[test]
fn down_stops_those_first_that_depend_on_others() {
    let mut jr = Fixture::new();
    let web =
        Supervision { depends_on: vec![on("db", ServiceCondition::Started)], ..supervision() };
    up(&mut jr, &[("db", spec(1, supervision())), ("web", spec(1, web))]);
    started(&mut jr, "db");
    started(&mut jr, "web");
    let (db, web) = (at(&jr, "db").0, at(&jr, "web").0);
    let events = down(&mut jr, &[]);
    assert_eq!(kinds(&events), ["service_unwanted", "service_unwanted", "stop_requested"]);
    assert_eq!(jr.stops(), [web]);
    let events = ended(&mut jr, "web", ExitStatus::Signalled(jr::model::Signal::TERM));
    assert_eq!(kinds(&events), ["attempt_ended", "run_ended", "stop_requested"]);
    assert_eq!(jr.stops(), [db]);
    let events = ended(&mut jr, "db", exited(0));
    let outcome = Outcome::Stopped(StopReason::Down);
    assert_eq!(events[1], Event::RunEnded { run: db, outcome }, "no policy brings it back");
    assert!(jr.state().runs.is_empty());
}

#[test]
fn a_restart_never_lets_two_live() {
    let mut jr = Fixture::new();
    up(&mut jr, &[("web", spec(1, supervision()))]);
    started(&mut jr, "web");
    let old = at(&jr, "web").0;
    let again = Wish { names: vec![name("web")], anew: true, ..Wish::default() };
    let (events, steps) = wish(&mut jr, &[], again);
    assert_eq!(kinds(&events), ["run_admitted", "stop_requested"]);
    assert_eq!(verbs(&steps), [("web", Verb::Restart)]);
    let new = at(&jr, "web").0;
    assert_eq!((jr.stops(), jr.state().runs[&new].phase), (vec![old], Phase::Queued));
    assert_eq!(jr.state().runs[&new].spec.parent, Some(old));
    let gone = end(ExitStatus::Signalled(jr::model::Signal::TERM));
    let events = jr.see(Observation::ProcessEnded { run: old, attempt: 1, end: gone });
    assert_eq!(kinds(&events), ["attempt_ended", "run_ended", "attempt_intended"]);
    assert_eq!(jr.starts(), [new]);
}

#[test]
fn only_what_changed_is_started_anew() {
    let mut jr = Fixture::new();
    up(&mut jr, &[("a", spec(1, supervision())), ("b", spec(1, supervision()))]);
    started(&mut jr, "a");
    started(&mut jr, "b");
    let (_, steps) = up(&mut jr, &[("a", spec(1, supervision())), ("b", spec(2, supervision()))]);
    assert_eq!(verbs(&steps), [("a", Verb::Keep), ("b", Verb::Restart)]);
    assert_eq!(steps[1].because, Because::Changed);
    assert_eq!(jr.stops().len(), 1);
}

#[test]
fn what_is_not_listed_goes_where_that_is_wished() {
    let mut jr = Fixture::new();
    up(&mut jr, &[("a", spec(1, supervision())), ("b", spec(1, supervision()))]);
    started(&mut jr, "b");
    let only = Wish { names: vec![name("a")], forget_others: true, ..Wish::default() };
    let (events, steps) = wish(&mut jr, &[("a", spec(1, supervision()))], only);
    assert_eq!(kinds(&events), ["service_unwanted", "service_forgotten", "stop_requested"]);
    let expected = [("b", Verb::Stop), ("b", Verb::Forget), ("a", Verb::Keep)];
    assert_eq!(verbs(&steps), expected);
    ended(&mut jr, "b", exited(0));
    assert!(!jr.state().services.known.contains_key(&name("b")), "it is not known any more");
}

#[test]
fn ports_are_assigned_before_anything_begins() {
    let mut jr = Fixture::new();
    let wish = |text: &str, number| PortWish {
        name: text.to_owned(),
        number,
        host: None,
        pass_socket: false,
        range: None,
    };
    let ports = vec![wish("main", None), wish("admin", Some(9_000))];
    let (events, _) = up(&mut jr, &[("web", spec(1, Supervision { ports, ..supervision() }))]);
    assert_eq!(kinds(&events)[3..], ["port_assigned"], "the fixed one needs no look");
    let (run, avoid) = match &jr.actions()[0] {
        Action::FindPorts { run, avoid, .. } => (*run, avoid.clone()),
        other => panic!("{other:?}"),
    };
    assert_eq!(avoid, BTreeSet::from([9_000]));
    let found = vec![("main".to_owned(), 20_001)];
    let events = jr.see(Observation::PortsFound { run, ports: found });
    assert_eq!(kinds(&events), ["port_assigned", "attempt_intended"]);
    let expected = vec![("main".to_owned(), 20_001), ("admin".to_owned(), 9_000)];
    assert!(matches!(&jr.actions()[0], Action::Start { ports, .. } if *ports == expected));
    // Somebody was quicker: another one is looked for, and no wait is lost.
    let events = ended(&mut jr, "web", ExitStatus::NotStarted(SpawnError::PortTaken(20_001)));
    assert_eq!(kinds(&events), ["attempt_ended", "port_released", "run_queued"]);
    assert!(matches!(jr.actions()[1], Action::FindPorts { .. }), "{:?}", jr.actions());
    // A fixed one is waited for.
    let found = vec![("main".to_owned(), 20_002)];
    jr.see(Observation::PortsFound { run, ports: found });
    let events = ended(&mut jr, "web", ExitStatus::NotStarted(SpawnError::PortTaken(9_000)));
    assert_eq!(kinds(&events), ["attempt_ended", "restart_scheduled"]);
}

#[test]
fn what_is_not_well_is_ended_and_started_again() {
    let mut jr = Fixture::new();
    let sick = Supervision { readiness: Some(probe()), health: Some(probe()), ..supervision() };
    up(&mut jr, &[("web", spec(1, sick))]);
    started(&mut jr, "web");
    assert_eq!(healthy(&mut jr, "web", Health::Unhealthy), [], "it was never well");
    healthy(&mut jr, "web", Health::Healthy);
    let events = healthy(&mut jr, "web", Health::Unhealthy);
    assert_eq!(kinds(&events), ["health_changed", "restart_requested"]);
    assert_eq!(jr.stops(), [at(&jr, "web").0]);
    assert_eq!(healthy(&mut jr, "web", Health::Healthy), [], "its end is on the way");
    let events = ended(&mut jr, "web", exited(0));
    assert_eq!(kinds(&events), ["attempt_ended", "restart_scheduled"]);
}

#[test]
fn what_is_never_started_again_ends_if_it_is_not_ready_in_time() {
    let mut jr = Fixture::new();
    let restart = RestartPolicy::Never;
    let slow = Supervision { readiness: Some(probe()), restart, ..supervision() };
    up(&mut jr, &[("web", spec(1, slow))]);
    started(&mut jr, "web");
    let (run, attempt) = at(&jr, "web");
    jr.see(Observation::StartupOverdue { run, attempt, detail: Some("refused".into()) });
    let events = ended(&mut jr, "web", ExitStatus::Signalled(jr::model::Signal::TERM));
    let reason = jr::model::service::spec::RestartReason::StartupTimeout;
    let outcome = Outcome::Failed(RunReason::Unwell(reason));
    assert_eq!(events[1], Event::RunEnded { run, outcome });
}

#[test]
fn after_a_reboot_it_waits_for_resume_and_keeps_its_ports() {
    let mut jr = Fixture::new();
    let ports = vec![PortWish {
        name: "main".to_owned(),
        number: Some(8_000),
        host: None,
        pass_socket: false,
        range: None,
    }];
    up(&mut jr, &[("web", spec(1, Supervision { ports, ..supervision() }))]);
    started(&mut jr, "web");
    let (id, _) = at(&jr, "web");
    let mut jr = jr.restart(NEXT_BOOT);
    jr.found(id, Finding::OtherBoot);
    jr.recovered();
    assert_eq!(phase(&jr, "web"), Phase::Delayed);
    assert!(run(&jr, "web").awaits_answer());
    let (events, _) = jr.ask(Command::ResumeInterrupted { asker: None });
    assert_eq!(kinds(&events), ["run_queued", "attempt_intended"]);
    assert_eq!(run(&jr, "web").ports, [("main".to_owned(), 8_000)]);
}

/// `db` and `web`, which depends on it, in the boot after the one that they ran in.
fn interrupted() -> Fixture {
    let mut jr = Fixture::new();
    let depends_on = vec![on("db", ServiceCondition::Started)];
    let web = spec(1, Supervision { depends_on, ..supervision() });
    up(&mut jr, &[("db", spec(1, supervision())), ("web", web), ("other", spec(1, supervision()))]);
    let names = ["db", "web", "other"];
    for service in names {
        started(&mut jr, service);
    }
    let ids = names.map(|service| at(&jr, service).0);
    let mut jr = jr.restart(NEXT_BOOT);
    for id in ids {
        jr.found(id, Finding::OtherBoot);
    }
    jr.recovered();
    assert!(names.iter().all(|service| run(&jr, service).awaits_answer()));
    jr
}

#[test]
fn up_lets_go_on_what_a_reboot_interrupted_with_what_it_depends_on() {
    let mut jr = interrupted();
    let before = ["db", "web"].map(|service| at(&jr, service).0);
    let names = vec![name("web")];
    let asked = Wish { names, with_dependencies: true, ..Wish::default() };
    let (events, steps) = wish(&mut jr, &[], asked.clone());
    assert_eq!(verbs(&steps), [("db", Verb::Resume), ("web", Verb::Resume)]);
    assert_eq!(steps.iter().map(|step| step.run).collect::<Vec<_>>(), before.map(Some));
    assert_eq!(kinds(&events), ["run_queued", "run_queued", "attempt_intended"]);
    assert!(run(&jr, "other").awaits_answer(), "nobody asked for it");
    started(&mut jr, "db");
    started(&mut jr, "web");
    assert_eq!(run(&jr, "web").attempt, 2);
    let (events, steps) = wish(&mut jr, &[], asked);
    assert_eq!((events, verbs(&steps)), (vec![], vec![("db", Verb::Keep), ("web", Verb::Keep)]));
}

#[test]
fn a_restart_of_what_a_reboot_interrupted_is_a_new_run() {
    let mut jr = interrupted();
    let (old, _) = at(&jr, "db");
    let asked = Wish { names: vec![name("db")], anew: true, ..Wish::default() };
    let (_, steps) = wish(&mut jr, &[], asked);
    assert_eq!(verbs(&steps), [("db", Verb::Restart)]);
    assert_ne!(at(&jr, "db").0, old);
    assert!(!jr.state().runs.contains_key(&old), "it ended at once");
    assert_eq!(phase(&jr, "db"), Phase::Starting);
}

#[test]
fn a_lost_shim_is_a_failure_like_any_other() {
    let mut jr = Fixture::new();
    up(&mut jr, &[("web", spec(1, supervision()))]);
    started(&mut jr, "web");
    let (id, _) = at(&jr, "web");
    let mut jr = jr.restart(BOOT);
    let events = jr.found(id, Finding::Fenced(LostReason::ShimDied));
    assert_eq!(kinds(&events), ["attempt_ended", "restart_scheduled"]);
}

#[test]
fn an_adopted_service_is_asked_again_and_its_restart_is_not_forgotten() {
    let mut jr = Fixture::new();
    let asked = Supervision { readiness: Some(probe()), ..supervision() };
    up(&mut jr, &[("web", spec(1, asked))]);
    started(&mut jr, "web");
    let (id, attempt) = at(&jr, "web");
    jr.see(Observation::StartupOverdue { run: id, attempt, detail: None });
    let mut jr = jr.restart(BOOT);
    jr.found(id, Finding::Running { process: process(), paused: None });
    assert!(matches!(jr.actions()[0], Action::Stop { .. }), "{:?}", jr.actions());
    assert!(matches!(jr.actions()[1], Action::Watch(_)), "{:?}", jr.actions());
}

#[test]
fn a_stop_by_name_is_a_wish() {
    let mut jr = Fixture::new();
    up(&mut jr, &[("web", spec(1, supervision()))]);
    started(&mut jr, "web");
    let (run, _) = at(&jr, "web");
    let (runs, reason) = (vec![run], StopReason::Asked);
    jr.ask(Command::Stop { runs, reason, grace_ms: None, asker: None });
    let events = ended(&mut jr, "web", exited(0));
    assert_eq!(kinds(&events), ["attempt_ended", "run_ended", "service_unwanted"]);
}

#[test]
fn a_command_comes_before_each_start_and_one_in_place_of_the_signal() {
    let mut jr = Fixture::new();
    let words = |text: &str| vec![ByteString::from(text)];
    let hooks = [(HookMoment::BeforeStart, words("prepare")), (HookMoment::Stop, words("quit"))];
    let hooked = Supervision { hooks: hooks.into(), ..supervision() };
    let (events, _) = up(&mut jr, &[("web", spec(1, hooked))]);
    let tail = ["run_admitted", "attempt_intended"];
    assert_eq!(kinds(&events)[3..], tail, "of the command, not of the service");
    assert_eq!(phase(&jr, "web"), Phase::Queued);
    let hook = jr.starts()[0];
    jr.see(Observation::ProcessStarted { run: hook, attempt: 1, process: process() });
    let events = jr.see(Observation::ProcessEnded { run: hook, attempt: 1, end: end(exited(1)) });
    assert_eq!(kinds(&events), ["attempt_ended", "run_ended", "restart_scheduled"]);
    jr.pass(100);
    let hook = jr.starts()[0];
    jr.see(Observation::ProcessStarted { run: hook, attempt: 1, process: process() });
    let events = jr.see(Observation::ProcessEnded { run: hook, attempt: 1, end: end(exited(0)) });
    assert_eq!(kinds(&events), ["attempt_ended", "run_ended", "attempt_intended"]);
    started(&mut jr, "web");
    let events = down(&mut jr, &[]);
    let expected = ["service_unwanted", "stop_requested", "run_admitted", "attempt_intended"];
    assert_eq!(kinds(&events), expected);
    let signal = jr.actions().iter().find_map(|action| match action {
        Action::Stop { signal, .. } => Some(*signal),
        _ => None,
    });
    assert_eq!(signal, Some(jr::model::Signal::CONT), "the command does what a signal would");
}

/// Seed 827: the command after the last run of an older declaration found its secrets gone.
#[test]
fn a_command_after_the_end_keeps_the_secrets_until_it_has_ended() {
    let mut jr = Fixture::new();
    let owner = crate::fixture::id(900);
    let hooks = [(HookMoment::AfterStop, vec![ByteString::from("tidy")])];
    let hooked = Supervision { hooks: hooks.into(), ..supervision() };
    let plain = spec(1, hooked.clone());
    let run = RunSpec { secrets: Some(owner), ..(*plain.run).clone() };
    up(&mut jr, &[("web", ServiceSpec { run: Arc::new(run), ..plain })]);
    started(&mut jr, "web");
    let old = at(&jr, "web").0;
    up(&mut jr, &[("web", spec(2, hooked))]);
    let drops = Action::DropSecrets { owner };
    let gone = end(ExitStatus::Signalled(jr::model::Signal::TERM));
    let events = jr.see(Observation::ProcessEnded { run: old, attempt: 1, end: gone });
    assert!(kinds(&events).contains(&"run_admitted"), "{:?}", kinds(&events));
    assert!(!jr.actions().contains(&drops), "the command has them");
    let hook = jr.state().runs.values().find(|run| run.spec.hook.is_some()).expect("it lives").id;
    jr.see(Observation::ProcessStarted { run: hook, attempt: 1, process: process() });
    jr.see(Observation::ProcessEnded { run: hook, attempt: 1, end: end(exited(0)) });
    assert!(jr.actions().contains(&drops), "nothing has them any more");
}

#[test]
fn sockets_are_kept_open_until_the_next_attempt_has_them() {
    let mut jr = Fixture::new();
    let port = PortWish {
        name: "main".into(),
        number: Some(5000),
        host: None,
        pass_socket: true,
        range: None,
    };
    let passing = Supervision { ports: vec![port], ..supervision() };
    up(&mut jr, &[("web", spec(1, passing))]);
    started(&mut jr, "web");
    let (run, _) = at(&jr, "web");
    let forgotten = |jr: &Fixture, attempt: u32| {
        jr.actions().iter().position(|action| *action == Action::Forget { run, attempt })
    };
    ended(&mut jr, "web", exited(0));
    assert_eq!(forgotten(&jr, 1), None);
    // The shim says so once more, and to the next daemon too.
    let repeated = Observation::ProcessEnded { run, attempt: 1, end: end(exited(0)) };
    jr.see(repeated.clone());
    assert_eq!(forgotten(&jr, 1), None);
    let mut jr = jr.restart(BOOT);
    jr.recovered();
    jr.see(repeated.clone());
    assert_eq!(forgotten(&jr, 1), None);
    jr.pass(100);
    let start = jr.actions().iter().position(|action| matches!(action, Action::Start { .. }));
    assert!(start.is_some() && start < forgotten(&jr, 1), "{:?}", jr.actions());
    jr.see(repeated);
    assert!(forgotten(&jr, 1).is_some(), "the next one has them");
    jr.see(Observation::ProcessStarted { run, attempt: 2, process: process() });
    down(&mut jr, &[]);
    ended(&mut jr, "web", exited(0));
    assert!(forgotten(&jr, 2).is_some(), "the run is over");
}

/// Seed 435: what was up before is not skipped, whatever became of what it depends on.
#[test]
fn a_service_that_was_up_waits_for_what_has_failed_since() {
    let mut jr = Fixture::new();
    let db = Supervision { restart: RestartPolicy::Never, ..supervision() };
    let web =
        Supervision { depends_on: vec![on("db", ServiceCondition::Started)], ..supervision() };
    let declared = [("db", spec(1, db)), ("web", spec(1, web))];
    up(&mut jr, &declared);
    started(&mut jr, "db");
    started(&mut jr, "web");
    ended(&mut jr, "db", exited(3));
    ended(&mut jr, "web", exited(3));
    jr.pass(100);
    assert_eq!(phase(&jr, "web"), Phase::Queued);
    up(&mut jr, &declared);
    started(&mut jr, "db");
    assert_eq!(phase(&jr, "web"), Phase::Starting, "it comes back with it");
}
