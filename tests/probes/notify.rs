//! `sd_notify(3)`: who is believed, and that nobody has to wait.

use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;

use jr::model::service::probe::ProbeWay;
use jr::runners::linux::{fds, procfs};
use jr::runners::probe::{self, NotifyError, NotifySocket, Target};

use crate::fixture::{DEADLINE, SHORT, World, run};

/// This process descends from its parent: for that one as shim it is of the service.
fn parent() -> u32 {
    procfs::stat(std::process::id()).expect("readable").expect("alive").parent
}

/// A shim of which this process is none.
struct Stranger(std::process::Child);

impl Stranger {
    fn new() -> Self {
        Self(std::process::Command::new("sleep").arg("600").spawn().expect("spawns"))
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("reaped");
    }
}

fn send(path: &Path, text: &[u8]) {
    let socket = UnixDatagram::unbound().expect("a socket");
    socket.send_to(text, path).expect("sent");
}

fn target(world: &World, path: &Path, shim: u32) -> Target {
    let notices = NotifySocket::bind(path).expect("bound").listen(shim).expect("listens");
    Target { notify: Some(Arc::new(notices)), ..world.target() }
}

#[test]
fn it_is_ready_when_it_says_so() {
    let world = World::new();
    let path = world.dir.path().join("notify/a.sock");
    run(async {
        let socket = NotifySocket::bind(&path).expect("bound");
        let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode();
        assert_eq!(mode(&path) & 0o777, 0o600);
        assert_eq!(mode(path.parent().expect("one")) & 0o777, 0o700);
        // Said before anybody listens.
        send(&path, b"STATUS=loading");
        let notices = Arc::new(socket.listen(parent()).expect("listens"));
        let target = Target { notify: Some(Arc::clone(&notices)), ..world.target() };
        let mut said = notices.said();
        said.wait_for(|said| said.status.is_some()).await.expect("heard");
        let early = probe::ask(&ProbeWay::Notify, &target, SHORT).await;
        assert_eq!(early, Err("it has not said READY=1, its status is: loading".to_owned()));
        send(&path, b"READY=1\nWATCHDOG=1");
        assert_eq!(probe::ask(&ProbeWay::Notify, &target, DEADLINE).await, Ok(()));
        assert!(said.borrow().watchdog_ms.is_some());
        send(&path, b"STOPPING=1");
        said.wait_for(|said| said.is_stopping).await.expect("heard");
        let late = probe::ask(&ProbeWay::Notify, &target, DEADLINE).await;
        assert_eq!(late, Err("it has said that it is stopping".to_owned()));
    });
}

#[test]
fn a_stranger_does_not_speak_for_it() {
    let (world, shim) = (World::new(), Stranger::new());
    let path = world.dir.path().join("a.sock");
    run(async {
        let target = target(&world, &path, shim.0.id());
        send(&path, b"READY=1\nSTATUS=fine");
        let notices = target.notify.as_ref().expect("there");
        let mut said = notices.said();
        let refused = said.wait_for(|said| said.refused.is_some()).await.expect("heard").refused;
        assert_eq!(refused, Some(std::process::id()));
        let answer = probe::ask(&ProbeWay::Notify, &target, SHORT).await;
        let wanted = format!(
            "it has not said READY=1; process {}, which spoke for it, is none of its own",
            std::process::id()
        );
        assert_eq!(answer, Err(wanted));
    });
}

#[test]
fn nobody_waits_for_a_question() {
    let world = World::new();
    let path = world.dir.path().join("a.sock");
    run(async {
        let target = target(&world, &path, parent());
        let mut said = target.notify.as_ref().expect("there").said();
        // More than any queue of datagrams holds (net.unix.max_dgram_qlen).
        let sender = path.clone();
        let flood = std::thread::spawn(move || {
            let socket = UnixDatagram::unbound().expect("a socket");
            for number in 0..5_000 {
                let text = format!("STATUS={number}");
                socket.send_to(text.as_bytes(), &sender).expect("sent");
            }
        });
        said.wait_for(|said| said.status.as_deref() == Some("4999")).await.expect("heard");
        flood.join().expect("sent");
        // Too long to be meant: nothing of it counts.
        send(&path, format!("READY=1\nX={}", "x".repeat(5_000)).as_bytes());
        send(&path, b"STATUS=after");
        said.wait_for(|said| said.status.as_deref() == Some("after")).await.expect("heard");
        assert!(!said.borrow().is_ready);
    });
}

#[test]
fn descriptors_that_come_along_are_closed() {
    let world = World::new();
    let path = world.dir.path().join("a.sock");
    run(async {
        let target = target(&world, &path, parent());
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let socket = UnixDatagram::unbound().expect("a socket");
        socket.connect(&path).expect("connects");
        fds::send(&socket, b"BARRIER=1", Some(writer.as_fd())).expect("sent");
        drop(writer);
        let end = tokio::task::spawn_blocking(move || reader.read(&mut [0]).expect("read"));
        assert_eq!(end.await.expect("joined"), 0);
        drop(target);
    });
}

#[test]
fn a_daemon_that_adopts_listens_at_the_same_place() {
    let world = World::new();
    let path = world.dir.path().join("a.sock");
    run(async {
        let first = target(&world, &path, parent());
        let second = target(&world, &path, parent());
        send(&path, b"STATUS=here");
        let notices = second.notify.as_ref().expect("there");
        let mut said = notices.said();
        said.wait_for(|said| said.status.is_some()).await.expect("heard");
        assert_eq!(first.notify.as_ref().expect("there").said().borrow().status, None);
        notices.assume_ready();
        assert_eq!(probe::ask(&ProbeWay::Notify, &second, DEADLINE).await, Ok(()));
    });
}

#[test]
fn a_path_that_nobody_could_connect_to_is_refused() {
    let world = World::new();
    let directory = world.dir.path().join("d".repeat(100));
    let error = NotifySocket::bind(&directory.join("notify.sock")).expect_err("too long");
    assert!(matches!(error, NotifyError::PathTooLong(_)), "{error}");
    assert!(!directory.exists());
    let error = NotifySocket::bind(Path::new("/proc/nowhere/s")).expect_err("no place");
    assert!(matches!(error, NotifyError::Socket(..)), "{error}");
    let none = run(probe::ask(&ProbeWay::Notify, &world.target(), SHORT));
    assert_eq!(none, Err("it has no NOTIFY_SOCKET to say anything".to_owned()));
}
