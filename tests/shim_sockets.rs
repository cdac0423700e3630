//! Listening sockets that a shim makes and keeps, and its attempts find open.
#[path = "support/shim.rs"]
mod support;

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use jr::limits;
use jr::model::spec::WindowSize;
use jr::model::{ExitStatus, SpawnError};
use jr::runners::linux::clock;
use jr::runners::ports::{self, Owner};
use jr::runners::protocol::{AttemptId, PassedSocket, Start, ToShim};
use support::{Shim, bytes, exited, until};

/// Answers one connection with the number of its attempt, and ends. It leaves the socket in a mode
/// that the next one must not find.
const SERVE_ONE: &str = "
import os, socket
assert os.get_blocking(3) and os.environ['LISTEN_PID'] == str(os.getpid())
s = socket.socket(fileno=3)
s.settimeout(None)
c, _ = s.accept()
s.setblocking(False)
c.sendall(('served by attempt %s' % os.environ['JR_ATTEMPT']).encode())
c.close()
";

#[expect(clippy::print_stdout, reason = "it says what it could not do")]
fn has_python() -> bool {
    let found = std::process::Command::new("python3").arg("--version").output();
    let is_there = found.is_ok_and(|output| output.status.success());
    if !is_there {
        println!("SKIPPED (no python3 here)");
    }
    is_there
}

/// A port that nobody had a moment ago.
fn a_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    listener.local_addr().expect("bound").port()
}

fn socket(name: &str, host: Option<&str>, port: u16) -> PassedSocket {
    PassedSocket { name: name.to_owned(), host: host.map(str::to_owned), port }
}

/// An attempt of a server for one connection.
fn server(shim: &mut Shim, of: Option<AttemptId>, port: u16) -> Start {
    let mut start = shim.start_of(&["python3", "-c", SERVE_ONE]);
    if let Some(before) = of {
        start.id = AttemptId { run: before.run, attempt: before.attempt + 1 };
        start.output = bytes(shim.base(start.id).to_str().expect("text"));
    }
    // python3 may be a version that only this PATH leads to.
    let path = std::env::var("PATH").expect("a PATH");
    let attempt = start.id.attempt.to_string();
    start.variables = [("PATH", path.as_str()), ("HOME", "/root"), ("JR_ATTEMPT", &attempt)]
        .map(|(name, value)| (bytes(name), bytes(value)))
        .to_vec();
    start.sockets = vec![socket("http", None, port)];
    start
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("connects");
    stream.set_read_timeout(Some(Duration::from_millis(support::DEADLINE_MS))).expect("sets");
    stream
}

fn answer(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text
}

#[test]
fn a_child_finds_its_sockets_from_three_on_and_is_told_so() {
    let mut shim = Shim::new();
    let ports: Vec<u16> = (0..5).map(|_| a_port()).collect();
    let script = "echo $LISTEN_FDS $LISTEN_FDNAMES; test $LISTEN_PID = $$ && echo mine; \
                  for fd in /proc/$$/fd/*; do readlink $fd; done | grep -c socket:; \
                  ls /proc/$$/fd | tr '\\n' ' '; cat /proc/net/tcp6 > /dev/null; env | wc -l";
    let mut start = shim.start_of(&["/bin/sh", "-c", script]);
    for stale in ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"] {
        start.variables.push((bytes(stale), bytes("99")));
    }
    let names = ["http", "admin", "a", "b", "c"];
    start.sockets =
        names.iter().zip(&ports).map(|(name, port)| socket(name, None, *port)).collect();
    assert_eq!(shim.run(&start).status, exited(0));
    let text = shim.stdout(start.id);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(&lines[..3], ["5 http:admin:a:b:c", "mine", "5"], "{text}");
    assert!(lines[3].starts_with("0 1 2 3 4 5 6 7 "), "{text}");
    // With a terminal too, whose child waits at a gate.
    let mut start =
        shim.shell("test $LISTEN_PID = $$ && test -S /proc/$$/fd/4 -a ! -e /proc/$$/fd/5");
    start.tty = Some(WindowSize { rows: 24, columns: 80 });
    start.sockets = ports[..2].iter().map(|port| socket("x", None, *port)).collect();
    assert_eq!(shim.run(&start).status, exited(0));
    // Without sockets nothing is added.
    let start = shim.start_of(&["/bin/sh", "-c", "echo ${LISTEN_PID-none}"]);
    assert_eq!(shim.run(&start).status, exited(0));
    assert_eq!(shim.stdout(start.id), "none\n");
}

