//! A service whose sockets jr holds loses no connection while it starts again.

#[path = "support/home.rs"]
mod home;

use std::io::Read as _;
use std::net::TcpStream;
use std::path::Path;

use home::{DEADLINE, Home, skipped, until};

/// Serves one connection and ends.
const SERVER: &str = "
import os, socket
server = socket.socket(fileno=3)
connection, _ = server.accept()
connection.sendall(str(os.getpid()).encode())
connection.close()
";

#[test]
fn nobody_is_refused_between_two_attempts() {
    if !Path::new("/usr/bin/python3").exists() {
        return skipped("no /usr/bin/python3");
    }
    let home = Home::new();
    let project = tempfile::tempdir().expect("a directory");
    std::fs::write(project.path().join("one.py"), SERVER).expect("written");
    let text = "[services.web]\ncommand = [\"/usr/bin/python3\", \"one.py\"]\nport = \"auto\"\n\
                pass_sockets = true\nbackoff = \"10ms,factor=1\"\n";
    std::fs::write(project.path().join("jr.toml"), text).expect("written");
    home.ok(&["-C", project.path().to_str().expect("text"), "up", "--wait"]);
    let run = home.items(&["ps"])[0]["run_id"].as_str().expect("an id").to_owned();
    home.until_state(&run, "running");
    let port = until("a port", || {
        let events = home.events(&["--kind", "port_assigned"]);
        let number = events.first().and_then(|event| event["port"].as_u64());
        number.ok_or_else(|| format!("{events:?}"))
    });
    let port = u16::try_from(port).expect("a port");
    let mut pids = std::collections::BTreeSet::new();
    for number in 0..50 {
        let mut connection = TcpStream::connect(("localhost", port)).expect("it is not refused");
        connection.set_read_timeout(Some(DEADLINE)).expect("set");
        let mut pid = String::new();
        connection.read_to_string(&mut pid).unwrap_or_else(|error| panic!("{number}: {error}"));
        assert!(pids.insert(pid.clone()), "{number}: {pid} serves twice");
        if number == 25 {
            home.without_daemon();
            home.ok(&["daemon", "start"]);
        }
    }
    let view = home.show(&run);
    let attempts = view["attempts"].as_array().expect("attempts");
    assert!(attempts.len() >= 50, "{view}");
}
