//! Whose a port is: real listeners below a real shim, and beside it.
#[path = "support/shim.rs"]
mod support;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};

use jr::model::Signal;
use jr::runners::ports::{self, Owner};
use jr::runners::protocol::{AttemptId, ToShim};
use support::{Shim, bytes, pid_in, until};

/// A program that listens at an address, says its port, and stays.
const LISTEN: &str = "
import os, socket, sys
six = ':' in sys.argv[1]
s = socket.socket(socket.AF_INET6 if six else socket.AF_INET)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((sys.argv[1], int(sys.argv[2])))
s.listen()
if len(sys.argv) > 3:
    if os.fork(): os._exit(0)
    os.setsid()
    if os.fork(): os._exit(0)
    open(sys.argv[3], 'w').write('%d\\n' % os.getpid())
print(s.getsockname()[1], flush=True)
while True: s.accept()
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

fn listen(shim: &mut Shim, address: &str, port: u16, more: &[&str]) -> (AttemptId, u16) {
    let port = port.to_string();
    let mut command = vec!["python3", "-c", LISTEN, address, &port];
    command.extend(more);
    let mut start = shim.start_of(&command);
    // python3 may be a version that only this PATH leads to.
    let path = std::env::var("PATH").expect("a PATH");
    start.variables = vec![
        (bytes("PATH"), bytes(&path)),
        (bytes("HOME"), bytes("/root")),
        (bytes("JR_RUN_ID"), bytes(&start.id.run.to_string())),
    ];
    start.strays = jr::model::Strays::Keep;
    let id = shim.start(&start);
    let port = until("a port", || {
        let text = std::fs::read_to_string(format!("{}.out", shim.base(id).display())).ok()?;
        text.strip_suffix('\n')?.parse().ok()
    });
    (id, port)
}

fn end(shim: &mut Shim, id: AttemptId) {
    shim.send(&ToShim::Signal(id, Signal::KILL));
    shim.wait_ended(id);
    shim.send(&ToShim::Forget(id));
}

#[test]
fn what_a_tree_listens_on_is_known_whatever_the_address() {
    if !has_python() {
        return;
    }
    let mut shim = Shim::new();
    let pid = shim.pid();
    let table: [(&str, IpAddr); 4] = [
        ("127.0.0.1", Ipv4Addr::LOCALHOST.into()),
        ("0.0.0.0", Ipv4Addr::UNSPECIFIED.into()),
        ("::1", Ipv6Addr::LOCALHOST.into()),
        ("::", Ipv6Addr::UNSPECIFIED.into()),
    ];
    let has_six = TcpListener::bind("[::1]:0").is_ok();
    for (address, expected) in table.into_iter().filter(|(_, one)| one.is_ipv4() || has_six) {
        let (id, port) = listen(&mut shim, address, 0, &[]);
        assert!(ports::listens_in_tree(port, pid), "{address}");
        let listening = ports::listening(pid);
        assert_eq!(listening.len(), 1);
        assert_eq!((listening[0].address, listening[0].port), (expected, port));
        let holder = ports::holder(port).expect("it listens");
        assert_eq!(holder.run, Some(id.run));
        assert!(holder.command.contains("python") && holder.pid.is_some(), "{holder:?}");
        assert!(ports::is_free(None, port).is_err());
        end(&mut shim, id);
        assert_eq!(ports::owner(port, pid), Owner::Nobody);
        assert_eq!((ports::listening(pid).len(), ports::holder(port)), (0, None));
    }
}

#[test]
fn a_daemon_that_left_its_parents_is_still_the_trees() {
    if !has_python() {
        return;
    }
    support::with_both(|shim| {
        let file = shim.home.path().join("daemon.pid");
        let (id, port) = listen(shim, "127.0.0.1", 0, &[file.to_str().expect("text")]);
        shim.wait_ended(id);
        let daemon = pid_in(&file);
        let pid = shim.pid();
        assert!(ports::listens_in_tree(port, pid));
        assert_eq!(ports::holder(port).and_then(|holder| holder.pid), Some(daemon));
        let daemon = i32::try_from(daemon).ok().and_then(rustix::process::Pid::from_raw);
        let kill = rustix::process::Signal::KILL;
        rustix::process::kill_process(daemon.expect("a pid"), kill).expect("ours");
        until("its end", || (ports::owner(port, pid) == Owner::Nobody).then_some(()));
    });
}

#[test]
fn a_stranger_behind_the_port_is_never_taken_for_the_service() {
    if !has_python() {
        return;
    }
    let mut shim = Shim::new();
    let pid = shim.pid();
    // Chosen, then stolen before the service could bind it.
    let thief = TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = thief.local_addr().expect("bound").port();
    let start = shim.start_of(&["sleep", "600"]);
    let id = shim.start(&start);
    shim.wait_started(id);
    assert_eq!(ports::owner(port, pid), Owner::Foreign);
    end(&mut shim, id);
    if TcpListener::bind(("::1", port)).is_ok() {
        // Both listen: who asks for localhost may meet either.
        let (id, _) = listen(&mut shim, "::1", port, &[]);
        assert_eq!(ports::owner(port, pid), Owner::Foreign);
        assert_eq!(ports::listening(pid).len(), 1);
        drop(thief);
        assert_eq!(ports::owner(port, pid), Owner::Tree);
        end(&mut shim, id);
    } else {
        drop(thief);
    }
}
