//! Connections that nobody says anything on: TCP and Unix.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;

use rustix::net::{AddressFamily, SocketType};

use jr::model::service::probe::{ProbePort, ProbeWay};

use crate::fixture::{DEADLINE, World, ask};

fn tcp(host: &str, port: u16) -> Result<(), String> {
    let port = ProbePort::Number(port);
    ask(&ProbeWay::Tcp { host: host.to_owned(), port }, DEADLINE)
}

#[test]
fn a_listener_is_enough_and_without_one_nothing_is() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = listener.local_addr().expect("bound").port();
    assert_eq!(tcp("127.0.0.1", port), Ok(()));
    assert_eq!(tcp("localhost", port), Ok(()));
    drop(listener);
    // Bound, so that nobody else gets the port meanwhile, and not listening.
    let kept = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("made");
    rustix::net::sockopt::set_socket_reuseaddr(&kept, true).expect("set");
    rustix::net::bind(&kept, &SocketAddr::from(([127, 0, 0, 1], port))).expect("binds");
    for host in ["127.0.0.1", "localhost"] {
        let wanted = format!("cannot connect to {host}:{port}: Connection refused");
        assert_eq!(tcp(host, port), Err(wanted));
    }
}

#[test]
fn one_family_is_not_the_other() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else { return };
    let port = listener.local_addr().expect("bound").port();
    assert_eq!(tcp("::1", port), Ok(()));
    assert!(tcp("127.0.0.1", port).is_err());
}

#[test]
fn a_unix_socket_is_one_that_somebody_listens_at() {
    let world = World::new();
    let deep = world.dir.path().join("d".repeat(120));
    std::fs::create_dir(&deep).expect("made");
    for path in [world.dir.path().join("s"), deep.join("socket")] {
        let way = ProbeWay::Unix { path: path.as_os_str().to_owned().into() };
        let asked = || ask(&way, DEADLINE).map_err(|text| text.contains("No such file"));
        assert_eq!(asked(), Err(true));
        let listener = jr::runners::linux::sockets::bind(&path).expect("binds");
        assert_eq!(asked(), Ok(()));
        drop::<UnixListener>(listener);
        // The file is still there.
        assert!(ask(&way, DEADLINE).expect_err("nobody listens").contains("onnection refused"));
    }
}