#[test]
fn each_socket_is_bound_where_it_was_asked_for() {
    let mut shim = Shim::new();
    let has_six = TcpListener::bind("[::1]:0").is_ok();
    for (host, reached, not_reached) in [
        (None, "127.0.0.1", Some("127.0.0.2")),
        (Some("localhost"), "127.0.0.1", Some("::1")),
        (Some("127.0.0.2"), "127.0.0.2", Some("127.0.0.1")),
        (Some("0.0.0.0"), "127.0.0.2", Some("::1")),
        (Some("*"), "127.0.0.1", None),
        (Some("::1"), "::1", Some("127.0.0.1")),
        (Some("::"), "::1", None),
    ] {
        if !has_six && reached == "::1" {
            continue;
        }
        let port = a_port();
        let mut start = shim.start_of(&["sleep", "600"]);
        start.sockets = vec![socket("http", host, port)];
        let id = shim.start(&start);
        shim.wait_started(id);
        TcpStream::connect((reached, port)).expect("the shim listens");
        if let Some(other) = not_reached {
            assert!(TcpStream::connect((other, port)).is_err(), "{host:?} at {other}");
        }
        shim.stop(id, 0);
        shim.wait_ended(id);
        // Its end is not in the log yet: it may have another attempt here.
        TcpStream::connect((reached, port)).expect("the shim listens still");
        shim.send(&ToShim::Forget(id));
        until("a refusal", || TcpStream::connect((reached, port)).is_err().then_some(()));
    }
    let mut start = shim.start_of(&["/bin/true"]);
    start.sockets = vec![socket("http", Some("example.org"), 1)];
    assert_eq!(shim.run(&start).status, ExitStatus::NotStarted(SpawnError::Errno(99)));
}

#[test]
fn who_connects_between_two_attempts_is_served_by_the_second() {
    if !has_python() {
        return;
    }
    support::with_both(|shim| {
        let port = a_port();
        let first = server(shim, None, port);
        shim.start(&first);
        shim.wait_started(first.id);
        assert_eq!(answer(connect(port)), "served by attempt 1");
        assert_eq!(shim.wait_ended(first.id).status, exited(0));
        // Nobody serves now, and what the shim keeps open is no service.
        let pid = shim.pid();
        assert_eq!(ports::owner(port, pid), Owner::Foreign);
        let waits = connect(port);
        // As where the daemon is gone and another one comes.
        shim.reconnect();
        shim.wait_ended(first.id);
        let second = server(shim, Some(first.id), port);
        shim.start(&second);
        shim.send(&ToShim::Forget(first.id));
        shim.wait_started(second.id);
        assert_eq!(answer(waits), "served by attempt 2");
        assert_eq!(shim.wait_ended(second.id).status, exited(0));
        shim.send(&ToShim::Forget(second.id));
        until("a refusal", || TcpStream::connect(("127.0.0.1", port)).is_err().then_some(()));
    });
}

#[test]
fn what_listens_on_a_passed_socket_is_the_trees() {
    let mut shim = Shim::new();
    let port = a_port();
    let mut start = shim.start_of(&["sleep", "600"]);
    start.sockets = vec![socket("http", None, port)];
    let id = shim.start(&start);
    shim.wait_started(id);
    assert!(ports::listens_in_tree(port, shim.pid()));
    shim.stop(id, 0);
    shim.wait_ended(id);
}

#[test]
fn a_taken_port_is_waited_for_a_moment_and_then_named() {
    let mut shim = Shim::new();
    let thief = TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = thief.local_addr().expect("bound").port();
    let mut start = shim.start_of(&["/bin/true"]);
    start.sockets = vec![socket("spare", None, a_port()), socket("http", None, port)];
    let before = clock::boottime_ms();
    let end = shim.run(&start);
    assert_eq!(end.status, ExitStatus::NotStarted(SpawnError::PortTaken(port)));
    assert!(clock::boottime_ms() >= before + limits::PORT_WAIT_MS);
    // Nothing of it stays: not the socket that could be had, nor the wait.
    let spare = start.sockets[0].port;
    until("a refusal", || TcpStream::connect(("127.0.0.1", spare)).is_err().then_some(()));
    let start = shim.start_of(&["/bin/true"]);
    assert_eq!(shim.run(&start).status, exited(0));
    // A start that waits for its port can be withdrawn like any other.
    let mut start = shim.start_of(&["/bin/true"]);
    start.sockets = vec![socket("http", None, port)];
    let id = shim.start(&start);
    shim.stop(id, 0);
    shim.wait_withdrawn(id);
}

#[test]
fn the_next_attempt_may_come_to_another_shim() {
    if !has_python() {
        return;
    }
    let (mut one, mut other) = (Shim::new(), Shim::new());
    let port = a_port();
    let first = server(&mut one, None, port);
    one.start(&first);
    one.wait_started(first.id);
    assert_eq!(answer(connect(port)), "served by attempt 1");
    one.wait_ended(first.id);
    // The other one may be quicker than the first hears that it is to forget.
    let second = server(&mut other, Some(first.id), port);
    other.start(&second);
    one.send(&ToShim::Forget(first.id));
    other.wait_started(second.id);
    assert_eq!(answer(connect(port)), "served by attempt 2");
    other.wait_ended(second.id);
    // Another run gets nothing of it.
    let mut start = other.shell("ls /proc/$$/fd");
    start.strays = jr::model::Strays::Kill;
    assert_eq!(other.run(&start).status, exited(0));
    assert!(!other.stdout(start.id).contains("\n3\n"), "{}", other.stdout(start.id));
}
