//! HTTP: what is right, and servers that are not.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use jr::model::service::probe::{HttpProbe, ProbePort, ProbeWay};
use jr::runners::probe;

use crate::fixture::{DEADLINE, SHORT, Server, World, ask, get, read_request, run};

fn answer(probe: HttpProbe) -> Result<(), String> {
    ask(&ProbeWay::Http(probe), DEADLINE)
}

fn wrong(answer: Result<(), String>, wanted: &str) {
    let text = answer.expect_err(wanted);
    assert!(text.contains(wanted), "{text:?} lacks {wanted:?}");
    assert!(text.len() <= 200 && !text.contains('\n'), "{text:?}");
}

#[test]
fn any_status_of_success_or_redirection_is_right_unless_others_are_named() {
    let fine = Server::answering(b"HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(answer(get(fine.port)), Ok(()));
    wrong(
        answer(HttpProbe { statuses: vec![200, 418], ..get(fine.port) }),
        "/health?deep=1: status 204, expected 200 or 418",
    );
    // Not followed: nobody is at the other place.
    let moved = Server::answering(b"HTTP/1.1 302 Found\r\nLocation: http://[::1]:1/\r\n\r\n");
    assert_eq!(answer(get(moved.port)), Ok(()));
    let sick = Server::answering(b"HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nsick");
    wrong(answer(get(sick.port)), "status 503, expected 200 to 399");
    assert_eq!(answer(HttpProbe { statuses: vec![503], ..get(sick.port) }), Ok(()));
}

#[test]
fn a_service_sees_an_ordinary_request() {
    let server = Server::answering(b"HTTP/1.1 200 OK\r\n\r\n");
    let headers = vec![("X-Probe".to_owned(), "jr\u{fc}".to_owned())];
    assert_eq!(answer(HttpProbe { headers, ..get(server.port) }), Ok(()));
    let host = vec![("Host".to_owned(), "app.test".to_owned())];
    assert_eq!(answer(HttpProbe { headers: host, ..get(server.port) }), Ok(()));
    let heard = server.heard.lock().expect("not poisoned");
    let first = heard[0].to_ascii_lowercase();
    assert!(first.starts_with("get /health?deep=1 http/1.1\r\n"), "{first}");
    assert!(first.contains(&format!("\r\nhost: 127.0.0.1:{}\r\n", server.port)), "{first}");
    assert!(first.contains("\r\nx-probe: jrü\r\n"), "{first}");
    let second = heard[1].to_ascii_lowercase();
    assert_eq!(second.matches("host:").count(), 1);
    assert!(second.contains("\r\nhost: app.test\r\n"), "{second}");
}

#[test]
fn what_cannot_be_asked_is_told() {
    let server = Server::answering(b"HTTP/1.1 200 OK\r\n\r\n");
    let headers = vec![("X Probe".to_owned(), "1".to_owned())];
    wrong(answer(HttpProbe { headers, ..get(server.port) }), "X Probe is no header");
    let split = vec![("X".to_owned(), "1\r\nY: 2".to_owned())];
    wrong(answer(HttpProbe { headers: split, ..get(server.port) }), "X is no header");
    let path = "/a b\x1b[2J".to_owned();
    wrong(answer(HttpProbe { path, ..get(server.port) }), "/a b\\u{1b}[2J is no path of HTTP");
    let port = ProbePort::Own("web".to_owned());
    wrong(answer(HttpProbe { port, ..get(1) }), "it has no port web");
    assert!(server.heard.lock().expect("not poisoned").is_empty());
}

#[test]
fn a_body_is_searched_however_it_comes() {
    let chunked = Server::answering(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
          3\r\nall\r\n5\r\n is w\r\n3\r\nell\r\n0\r\n\r\n",
    );
    let plain = Server::answering(b"HTTP/1.0 200 OK\r\n\r\nall is well\n");
    for port in [chunked.port, plain.port] {
        let body = |text: &str| HttpProbe { body: Some(text.to_owned()), ..get(port) };
        assert_eq!(answer(body("is well")), Ok(()));
        assert_eq!(answer(body("")), Ok(()));
        wrong(answer(body("is ill")), "the body lacks \"is ill\", it begins \"all is well");
    }
}

#[test]
fn a_body_without_an_end_is_not_read_to_it() {
    let endless = Server::on("127.0.0.1:0", |stream, _| {
        let heard = read_request(stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nready").ok();
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
        heard
    })
    .expect("binds");
    let body = |text: &str| HttpProbe { body: Some(text.to_owned()), ..get(endless.port) };
    assert_eq!(answer(body("ready")), Ok(()));
    wrong(answer(body("z")), "bytes lack \"z\"");
}

#[test]
fn who_breaks_off_or_talks_otherwise_is_wrong() {
    let cases: [(&'static [u8], &str); 5] = [
        (b"", "closed before the end"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "closed before the end"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "the body broke off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "the body broke off"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "/health?deep=1: "),
    ];
    for (text, wanted) in cases {
        let server = Server::answering(text);
        let body = Some("long".to_owned());
        wrong(answer(HttpProbe { body, ..get(server.port) }), wanted);
    }
}

#[test]
fn who_speaks_before_it_is_asked_is_no_server_of_http() {
    let eager = Server::on("127.0.0.1:0", |stream, stop| {
        stream.write_all(b"220 mail.test ESMTP\r\n").ok();
        stop.recv().ok();
        String::new()
    })
    .expect("binds");
    wrong(answer(get(eager.port)), "/health?deep=1: ");
}

#[test]
fn who_says_nothing_is_given_up() {
    let server = Server::silent();
    let said = ask(&ProbeWay::Http(get(server.port)), SHORT);
    wrong(said, "/health?deep=1: no answer within 200ms");
}

#[test]
fn localhost_is_both_families() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let serve = |stream: &mut std::net::TcpStream, _: &_| {
            let heard = read_request(stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok();
            heard
        };
        let Some(server) = Server::on(address, serve) else { continue };
        let localhost = HttpProbe { host: "localhost".to_owned(), ..get(server.port) };
        assert_eq!(answer(localhost), Ok(()), "{address}");
        let port = ProbePort::Number(server.port);
        let tcp = ProbeWay::Tcp { host: "LocalHost".to_owned(), port };
        assert_eq!(ask(&tcp, DEADLINE), Ok(()), "{address}");
    }
}

/// A port that was free when it was chosen may be another's when the service wants to bind it.
#[test]
fn a_thief_of_a_port_is_not_ready_for_the_service_and_learns_nothing() {
    let thief = Server::answering(b"HTTP/1.1 200 OK\r\n\r\n");
    let world = World::new();
    let mut target = world.target();
    target.ports.insert("web".to_owned(), thief.port);
    let own = ProbePort::Own("web".to_owned());
    let headers = vec![("Authorization".to_owned(), "secret".to_owned())];
    let http = ProbeWay::Http(HttpProbe { port: own.clone(), headers, ..get(0) });
    let tcp = ProbeWay::Tcp { host: "localhost".to_owned(), port: own };
    let asked = |target: &_, way| run(probe::ask(way, target, Duration::from_secs(30)));
    assert_eq!(asked(&target, &http), Ok(()));
    assert_eq!(asked(&target, &tcp), Ok(()));
    let port = thief.port;
    target.owns = Arc::new(move |asked| asked != port);
    thief.heard.lock().expect("not poisoned").clear();
    let wanted = format!("port {port} is held by a process that is not its own");
    assert_eq!(asked(&target, &http), Err(wanted.clone()));
    assert_eq!(asked(&target, &tcp), Err(wanted));
    assert!(thief.heard.lock().expect("not poisoned").iter().all(String::is_empty));
}
