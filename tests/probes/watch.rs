//! The loop of one attempt, and many of them on one thread.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use jr::model::RunId;
use jr::model::service::probe::{Probe, ProbePort, ProbeWay};
use jr::model::service::spec::{Health, Supervision};
use jr::runners::linux::clock;
use jr::runners::probe::{Change, Target, Watched, watch};
use tokio::sync::mpsc;

use crate::fixture::{DEADLINE, Server, World, get, run, shell, until_gone};

fn probe(way: ProbeWay) -> Probe {
    let timeout_ms = u64::try_from(DEADLINE.as_millis()).expect("small");
    Probe {
        way,
        initial_delay_ms: 0,
        interval_ms: 20,
        timeout_ms,
        failure_threshold: 2,
        success_threshold: 1,
    }
}

fn watched(number: u64, supervision: Supervision, target: Target) -> Watched {
    let (run, started_ms) = (RunId::from_chance(number), clock::boottime_ms());
    Watched { run, supervision: Arc::new(supervision), started_ms, state: None, target }
}

#[test]
fn a_service_becomes_ready_healthy_sick_and_healthy_again() {
    let world = World::new();
    let file = world.dir.path().join("well");
    let readiness = Some(probe(ProbeWay::Output { pattern: "up".to_owned() }));
    let health = Some(probe(shell("test -e well || { echo ill >&2; exit 1; }")));
    let supervision = Supervision { readiness, health, ..Supervision::default() };
    std::fs::write(&file, "").expect("written");
    run(async {
        let (changes, mut told) = mpsc::channel(8);
        let watched = watched(1, supervision, world.target());
        let task = tokio::spawn(watch(watched, move |change| {
            changes.try_send(change).expect("room");
        }));
        world.write("output.out", b"up\n");
        assert_eq!(told.recv().await, Some(Change::Ready));
        assert_eq!(told.recv().await, Some(Change::Healthy));
        std::fs::remove_file(&file).expect("removed");
        let sick = Change::Unhealthy("sh exited with 1: ill".to_owned());
        assert_eq!(told.recv().await, Some(sick));
        std::fs::write(&file, "").expect("written");
        assert_eq!(told.recv().await, Some(Change::Healthy));
        task.abort();
        task.await.expect_err("aborted");
    });
}

#[test]
fn who_is_asked_no_more_is_watched_no_more() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = ProbePort::Number(listener.local_addr().expect("bound").port());
    let way = ProbeWay::Tcp { host: "localhost".to_owned(), port };
    let readiness = Some(probe(way));
    let supervision = Supervision { readiness, ..Supervision::default() };
    let mut changes = Vec::new();
    run(watch(watched(1, supervision.clone(), world.target()), |change| changes.push(change)));
    assert_eq!(changes, [Change::Ready]);
    // Adopted: it was ready before.
    let adopted = watched(1, supervision, world.target());
    let adopted = Watched { state: Some(Health::Ready), ..adopted };
    run(watch(adopted, |change| panic!("{change:?}")));
    run(watch(watched(1, Supervision::default(), world.target()), |change| panic!("{change:?}")));
}

#[test]
fn an_answer_that_does_not_come_makes_nobody_wait_for_the_verdict() {
    let (world, server) = (World::new(), Server::silent());
    let readiness = Some(probe(ProbeWay::Http(get(server.port))));
    let supervision = Supervision { readiness, startup_timeout_ms: 50, ..Supervision::default() };
    run(async {
        let (changes, mut told) = mpsc::channel(8);
        let watched = watched(1, supervision, world.target());
        let task = tokio::spawn(watch(watched, move |change| {
            changes.try_send(change).expect("room");
        }));
        assert_eq!(told.recv().await, Some(Change::Overdue("no answer yet".to_owned())));
        task.abort();
    });
}

#[test]
fn a_watch_that_ends_ends_the_command_of_its_question() {
    let world = World::new();
    let health = Some(probe(shell("echo $$ > top; exec sleep 600")));
    let supervision = Supervision { health, ..Supervision::default() };
    run(async {
        let task = tokio::spawn(watch(watched(1, supervision, world.target()), |_| {}));
        while !world.dir.path().join("top").exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        world.pid("top");
        task.abort();
        task.await.expect_err("aborted");
    });
    until_gone(world.pid("top"));
}

#[test]
fn three_hundred_are_watched_on_one_thread() {
    const MANY: u64 = 300;
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || while listener.accept().is_ok() {});
    run(async {
        let (changes, mut told) = mpsc::channel(2_000);
        let mut tasks = Vec::new();
        for number in 0..MANY {
            let way = ProbeWay::Tcp { host: "localhost".to_owned(), port: ProbePort::Number(port) };
            let output = ProbeWay::Output { pattern: "up".to_owned() };
            let (readiness, health) = (Some(probe(output)), Some(probe(way)));
            let supervision = Supervision { readiness, health, ..Supervision::default() };
            let changes = changes.clone();
            let tell = move |change| changes.try_send((number, change)).expect("room");
            tasks.push(tokio::spawn(watch(watched(number, supervision, world.target()), tell)));
        }
        world.write("output.err", b"up\n");
        let mut found = std::collections::BTreeMap::<u64, Vec<Change>>::new();
        for _ in 0..2 * MANY {
            let (number, change) = told.recv().await.expect("told");
            found.entry(number).or_default().push(change);
        }
        assert_eq!(found.len() as u64, MANY);
        assert!(found.values().all(|all| *all == [Change::Ready, Change::Healthy]));
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
    });
}
