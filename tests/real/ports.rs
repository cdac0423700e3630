//! Ports that somebody else has, or takes.

use std::net::TcpListener;

use crate::home::{text, until};
use crate::project::{Project, is_asked_for, stranger};

/// Listens on `[::]` and nowhere else; 127.0.0.1 could still be bound. Says its port.
const THIEF_OF_SIX: &str = "
import socket
s = socket.socket(socket.AF_INET6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
s.bind(('::', 0))
s.listen()
print(s.getsockname()[1], flush=True)
while True: s.accept()
";

/// Answers every request with 200, on the given port.
const LIAR: &str = "
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Liar(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'fine')
    def log_message(self, *words): pass
server = HTTPServer(('127.0.0.1', int(sys.argv[1])), Liar)
print('up', flush=True)
server.serve_forever()
";

#[test]
fn a_port_that_somebody_holds_is_told_and_taken_when_he_goes() {
    if !is_asked_for() {
        return;
    }
    let (mut thief, port) = stranger(THIEF_OF_SIX, &[]);
    let project = Project::declaring(&format!(
        "[services.web]\ncommand = \"exec python3 -m http.server --bind 127.0.0.1 $PORT\"\n\
         port = {port}\nbackoff = \"50ms,max=200ms\"\n\
         readiness = {{ http = {{ path = \"/\" }}, interval = \"50ms\" }}\n"
    ));
    project.ok(&["up"]);
    let told = until("the conflict", || {
        let view = project.service("web");
        let why = view["reason"].as_str().unwrap_or_default();
        assert_ne!(view["state"], "ready", "{view}");
        if why.contains(&port) { Ok(view) } else { Err(view.to_string()) }
    });
    assert!(text(project.ok(&["status"]).as_bytes()).contains(&port), "{told}");
    let held = project.port("web");
    assert_eq!(held["holder"]["pid"], thief.pid(), "{held}");
    let command = held["holder"]["command"].as_str().expect("a command");
    assert!(command.contains("python3"), "{held}");
    let page = project.ok(&["ports"]);
    assert!(page.contains(&format!("pid {}", thief.pid())), "{page}");
    let conflicts = project.events("port_conflict");
    assert!(!conflicts.is_empty(), "it is on record");

    drop(thief);
    let view = project.until_state("web", "ready");
    assert_eq!(view["ports"]["main"].to_string(), port);
    let own = project.port("web");
    assert_eq!((own["actual"].to_string(), own["holder"].is_null()), (port, true), "{own}");
    project.check_log();
}

#[test]
fn whoever_answers_in_the_place_of_a_service_does_not_make_it_ready() {
    if !is_asked_for() {
        return;
    }
    let free = TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = free.local_addr().expect("bound").port().to_string();
    drop(free);
    let project = Project::declaring(&format!(
        "[services.idle]\ncommand = [\"sleep\", \"300\"]\nport = {port}\n\
         startup_timeout = \"2s\"\nbackoff = \"50ms,max=200ms\"\n\
         readiness = {{ http = {{ path = \"/\" }}, interval = \"20ms\" }}\n"
    ));
    project.ok(&["up"]);
    until("its process", || {
        let view = project.service("idle");
        if view["pid"].is_null() { Err(view.to_string()) } else { Ok(()) }
    });
    let (mut liar, _) = stranger(LIAR, &[&port]);
    let overdue = until("jr to lose patience", || {
        let view = project.service("idle");
        assert_ne!(view["state"], "ready", "{view}");
        project.events("restart_requested").into_iter().next().ok_or_else(|| view.to_string())
    });
    assert_eq!(overdue["reason"], "startup_timeout", "{overdue}");
    let why = overdue["detail"].as_str().unwrap_or_default();
    assert!(why.contains(&port), "{overdue}");
    assert!(project.events("health_changed").is_empty(), "it was never well");
    let held = project.port("idle");
    assert_eq!(held["holder"]["pid"], liar.pid(), "{held}");
    project.check_log();
}
